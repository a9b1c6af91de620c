"""Which workers did not come back after a recovery, and which of them may be replaced for it.

A worker is well as long as nothing proves the contrary, and proof is what the GCS itself said, twice, after it had
answered without a break for the whole bound. An operator that cannot reach the head knows nothing and deletes nothing.
"""

import math
from datetime import datetime, timedelta
from typing import NamedTuple

from headstay.model.meta import Pod
from headstay.model.ray import WORKER, RayCluster
from headstay.model.timestamps import parse
from headstay.plan.raycluster.plan import Observed, Returns, TableRead

RETURN_TIMEOUT = "headstay.io/worker-return-timeout"
REPLACE = "headstay.io/replace-lost-workers"
DEFAULT_SECONDS = 120.0
_LEAST_SECONDS = 60.0
"""Evidence is gathered anew by a new leader. As it takes at least a minute, two leaders share one minute's quota."""
_MINUTE = timedelta(minutes=1)
_FRESH_SECONDS = 60.0
_CERTAIN_SECONDS = 90.0
"""A GCS that starts takes nodes for alive that were so before, and needs up to 75 s to find out that one is silent."""


class Missing(NamedTuple):
    """`replace` are to be deleted now; `why` says why the others, or all of them, are not."""

    pods: tuple[Pod, ...] = ()
    replace: tuple[Pod, ...] = ()
    why: str = ""
    again: float | None = None


class Comeback(NamedTuple):
    """The recovery: when the GCS was back, and whether with an empty Redis, to which all workers are strangers."""

    at: datetime
    strangers: bool = False


def answered(returns: Returns, read: TableRead) -> Returns:
    return returns._replace(
        first=returns.first or read.at,
        since=returns.since or read.at,
        before=returns.last,
        last=read,
        alive={address: returns.alive.get(address, read.at) for address in _alive(read)},
        why="",
    )


def unanswered(returns: Returns, why: str) -> Returns:
    return returns._replace(since=None, before=None, last=None, why=why)


def next_read_in(returns: Returns, began: datetime, now: datetime) -> float:
    """Often at first, when workers come back; rarely when it has been going on for long."""
    waited = (now - began).total_seconds()
    slowest = 15.0 if returns.why else 10.0
    return min(max(waited / 5, 0.5), slowest)


def return_seconds(cluster: RayCluster, *, strangers: bool) -> float:
    """How long workers have. After a loss of data they are strangers to the new GCS and will not come."""
    try:
        asked = float(cluster.annotations.get(RETURN_TIMEOUT, DEFAULT_SECONDS))
    except ValueError:
        asked = DEFAULT_SECONDS
    if not math.isfinite(asked) or asked <= 0:
        asked = DEFAULT_SECONDS
    return _LEAST_SECONDS if strangers else max(asked, _LEAST_SECONDS)


def all_back(observed: Observed, returns: Returns | None, back: datetime) -> datetime | None:
    """Since when every worker Pod that was there at the recovery has been alive in the table, once that is certain."""
    if returns is None or returns.last is None or not returns.alive:
        return None
    expected = [pod.status.pod_ip for pod in _expected(observed, back)]
    if not expected:
        return returns.last.at
    certain = (returns.last.at - back).total_seconds() >= _CERTAIN_SECONDS
    if not certain or any(address not in returns.alive for address in expected):
        return None
    return max(returns.alive[address] for address in expected)


def _expected(observed: Observed, back: datetime) -> list[Pod]:
    """Workers made since are no business of the recovery's."""
    return [
        pod
        for pod in observed.of_type(WORKER)
        if not observed.terminating(pod)
        and pod.status.phase == "Running"
        and pod.status.pod_ip
        and pod.metadata.creation_timestamp
        and parse(pod.metadata.creation_timestamp) <= back
    ]


def missing_workers(observed: Observed, returns: Returns, since_when: Comeback, now: datetime) -> Missing:
    last, before, since = returns.last, returns.before, returns.since
    if last is None:
        return Missing(why=f"the GCS tells no nodes: {returns.why}")
    absent = tuple(pod for pod in _expected(observed, since_when.at) if pod.status.pod_ip not in _alive(last))
    if not absent:
        return Missing()
    bound = timedelta(seconds=return_seconds(observed.cluster, strangers=since_when.strangers))
    if since is None or before is None:
        return Missing(absent, why="read only once")
    left = (since + bound - now).total_seconds()
    if left > 0:
        return Missing(absent, why=f"the GCS answers for {bound.total_seconds():.0f} s first", again=left)
    if (now - last.at).total_seconds() > _FRESH_SECONDS:
        return Missing(absent, why="the last reading is too old")
    if not _alive(last) - {pod.status.pod_ip for pod in absent}:
        return Missing(absent, why="the table has no living node")
    if observed.cluster.annotations.get(REPLACE, "").lower() == "false":
        return Missing(absent, why=f"annotation {REPLACE} forbids replacing them")
    proven = [pod for pod in absent if pod.status.pod_ip not in _alive(before) and _ran_all_along(pod, since)]
    if not proven:
        return Missing(absent, why="they have not been running all along")
    recent = [at for at in returns.replaced if now - at < _MINUTE]
    quota = max(1, len(observed.of_type(WORKER)) // 10) - len(recent)
    if quota <= 0:
        return Missing(absent, why="one at a time", again=(min(recent) + _MINUTE - now).total_seconds())
    return Missing(absent, tuple(sorted(proven, key=lambda pod: pod.metadata.name)[:quota]))


def _alive(read: TableRead) -> set[str]:
    return {node.address for node in read.nodes if node.state == "ALIVE"}


def _ran_all_along(pod: Pod, since: datetime) -> bool:
    """Its Ray container has been running since before the evidence began: the kubelet is not about to mend it."""
    running = pod.ray_container.state.running if pod.ray_container else None
    return running is not None and bool(running.started_at) and parse(running.started_at or "") <= since
