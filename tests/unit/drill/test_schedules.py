from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from headstay.drill.expression import parse
from headstay.drill.faults import RULES
from headstay.drill.history import Run
from headstay.drill.schedule import LONGEST_LEAD, schedule, seconds_left

FAULTS = parse("gcs-kill,gcs-term,redis-away:20+gcs-kill", RULES)


@given(seed=st.integers(0, 2**32), runs=st.integers(1, 30))
def test_the_same_seed_draws_the_same_order_and_moments(seed: int, runs: int) -> None:
    once = schedule(FAULTS, ["InPlace", "RestartHead"], runs=runs, seed=seed)
    assert once == schedule(FAULTS, ["InPlace", "RestartHead"], runs=runs, seed=seed)
    assert [planned.number for planned in once] == list(range(1, len(once) + 1))
    assert all(0 <= planned.lead <= LONGEST_LEAD for planned in once)


@given(seed=st.integers(0, 2**32), runs=st.integers(1, 30))
def test_each_fault_is_done_as_often_as_asked_for_and_recoveries_are_not_mixed(seed: int, runs: int) -> None:
    planned = schedule(FAULTS, ["InPlace", "RestartHead"], runs=runs, seed=seed)
    assert set(Counter((one.fault, one.recovery) for one in planned).values()) == {runs}
    assert [one.recovery for one in planned] == ["InPlace"] * 3 * runs + ["RestartHead"] * 3 * runs


def test_another_seed_draws_another_order() -> None:
    orders = {tuple(p.fault for p in schedule(FAULTS, ["InPlace"], runs=5, seed=seed)) for seed in range(20)}
    assert len(orders) == 20


def test_the_order_of_a_seed_is_the_same_on_every_machine() -> None:
    planned = schedule(FAULTS, ["InPlace"], runs=2, seed=7)
    assert [(p.fault, p.lead, p.seed) for p in planned[:3]] == [
        ("redis-away:20+gcs-kill", 0.141, 178534781),
        ("redis-away:20+gcs-kill", 0.222, 626580733),
        ("gcs-kill", 0.87, 981093116),
    ]


def test_the_time_left_is_what_each_fault_took_so_far() -> None:
    planned = schedule(FAULTS, ["InPlace"], runs=2, seed=1)
    assert seconds_left([], planned, guess=15) == 90
    done = [_run("gcs-kill", 10), _run("gcs-kill", 14)]
    left = [p for p in planned if p.fault != "gcs-term"]
    assert seconds_left(done, left, guess=15) == 2 * 12 + 2 * 12  # of one not seen yet, the mean of all
    assert seconds_left([*done, _run("redis-away:20+gcs-kill", 40)], left, guess=15) == 2 * 12 + 2 * 40


def _run(fault: str, seconds: float) -> Run:
    return Run(1, fault, "InPlace", 1, 1000.0, 1000.0 + seconds, ())


@given(seed=st.integers(0, 2**32), runs=st.integers(1, 10))
def test_each_fault_is_done_at_each_rate(seed: int, runs: int) -> None:
    planned = schedule(FAULTS, ["InPlace", "RestartHead"], runs=runs, seed=seed, rates=[10, 50, 100])
    assert set(Counter((one.fault, one.recovery, one.rate) for one in planned).values()) == {runs}
    assert len({(one.fault, one.recovery, one.rate) for one in planned}) == 3 * 2 * 3
