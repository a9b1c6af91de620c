"""How often the status of a cluster whose workers trickle in is written."""

from datetime import UTC, datetime

from headstay.model.objects import Obj
from headstay.plan.raycluster.status import seconds_to_hold

NOW = datetime(2026, 1, 2, 3, 4, 5, 250_000, tzinfo=UTC)
WRITTEN: Obj = {
    "lastUpdateTime": "2026-01-02T03:04:05Z",
    "observedGeneration": 1,
    "readyWorkerReplicas": 3,
    "availableWorkerReplicas": 3,
    "desiredWorkerReplicas": 9,
}


def test_a_count_alone_waits_for_the_next_second() -> None:
    assert seconds_to_hold(WRITTEN, WRITTEN | {"readyWorkerReplicas": 4, "availableWorkerReplicas": 5}, NOW) == 0.75


def test_a_count_is_written_when_the_last_write_was_in_another_second() -> None:
    old = WRITTEN | {"lastUpdateTime": "2026-01-02T03:04:04Z"}
    assert seconds_to_hold(old, WRITTEN | {"readyWorkerReplicas": 4}, NOW) == 0


def test_the_last_worker_is_told_at_once() -> None:
    assert seconds_to_hold(WRITTEN, WRITTEN | {"readyWorkerReplicas": 9}, NOW) == 0


def test_anything_but_a_count_is_told_at_once_with_the_count() -> None:
    for changed in ({"state": "ready"}, {"conditions": [{"type": "HeadPodReady"}]}, {"desiredWorkerReplicas": 8}):
        assert seconds_to_hold(WRITTEN, WRITTEN | {"readyWorkerReplicas": 4} | changed, NOW) == 0


def test_a_first_status_is_told_at_once() -> None:
    assert seconds_to_hold({}, WRITTEN | {"readyWorkerReplicas": 1}, NOW) == 0


def test_a_status_that_only_says_who_is_in_charge_is_written_at_once() -> None:
    aside = {"conditions": [{"type": "headstay.io/ManagedByKubeRay", "status": "True"}]}
    assert seconds_to_hold({}, aside, NOW) == 0
    assert seconds_to_hold({"lastUpdateTime": WRITTEN["lastUpdateTime"]}, aside, NOW) == 0
