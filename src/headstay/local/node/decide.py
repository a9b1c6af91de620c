"""What a Pod needs next. Pure: from its document, its record and the time to a list of steps, each with its reason.

Invariant: the answer depends on the present alone, never on which event came; asking again after any step, a crash
or a restart of the daemon gives what is still missing. At most one step a container.
"""

from datetime import datetime, timedelta
from typing import Literal, NamedTuple

from headstay.local.node.podspec import PodDocument, is_sidecar
from headstay.local.node.records import ContainerRecord, PodRecord
from headstay.model import timestamps
from headstay.model.objects import Obj

LOST = "ContainerStatusUnknown"
"""Why a container ended of which nothing is left to ask."""
BACKOFF_FIRST = 10.0
BACKOFF_MOST = 300.0
BACKOFF_FORGET = timedelta(minutes=10)


class Step(NamedTuple):
    """`start` and `kill` name a container. `finish` ends the Pod with its outcome; `remove` takes it off the node."""

    do: Literal["start", "kill", "finish", "remove"]
    container: str = ""
    reason: str = ""
    outcome: tuple[str, str, str] | None = None


class Decision(NamedTuple):
    """`wake_at`: when to ask again though nothing has happened."""

    steps: list[Step]
    wake_at: datetime | None = None


def decide(pod: PodDocument | None, record: PodRecord, now: datetime) -> Decision:
    """`pod` is None when the API no longer has it."""
    if pod is None or pod.metadata.deletion_timestamp is not None:
        return _ending(pod, record, "the Pod is deleted", Step("remove", reason="all its containers have ended"))
    if record.outcome is not None:
        return _ending(pod, record, record.outcome[2] or "the Pod has ended", None)
    if record.refusal:
        return Decision([])
    deadline = _deadline(pod, record)
    if deadline is not None and now >= deadline:
        outcome = ("Failed", "DeadlineExceeded", "Pod was active on the node longer than the specified deadline")
        return Decision([Step("finish", reason="active deadline", outcome=outcome)])
    decision = _running(pod, record, now)
    times = [moment for moment in (decision.wake_at, deadline) if moment is not None]
    return Decision(decision.steps, min(times, default=None))


def _running(pod: PodDocument, record: PodRecord, now: datetime) -> Decision:
    starts: list[Step] = []
    wakes: list[datetime] = []

    def consider(container: Obj) -> None:
        step, wake = start_or_wait(record.container(container["name"]), now)
        starts.extend([step] if step else [])
        wakes.extend([wake] if wake else [])

    main_started = any(record.container(c["name"]).ever_started for c in pod.containers)
    for container in pod.init_containers:
        known = record.container(container["name"])
        if is_sidecar(container):
            if known.phase != "running":
                consider(container)
            if not (known.started or main_started):
                return Decision(starts, min(wakes, default=None))
            continue
        if main_started or succeeded(known):
            continue
        if known.phase == "terminated" and pod.restart_policy == "Never":
            return Decision([Step("finish", reason=f"init container {known.name} failed", outcome=("Failed", "", ""))])
        if known.phase != "running":
            consider(container)
        return Decision(starts, min(wakes, default=None))
    for container in pod.containers:
        known = record.container(container["name"])
        if known.phase == "running" or (known.phase == "terminated" and not restarts(pod.restart_policy, known)):
            continue
        consider(container)
    if outcome := natural_outcome(pod, record):
        return Decision([Step("finish", reason="all containers have ended", outcome=outcome)])
    return Decision(starts, min(wakes, default=None))


def start_or_wait(known: ContainerRecord, now: datetime) -> tuple[Step | None, datetime | None]:
    """Start it now, or wait until its back-off has passed."""
    if known.retry_at is not None and now < known.retry_at:
        return None, known.retry_at
    if known.phase == "terminated" and known.termination is not None:
        until = known.termination.finished_at + timedelta(seconds=current_backoff(known))
        if now < until:
            return None, until
        return Step("start", known.name, f"it ended with {known.termination.exit_code}"), None
    return Step("start", known.name, "it is not running"), None


def current_backoff(known: ContainerRecord) -> float:
    """Seconds between its end and its next start; forgotten when it ran for more than ten minutes.

    A container that is gone without a trace did not crash: the machine went down, or `headstay down` took it.
    """
    ended = known.termination
    if ended is None or ended.reason == LOST:
        return 0.0
    if known.backoff_set_at is None or ended.finished_at - known.backoff_set_at > BACKOFF_FORGET:
        return 0.0
    return known.backoff_seconds


def next_backoff(known: ContainerRecord) -> float:
    """What the next wait will be, once this restart has been made: none, 10 s, doubled up to 5 min."""
    return min(max(current_backoff(known) * 2, BACKOFF_FIRST), BACKOFF_MOST)


def restarts(policy: str, known: ContainerRecord) -> bool:
    return policy == "Always" or (policy == "OnFailure" and not succeeded(known))


def policy_of(pod: PodDocument, container: Obj) -> str:
    """The restart policy of one container: a sidecar always restarts, an init container never after success."""
    if is_sidecar(container):
        return "Always"
    return "OnFailure" if container in pod.init_containers and pod.restart_policy == "Always" else pod.restart_policy


def succeeded(known: ContainerRecord) -> bool:
    return known.phase == "terminated" and known.termination is not None and known.termination.exit_code == 0


def natural_outcome(pod: PodDocument, record: PodRecord) -> tuple[str, str, str] | None:
    """Succeeded or Failed once every main container has ended for good."""
    if pod.restart_policy == "Always":
        return None
    known = [record.container(container["name"]) for container in pod.containers]
    if any(one.phase != "terminated" or restarts(pod.restart_policy, one) for one in known):
        return None
    return ("Succeeded", "", "") if all(succeeded(one) for one in known) else ("Failed", "", "")


def _ending(pod: PodDocument | None, record: PodRecord, reason: str, last: Step | None) -> Decision:
    """Everything at once, but sidecars after the containers that they serve."""
    alive = [one.name for one in record.containers.values() if one.phase == "running"]
    sidecars = {c["name"] for c in pod.init_containers if is_sidecar(c)} if pod is not None else set()
    first = [name for name in alive if name not in sidecars] or alive
    return Decision([Step("kill", name, reason) for name in first] or ([last] if last else []))


def _deadline(pod: PodDocument, record: PodRecord) -> datetime | None:
    seconds = pod.spec.get("activeDeadlineSeconds")
    return None if seconds is None or record.started_at is None else record.started_at + timedelta(seconds=int(seconds))


def kill_deadline(pod: PodDocument | None, since: datetime, grace: int | None = None) -> datetime:
    """When a container that is being stopped `since` then is no longer asked nicely.

    `grace` is a probe's own; a Pod gone from the API, or deleted by force, gets a second.
    """
    if pod is None:
        return since + timedelta(seconds=1)
    if pod.metadata.deletion_timestamp is None:
        return since + timedelta(seconds=max(1, pod.grace_seconds if grace is None else grace))
    return max(timestamps.parse(pod.metadata.deletion_timestamp), since + timedelta(seconds=1))
