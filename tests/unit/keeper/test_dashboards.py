"""While there is no GCS, the dashboard that hammers at its door stands back or rests, and nobody else does."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from headstay.keeper.dashboard import NICENESS, Dashboard

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
    Dashboard(os.getpid()).stand_back()
    assert niceness_of_threads(dashboard.pid) == {max(NICENESS, mine)}
    assert niceness_of_threads(its_child) == {max(NICENESS, mine)}
    assert niceness_of_threads(other.pid) == niceness_of_threads(others_child) == {mine}


def test_who_is_no_descendant_is_left_alone(programs: list[tuple["subprocess.Popen[str]", int]]) -> None:
    (dashboard, _), (other, _) = programs
    before = niceness_of_threads(dashboard.pid)
    Dashboard(other.pid).stand_back()
    assert niceness_of_threads(dashboard.pid) == before


HAMMERS = """
import subprocess, sys
busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
idle = subprocess.Popen(["sleep", "60"])
print(busy.pid, idle.pid, flush=True)
while sys.stdin.readline():
    pass
busy.kill()
idle.kill()
"""


@pytest.fixture
def hammering(tmp_path: Path) -> Iterator[tuple[int, int, int]]:
    """The numbers of the dashboard, of its busy and of its idle part."""
    path = tmp_path / "ray/dashboard/dashboard.py"
    path.parent.mkdir(parents=True)
    path.write_text(HAMMERS)
    with subprocess.Popen(
        [sys.executable, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        busy, idle = (int(number) for number in process.stdout.readline().split())
        yield process.pid, busy, idle
        process.communicate()


def state(process: int) -> str:
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]


def test_what_asks_without_a_pause_rests_until_there_is_a_gcs(
    hammering: tuple[int, int, int], capfd: pytest.CaptureFixture[str]
) -> None:
    main, busy, idle = hammering
    dashboard = Dashboard(os.getpid(), starting=0)
    end = time.monotonic() + 20
    while state(busy) != "T":
        dashboard.rest()
        assert time.monotonic() < end
        time.sleep(0.1)
    assert (state(main), state(idle)) == ("S", "S"), "whoever only waits is left alone"
    dashboard.go_on()
    assert state(busy) != "T"
    assert "stopped until there is one" in capfd.readouterr().err


def test_a_gcs_that_is_back_within_a_second_stops_nobody(hammering: tuple[int, int, int]) -> None:
    _, busy, _ = hammering
    dashboard = Dashboard(os.getpid(), starting=0)
    dashboard.rest()
    time.sleep(0.3)
    dashboard.rest()
    assert state(busy) != "T"


def test_what_is_busy_with_its_own_start_is_left_alone(hammering: tuple[int, int, int]) -> None:
    _, busy, _ = hammering
    dashboard = Dashboard(os.getpid())
    for _ in range(3):
        dashboard.rest()
        time.sleep(1.1)
    assert state(busy) != "T"
