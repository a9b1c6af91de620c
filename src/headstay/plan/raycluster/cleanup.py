"""The deletion of a RayCluster whose keys in Redis are to go with it.

    deadline passed? -- yes --> finalizer off
          | no
    no more to clean? -- yes --> finalizer off
          | no
    Pods away -> head gone -> Job -> Job ended -> finalizer off, whether it succeeded or failed (BestEffort)

The deadline counts from deletionTimestamp, comes before everything else, and nothing the spec says can keep the
machine from running: validation never traps an object. The Job never starts while a head may still write.
In mode Mandatory there is no deadline, and a failed Job keeps the finalizer on: a condition says how to take it off.
"""

from datetime import datetime

from headstay.model.objects import Obj
from headstay.model.ray import (
    CLUSTER,
    DELETION_TIMEOUT,
    HEAD,
    NODE_TYPE,
    REDIS_CLEANUP,
    REDIS_CLEANUP_FINALIZER,
    WORKER,
    Job,
    RayCluster,
    template_of,
)
from headstay.model.resource import JOBS
from headstay.model.timestamps import parse
from headstay.plan.raycluster.cleanup_job import cleanup_job, reaches_redis
from headstay.plan.raycluster.identity import storage_namespace_env, uses_redis
from headstay.plan.raycluster.plan import Create, DeletePod, EventDraft, Observed, Plan, SetFinalizers
from headstay.plan.raycluster.settings import Settings
from headstay.plan.raycluster.validation_shapes import group_problems

DEFAULT_TIMEOUT_SECONDS = 300
CLEANUP_BLOCKED = "headstay.io/RedisCleanupBlocked"


def wants_finalizer(cluster: RayCluster, settings: Settings) -> bool:
    return settings.redis_cleanup and uses_redis(cluster)


def has_finalizer(cluster: RayCluster) -> bool:
    return REDIS_CLEANUP_FINALIZER in cluster.metadata.finalizers


def deletion_timeout(cluster: RayCluster) -> int:
    text = cluster.annotations.get(DELETION_TIMEOUT, "").strip()
    return int(text) if text.isascii() and text.isdigit() and int(text) > 0 else DEFAULT_TIMEOUT_SECONDS


def plan_deletion(observed: Observed, settings: Settings, now: datetime) -> Plan:
    cluster = observed.cluster
    if not has_finalizer(cluster):
        return Plan("being deleted; nothing of ours holds it", status=False)
    timeout = deletion_timeout(cluster)
    spent = (now - parse(cluster.metadata.deletion_timestamp or "")).total_seconds()
    best_effort = settings.cleanup_mode == "BestEffort"
    if best_effort and spent >= timeout:
        return _release(
            cluster,
            f"the deletion took longer than {timeout} s",
            EventDraft(
                "Warning",
                "ForceDeletedStuckCluster",
                "Cleanup",
                f"Removed the Redis cleanup finalizer {timeout} s after the deletion began. "
                f"Keys of storage namespace {_namespace_text(cluster)} may remain in Redis",
            ),
        )
    plan = _steps(observed, settings)
    if best_effort and plan.requeue_after is None and not _releases(plan):
        return Plan(plan.reason, plan.actions, plan.events, timeout - spent, status=plan.status)
    return plan


def _steps(observed: Observed, settings: Settings) -> Plan:
    cluster = observed.cluster
    if not wants_finalizer(cluster, settings):
        why = "Redis cleanup is switched off" if not settings.redis_cleanup else "GCS fault tolerance is switched off"
        return _release(cluster, why, _left_behind(cluster, why))
    ray_pods = (*observed.of_type(HEAD), *observed.of_type(WORKER))
    doomed = [pod for pod in ray_pods if not observed.terminating(pod)]
    if doomed:
        return Plan(
            "being deleted; deleting its Pods",
            tuple(
                DeletePod(
                    pod,
                    EventDraft("Normal", "DeletedPod", "Delete", "Deleted Pod {name}: the RayCluster is being deleted"),
                    EventDraft(
                        "Warning", "FailedToDeletePodCollection", "Delete", "Failed to delete Pod {name}: {error}"
                    ),
                )
                for pod in doomed
            ),
        )
    if observed.of_type(HEAD) or "" in observed.unsettled:
        return Plan("being deleted; waiting for the head Pod to be gone")
    job = _own_job(observed)
    if job is not None:
        return _judge(cluster, job, settings, _last_words(observed))
    if why := _unusable_template(cluster):
        return _release(cluster, why, _left_behind(cluster, why))
    return _start_job(cluster, cleanup_job(cluster, settings))


