"""What a figure means, shown by histories small enough to be added up by hand."""

import statistics

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.drill.histories import DOWN, Scene, good_run

from headstay.drill.figures import Distribution, by_fault, distribution, figures
from headstay.drill.history import Call, Fault, Look, Outcome, Phase, PodSeen, Record, Run
from headstay.drill.promises import (
    ALL_END,
    CUT_OFF,
    HANDED_OVER,
    HEAD_ENDS,
    IN_PLACE,
    KEPT,
    RESTART_HEAD,
    WORKER_ENDS,
    Hops,
    promise,
)
from headstay.drill.reading import Reading
from headstay.drill.request_figures import load_figures
from headstay.drill.requests import CALM


def asked(began: float, ended: float | None, outcome: Outcome = "ok", operation: str = "new-actor") -> Call:
    return Call(operation, operation, "a", began, ended, outcome)


def run(*records: Record, faults: tuple[Fault, ...] = (Fault("gcs-kill", "head", 10.0, healed=10.0),)) -> Run:
    return Run(1, "gcs-kill", "InPlace", 0, 0.0, 60.0, (*faults, *records))


def test_downtime_runs_from_the_fault_to_the_answer_of_a_call_begun_after_it() -> None:
    found = figures(run(asked(9.9, 10.4), asked(10.5, 11, "failed"), asked(11.1, 11.25)))
    assert found.first_answer_s == found.downtime_s == 1.25
    assert found.bound_s == 3
    assert found.faulted_s == 10


def test_a_slow_answer_later_is_no_outage_but_a_refusal_is() -> None:
    calm = [asked(10.1, 10.5), asked(10.6, 14), asked(14.1, 14.2)]
    assert figures(run(*calm)).downtime_s == 0.5
    late_bite = [asked(10.1, 10.5), asked(10.6, 12, "failed"), asked(16, 16.5), asked(17, 17.1)]
    assert figures(run(*late_bite)).first_answer_s == 0.5
    assert figures(run(*late_bite)).downtime_s == 6


def test_who_is_not_answered_at_the_end_is_not_back() -> None:
    assert figures(run(asked(11, 13, "unknown"))).downtime_s is None
    assert figures(run(asked(11, 11.5), asked(20, 22, "unknown"))).downtime_s is None
    # Begun just before the end and never answered: the end came first.
    assert figures(run(asked(11, 11.5), asked(59, None, "unknown"))).downtime_s == 1.5


def test_steps_come_in_the_order_in_which_they_came() -> None:
    found = figures(
        run(
            Phase(9, "gcs-serving", "keeper"),  # of the recovery before
            Phase(10.25, "detected", "keeper"),
            Phase(10.5, "gcs-serving", "keeper"),
            Phase(10.75, "gcs-serving", "operator"),
            Phase(13, "workers-back", "operator"),
            asked(10.6, 11),
        )
    )
    assert [(step.name, step.source, step.at_s, step.lasted_s) for step in found.steps] == [
        ("detected", "keeper", 0.25, 0.25),
        ("gcs-serving", "keeper", 0.5, 0.25),
        ("first-call", "workload", 1, 0.5),
        ("workers-back", "operator", 3, 2),
    ]


def test_calls_are_counted_while_the_cluster_is_not_back() -> None:
    tasks = [
        asked(8, 8.1, operation="task"),
        asked(9, 9.1, operation="task"),
        asked(9.9, 12.9, operation="task"),  # slow
        asked(13, 13.5, "failed", "task"),
        asked(14, 14.2, operation="task"),
        asked(30, 31, "failed", "task"),  # long after
    ]
    found = {calls.operation: calls for calls in figures(run(*tasks, asked(10.1, 15))).calls}["task"]
    assert (found.ok, found.failed, found.unknown, found.slow) == (2, 1, 0, 1)
    assert found.usual_gap_s == 1
    assert found.longest_gap_s == pytest.approx(31 - 14.2)


def test_a_run_without_a_fault_has_no_figures_of_one() -> None:
    found = figures(run(asked(1, 2), faults=()))
    assert (found.faulted_s, found.downtime_s, found.bound_s, found.steps) == (None, None, None, ())
    (group,) = by_fault([(run(faults=()), found, "")])
    assert (group.runs, group.not_back) == (1, 0)


@given(st.lists(st.floats(0, 1000), min_size=1))
def test_the_middle_is_the_median_and_nothing_is_beyond_the_extremes(values: list[float]) -> None:
    found = distribution(values)
    assert found is not None
    assert found.p50 == pytest.approx(statistics.median(values))
    assert min(values) == found.min <= found.p25 <= found.p50 <= found.p75 <= found.p90 <= found.max == max(values)


def test_nothing_has_no_distribution() -> None:
    assert distribution([]) is None
    assert distribution([2.0]) == Distribution(1, 2, 2, 2, 2, 2, 2)


