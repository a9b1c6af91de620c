"""The deletion of a RayCluster whose keys in Redis are to go with it.

    deadline passed? -- yes --> debt, finalizer off
          | no
    keys to be kept? -- yes --> finalizer off
          | no
    no more to clean? -- yes --> debt, finalizer off
          | no
    Pods away -> head gone -> cleaned by a Job, or from here -> finalizer off
                                  | failed, or refused for good: debt, finalizer off (BestEffort)

The deadline counts from deletionTimestamp, comes before everything else, and nothing the spec says can keep the
machine from running: validation never traps an object. Nothing is cleaned while a head may still write. Where keys may
remain, the debt is written before the finalizer goes; only past the deadline it goes without. What a Job or we clean is
the place that the spec names; other places where heads of this cluster wrote (see `places`) become debts.
In mode Mandatory there is no deadline, and a failed cleanup keeps the finalizer: a condition says how to take it off.
"""

from dataclasses import dataclass, replace
from datetime import datetime

from headstay.model.ray import (
    CLUSTER,
    DELETION_TIMEOUT,
    HEAD,
    NODE_TYPE,
    REDIS_CLEANUP_FINALIZER,
    WORKER,
    Job,
    RayCluster,
    template_of,
)
from headstay.model.resource import JOBS
from headstay.model.timestamps import parse
from headstay.plan.raycluster import cleanup_words as words
from headstay.plan.raycluster.cleanup_job import cleanup_job, reaches_redis
from headstay.plan.raycluster.cleanup_policy import cleanup_policy
from headstay.plan.raycluster.identity import uses_redis
from headstay.plan.raycluster.places import debt_of, due_note, never_written, owed_storages
from headstay.plan.raycluster.plan import (
    Action,
    CleanRedis,
    Create,
    DeletePod,
    EventDraft,
    Observed,
    Plan,
    SetFinalizers,
)
from headstay.plan.raycluster.settings import Settings
from headstay.plan.raycluster.storage import Storage, storage_of, written_password
from headstay.plan.raycluster.validation_shapes import group_problems
from headstay.plan.raycluster.writer import keys_left_to

DEFAULT_TIMEOUT_SECONDS = 300
CLEANUP_BLOCKED = words.CLEANUP_BLOCKED


def wants_finalizer(cluster: RayCluster, settings: Settings) -> bool:
    return settings.redis_cleanup and uses_redis(cluster)


def has_finalizer(cluster: RayCluster) -> bool:
    return REDIS_CLEANUP_FINALIZER in cluster.metadata.finalizers


def deletion_timeout(cluster: RayCluster) -> int:
    text = cluster.annotations.get(DELETION_TIMEOUT, "").strip()
    return int(text) if text.isascii() and text.isdigit() and int(text) > 0 else DEFAULT_TIMEOUT_SECONDS


def time_left(cluster: RayCluster, settings: Settings, now: datetime) -> float | None:
    """Seconds until our finalizer goes whatever happens; None where no deadline of ours is running."""
    if not has_finalizer(cluster) or not cluster.metadata.deletion_timestamp or settings.cleanup_mode == "Mandatory":
        return None
    return deletion_timeout(cluster) - (now - parse(cluster.metadata.deletion_timestamp)).total_seconds()


@dataclass(frozen=True)
class _Deletion:
    """What the steps ask for. `left` is the time until the deadline in seconds, None where there is none."""

    observed: Observed
    settings: Settings
    now: datetime
    left: float | None

    @property
    def cluster(self) -> RayCluster:
        return self.observed.cluster

    @property
    def overdue(self) -> bool:
        return self.left is not None and self.left <= 0


def plan_deletion(observed: Observed, settings: Settings, now: datetime) -> Plan:
    cluster = observed.cluster
    if not has_finalizer(cluster):
        return Plan("being deleted; nothing of ours holds it", status=False)
    if cleanup_policy(cluster, settings).who == "Retain":  # however late it comes: a debt would remove the keys
        return _release(cluster, "its keys are to be kept", words.retained(cluster), outcome="retained")
    left = time_left(cluster, settings, now)
    deletion = _Deletion(observed, settings, now, left)
    if deletion.overdue:
        return _out_of_time(deletion)
    # Whatever fails on the way, the deadline is looked at in time.
    return replace(_steps(deletion), requeue_after=left)


