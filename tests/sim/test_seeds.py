"""Many runs with everything at random, each decided by one number. docs/testing.md says how to replay one.

HEADSTAY_SIM_SEEDS=N   how many seeds to run (1000)
HEADSTAY_SIM_SEED=N    run this seed alone and tell all of it
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.sim.seeds import run_seed

ROOT = Path(__file__).parents[2]
SEEDS = int(os.environ.get("HEADSTAY_SIM_SEEDS") or 1000)
CHOSEN = os.environ.get("HEADSTAY_SIM_SEED")
PROCESSES = os.cpu_count() or 1


@pytest.mark.skipif(CHOSEN is not None, reason="HEADSTAY_SIM_SEED chooses one seed")
@pytest.mark.timeout(900)
def test_every_seed_converges_and_breaks_no_promise() -> None:
    """In processes of their own, in turn, so that a slow stretch of seeds keeps nobody waiting."""
    command = [sys.executable, "-m", "tests.sim.seeds", "0", str(SEEDS), str(PROCESSES)]
    running = [
        subprocess.Popen([*command, str(share)], stdout=subprocess.PIPE, text=True, cwd=ROOT)
        for share in range(PROCESSES)
    ]
    told = [process.communicate()[0] for process in running]
    assert not any(process.returncode for process in running), "".join(told)


@pytest.mark.skipif(CHOSEN is None, reason="HEADSTAY_SIM_SEED chooses no seed")
def test_the_chosen_seed_converges_and_breaks_no_promise() -> None:
    outcome = run_seed(int(CHOSEN or 0))
    print(outcome.told())
    assert not outcome.broken, outcome.told()


@pytest.mark.parametrize("seed", [3, 17, 80])
def test_a_seed_tells_the_same_history_in_every_process(seed: int) -> None:
    """Other processes hash strings differently: what hangs on the order of a set would differ, too."""
    command = [sys.executable, "-m", "tests.sim.seeds", "--history", str(seed)]
    histories = [
        subprocess.run(
            command, env=os.environ | {"PYTHONHASHSEED": salt}, capture_output=True, text=True, check=True, cwd=ROOT
        ).stdout
        for salt in ("1", "2")
    ]
    assert histories[0] == histories[1] == f"{run_seed(seed).history}\n"
