"""Pure questions that every workload asks of its Pods."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from headstay.model.meta import Pod
from headstay.model.timestamps import parse

FINISHED = ("Succeeded", "Failed")
DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"


def active(pod: Pod) -> bool:
    """Neither finished nor on its way out."""
    return pod.status.phase not in FINISHED and pod.metadata.deletion_timestamp is None


def available_in(pod: Pod, min_ready_seconds: int, now: datetime) -> float | None:
    """Seconds until the Pod has been ready long enough: 0 when it is available, None while it is not ready."""
    ready = pod.condition("Ready")
    if ready is None or ready.status != "True":
        return None
    if min_ready_seconds <= 0 or not ready.last_transition_time:
        return 0.0
    left = (parse(ready.last_transition_time) + timedelta(seconds=min_ready_seconds) - now).total_seconds()
    return max(0.0, left)


def available(pod: Pod, min_ready_seconds: int, now: datetime) -> bool:
    return available_in(pod, min_ready_seconds, now) == 0


def next_available(pods: Iterable[Pod], min_ready_seconds: int, now: datetime) -> float | None:
    """When the next ready Pod becomes available, in seconds; None when there is none to wait for."""
    waits = [left for pod in pods if (left := available_in(pod, min_ready_seconds, now))]
    return min(waits, default=None)


def superset(labels: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
    return wanted.items() <= labels.items()


def _deletion_cost(pod: Pod) -> int:
    try:
        return int(pod.metadata.annotations.get(DELETION_COST, "0"))
    except ValueError:
        return 0


def _restarts(pod: Pod) -> int:
    return max((status.restart_count for status in pod.status.container_statuses), default=0)


def _youth(moment: str | None) -> float:
    """Ascending order of this puts the youngest first; one without a time is the youngest."""
    return -parse(moment).timestamp() if moment else float("-inf")


def by_least_missed(pods: Iterable[Pod]) -> list[Pod]:
    """In the order in which Kubernetes deletes when there are too many: what would be missed least comes first."""
    phases = {"Pending": 0, "": 0, "Unknown": 1, "Running": 2}

    def rank(pod: Pod) -> tuple[bool, int, bool, int, float, int, float, str]:
        ready = pod.condition("Ready")
        since = ready.last_transition_time if ready and ready.status == "True" else None
        return (
            bool(pod.spec.node_name),
            phases.get(pod.status.phase, 2),
            pod.ready,
            _deletion_cost(pod),
            _youth(since) if pod.ready else 0.0,
            -_restarts(pod),
            _youth(pod.metadata.creation_timestamp),
            pod.metadata.name,
        )

    return sorted(pods, key=rank)