def _unusable_template(cluster: RayCluster) -> str:
    """Why no Job can be cut from the head's template, or ""."""
    if problem := next(group_problems(cluster.head_group, "headGroupSpec"), ""):
        return problem
    if not (template_of(cluster.head_group).get("spec") or {}).get("containers"):
        return "headGroupSpec.template has no container to clean Redis with"
    return ""


def _start_job(cluster: RayCluster, job: Obj) -> Plan:
    if not reaches_redis(job):
        why = "the head template does not say where Redis is (RAY_REDIS_ADDRESS)"
        return _release(cluster, why, _left_behind(cluster, why))
    name = job["metadata"]["name"]
    create = Create(
        JOBS,
        job,
        EventDraft(
            "Normal", "CreatedRedisCleanupJob", "Create", f"Created Redis cleanup Job {cluster.namespace}/{name}"
        ),
        EventDraft(
            "Warning",
            "FailedToCreateRedisCleanupJob",
            "Create",
            f"Failed to create Redis cleanup Job {cluster.namespace}/{name}: {{error}}",
        ),
        unless=f"{CLUSTER}={cluster.name},{NODE_TYPE}={HEAD}",
        patient=True,
    )
    return Plan("being deleted; the head is gone, starting the Redis cleanup Job", (create,))


def _own_job(observed: Observed) -> Job | None:
    """The cleanup Job of this very cluster: one that an earlier cluster of the same name left says nothing."""
    uid = observed.cluster.metadata.uid
    return next(
        (job for job in observed.jobs if any(owner.uid == uid for owner in job.metadata.owner_references)), None
    )


def _last_words(observed: Observed) -> str:
    """The last line that the Job's container said before it failed, as far as its Pod still tells."""
    for pod in observed.of_type(REDIS_CLEANUP):
        for status in pod.status.container_statuses:
            ended = status.state.terminated
            if ended is not None and ended.exit_code != 0:
                lines = ended.message.strip().splitlines()
                return lines[-1][:300] if lines else f"{ended.reason}, exit code {ended.exit_code}"
    return ""


def _judge(cluster: RayCluster, job: Job, settings: Settings, last_words: str) -> Plan:
    outcome = job.outcome()
    if outcome is None:
        return Plan(f"being deleted; waiting for Job {job.metadata.name}")
    if outcome.type == "Complete":
        return _release(cluster, "the Redis cleanup Job succeeded", None)
    why = f"the Redis cleanup Job failed ({last_words or f'{outcome.reason}: {outcome.message}'})"
    if settings.cleanup_mode == "BestEffort":
        return _release(cluster, why, _left_behind(cluster, why))
    return Plan(
        "being deleted; the Redis cleanup Job failed, and cleanup is mandatory",
        status=True,
        conditions=(_blocked(cluster, job, why),),
    )


def _blocked(cluster: RayCluster, job: Job, why: str) -> Obj:
    patch = '[ { "op": "remove", "path": "/metadata/finalizers" } ]'
    return {
        "type": CLEANUP_BLOCKED,
        "status": "True",
        "reason": "RedisCleanupJobFailed",
        "message": (
            f"Keys of storage namespace {_namespace_text(cluster)} remain in Redis: {why}. Repair Redis and delete Job "
            f"{job.metadata.name} to try again, or remove the keys by hand and then run: "
            f"kubectl patch rayclusters.ray.io {cluster.name} -n {cluster.namespace} --type json --patch='{patch}'"
        ),
    }


def _release(cluster: RayCluster, why: str, event: EventDraft | None) -> Plan:
    rest = tuple(name for name in cluster.metadata.finalizers if name != REDIS_CLEANUP_FINALIZER)
    return Plan(f"being deleted; {why}, removing the finalizer", (SetFinalizers(rest, event),), status=False)


def _releases(plan: Plan) -> bool:
    return any(isinstance(action, SetFinalizers) for action in plan.actions)


def _left_behind(cluster: RayCluster, why: str) -> EventDraft:
    return EventDraft(
        "Warning",
        "RedisCleanupIncomplete",
        "Cleanup",
        f"Keys of storage namespace {_namespace_text(cluster)} may remain in Redis: {why}",
    )


def _namespace_text(cluster: RayCluster) -> str:
    entry = storage_namespace_env(cluster)
    return f'"{entry["value"]}"' if "value" in entry else "(taken from the head Pod's environment)"
