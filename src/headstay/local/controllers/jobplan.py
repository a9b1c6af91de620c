"""Pure: what a Job needs next, and what its status says.

Counts come from the Pods that exist, and never fall. As before Kubernetes had tracking finalizers, a *finished* Pod
that somebody deletes before its Job is done may be run again.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Literal, NamedTuple

from headstay.local.controllers.jobindexes import completed_indexes, format_indexes, missing_indexes
from headstay.local.controllers.podstate import FINISHED, active, by_least_missed
from headstay.local.controllers.status import find_condition, set_condition
from headstay.local.controllers.workloads import Job, JobSpec, JobStatus, WorkloadCondition
from headstay.model.meta import Pod
from headstay.model.timestamps import parse, rfc3339

POD_BACKOFF = timedelta(seconds=10)
POD_BACKOFF_CAP = timedelta(seconds=600)
OUR_NAME = "kubernetes.io/job-controller"


class Said(NamedTuple):
    """An Event about the Job."""

    type: Literal["Normal", "Warning"]
    reason: str
    note: str


class JobPlan(NamedTuple):
    """`create` has an index for each Pod to make, None for Pods without one. `expired`: the Job itself is to go."""

    create: list[int | None]
    delete: list[Pod]
    status: JobStatus
    requeue_after: float | None = None
    said: tuple[Said, ...] = ()
    expired: bool = False


def plan_job(job: Job, pods: list[Pod], now: datetime) -> JobPlan:
    if finished(job) is not None:
        return _plan_finished(job, now)
    running = [pod for pod in pods if active(pod)]
    status = _observed(job, pods, running)
    ending = _ending(job, status, running, now)
    if ending is not None:
        return _plan_ending(job, ending, status, pods, now)
    if job.spec.suspend or job.metadata.deletion_timestamp is not None:
        return _plan_suspended(job, status, running, now)
    said = _start(status, now)
    return _plan_running(job, status, pods, running, now)._replace(said=said)


def finished(job: Job) -> WorkloadCondition | None:
    """The Complete or Failed condition, once one of them is true."""
    return next((c for c in job.status.conditions if c.type in ("Complete", "Failed") and c.status == "True"), None)


def _plan_finished(job: Job, now: datetime) -> JobPlan:
    condition = finished(job)
    ttl = job.spec.ttl_seconds_after_finished
    if condition is None or ttl is None or not condition.last_transition_time:
        return JobPlan([], [], job.status)
    left = (parse(condition.last_transition_time) + timedelta(seconds=ttl) - now).total_seconds()
    return JobPlan([], [], job.status, left if left > 0 else None, expired=left <= 0)


def _observed(job: Job, pods: list[Pod], running: list[Pod]) -> JobStatus:
    failed = sum(pod.status.phase == "Failed" for pod in pods)
    succeeded = sum(pod.status.phase == "Succeeded" for pod in pods)
    indexes = ""
    if job.spec.completion_mode == "Indexed":
        done = completed_indexes(job, pods)
        succeeded, indexes = len(done), format_indexes(done)
    before = job.status
    return JobStatus(
        active=len(running),
        ready=sum(pod.ready for pod in running),
        terminating=sum(_terminating(pod) for pod in pods),
        succeeded=max(before.succeeded, succeeded),
        failed=max(before.failed, failed),
        start_time=before.start_time,
        completion_time=before.completion_time,
        completed_indexes=indexes,
        conditions=list(before.conditions),
    )


def _terminating(pod: Pod) -> bool:
    return pod.metadata.deletion_timestamp is not None and pod.status.phase not in FINISHED


class _Ending(NamedTuple):
    """How the Job ends: `target` is said at once, `final` when its last Pod has ended."""

    target: str
    final: str
    reason: str
    message: str


def _ending(job: Job, status: JobStatus, running: list[Pod], now: datetime) -> _Ending | None:
    for target, final in (("FailureTarget", "Failed"), ("SuccessCriteriaMet", "Complete")):
        said = find_condition(status.conditions, target)
        if said is not None and said.status == "True":
            return _Ending(target, final, said.reason, said.message)
    failure = _unsupported(job.spec) or _over_limit(job, status, running) or _over_time(job, now)
    if failure is not None:
        return _Ending("FailureTarget", "Failed", *failure)
    if _complete(job.spec, status):
        message = "Reached expected number of succeeded pods"
        return _Ending("SuccessCriteriaMet", "Complete", "CompletionsReached", message)
    return None


def _unsupported(spec: JobSpec) -> tuple[str, str] | None:
    for name, value in (
        ("podFailurePolicy", spec.pod_failure_policy),
        ("successPolicy", spec.success_policy),
        ("backoffLimitPerIndex", spec.backoff_limit_per_index),
    ):
        if value is not None:
            return "Unsupported", f"spec.{name} is not supported here"
    return None


def _over_limit(job: Job, status: JobStatus, running: list[Pod]) -> tuple[str, str] | None:
    limit = job.spec.backoff_limit
    over = status.failed > limit
    if (job.spec.template.get("spec") or {}).get("restartPolicy") == "OnFailure":
        restarts = sum(_restarts(pod) for pod in running)
        over = over or (restarts > 0 if limit == 0 else restarts >= limit)
    return ("BackoffLimitExceeded", "Job has reached the specified backoff limit") if over else None


def _restarts(pod: Pod) -> int:
    statuses = [*pod.status.container_statuses, *pod.status.init_container_statuses]
    return sum(status.restart_count for status in statuses)


def _deadline_in(job: Job, start: str | None, now: datetime) -> float | None:
    limit = job.spec.active_deadline_seconds
    if limit is None or not start or job.spec.suspend:
        return None
    return (parse(start) + timedelta(seconds=limit) - now).total_seconds()


def _over_time(job: Job, now: datetime) -> tuple[str, str] | None:
    left = _deadline_in(job, job.status.start_time, now)
    over = left is not None and left <= 0
    return ("DeadlineExceeded", "Job was active longer than specified deadline") if over else None


def _complete(spec: JobSpec, status: JobStatus) -> bool:
    if spec.completions is None:
        return status.succeeded > 0 and not status.active
    return status.succeeded >= spec.completions


def _plan_ending(job: Job, ending: _Ending, status: JobStatus, pods: list[Pod], now: datetime) -> JobPlan:
    """Stops what runs; the last word is said when nothing runs any more."""
    running = [pod for pod in pods if active(pod)]
    before = find_condition(status.conditions, ending.target)
    failing = ending.final == "Failed"
    status.active, status.ready = 0, 0
    status.start_time = status.start_time or rfc3339(now)
    status.terminating += len(running)
    if failing:
        ended = sum(pod.status.phase == "Failed" for pod in pods)
        status.failed = max(status.failed, ended + status.terminating)  # what we stop has failed
    status.conditions = set_condition(status.conditions, _condition(ending.target, ending, now), now)
    if not status.terminating:
        status.conditions = set_condition(status.conditions, _condition(ending.final, ending, now), now)
        if not failing:
            status.completion_time = rfc3339(now)
    said = [Said("Warning", ending.reason, ending.message)] if failing and before is None else []
    if not failing and not status.terminating:
        said.append(Said("Normal", "Completed", "Job completed"))
    ttl = job.spec.ttl_seconds_after_finished
    wait = float(ttl) if ttl is not None and not status.terminating else None
    return JobPlan([], running, status, wait, tuple(said))


def _condition(kind: str, ending: _Ending, now: datetime) -> WorkloadCondition:
    return WorkloadCondition(kind, "True", ending.reason, ending.message, last_probe_time=rfc3339(now))


def _plan_suspended(job: Job, status: JobStatus, running: list[Pod], now: datetime) -> JobPlan:
    if job.metadata.deletion_timestamp is not None:
        return JobPlan([], [], status)
    status.terminating += len(running)
    status.active, status.ready = 0, 0
    said: tuple[Said, ...] = ()
    known = find_condition(status.conditions, "Suspended")
    if known is None or known.status != "True":
        condition = WorkloadCondition(
            "Suspended", "True", "JobSuspended", "Job suspended", last_probe_time=rfc3339(now)
        )
        status.conditions = set_condition(status.conditions, condition, now)
        said = (Said("Normal", "Suspended", "Job suspended"),)
    return JobPlan([], running, status, said=said)


def _suspended(status: str, reason: str, message: str, now: datetime) -> WorkloadCondition:
    return WorkloadCondition("Suspended", status, reason, message, last_probe_time=rfc3339(now))


def _start(status: JobStatus, now: datetime) -> tuple[Said, ...]:
    """The start time, anew after a suspension: the deadline counts from there."""
    suspended = find_condition(status.conditions, "Suspended")
    if suspended is not None and suspended.status == "True":
        condition = _suspended("False", "JobResumed", "Job resumed", now)
        status.conditions = set_condition(status.conditions, condition, now)
        status.start_time = rfc3339(now)
        return (Said("Normal", "Resumed", "Job resumed"),)
    if status.start_time is None:
        status.start_time = rfc3339(now)
    return ()


def _plan_running(job: Job, status: JobStatus, pods: list[Pod], running: list[Pod], now: datetime) -> JobPlan:
    wanted = _wanted_active(job.spec, status)
    surplus = by_least_missed(running)[: max(0, len(running) - wanted)]
    room = wanted - len(running)
    if job.spec.pod_replacement_policy == "Failed":
        room -= status.terminating
    wait = _pod_backoff(pods, now) if room > 0 else 0.0
    create: list[int | None] = []
    if room > 0 and not wait:
        create = [None] * room
        if job.spec.completion_mode == "Indexed":
            create = list(missing_indexes(job, pods)[:room])
    status.active += len(create) - len(surplus)
    status.terminating += len(surplus)
    waits = [left for left in (wait, _deadline_in(job, status.start_time, now)) if left]
    return JobPlan(create, surplus, status, min(waits, default=None))


def _wanted_active(spec: JobSpec, status: JobStatus) -> int:
    if spec.completions is None:
        return status.active if status.succeeded else spec.parallelism
    return max(0, min(spec.completions - status.succeeded, spec.parallelism))


def _pod_backoff(pods: Iterable[Pod], now: datetime) -> float:
    """Seconds before another Pod may be made: 10, 20, 40 ... 600 after the last of the failures in a row."""
    ended = [(at, pod) for pod in pods if pod.status.phase in FINISHED and (at := _ended_at(pod))]
    last_success = max((at for at, pod in ended if pod.status.phase == "Succeeded"), default=None)
    failures = [at for at, pod in ended if pod.status.phase == "Failed" and (last_success is None or at > last_success)]
    if not failures:
        return 0.0
    pause: timedelta = min(POD_BACKOFF * 2 ** min(len(failures) - 1, 16), POD_BACKOFF_CAP)
    return max(0.0, (max(failures) + pause - now).total_seconds())


def _ended_at(pod: Pod) -> datetime | None:
    ends = [
        status.state.terminated.finished_at
        for status in pod.status.container_statuses
        if status.state.terminated and status.state.terminated.finished_at
    ]
    ready = pod.condition("Ready")
    last = max(ends, default=ready.last_transition_time if ready else None)
    last = last or pod.metadata.creation_timestamp
    return parse(last) if last else None
