"""Transcripts: what a person types at `kubectl`, run against two API servers and compared line by line.

A transcript is a YAML file: `steps`, each with a shell line `run` and optionally `stdin`, `files` (written into the
working folder first) and `retry` (seconds in which the step may be run again until its exit code is 0). Each runs in a
namespace of its own. What differs by nature (UIDs, times, addresses) is replaced before comparing.
"""

import difflib
import os
import re
import subprocess
import time
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from tests.conformance.servers import Server

HERE = Path(__file__).parent
CLASSES = {"newer-than-judge", "refused-by-name", "cosmetic"}

_SCRUBBED = [
    (re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b"), "<uid>"),
    (re.compile(r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z\b"), "<time>"),
    (re.compile(r"\b(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d \w{3} \d{4} \d\d:\d\d:\d\d [+-]\d{4}"), "<time>"),
    (re.compile(r'(resourceVersion"?: ?"?)\d+'), r"\1<rv>"),
    (re.compile(r"(in the precondition|in record) \(\d+\)"), r"\1 (<rv>)"),
    (re.compile(r"(resource version: \d+, current: )\d+"), r"\1<rv>"),
    (re.compile(r"https://127\.0\.0\.1:\d+"), "<server>"),
    (re.compile(r"\b10\.\d{1,3}\.\d{1,3}\.\d{1,3}\b"), "<address>"),
    (re.compile(r"(?<=-)[bcdfghjklmnpqrstvwxz2456789]{5}\b(?![-.])"), "<random>"),
    (re.compile(r"(?<=-)[bcdfghjklmnpqrstvwxz2456789]{8,10}(?=-<random>|\b)"), "<hash>"),
    (re.compile(r"(pod-template-hash[\"']?[=:] ?[\"']?)[a-z0-9]+"), r"\1<hash>"),
    (re.compile(r"(?<![\w.])(\d+[smhd]){1,2}(?= ago\)|\s|$)"), "<age>"),
    (re.compile(r"(nodePort\"?: ?|\d:)3[0-2]\d{3}\b"), r"\1<node port>"),
    (re.compile(r"(?<=\S)[ \t]+"), " "),
    (re.compile(r"[ \t]+$", re.MULTILINE), ""),
]


class Step(NamedTuple):
    run: str
    stdin: str
    files: dict[str, str]
    retry: float


class Transcript(NamedTuple):
    name: str
    steps: list[Step]


class Answer(NamedTuple):
    """What one step printed, scrubbed, with standard error behind standard output and the exit code last."""

    lines: list[str]


class Difference(NamedTuple):
    transcript: str
    step: int
    run: str
    local: str
    judge: str


class Allowed(NamedTuple):
    """`local` and `judge` are patterns that must each match the whole differing passage of that side.

    One that names a single side explains single lines too, in a passage that mixes several differences.
    """

    kind: str
    why: str
    transcript: str
    local: re.Pattern[str]
    judge: re.Pattern[str]


def load(path: Path) -> Transcript:
    document = yaml.safe_load(path.read_text())
    return Transcript(
        path.stem,
        [
            Step(step["run"], step.get("stdin", ""), step.get("files", {}), float(step.get("retry", 0)))
            for step in document["steps"]
        ],
    )


def load_entries() -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = yaml.safe_load((HERE / "differences.yaml").read_text()) or []
    for entry in entries:
        assert entry["class"] in CLASSES, entry
    return entries


def load_allowed() -> list[Allowed]:
    return [
        Allowed(
            entry["class"],
            entry["why"],
            entry.get("transcript", ""),
            re.compile(entry.get("local", ""), re.DOTALL),
            re.compile(entry.get("judge", ""), re.DOTALL),
        )
        for entry in load_entries()
    ]


def scrub(text: str) -> str:
    for pattern, replacement in _SCRUBBED:
        text = pattern.sub(replacement, text)
    return "".join(_causes_in_order(text.splitlines(keepends=True)))


def _causes_in_order(lines: list[str]) -> Iterator[str]:
    """The judge finds the mistakes in a custom object in the random order of Go's maps."""
    for is_cause, group in groupby(lines, key=lambda line: line.startswith("* ")):
        block = list(group)
        yield from sorted(block) if is_cause else block


def play(transcript: Transcript, server: Server, folder: Path) -> list[Answer]:
    """Runs every step in order; a failing step is an answer like any other. Raises ServerDied."""
    folder.mkdir(parents=True, exist_ok=True)
    namespace = f"conf-{transcript.name}"
    own = folder / "kubeconfig"
    own.write_text(server.kubeconfig.read_text())
    own.chmod(0o600)
    environment = {
        **os.environ,
        **server.environ,
        "KUBECONFIG": str(own),
        "NS": namespace,
        "HOME": str(folder),
        "EDITOR": "true",
        "PATH": f"{HERE / 'bin'}:{os.environ['PATH']}",
        "ROOT": str(HERE.parents[1]),
    }
    _shell(f"kubectl create namespace {namespace}", "", folder, environment)
    _shell(f"kubectl config set-context --current --namespace={namespace}", "", folder, environment)
    _until("kubectl get serviceaccount default", folder, environment, 20)
    answers = []
    for step in transcript.steps:
        for name, text in step.files.items():
            (folder / name).write_text(text)
        if step.retry:
            _until(step.run, folder, environment, step.retry)
        answers.append(_shell(step.run, step.stdin, folder, environment))
        server.check()
    _shell(f"kubectl delete namespace {namespace} --wait=false", "", folder, environment)
    return answers


def _until(command: str, folder: Path, environment: dict[str, str], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and _shell(command, "", folder, environment).lines[-1] != "exit 0":
        time.sleep(0.2)


def _shell(command: str, stdin: str, folder: Path, environment: dict[str, str]) -> Answer:
    done = subprocess.run(
        ["bash", "-c", command],
        input=stdin,
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    text = done.stdout + ("\n" if done.stdout and not done.stdout.endswith("\n") else "") + done.stderr
    text = scrub(text.replace(str(folder), "<folder>"))
    return Answer([*text.splitlines(), f"exit {done.returncode}"])


def differences(transcript: Transcript, local: list[Answer], judge: list[Answer]) -> list[Difference]:
    found = []
    for number, (step, ours, theirs) in enumerate(zip(transcript.steps, local, judge, strict=True), 1):
        matcher = difflib.SequenceMatcher(a=ours.lines, b=theirs.lines, autojunk=False)
        for tag, a1, a2, b1, b2 in matcher.get_opcodes():
            if tag != "equal":
                passage = ("\n".join(ours.lines[a1:a2]), "\n".join(theirs.lines[b1:b2]))
                found.append(Difference(transcript.name, number, step.run, *passage))
    return found


def allowance(difference: Difference, allowed: list[Allowed]) -> list[Allowed]:
    """The entries that explain a passage: one for the whole, or else one for each line that only one side has."""
    here = [entry for entry in allowed if entry.transcript in {"", difference.transcript}]
    for entry in here:
        if entry.local.fullmatch(difference.local) and entry.judge.fullmatch(difference.judge):
            return [entry]
    found: list[Allowed] = []
    for side, other in (("local", "judge"), ("judge", "local")):
        for line in getattr(difference, side).splitlines():
            one_sided = (each for each in here if not getattr(each, other).pattern)
            entry_of_line = next((each for each in one_sided if getattr(each, side).fullmatch(line)), None)
            if entry_of_line is None:
                return []
            found.append(entry_of_line)
    return found
