"""What a deletion says: Events, conditions, and what stands in its way."""

from headstay.model.meta import Pod
from headstay.model.objects import Obj
from headstay.model.ray import HEAD, REDIS_CLEANUP, Job, RayCluster
from headstay.plan.raycluster.identity import storage_namespace, storage_namespace_env, uses_redis
from headstay.plan.raycluster.plan import EventDraft, Observed
from headstay.plan.raycluster.storage import Storage, remembered_storage

CLEANUP_BLOCKED = "headstay.io/RedisCleanupBlocked"


def namespace_text(cluster: RayCluster) -> str:
    entry = storage_namespace_env(cluster)
    if not uses_redis(cluster):
        storage = remembered_storage(cluster)
        return f'"{storage.namespace if storage else storage_namespace(cluster)}"'
    return f'"{entry["value"]}"' if "value" in entry else "(taken from the head Pod's environment)"


def left_behind(cluster: RayCluster, why: str) -> EventDraft:
    note = f"Keys of storage namespace {namespace_text(cluster)} may remain in Redis: {why}"
    return EventDraft("Warning", "RedisCleanupIncomplete", "Cleanup", note)


def forced(cluster: RayCluster, timeout: int, hindrance: str) -> EventDraft:
    return EventDraft(
        "Warning",
        "ForceDeletedStuckCluster",
        "Cleanup",
        f"Removed the Redis cleanup finalizer {timeout} s after the deletion began"
        f"{f' ({hindrance})' if hindrance else ''}. "
        f"Keys of storage namespace {namespace_text(cluster)} may remain in Redis",
    )


def debt_recorded() -> EventDraft:
    note = "What may remain in Redis, and the command that removes it, is in ConfigMap {name}"
    return EventDraft("Warning", "RedisDebtRecorded", "Cleanup", note)


def debt_refused(storage: Storage) -> EventDraft:
    where = f" {storage.address}" if storage.host else ""
    note = (
        "ConfigMap {name} could not be written: {error}. "
        f'Keys of storage namespace "{storage.namespace}" may remain in Redis{where}'
    )
    return EventDraft("Warning", "FailedToRecordRedisDebt", "Cleanup", note)


def never_used(cluster: RayCluster) -> EventDraft:
    note = f"No head of this RayCluster wrote storage namespace {namespace_text(cluster)}: its keys are left alone"
    return EventDraft("Normal", "RedisKeysLeft", "Cleanup", note)


def retained(cluster: RayCluster) -> EventDraft:
    note = f"The keys of storage namespace {namespace_text(cluster)} stay in Redis, as headstay.io/gcs-ft-cleanup asks"
    return EventDraft("Normal", "RedisKeysRetained", "Cleanup", note)


def left_to(cluster: RayCluster, other: str) -> EventDraft:
    note = f"The keys of storage namespace {namespace_text(cluster)} stay in Redis: RayCluster {other} uses them"
    return EventDraft("Normal", "RedisKeysLeft", "Cleanup", note)


def blocked(cluster: RayCluster, why: str, job: Job | None) -> Obj:
    """Condition of a Mandatory cleanup that does not get on."""
    patch = '[ { "op": "remove", "path": "/metadata/finalizers" } ]'
    again = f"Repair Redis and delete Job {job.metadata.name} to try again" if job else "It is tried again"
    return {
        "type": CLEANUP_BLOCKED,
        "status": "True",
        "reason": "RedisCleanupJobFailed" if job else "RedisCleanupRefused",
        "message": (
            f"Keys of storage namespace {namespace_text(cluster)} remain in Redis: {why}. {again}, "
            f"or remove the keys by hand and then run: "
            f"kubectl patch rayclusters.ray.io {cluster.name} -n {cluster.namespace} --type json --patch='{patch}'"
        ),
    }


def last_words(observed: Observed) -> str:
    """The last line that the Job's container said before it failed, as far as its Pod still tells."""
    for pod in observed.of_type(REDIS_CLEANUP):
        for status in pod.status.container_statuses:
            ended = status.state.terminated
            if ended is not None and ended.exit_code != 0:
                lines = ended.message.strip().splitlines()
                return lines[-1][:300] if lines else f"{ended.reason}, exit code {ended.exit_code}"
    return ""


def hindrance(observed: Observed, job: Job | None) -> str:
    """Why the deletion has not come further than it is."""
    if heads := observed.of_type(HEAD):
        return f"head Pod {heads[0].metadata.name} is still there"
    if job is None:
        return observed.refusal
    pods = observed.of_type(REDIS_CLEANUP)
    return f"Job {job.metadata.name} is still running" + "".join(f": {why}" for why in map(_stuck, pods) if why)


def _stuck(pod: Pod) -> str:
    for status in (*pod.status.init_container_statuses, *pod.status.container_statuses):
        waiting = status.state.waiting
        if waiting is not None and waiting.message:
            return f"{waiting.reason}, {waiting.message[:200]}"
    scheduled = pod.condition("PodScheduled")
    if scheduled is not None and scheduled.status == "False":
        return f"its Pod is not scheduled, {scheduled.message[:200] or scheduled.reason}"
    return ""
