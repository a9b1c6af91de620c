"""What a Pod needs next: from every state it can be found in, an interrupted one included."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from headstay.local.node.decide import LOST, Step, current_backoff, decide, kill_deadline, next_backoff
from headstay.local.node.podspec import PodDocument
from headstay.local.node.records import ContainerRecord, PodRecord, Termination
from headstay.model.meta import ObjectMeta

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def pod(**spec: Any) -> PodDocument:
    return PodDocument(ObjectMeta(name="p", namespace="n", uid="u"), {"containers": [{"name": "a"}]} | spec)


def deleted(grace: int = 30, **spec: Any) -> PodDocument:
    document = pod(**spec)
    document.metadata.deletion_timestamp = (NOW + timedelta(seconds=grace)).isoformat()
    document.metadata.deletion_grace_period_seconds = grace
    return document


def record(*containers: ContainerRecord) -> PodRecord:
    return PodRecord("u", "n", "p", started_at=NOW, containers={one.name: one for one in containers})


def running(name: str = "a", *, started: bool = True) -> ContainerRecord:
    return ContainerRecord(name, "running", id="x", ever_started=True, started=started)


def ended(name: str = "a", code: int = 0, ago: float = 0, **more: Any) -> ContainerRecord:
    finished = NOW - timedelta(seconds=ago)
    return ContainerRecord(
        name, "terminated", id="x", ever_started=True, termination=Termination(code, "Error", finished), **more
    )


def names(steps: list[Step]) -> list[tuple[str, str]]:
    return [(step.do, step.container) for step in steps]


def test_a_new_pod_starts_its_containers_together() -> None:
    two = pod(containers=[{"name": "a"}, {"name": "b"}])
    assert names(decide(two, record(), NOW).steps) == [("start", "a"), ("start", "b")]


def test_init_containers_run_one_after_the_other_before_the_others() -> None:
    document = pod(initContainers=[{"name": "i"}, {"name": "j"}])
    assert names(decide(document, record(), NOW).steps) == [("start", "i")]
    assert decide(document, record(running("i")), NOW).steps == []
    assert names(decide(document, record(ended("i")), NOW).steps) == [("start", "j")]
    assert names(decide(document, record(ended("i"), ended("j")), NOW).steps) == [("start", "a")]


def test_a_failed_init_container_is_tried_again_unless_the_pod_never_restarts() -> None:
    document = pod(initContainers=[{"name": "i"}])
    assert names(decide(document, record(ended("i", 1)), NOW).steps) == [("start", "i")]
    never = pod(initContainers=[{"name": "i"}], restartPolicy="Never")
    step = decide(never, record(ended("i", 1)), NOW).steps[0]
    assert (step.do, step.outcome) == ("finish", ("Failed", "", ""))


def test_init_containers_do_not_run_again_when_a_main_container_restarts() -> None:
    document = pod(initContainers=[{"name": "i"}])
    lost_init = record(ContainerRecord("i"), ended("a", 1))
    assert names(decide(document, lost_init, NOW).steps) == [("start", "a")]


def test_a_sidecar_must_have_started_before_what_follows_and_is_always_restarted() -> None:
    document = pod(initContainers=[{"name": "s", "restartPolicy": "Always"}], restartPolicy="Never")
    assert names(decide(document, record(), NOW).steps) == [("start", "s")]
    assert decide(document, record(running("s", started=False)), NOW).steps == []
    assert names(decide(document, record(running("s")), NOW).steps) == [("start", "a")]
    assert names(decide(document, record(ended("s"), running("a")), NOW).steps) == [("start", "s")]


@pytest.mark.parametrize(
    ("policy", "code", "step"),
    [
        ("Always", 0, ("start", "a")),
        ("Always", 1, ("start", "a")),
        ("OnFailure", 1, ("start", "a")),
        ("OnFailure", 0, ("finish", "")),
        ("Never", 0, ("finish", "")),
        ("Never", 1, ("finish", "")),
    ],
)
def test_the_restart_policy_decides_what_follows_an_end(policy: str, code: int, step: tuple[str, str]) -> None:
    assert names(decide(pod(restartPolicy=policy), record(ended("a", code)), NOW).steps) == [step]


def test_a_pod_has_failed_only_when_all_its_containers_have_ended() -> None:
    document = pod(containers=[{"name": "a"}, {"name": "b"}], restartPolicy="Never")
    assert decide(document, record(ended("a", 1), running("b")), NOW).steps == []
    step = decide(document, record(ended("a", 1), ended("b")), NOW).steps[0]
    assert step.outcome == ("Failed", "", "")


def test_the_first_restart_is_at_once_and_later_ones_wait_longer_up_to_five_minutes() -> None:
    known = ended("a", 1)
    waits = []
    for _ in range(8):
        waits.append(current_backoff(known))
        known.backoff_seconds, known.backoff_set_at = next_backoff(known), NOW
    assert waits == [0, 10, 20, 40, 80, 160, 300, 300]


def test_a_container_in_back_off_is_asked_about_again_when_it_is_over() -> None:
    known = ended("a", 1, ago=4, backoff_seconds=10, backoff_set_at=NOW)
    decision = decide(pod(), record(known), NOW)
    assert decision.steps == []
    assert decision.wake_at == NOW + timedelta(seconds=6)


def test_ten_good_minutes_make_a_container_s_past_forgotten() -> None:
    known = ended("a", 1, backoff_seconds=300, backoff_set_at=NOW - timedelta(minutes=11))
    assert names(decide(pod(), record(known), NOW).steps) == [("start", "a")]
    assert next_backoff(known) == 10


def test_what_could_not_be_started_waits_for_its_next_try() -> None:
    known = ContainerRecord("a", reason="ErrImagePull", retry_at=NOW + timedelta(seconds=10))
    decision = decide(pod(), record(known), NOW)
    assert (decision.steps, decision.wake_at) == ([], NOW + timedelta(seconds=10))


def test_a_deleted_pod_is_killed_and_then_removed_from_any_state() -> None:
    for document in (deleted(), None):
        assert names(decide(document, record(running()), NOW).steps) == [("kill", "a")]
        for state in (record(), record(ended()), record(ContainerRecord("a", reason="ErrImagePull"))):
            assert names(decide(document, state, NOW).steps) == [("remove", "")]


def test_sidecars_end_after_the_containers_that_they_serve() -> None:
    document = deleted(initContainers=[{"name": "s", "restartPolicy": "Always"}])
    assert names(decide(document, record(running("s"), running("a")), NOW).steps) == [("kill", "a")]
    assert names(decide(document, record(running("s"), ended("a")), NOW).steps) == [("kill", "s")]
    assert names(decide(document, record(ended("s"), ended("a")), NOW).steps) == [("remove", "")]


def test_the_active_deadline_ends_a_pod_and_kills_what_runs() -> None:
    document = pod(activeDeadlineSeconds=60)
    state = record(running())
    assert decide(document, state, NOW).wake_at == NOW + timedelta(seconds=60)
    late = NOW + timedelta(seconds=60)
    step = decide(document, state, late).steps[0]
    assert step.outcome is not None
    assert step.outcome[:2] == ("Failed", "DeadlineExceeded")
    state.outcome = step.outcome
    assert names(decide(document, state, late).steps) == [("kill", "a")]


def test_a_finished_pod_starts_nothing_again() -> None:
    state = record(ended())
    state.outcome = ("Succeeded", "", "")
    assert decide(pod(), state, NOW).steps == []


def test_a_pod_that_is_refused_starts_nothing() -> None:
    state = record()
    state.refusal = "unsupported by this node: spec.hostNetwork"
    assert decide(pod(), state, NOW).steps == []


def test_grace_is_the_deletion_s_own_and_at_least_a_second() -> None:
    assert kill_deadline(deleted(grace=20), NOW) == NOW + timedelta(seconds=20)
    assert kill_deadline(deleted(grace=0), NOW) == NOW + timedelta(seconds=1)
    assert kill_deadline(None, NOW) == NOW + timedelta(seconds=1)
    assert kill_deadline(pod(terminationGracePeriodSeconds=7), NOW) == NOW + timedelta(seconds=7)
    assert kill_deadline(pod(), NOW, 3) == NOW + timedelta(seconds=3)


def test_a_container_that_was_lost_with_its_machine_starts_again_at_once() -> None:
    known = ended("a", 137, ago=4, backoff_seconds=160, backoff_set_at=NOW)
    assert known.termination is not None
    known.termination.reason = LOST
    assert current_backoff(known) == 0
    assert next_backoff(known) == 10
