"""Says why a head cannot use its Redis, where users look: a condition and an Event.

A Ray that is refused by its Redis, or cannot reach it, aborts with a stack trace that names neither. So once such a
head crashes in a row, a Job asks Redis: a Pod like the head's, so that the credentials are used where they already
are and the operator needs none. With `RestartHead` nothing is put into the head Pod itself.

    head crash-loops -- no check yet --> Job -- ended --> condition RedisReachable, True or False with Redis' own words
    head is ready ------------------------------------> condition removed

The Job is collected two minutes after it ended; a head that still crashes then gets the next one.
"""

from datetime import timedelta
from typing import NamedTuple

from headstay.model.meta import Pod, StateTerminated
from headstay.model.objects import Obj
from headstay.model.ray import HEAD, NODE_TYPE, REDIS_CHECK, RayCluster
from headstay.model.ray_names import redis_check_job
from headstay.model.resource import JOBS
from headstay.model.timestamps import parse
from headstay.plan.raycluster.cleanup_job import cleanup_job, reaches_redis
from headstay.plan.raycluster.cleanup_script import check_command
from headstay.plan.raycluster.containers import add_env
from headstay.plan.raycluster.identity import uses_redis
from headstay.plan.raycluster.plan import Create, EventDraft, Observed
from headstay.plan.raycluster.settings import Settings

REDIS_REACHABLE = "headstay.io/RedisReachable"
_DEADLINE_SECONDS = 60
_KEPT_SECONDS = 120
# Ray tries for 60 s to connect. A head that ran for longer had its Redis when it started.
_EARLY = timedelta(seconds=90)


class Finding(NamedTuple):
    """`holds` is False once the condition has had its time."""

    actions: tuple[Create, ...] = ()
    condition: Obj | None = None
    event: EventDraft | None = None
    holds: bool = True


def redis_check(observed: Observed, settings: Settings) -> Finding:
    cluster = observed.cluster
    heads = observed.of_type(HEAD)
    if not uses_redis(cluster) or not heads or heads[0].ready:
        return Finding(holds=False)
    if ended := _ended_check(observed):
        return _judge(cluster, heads[0], ended)
    if not _crashes_early(heads[0]) or observed.check_jobs:
        return Finding()
    job = check_job(cluster, settings)
    if not reaches_redis(job):
        return Finding()
    name = job["metadata"]["name"]
    return Finding(
        (
            Create(
                JOBS,
                job,
                EventDraft(
                    "Normal", "CheckingRedis", "Create", f"The head fails as it starts: Job {name} asks its Redis why"
                ),
                EventDraft(
                    "Warning", "FailedToCheckRedis", "Create", f"Failed to create Job {name} to ask Redis: {{error}}"
                ),
                patient=True,
                dispensable=True,
            ),
        )
    )


def check_job(cluster: RayCluster, settings: Settings) -> Obj:
    """The cleanup Job's twin: the same Pod, which only connects, logs in and asks."""
    job = cleanup_job(cluster, settings)
    job["metadata"]["name"] = redis_check_job(cluster.name)
    template = job["spec"]["template"]
    for metadata in (job["metadata"], template["metadata"]):
        metadata["labels"] |= {NODE_TYPE: REDIS_CHECK}
    job["spec"] |= {"activeDeadlineSeconds": _DEADLINE_SECONDS, "ttlSecondsAfterFinished": _KEPT_SECONDS}
    (container,) = template["spec"]["containers"]
    container["args"] = [check_command(settings.cleaner_source)]
    add_env(container, "HEADSTAY_REDIS_PATIENCE_S", "10")
    return job


def _crashes_early(head: Pod) -> bool:
    status = head.ray_container
    if status is None:
        return False
    waiting, ended = status.state.waiting, status.last_state.terminated
    if waiting is None or waiting.reason != "CrashLoopBackOff" or ended is None or ended.exit_code == 0:
        return False
    if not ended.started_at or not ended.finished_at:
        return True
    return parse(ended.finished_at) - parse(ended.started_at) < _EARLY


def _ended_check(observed: Observed) -> StateTerminated | None:
    """How this cluster's latest check ended. A Job that an earlier cluster of the name left says nothing."""
    uid = observed.cluster.metadata.uid
    ours = [job for job in observed.check_jobs if any(owner.uid == uid for owner in job.metadata.owner_references)]
    jobs = {job.metadata.uid for job in ours}
    for pod in reversed(observed.check_pods):
        if any(owner.uid in jobs for owner in pod.metadata.owner_references):
            for status in pod.status.container_statuses:
                if status.state.terminated is not None:
                    return status.state.terminated
    return None


def _judge(cluster: RayCluster, head: Pod, ended: StateTerminated) -> Finding:
    if ended.exit_code == 0:
        message = (
            "Redis answers and accepts these credentials; the head fails for another reason: "
            f"kubectl logs {head.metadata.name} -n {cluster.namespace} --previous"
        )
        return Finding(condition=_condition("True", "RedisAnswers", message))
    lines = ended.message.strip().splitlines()
    words = lines[-1][:300].rstrip(".") if lines else f"the check ended with exit code {ended.exit_code}"
    message = f"The head cannot start without its Redis: {words}. {_where_to_look(cluster)}"
    return Finding(
        condition=_condition("False", "RedisUnusable", message),
        event=EventDraft("Warning", "RedisUnusable", "Reconcile", message),
    )


def _where_to_look(cluster: RayCluster) -> str:
    if cluster.ft_options is not None:
        return "Check spec.gcsFaultToleranceOptions (redisAddress, redisUsername, redisPassword) and the Redis itself"
    return "Check the head's RAY_REDIS_ADDRESS, REDIS_PASSWORD and rayStartParams redis-password, and the Redis itself"


def _condition(status: str, reason: str, message: str) -> Obj:
    return {"type": REDIS_REACHABLE, "status": status, "reason": reason, "message": message}
