"""docs/quickstart.md, typed into a shell as it stands."""

import re
import time
from pathlib import Path

from tests.e2e.cluster import ROOT, Cluster

from headstay.cli.quickstart.steps import (
    REDIS_PROMPT,
    Seen,
    cluster_gone,
    head_restarted_worker_did_not,
    two_configmaps,
)
from headstay.cli.quickstart.terminal import Shell

PAGE = ROOT / "docs" / "quickstart.md"
EXAMPLE_UID = "864b004c-6305-42e3-ac46-adfa8eb6f752"


def commands_of(page: str) -> list[str]:
    """The lines a reader types, in order: those of the `sh` blocks, comments left out."""
    blocks = re.findall(r"^ *```(?:sh|shell)\n(.*?)^ *```", page, re.DOTALL | re.MULTILINE)
    lines = [line.strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def between(page: str, first: str, last: str) -> str:
    return page[page.index(first) : page.index(last)]


class Reader:
    """Types a page's commands and keeps what came out."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        self._uid = ""
        self.outputs: dict[str, list[str]] = {}

    def type(self, lines: list[str]) -> None:
        while lines:
            line = lines.pop(0)
            if "redis-cli" in line:
                questions = []
                while lines and re.match(r"^(KEYS|HGETALL) ", lines[0]):
                    questions.append(lines.pop(0).replace(EXAMPLE_UID, self._uid))
                answers = self._shell.converse(line, REDIS_PROMPT, questions, timeout=60)
                for question, answer in zip(questions, answers[1:], strict=True):
                    self.outputs.setdefault(question, []).append(answer)
            else:
                result = self._shell.run(line, timeout=330)
                self.outputs.setdefault(line, []).append(result.output)
                if "metadata.uid" in line:
                    self._uid = result.last_line

    @property
    def uid(self) -> str:
        return self._uid

    def last(self, part: str) -> str:
        return next(outputs[-1] for line, outputs in reversed(self.outputs.items()) if part in line)


def type_until(shell: Shell, command: str, held: object, timeout: float) -> float:
    """Types `command` until `held(output)` says "": a reader looks again, too."""
    assert callable(held)
    began = time.monotonic()
    while problem := held(shell.run(command, timeout=30).output, Seen()):
        assert time.monotonic() - began < timeout, f"{command}: {problem}"
        time.sleep(1)
    return time.monotonic() - began


def test_every_line_of_the_guide_is_on_the_page() -> None:
    seed = (Path(__file__).parent / "seed_commands.txt").read_text().splitlines()
    typed = commands_of(PAGE.read_text())
    assert [line for line in seed if line not in typed] == []


def test_the_copy_of_the_guide_s_commands_is_the_guide_s() -> None:
    guide = ROOT.parent / "shared" / "reference" / "seed-gcs-fault-tolerance.md"
    if guide.is_file():  # beside the checkout in CI; elsewhere the copy stands alone
        steps = between(guide.read_text(), "### Step 3", "### Step 10")
        assert commands_of(steps) == (Path(__file__).parent / "seed_commands.txt").read_text().splitlines()


def test_the_page_typed_into_a_shell_does_what_it_says(environment: dict[str, str], tmp_path: Path) -> None:
    page = PAGE.read_text()
    cluster = Cluster(environment, "default")
    with Shell(environment) as shell:
        shell.run(f"cd {ROOT}", timeout=5)
        reader = Reader(shell)
        step3 = commands_of(between(page, "## Step 3", "## Step 4"))
        curl = step3.pop()
        assert curl.startswith("curl")  # its file would replace ours, and its host may be out of reach
        reader.type(step3)
        cluster.wait_ready()

        reader.type(commands_of(between(page, "## Step 4", "## Step 5")))
        assert reader.last("kubectl get pods").count("1/1") == 4
        assert two_configmaps(reader.last("get configmaps"), Seen()) == ""

        reader.type(commands_of(between(page, "## Step 5", "## Step 6")))
        assert reader.last("increment_counter").splitlines()[-1].strip() == "1"

        reader.type(commands_of(between(page, "## Step 6", "## Step 7")))
        assert f"RAY{reader.uid}@NODE" in reader.last("KEYS")
        assert '2) "' in reader.last("HGETALL")
        assert reader.uid in reader.last("$HEAD_POD -o=jsonpath")

        step7 = commands_of(between(page, "## Step 7", "## Step 8"))
        look = step7.pop()
        reader.type(step7)
        assert "RAY_gcs_rpc_server_reconnect_timeout_s" not in reader.last("$HEAD_POD -o=jsonpath")
        assert '"600"' in reader.last("$YOUR_WORKER_POD -o=jsonpath")
        assert type_until(shell, look, head_restarted_worker_did_not, timeout=240) > 40

        reader.type(commands_of(between(page, "## Step 8", "## Step 9")))
        assert reader.last("increment_counter").splitlines()[-1].strip() == "2"

        reader.type(commands_of(between(page, "## Step 9", "## Step 10")))
        assert cluster_gone(reader.last("kubectl get raycluster"), Seen()) == ""
        assert "(empty" in reader.last("KEYS")
        assert "NotFound" in reader.last("kubectl patch")  # nothing to release: the deletion ended by itself
