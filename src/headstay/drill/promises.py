"""What each fault may cost, in one table: the bounds that checkers hold a run to, each with its reason.

`away` is how long the fault itself lasted, from `injected` to `healed` (0 for a signal). Nobody can serve from a Redis
that is not there, so such bounds begin with it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

Recovery = Literal["RestartHead", "InPlace"]

PATIENCE_S = 280.0
"""A head in place waits 300 s for Redis (`RAY_gcs_rpc_server_reconnect_timeout_s`), less what it takes to notice."""
NODE_PATIENCE_S = 15.0
"""A worker that the GCS cannot reach for longer may be declared dead by Ray, and then ends itself."""


BESIDE_LOAD_S = 10.0
"""A new actor is a new process: beside a load of requests it waits for a processor, and is asked for less often."""
UNBOUNDED = float("inf")
Loss = Literal["none", "leaving", "any"]
"""What requests may be lost on a hop: none; those sent within LEAVES_S of a Pod's leaving; or no promise is made."""
LEAVES_S = 3.0
"""A Pod that ends without notice gets requests until that was noticed and every node has been told."""


class Hops(NamedTuple):
    """What a fault may cost requests: through the Service, at the workers' proxies, at the head's proxy."""

    service: Loss
    workers: Loss
    head: Loss
    why: str


KEPT = Hops("none", "none", "none", "proxies and replicas live on, and need no GCS to answer")
HEAD_ENDS = Hops(
    "leaving", "none", "any", "the head's proxy ends with its head; until the Service knows, it sends requests there"
)
WORKER_ENDS = Hops(
    "leaving",
    "leaving",
    "leaving",
    "what the worker was answering ends with it, and proxies send to its replica until they know",
)
CUT_OFF = Hops("any", "none", "any", "the head's proxy reaches no replica, and is still behind the Service")
ALL_END = Hops("any", "any", "any", "the workers end too, and nobody is left to answer")
HANDED_OVER = Hops("none", "none", "none", "the new cluster answers before the old one is left")


@dataclass(frozen=True)
class Promise:
    downtime: Callable[[float], float]
    """The most seconds that a new actor may have to wait; UNBOUNDED where nothing is promised."""
    why: str
    head_restarts: Callable[[float], float | None]
    """The most restarts and replacements of the head, or None where none is promised."""
    takes_workers: Callable[[float], bool] = lambda _away: False
    """Whether workers may be lost by the fault, whoever it was aimed at."""
    own_hops: Hops | None = None
    """What requests may be lost, where that does not follow from who ends."""

    def hops(self, away: float) -> Hops:
        if self.own_hops is not None and not (self.own_hops is CUT_OFF and self.takes_workers(away)):
            return self.own_hops
        if self.takes_workers(away):
            return ALL_END
        return KEPT if self.head_restarts(away) == 0 else HEAD_ENDS


def _flat(seconds: float) -> Callable[[float], float]:
    return lambda _away: seconds


def _after(seconds: float) -> Callable[[float], float]:
    return lambda away: away + seconds


def _times(restarts: float | None) -> Callable[[float], float | None]:
    return lambda _away: restarts


def _redis_gone(away: float) -> float:
    return away + (20 if away <= PATIENCE_S else 60)


def _once_out_of_patience(away: float) -> float:
    return 0 if away <= PATIENCE_S else 1


