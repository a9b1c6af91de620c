"""Pure: a Deployment's status, and whether its rollout is complete, progressing or stuck.

`kubectl rollout status` and `kubectl wait` read exactly this, so reasons and messages are Kubernetes' own.
"""

from datetime import datetime, timedelta
from typing import NamedTuple

import msgspec

from headstay.local.controllers.rollout import Observed, max_unavailable
from headstay.local.controllers.status import find_condition, set_condition, without_condition
from headstay.local.controllers.workloads import Deployment, DeploymentStatus, ReplicaSet, WorkloadCondition
from headstay.model.errors import StatusError
from headstay.model.timestamps import parse, rfc3339

NO_DEADLINE = 2**31 - 1
"""progressDeadlineSeconds of this value means none."""


class Step(NamedTuple):
    """What a reconcile did, as far as the status has to say it."""

    revision: int = 0
    reason: str = ""
    message: str = ""
    collided: bool = False
    failure: StatusError | None = None


def has_deadline(deployment: Deployment) -> bool:
    deadline = deployment.spec.progress_deadline_seconds
    return deadline is not None and deadline != NO_DEADLINE


def progressing(status: str, reason: str, message: str, now: datetime) -> WorkloadCondition:
    return WorkloadCondition("Progressing", status, reason, message, last_update_time=rfc3339(now))


def complete(deployment: Deployment, status: DeploymentStatus) -> bool:
    wanted = deployment.spec.replicas
    counts = (status.updated_replicas, status.replicas, status.available_replicas)
    return counts == (wanted, wanted, wanted) and status.observed_generation >= deployment.metadata.generation


def deployment_status(seen: Observed, step: Step, now: datetime) -> DeploymentStatus:
    """Counts and all conditions, from what is observed and what was just done."""
    deployment = seen.deployment
    status = _counts(seen)
    if step.collided:
        status.collision_count = (status.collision_count or 0) + 1
    conditions = _availability(deployment, status, now)
    if not has_deadline(deployment):
        conditions = without_condition(conditions, "Progressing")
    else:
        noted = _paused_or_resumed(deployment, now) or _noted(deployment, step, now)
        if noted is not None:
            conditions = set_condition(conditions, noted, now)
        if not deployment.spec.paused:
            conditions = _progress(seen, status, conditions, now)
    status.conditions = _failure(conditions, seen.everything, now)
    return status


def _paused_or_resumed(deployment: Deployment, now: datetime) -> WorkloadCondition | None:
    """A pause stops the progress deadline; what was found stuck before stays said."""
    current = find_condition(deployment.status.conditions, "Progressing")
    reason = current.reason if current else ""
    if reason == "ProgressDeadlineExceeded":
        return None
    if deployment.spec.paused and reason != "DeploymentPaused":
        return progressing("Unknown", "DeploymentPaused", "Deployment is paused", now)
    if not deployment.spec.paused and reason == "DeploymentPaused":
        return progressing("Unknown", "DeploymentResumed", "Deployment is resumed", now)
    return None


def _noted(deployment: Deployment, step: Step, now: datetime) -> WorkloadCondition | None:
    known = find_condition(deployment.status.conditions, "Progressing")
    if not step.reason or (step.reason == "FoundNewReplicaSet" and known is not None):
        return None
    return progressing("False" if step.failure else "True", step.reason, step.message, now)


def _counts(seen: Observed) -> DeploymentStatus:
    deployment, new, everything = seen.deployment, seen.new, seen.everything
    available = sum(found.status.available_replicas for found in everything)
    return DeploymentStatus(
        observed_generation=deployment.metadata.generation,
        replicas=sum(found.status.replicas for found in everything),
        updated_replicas=new.status.replicas if new else 0,
        ready_replicas=sum(found.status.ready_replicas for found in everything),
        available_replicas=available,
        unavailable_replicas=max(0, sum(found.spec.replicas for found in everything) - available),
        collision_count=deployment.status.collision_count,
    )


def _availability(deployment: Deployment, status: DeploymentStatus, now: datetime) -> list[WorkloadCondition]:
    enough = status.available_replicas >= deployment.spec.replicas - max_unavailable(deployment)
    does, word = ("has", "") if enough else ("does not have", "Un")
    reason = f"MinimumReplicas{'Unavailable' if word else 'Available'}"
    message = f"Deployment {does} minimum availability."
    condition = WorkloadCondition("Available", "True" if enough else "False", reason, message)
    condition.last_update_time = rfc3339(now)
    return set_condition(deployment.status.conditions, condition, now)


def _progress(
    seen: Observed, status: DeploymentStatus, conditions: list[WorkloadCondition], now: datetime
) -> list[WorkloadCondition]:
    deployment, new = seen.deployment, seen.new
    current = find_condition(conditions, "Progressing")
    done_before = current is not None and current.reason == "NewReplicaSetAvailable"
    if done_before and status.replicas == status.updated_replicas:
        return conditions
    who = f'ReplicaSet "{new.metadata.name}"' if new else f'Deployment "{deployment.metadata.name}"'
    if complete(deployment, status):
        message = f"{who} has successfully progressed."
        return set_condition(conditions, progressing("True", "NewReplicaSetAvailable", message, now), now)
    if _has_progressed(deployment.status, status):
        condition = progressing("True", "ReplicaSetUpdated", f"{who} is progressing.", now)
        if current is not None and current.status == "True":
            condition.last_transition_time = current.last_transition_time
        else:
            condition.last_transition_time = rfc3339(now)
        return [*without_condition(conditions, "Progressing"), condition]
    left = deadline_in(deployment, status, now)
    if left is not None and left < 0:
        message = f"{who} has timed out progressing."
        return set_condition(conditions, progressing("False", "ProgressDeadlineExceeded", message, now), now)
    return conditions


def _has_progressed(before: DeploymentStatus, status: DeploymentStatus) -> bool:
    old_now, old_before = status.replicas - status.updated_replicas, before.replicas - before.updated_replicas
    return (
        status.updated_replicas > before.updated_replicas
        or old_now < old_before
        or status.ready_replicas > before.ready_replicas
        or status.available_replicas > before.available_replicas
    )


def deadline_in(deployment: Deployment, status: DeploymentStatus, now: datetime) -> float | None:
    """Seconds until the rollout counts as stuck (negative: it does); None where nothing is awaited."""
    current = find_condition(deployment.status.conditions, "Progressing")
    if not has_deadline(deployment) or current is None or deployment.spec.paused or complete(deployment, status):
        return None
    if current.reason == "NewReplicaSetAvailable":
        return None
    since = parse(current.last_update_time or current.last_transition_time or rfc3339(now))
    deadline = since + timedelta(seconds=deployment.spec.progress_deadline_seconds or 0)
    return (deadline - now).total_seconds()


def _failure(
    conditions: list[WorkloadCondition], everything: list[ReplicaSet], now: datetime
) -> list[WorkloadCondition]:
    """A refusal that any ReplicaSet met, shown on the Deployment too."""
    for found in everything:
        failed = find_condition(found.status.conditions, "ReplicaFailure")
        if failed is not None:
            copied = msgspec.structs.replace(failed, last_update_time=rfc3339(now))
            return set_condition(conditions, copied, now)
    return without_condition(conditions, "ReplicaFailure")
