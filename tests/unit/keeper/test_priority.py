"""While a GCS starts, the dashboard that hammers at its door stands back, and nobody else does."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from headstay.keeper.priority import NICENESS, put_dashboard_behind

# A process with a second thread and a child; each of the two is told as soon as it is there.
PROGRAM = """
import subprocess, sys, threading
threading.Thread(target=threading.Event().wait, daemon=True).start()
child = subprocess.Popen(["sleep", "60"])
print(child.pid, flush=True)
sys.stdin.read()
child.kill()
"""


@pytest.fixture
def programs(tmp_path: Path) -> Iterator[list[tuple["subprocess.Popen[str]", int]]]:
    """The dashboard and another, each with its child's number."""
    started = []
    for name in ("ray/dashboard/dashboard.py", "ray/other.py"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(PROGRAM)
        process = subprocess.Popen(
            [sys.executable, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        started.append((process, int(process.stdout.readline())))
    yield started
    for process, _ in started:
        process.communicate()


def niceness_of_threads(process: int) -> set[int]:
    return {os.getpriority(os.PRIO_PROCESS, int(thread.name)) for thread in Path(f"/proc/{process}/task").iterdir()}


def test_all_threads_of_the_dashboard_and_its_children_stand_back(
    programs: list[tuple["subprocess.Popen[str]", int]],
) -> None:
    (dashboard, its_child), (other, others_child) = programs
    mine = os.getpriority(os.PRIO_PROCESS, 0)
    put_dashboard_behind(os.getpid())
    assert niceness_of_threads(dashboard.pid) == {max(NICENESS, mine)}
    assert niceness_of_threads(its_child) == {max(NICENESS, mine)}
    assert niceness_of_threads(other.pid) == niceness_of_threads(others_child) == {mine}


def test_who_is_no_descendant_is_left_alone(programs: list[tuple["subprocess.Popen[str]", int]]) -> None:
    (dashboard, _), (other, _) = programs
    before = niceness_of_threads(dashboard.pid)
    put_dashboard_behind(other.pid)
    assert niceness_of_threads(dashboard.pid) == before
