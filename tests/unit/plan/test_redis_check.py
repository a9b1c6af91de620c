"""A head that cannot use its Redis: somebody says so, and nobody is bothered when it is well."""

from typing import Any

import msgspec
import pytest
from tests.unit.plan.clusters import FT, NOW, SETTINGS, UID, cluster, head_template, pod

from headstay.model.meta import Pod
from headstay.model.objects import Obj
from headstay.model.ray import Job
from headstay.model.resource import JOBS
from headstay.plan.raycluster.decide import plan_raycluster
from headstay.plan.raycluster.plan import Create, Observed, Plan
from headstay.plan.raycluster.redis_check import REDIS_REACHABLE
from headstay.plan.raycluster.status import next_status

FINALIZER = ("ray.io/gcs-ft-redis-cleanup-finalizer",)
HEAD = {"template": head_template(env=[{"name": "RAY_REDIS_ADDRESS", "value": "redis:6379"}])}


WAITING = {"waiting": {"reason": "CrashLoopBackOff"}}


def crashed(*, after: int = 1, exit_code: int = 1, state: Obj = WAITING) -> Pod:
    """A head whose container's last run took `after` seconds."""
    ended = {
        "exitCode": exit_code,
        "startedAt": "2026-01-02T03:00:00Z",
        "finishedAt": f"2026-01-02T03:{after // 60:02}:{after % 60:02}Z",
    }
    return pod("head", "head", ready=False, container_state=state, last_state={"terminated": ended})


def creates(found: Plan) -> list[Create]:
    return [action for action in found.actions if isinstance(action, Create)]


def check(exit_code: int | None = None, message: str = "") -> tuple[Job, Pod]:
    """The check Job and its Pod; ended where there is an exit code."""
    labels = {"ray.io/cluster": "raycluster", "ray.io/node-type": "redis-check"}
    job: Obj = {"metadata": {"name": "raycluster-redis-check", "uid": "job", "ownerReferences": [{"uid": UID}]}}
    state = {"running": {}} if exit_code is None else {"terminated": {"exitCode": exit_code, "message": message}}
    of_pod: Obj = {
        "metadata": {"name": "check", "labels": labels, "ownerReferences": [{"uid": "job"}]},
        "status": {"containerStatuses": [{"name": "ray-head", "state": state}]},
    }
    return msgspec.convert(job, Job), msgspec.convert(of_pod, Pod)


def plan(*pods: Pod, checked: tuple[Job, Pod] | None = None, **spec: Any) -> Plan:
    subject = cluster(**({"annotations": FT, "finalizers": FINALIZER, "head": HEAD, "groups": []} | spec))
    jobs, check_pods = ((checked[0],), (checked[1],)) if checked else ((), ())
    return plan_raycluster(Observed(subject, pods=pods, check_jobs=jobs, check_pods=check_pods), SETTINGS, NOW)


def jobs_of(found: Plan) -> list[Create]:
    return [create for create in creates(found) if create.resource == JOBS]


def test_a_head_that_crashes_as_it_starts_has_its_redis_asked() -> None:
    (job,) = jobs_of(plan(crashed()))
    assert job.obj["metadata"]["name"] == "raycluster-redis-check"
    assert job.obj["metadata"]["labels"]["ray.io/node-type"] == "redis-check"
    spec = job.obj["spec"]
    assert (spec["activeDeadlineSeconds"], spec["ttlSecondsAfterFinished"], spec["backoffLimit"]) == (60, 120, 0)


def test_the_check_touches_no_key() -> None:
    (job,) = jobs_of(plan(crashed()))
    (container,) = job.obj["spec"]["template"]["spec"]["containers"]
    text = " ".join(container["args"])
    assert not any(word in text.lower() for word in ("unlink", "hdel", "scan", "cleanup_redis_storage", "flush"))


@pytest.mark.parametrize(
    "pod_of_head",
    [
        crashed(after=600),
        crashed(exit_code=0),
        crashed(state={"waiting": {"reason": "ContainerCreating"}}),
        crashed(state={"running": {}}),
    ],
    ids=["ran for long", "ended well", "first restart", "running again"],
)
def test_a_head_that_only_restarts_has_not(pod_of_head: Pod) -> None:
    assert jobs_of(plan(pod_of_head)) == []


def test_without_fault_tolerance_there_is_no_redis_to_ask() -> None:
    assert jobs_of(plan(crashed(), annotations={}, finalizers=(), head={})) == []


def test_one_check_at_a_time() -> None:
    assert jobs_of(plan(crashed(), checked=check())) == []


def test_what_redis_said_is_a_condition_and_an_event_that_name_the_fix() -> None:
    found = plan(crashed(), checked=check(1, "Redis at redis:6379 refuses to let us in: WRONGPASS invalid"))
    (condition,) = found.conditions
    assert (condition["type"], condition["status"], condition["reason"]) == (REDIS_REACHABLE, "False", "RedisUnusable")
    assert "WRONGPASS" in condition["message"]
    assert "REDIS_PASSWORD" in condition["message"]
    assert [event.reason for event in found.events] == ["RedisUnusable"]


def test_a_redis_that_answers_clears_itself_of_suspicion() -> None:
    found = plan(crashed(), checked=check(0))
    assert [(entry["status"], entry["reason"]) for entry in found.conditions] == [("True", "RedisAnswers")]
    assert found.events == ()


def test_the_condition_goes_when_the_head_is_well() -> None:
    old = {"conditions": [{"type": REDIS_REACHABLE, "status": "False", "reason": "RedisUnusable"}]}
    well = pod("head", "head")
    found = plan(well, status=old)
    subject = cluster(annotations=FT, finalizers=FINALIZER, head=HEAD, groups=[], status=old)
    status = next_status(Observed(subject, pods=(well,)), found, None, NOW)
    assert REDIS_REACHABLE not in {entry["type"] for entry in status["conditions"]}