def test_faults_are_told_apart_by_recovery_and_skips_counted() -> None:
    runs = [good_run(Scene("gcs-term", recovery, seed)) for seed in range(2) for recovery in DOWN]
    skipped = Fault("gcs-term", "head", 10, skipped="no head")
    pairs = [*((r, figures(r), "") for r in runs), (run(faults=(skipped,)), figures(run(faults=(skipped,))), "no head")]
    assert [(f.fault, f.recovery, f.runs, f.skipped) for f in by_fault(pairs)] == [
        ("gcs-term", "RestartHead", 2, 0),
        ("gcs-term", "InPlace", 2, 0),
        ("gcs-kill", "InPlace", 0, 1),
    ]


def test_a_promise_is_found_by_name_and_parameter() -> None:
    assert promise("redis-away-20", "InPlace") is IN_PLACE["redis-away"]
    assert promise("redis-away:5", "RestartHead") is RESTART_HEAD["redis-away"]
    assert promise("network-cut-workers", "InPlace") is IN_PLACE["network-cut-workers"]
    assert promise("meteorite", "InPlace") is None
    assert promise("gcs-termite", "InPlace") is None


@pytest.mark.parametrize("fault", IN_PLACE)
def test_in_place_never_promises_less_than_a_head_restart(fault: str) -> None:
    for away in (0.0, 1.0, 20.0, 45.0, 120.0):
        ours, rays = IN_PLACE[fault], RESTART_HEAD[fault]
        assert ours.downtime(away) <= rays.downtime(away)
        assert (ours.head_restarts(away) or 0) <= (rays.head_restarts(away) or float("inf"))
        assert ours.why.strip() == ours.why
    assert IN_PLACE.keys() == RESTART_HEAD.keys()


def request(began: float, took: float = 0.01, outcome: Outcome = "ok", hop: str = "service", error: str = "") -> Call:
    return Call(hop, "serve", "svc", began, began + took, outcome, "head-a worker-0", error)


def test_requests_are_told_apart_by_before_during_and_after() -> None:
    looked = [
        Look(at, (PodSeen("head-a", "u", "head", 0, ready),))
        for at, ready in ((1.0, True), (11.0, False), (14.0, True))
    ]
    requests = [
        request(2),
        request(3, 0.03),
        request(10.5, 0.2),
        request(11, 2.0),
        request(12, 0.01, "failed", error="refused: nobody listens"),
        request(13.9, 0.1),
        request(14.5, 0.05),
    ]
    loaded = msgspec.structs.replace(run(*looked, *requests, asked(10.1, 12.25)), rate=50)
    service, workers, head = figures(loaded).requests
    assert (service.before.sent, service.before.lost) == (2, 0)
    assert service.before.p50_s == pytest.approx(0.02)
    assert service.before.max_s == pytest.approx(0.03)
    assert (service.during.sent, service.during.lost, service.during.slow, service.during.max_s) == (4, 1, 1, 2.0)
    assert service.after.sent == 1, "the head was ready again at 14"
    assert service.after.p99_s == pytest.approx(0.05)
    assert service.errors == {"refused": 1}
    assert service.proxies == {"head-a": 6}
    assert workers.during.p99_s is None
    assert head.hop == "head-proxy"
    assert figures(run(*looked, *requests)).requests == (), "without Serve there is nothing to tell"
    (load,) = load_figures([Reading(loaded), Reading(loaded)])
    assert (load.rate, load.runs, load.hops[0].during.sent, load.hops[0].proxies) == (50, 2, 8, {"head": 12})


def test_what_was_sent_before_the_target_carried_the_load_counts_for_nothing() -> None:
    begun = [request(10 - CALM - 0.1, outcome="failed", error="refused: nobody listens"), request(10 - CALM + 0.1)]
    loaded = msgspec.structs.replace(run(*begun, request(11), asked(10.1, 12.25)), rate=50)
    service, _, _ = figures(loaded).requests
    assert (service.before.sent, service.before.lost) == (1, 0)


@pytest.mark.parametrize(
    ("fault", "away", "in_place", "restart_head"),
    [
        ("gcs-kill", 0, KEPT, HEAD_ENDS),
        ("gcs-term", 0, KEPT, HEAD_ENDS),
        ("head-pod", 0, HEAD_ENDS, HEAD_ENDS),
        ("redis-restart", 1, KEPT, HEAD_ENDS),
        ("redis-away:120", 120, KEPT, HEAD_ENDS),
        ("redis-away:330", 330, HEAD_ENDS, HEAD_ENDS),
        ("redis-flush", 1, ALL_END, ALL_END),
        ("worker-pod", 0, WORKER_ENDS, WORKER_ENDS),
        ("network-cut-workers", 10, CUT_OFF, CUT_OFF),
        ("network-cut-workers", 60, ALL_END, ALL_END),
        ("operator-kill", 0, KEPT, KEPT),
        ("upgrade", 120, HANDED_OVER, HANDED_OVER),
    ],
)
def test_what_requests_may_be_lost_follows_from_who_ends(
    fault: str, away: float, in_place: Hops, restart_head: Hops
) -> None:
    ours, rays = promise(fault, "InPlace"), promise(fault, "RestartHead")
    assert ours is not None
    assert rays is not None
    assert ours.hops(away) is in_place
    assert rays.hops(away) is restart_head
    if in_place not in (ALL_END, WORKER_ENDS):
        assert ours.hops(away).workers == rays.hops(away).workers == "none"
