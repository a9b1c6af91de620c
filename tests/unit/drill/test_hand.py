"""The program that breaks things in a container, on real processes of this machine."""

import ast
import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from headstay.drill.programs import command, source

PROGRAMS = ["hand", "driver"]


def hand(**order: Any) -> subprocess.CompletedProcess[bytes]:
    start = [sys.executable, *command(order)[1:]]
    return subprocess.run(start, input=source("hand"), capture_output=True, timeout=30, check=False)


def state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()[0]


def wait_for_state(pid: int, wanted: str) -> None:
    end = time.monotonic() + 20
    while state(pid) not in wanted:
        assert time.monotonic() < end, f"{pid} is {state(pid)}, not {wanted}"
        time.sleep(0.02)


@pytest.fixture
def victim(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process of a name that no other has. For a moment after its start it still has the name of who started it."""
    program = tmp_path / f"v{tmp_path.stat().st_ino}"
    shutil.copy("/bin/sleep", program)
    with subprocess.Popen([str(program), "60"]) as process:
        end = time.monotonic() + 20
        while Path(f"/proc/{process.pid}/comm").read_text().strip() != program.name:
            assert time.monotonic() < end
            time.sleep(0.005)
        yield process
        process.kill()


def name_of(process: subprocess.Popen[bytes]) -> str:
    """From its own path, never from /proc: the hand signals whoever is called that, wherever on this machine."""
    assert isinstance(process.args, list)
    name = Path(str(process.args[0])).name
    assert re.fullmatch(r"v[0-9]{1,14}", name)
    return name


@contextmanager
def stopped(victim: subprocess.Popen[bytes], seconds: int) -> Iterator[subprocess.Popen[bytes]]:
    """The hand, once it has told that the victim is stopped."""
    order = {"do": "stop", "process": name_of(victim), "seconds": seconds}
    with subprocess.Popen(
        [sys.executable, *command(order)[1:]], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as stopping:
        assert stopping.stdin is not None
        assert stopping.stdout is not None
        stopping.stdin.write(source("hand"))
        stopping.stdin.flush()
        stopping.stdout.readline()
        yield stopping


def test_a_signal_is_sent_and_its_time_told(victim: subprocess.Popen[bytes]) -> None:
    before = time.time()
    done = hand(do="signal", process=name_of(victim), signal="KILL")
    assert done.returncode == 0, done.stderr
    assert before <= json.loads(done.stdout)["at"] <= time.time()
    assert victim.wait(10) == -9


def test_a_process_that_is_not_there_is_said_to_be_missing() -> None:
    done = hand(do="signal", process="no-such-process", signal="TERM")
    assert done.returncode == 1
    assert b"no process no-such-process runs here" in done.stderr


def test_a_stopped_process_goes_on_when_its_lease_ends(victim: subprocess.Popen[bytes]) -> None:
    began = time.monotonic()
    done = hand(do="stop", process=name_of(victim), seconds=1)
    stopped, healed = (json.loads(line)["at"] for line in done.stdout.splitlines())
    assert healed - stopped >= 0.9
    assert time.monotonic() - began >= 0.9
    wait_for_state(victim.pid, "SR")


def test_a_stopped_process_goes_on_even_if_nobody_lives_who_stopped_it(victim: subprocess.Popen[bytes]) -> None:
    with stopped(victim, seconds=2) as stopping:
        assert state(victim.pid) == "T"
        stopping.kill()
    assert state(victim.pid) == "T"
    wait_for_state(victim.pid, "SR")


def test_who_is_killed_while_stopped_is_no_longer_waited_for(victim: subprocess.Popen[bytes]) -> None:
    with stopped(victim, seconds=30) as stopping:
        assert stopping.stdout is not None
        victim.kill()
        victim.wait()
        assert json.loads(stopping.stdout.readline())["at"] <= time.time()


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_are_python_3_8_and_bring_nothing_along(name: str) -> None:
    text = (resources.files("headstay.drill.programs") / f"{name}.py").read_text()
    tree = ast.parse(text, feature_version=(3, 8))
    for node in ast.walk(tree):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            names.append(node.module or "")
        assert {found.split(".")[0] for found in names} <= sys.stdlib_module_names | {"ray"}


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_command_is_short_whatever_the_program(name: str) -> None:
    """It travels in a URL; many servers take no more than 8 KB of it."""
    assert len(" ".join(command({"name": name}))) < 1000
    assert source(name).count(b"\n") == 1, "one line is read as the program"