def _out_of_time(deletion: _Deletion) -> Plan:
    job = _own_job(deletion.observed)
    if job is not None and _succeeded(job) and not deletion.observed.of_type(HEAD):
        return _done(deletion, "the Redis cleanup Job succeeded", outcome="succeeded", cleaned=_place_of(deletion, job))
    timeout = deletion_timeout(deletion.cluster)
    hindrance = words.hindrance(deletion.observed, job)
    why = f"the deletion took longer than {timeout} s" + (f" ({hindrance})" if hindrance else "")
    return _give_up(deletion, why, words.forced(deletion.cluster, timeout, hindrance), outcome="timed_out")


def _steps(deletion: _Deletion) -> Plan:
    cluster, observed, settings = deletion.cluster, deletion.observed, deletion.settings
    policy = cleanup_policy(cluster, settings)
    if not wants_finalizer(cluster, settings):
        why = "Redis cleanup is switched off" if not settings.redis_cleanup else "GCS fault tolerance is switched off"
        return _give_up(deletion, why, outcome="skipped")
    events = (policy.complaint,) if policy.complaint else ()
    if note := due_note(observed, settings, deletion.now):
        return Plan("being deleted; noting where its heads wrote before they go", note, events)
    wanted = storage_of(cluster, settings.cluster_domain)
    if pods := _pods_away(observed):
        return Plan("being deleted; deleting its Pods", pods, events)
    if observed.of_type(HEAD) or "" in observed.unsettled:
        return Plan("being deleted; waiting for the head Pod to be gone", events=events)
    if _own_job(observed) is None and (other := keys_left_to(observed, settings)):
        why = f"its keys belong to RayCluster {other} by now"
        return _done(deletion, why, words.left_to(cluster, other), outcome="retained", cleaned=wanted)
    if _own_job(observed) is None and never_written(observed, settings):
        return _done(deletion, "no head used its storage namespace", words.never_used(cluster), outcome="skipped")
    if policy.who == "Operator" and wanted is not None:
        return _clean_from_here(deletion, wanted)
    return replace(_clean_by_job(deletion), events=events)


def _pods_away(observed: Observed) -> tuple[DeletePod, ...]:
    return tuple(
        DeletePod(
            pod,
            EventDraft("Normal", "DeletedPod", "Delete", "Deleted Pod {name}: the RayCluster is being deleted"),
            EventDraft("Warning", "FailedToDeletePodCollection", "Delete", "Failed to delete Pod {name}: {error}"),
        )
        for pod in (*observed.of_type(HEAD), *observed.of_type(WORKER))
        if not observed.terminating(pod)
    )


def _clean_by_job(deletion: _Deletion) -> Plan:
    cluster = deletion.cluster
    job = _own_job(deletion.observed)
    if job is not None:
        return _judge(deletion, job)
    if why := _unusable_template(cluster):
        return _give_up(deletion, why, outcome="skipped")
    return _start_job(deletion)


def _clean_from_here(deletion: _Deletion, storage: Storage) -> Plan:
    """One bounded attempt: what it does not manage is owed, and the debts' own loop goes on with it."""
    cluster = deletion.cluster
    release = _done(deletion, "its keys are removed from Redis", outcome="succeeded", cleaned=storage)
    best_effort = deletion.left is not None
    otherwise = _give_up(deletion, "{error}", outcome="failed").actions if best_effort else ()
    note = f"Removed {{name}} keys of storage namespace {words.namespace_text(cluster)} from Redis"
    done = EventDraft("Normal", "RedisCleaned", "Cleanup", note)
    clean = CleanRedis(storage, done, written_password(cluster), otherwise)
    refusal = deletion.observed.refusal
    return Plan(
        "being deleted; the head is gone, removing its keys from Redis",
        (clean, *release.actions),
        conditions=(words.blocked(cluster, refusal, None),) if refusal and not best_effort else (),
        status=bool(refusal) and not best_effort,
    )


def _unusable_template(cluster: RayCluster) -> str:
    """Why no Job can be cut from the head's template, or ""."""
    if problem := next(group_problems(cluster.head_group, "headGroupSpec"), ""):
        return problem
    if not (template_of(cluster.head_group).get("spec") or {}).get("containers"):
        return "headGroupSpec.template has no container to clean Redis with"
    return ""