_REDIS_IN_PLACE = Promise(
    _redis_gone,
    "a GCS that finds Redis again took up to 12 s to a new actor where this was measured; a head that ran out of "
    "patience (300 s) restarts once, with the kubelet's back-off",
    _once_out_of_patience,
)
_REDIS_RESTART_HEAD = Promise(
    _after(90),
    "the GCS aborts 3.5 s after Redis goes, and the head crash-loops with back-off until Redis is back",
    _times(None),
)
_FLUSH = Promise(
    _after(120),
    "an emptied Redis is answered by a fresh start of head and workers",
    _times(2),
    takes_workers=lambda _away: True,
)
_FLUSH_RESTART_HEAD = Promise(
    _flat(UNBOUNDED),
    "nobody makes a fresh start while the GCS lives, and no new actor of connected drivers is answered",
    _times(None),
    takes_workers=lambda _away: True,
)
_CUT_FROM_WORKERS = Promise(
    _after(30),
    "a raylet reconnects with back-off",
    _times(0),
    takes_workers=lambda away: away > NODE_PATIENCE_S,
    own_hops=CUT_OFF,
)
_NEW_WORKER = Promise(
    _flat(15),
    "other nodes go on at once; a new actor may first be sent to the lost one",
    _times(0),
    own_hops=WORKER_ENDS,
)
_UPGRADE = Promise(
    _flat(UNBOUNDED),
    "who has actors in the old cluster begins again in the new one: only requests to Serve are promised anything",
    _times(1),
    takes_workers=lambda _away: True,
    own_hops=HANDED_OVER,
)
_NO_OPERATOR = Promise(_flat(3), "Ray does not need the operator", _times(0))

IN_PLACE: dict[str, Promise] = {
    "gcs-term": Promise(_flat(3), "gone is seen in 0.3 s and a GCS serves 0.2 s after its start", _times(0)),
    "gcs-kill": Promise(_flat(3), "gone is seen in 0.3 s and a GCS serves 0.2 s after its start", _times(0)),
    "gcs-stop": Promise(_flat(15), "silence is believed after 10 s; 2 s to act; 3 s as for a dead GCS", _times(0)),
    "head-container": Promise(_flat(30), "Ray on the head takes 8 s to start warm, 16 s cold", _times(1)),
    "head-pod": Promise(_flat(30), "12 s is the aim; a cold start of Ray alone takes 16 s", _times(1)),
    "worker-pod": _NEW_WORKER,
    "redis-restart": _REDIS_IN_PLACE,
    "redis-kill": _REDIS_IN_PLACE,
    "redis-pause": _REDIS_IN_PLACE,
    "redis-away": _REDIS_IN_PLACE,
    "redis-flush": _FLUSH,
    "network-cut-redis": _REDIS_IN_PLACE,
    "network-cut-workers": _CUT_FROM_WORKERS,
    "operator-kill": _NO_OPERATOR,
    "upgrade": _UPGRADE,
}

RESTART_HEAD: dict[str, Promise] = {
    "gcs-term": Promise(_flat(90), "Ray waits 61 s for the hanging GCS, and its head starts in 8 to 16 s", _times(1)),
    "gcs-kill": Promise(_flat(40), "Ray ends the head in 0.5 s; it starts in 8 to 16 s, after a back-off", _times(1)),
    "gcs-stop": Promise(
        _after(90), "Ray does not notice a stopped GCS before its own time-outs, or until it goes on", _times(1)
    ),
    "head-container": Promise(
        _flat(40), "Ray on the head takes 8 s to start warm, 16 s cold, after a back-off", _times(1)
    ),
    "head-pod": Promise(_flat(40), "a new Pod, and a cold start of Ray of 16 s", _times(1)),
    "worker-pod": _NEW_WORKER,
    "redis-restart": _REDIS_RESTART_HEAD,
    "redis-kill": _REDIS_RESTART_HEAD,
    "redis-pause": _REDIS_RESTART_HEAD,
    "redis-away": _REDIS_RESTART_HEAD,
    "redis-flush": _FLUSH_RESTART_HEAD,
    "network-cut-redis": _REDIS_RESTART_HEAD,
    "network-cut-workers": _CUT_FROM_WORKERS,
    "operator-kill": _NO_OPERATOR,
    "upgrade": _UPGRADE,
}

_TABLES: dict[Recovery, dict[str, Promise]] = {"InPlace": IN_PLACE, "RestartHead": RESTART_HEAD}


def promise(fault: str, recovery: Recovery) -> Promise | None:
    """By the fault's name, with or without its parameter (`redis-away-20`). None where nothing was ever promised."""
    table = _TABLES[recovery]
    known = [name for name in table if fault == name or fault.startswith((f"{name}-", f"{name}:", f"{name}="))]
    return table[max(known, key=len)] if known else None
