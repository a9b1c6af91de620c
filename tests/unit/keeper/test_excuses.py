"""Work and waiting for a CPU excuse a silence; being stopped does not."""

import signal
import subprocess
import time
from collections.abc import Iterator

import pytest

from headstay.keeper.excuse import excused_seconds


@pytest.fixture
def busy() -> Iterator["subprocess.Popen[bytes]"]:
    process = subprocess.Popen(["sh", "-c", "while :; do :; done"])
    yield process
    process.kill()
    process.wait()


def excused_in(seconds: float, process: int) -> float:
    before = excused_seconds(process)
    time.sleep(seconds)
    return excused_seconds(process) - before


def test_a_process_at_work_is_excused_for_all_of_the_time(busy: "subprocess.Popen[bytes]") -> None:
    assert excused_in(1.0, busy.pid) > 0.7


def test_a_stopped_process_is_not_excused(busy: "subprocess.Popen[bytes]") -> None:
    busy.send_signal(signal.SIGSTOP)
    time.sleep(0.3)
    assert excused_in(1.0, busy.pid) < 0.1


def test_a_process_that_is_gone_is_not_excused() -> None:
    assert excused_in(0.1, 2**22 + 1) < 0.1
