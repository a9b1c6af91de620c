"""What a look at the head tells about recoveries of the GCS: one that is complete is reported once.

A recovery begins when a head that was Ready stops being so or its Ray container ends, and is complete when the same
Pod (restarted) or its successor (replaced) is Ready. Everything is derived from the objects and from what the last
look left behind: missed events change nothing. The first look only takes notes, so a new leader never counts again
what the last one counted; a recovery that is under way then is counted when it is complete.
"""

from datetime import datetime, timedelta
from typing import NamedTuple

from headstay.model.meta import Pod
from headstay.model.ray import HEAD
from headstay.model.timestamps import parse, rfc3339
from headstay.plan.raycluster.identity import ft_enabled
from headstay.plan.raycluster.plan import Observed, Recovery

HOWS = ("restarted", "replaced", "in_place")
LATE_PHASES = ("answered", "workers")
"""Known later than the others, from the journal: a reading of the node table ends them."""
PHASES = ("detect", "restart", "ready", "total", *LATE_PHASES)


class HeadSeen(NamedTuple):
    """The last head that was Ready. `unready_since` is None while it is, "" where the time is not known."""

    uid: str
    restarts: int
    unready_since: str | None = None


class Look(NamedTuple):
    """`lost` is since when the head is not Ready, or was not before the recovery that is complete now."""

    seen: HeadSeen | None
    recovery: Recovery | None = None
    lost: str = ""


def look_at_head(observed: Observed, before: HeadSeen | None) -> Look:
    cluster = observed.cluster
    suspended = cluster.spec.get("suspend") or cluster.is_true("RayClusterSuspended")
    complete_once = cluster.is_true("RayClusterProvisioned")
    if not ft_enabled(cluster) or not complete_once or suspended or cluster.deleting:
        return Look(None)
    heads = [pod for pod in observed.of_type(HEAD) if not observed.terminating(pod)]
    head = heads[0] if len(heads) == 1 else None
    if head is None or not head.ready:
        seen = _not_ready(observed, before, head)
        return Look(seen, lost=seen.unready_since or "")
    now_seen = HeadSeen(head.metadata.uid, _restarts(head))
    if before is None or before == now_seen:
        return Look(now_seen)
    if before.uid == now_seen.uid and before.restarts == now_seen.restarts:
        # Ready again without a restart: the probe failed for a while.
        return Look(now_seen)
    return Look(now_seen, _recovery(head, before), before.unready_since or "")


def _not_ready(observed: Observed, before: HeadSeen | None, head: Pod | None) -> HeadSeen:
    if before is None:
        return _under_way(observed, head)
    return before if before.unready_since else before._replace(unready_since=_lost_since(observed, before.uid))


def _under_way(observed: Observed, head: Pod | None) -> HeadSeen:
    """At a first look: the head of a cluster that once was complete is on its way back."""
    since = _status_since(observed)
    created, lost = _moment(head.metadata.creation_timestamp if head else None), _moment(since)
    if head is None or (created and lost and created >= lost):
        return HeadSeen("", 0, since)
    return HeadSeen(head.metadata.uid, max(0, _restarts(head) - 1), since)


def _lost_since(observed: Observed, uid: str) -> str:
    """Since when the head of that uid is not Ready, as its Pod tells, or else the RayCluster's status."""
    old = next((pod for pod in observed.of_type(HEAD) if pod.metadata.uid == uid), None)
    condition = old.condition("Ready") if old is not None else None
    if condition is not None and condition.status != "True" and condition.last_transition_time:
        return condition.last_transition_time
    deletion = _moment(old.metadata.deletion_timestamp) if old is not None else None
    if old is not None and deletion is not None:
        return rfc3339(deletion - timedelta(seconds=old.metadata.deletion_grace_period_seconds or 0))
    return _status_since(observed)


def _status_since(observed: Observed) -> str:
    """Since when the RayCluster's own status calls the head not ready: it outlives Pods and operators."""
    condition = observed.cluster.condition("HeadPodReady")
    if condition is None or condition.status == "True":
        return ""
    return condition.last_transition_time or ""


def _recovery(head: Pod, before: HeadSeen) -> Recovery:
    replaced = head.metadata.uid != before.uid
    container = head.ray_container
    lost = _moment(before.unready_since)
    ended = _moment(head.metadata.creation_timestamp) if replaced else _ended(head)
    began = min((moment for moment in (lost, ended) if moment is not None), default=None)
    running = container.state.running if container else None
    started = _moment(running.started_at if running else None)
    condition = head.condition("Ready")
    ready = _moment(condition.last_transition_time if condition else None)
    spans = {
        "detect": (began, ended),
        "restart": (ended, started),
        "ready": (started, ready),
        "total": (began, ready),
    }
    seconds = {
        phase: max(0.0, (until - since).total_seconds())
        for phase, (since, until) in spans.items()
        if since is not None and until is not None
    }
    return Recovery("replaced" if replaced else "restarted", head.metadata.name, seconds)


def _restarts(head: Pod) -> int:
    container = head.ray_container
    return container.restart_count if container else 0


def _ended(head: Pod) -> datetime | None:
    container = head.ray_container
    if container is None:
        return None
    ended = container.state.terminated or container.last_state.terminated
    return _moment(ended.finished_at if ended else None)


def _moment(text: str | None) -> datetime | None:
    try:
        return parse(text) if text else None
    except ValueError:
        return None