def _start_job(deletion: _Deletion) -> Plan:
    cluster = deletion.cluster
    job = cleanup_job(cluster, deletion.settings)
    if not reaches_redis(job):
        return _give_up(
            deletion, "the head template does not say where Redis is (RAY_REDIS_ADDRESS)", outcome="skipped"
        )
    name = job["metadata"]["name"]
    best_effort = deletion.left is not None
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
        doomed=_without_job(deletion) if best_effort else (),
    )
    refusal = deletion.observed.refusal
    return Plan(
        "being deleted; the head is gone, starting the Redis cleanup Job",
        (create,),
        conditions=(words.blocked(cluster, refusal, None),) if refusal and not best_effort else (),
    )


def _without_job(deletion: _Deletion) -> tuple[Action, ...]:
    """The namespace is being deleted and takes no Job any more: waiting would only hold it up."""
    storage = storage_of(deletion.cluster, deletion.settings.cluster_domain)
    reachable = storage is not None and storage.known
    if deletion.settings.redis_access and storage is not None and reachable:
        return _clean_from_here(deletion, storage).actions
    return _give_up(deletion, "the namespace is being deleted and takes no cleanup Job", outcome="failed").actions


def _own_job(observed: Observed) -> Job | None:
    """The cleanup Job of this very cluster: one that an earlier cluster of the same name left says nothing."""
    uid = observed.cluster.metadata.uid
    return next(
        (job for job in observed.jobs if any(owner.uid == uid for owner in job.metadata.owner_references)), None
    )


def _succeeded(job: Job) -> bool:
    outcome = job.outcome()
    return outcome is not None and outcome.type == "Complete"


def _judge(deletion: _Deletion, job: Job) -> Plan:
    outcome = job.outcome()
    if outcome is None:
        return Plan(f"being deleted; waiting for Job {job.metadata.name}")
    if outcome.type == "Complete":
        return _done(deletion, "the Redis cleanup Job succeeded", outcome="succeeded", cleaned=_place_of(deletion, job))
    said = words.last_words(deletion.observed) or f"{outcome.reason}: {outcome.message}"
    why = f"the Redis cleanup Job failed ({said})"
    if deletion.left is not None:
        return _give_up(deletion, why, outcome="failed")
    return Plan(
        "being deleted; the Redis cleanup Job failed, and cleanup is mandatory",
        conditions=(words.blocked(deletion.cluster, why, job),),
    )


def _give_up(deletion: _Deletion, why: str, event: EventDraft | None = None, *, outcome: str) -> Plan:
    """Nothing was cleaned."""
    return _done(deletion, why, event or words.left_behind(deletion.cluster, why), outcome=outcome)


def _done(
    deletion: _Deletion, why: str, event: EventDraft | None = None, *, outcome: str, cleaned: Storage | None = None
) -> Plan:
    """Debts first, then the finalizer: a crash in between leaves both, and each debt is written once."""
    release = _release(deletion.cluster, why, event, outcome=outcome)
    debts = tuple(
        debt_of(deletion.observed, storage, _why_owed(why, cleaned), deletion.now, required=not deletion.overdue)
        for storage in owed_storages(deletion.observed, deletion.settings)
        if cleaned is None or storage.place != cleaned.place
    )
    return replace(release, actions=(*debts, *release.actions))


def _why_owed(why: str, cleaned: Storage | None) -> str:
    return why if cleaned is None else f"heads of the RayCluster wrote here before its storage was changed; {why}"


def _place_of(deletion: _Deletion, job: Job) -> Storage | None:
    """What the Job cleaned: the spec may have been edited since."""
    found = deletion.observed.storages.get(job.metadata.uid)
    return found or storage_of(deletion.cluster, deletion.settings.cluster_domain)


def _release(cluster: RayCluster, why: str, event: EventDraft | None = None, *, outcome: str) -> Plan:
    rest = tuple(name for name in cluster.metadata.finalizers if name != REDIS_CLEANUP_FINALIZER)
    off = SetFinalizers(rest, event, outcome=outcome)
    return Plan(f"being deleted; {why}, removing the finalizer", (off,), status=False)
