"""The milestones of one recovery, found in what was recorded and in what the keeper tells. Pure."""

from collections.abc import Iterable, Sequence

from headstay.drill.history import Call, Look, Phase, Record
from headstay.model.keeper_state import KeeperState


def from_history(records: Sequence[Record], injected: float) -> list[Phase]:
    """What Kubernetes and the workload can tell of what came after `injected`."""
    calls = [record for record in records if isinstance(record, Call)]
    looks = [record for record in records if isinstance(record, Look)]
    found = [
        ("gcs-serving", "workload", _good_again(calls, "kv-put", injected)),
        ("head-ready", "kubernetes", _ready_again(looks, "head", injected)),
        ("workers-back", "kubernetes", _ready_again(looks, "worker", injected)),
        ("first-call", "workload", _good_again(calls, "new-actor", injected)),
    ]
    return [Phase(at, name, source) for name, source, at in found if at is not None]


def from_keeper(state: KeeperState, injected: float, offset: float) -> list[Phase]:
    """`offset` puts the head's clock on ours."""
    found: list[Phase] = []
    for revival in state.revivals:
        if revival.detected + offset < injected:
            continue
        found.append(Phase(revival.detected + offset, "detected", "keeper"))
        if revival.serving is not None:
            found.append(Phase(revival.serving + offset, "gcs-serving", "keeper"))
    return found


def _good_again(calls: Iterable[Call], operation: str, injected: float) -> float | None:
    """The answer that ended the longest outage: the first that there was, or one after calls that had none.

    Nothing asked for before the fault counts. None if the last that were asked for had no answer.
    """
    mine = sorted((c for c in calls if c.operation == operation and c.began >= injected), key=lambda c: c.began)
    since, broken = injected, True
    ends: list[tuple[float, float]] = []
    for call in mine:
        if call.outcome != "ok" or call.ended is None:
            broken = True
            continue
        if broken:
            ends.append((call.ended - since, call.ended))
        since, broken = call.ended, False
    return None if broken else max(ends)[1]


def _ready_again(looks: Iterable[Look], role: str, injected: float) -> float | None:
    """The last moment at which all Pods of that role became ready again; None if they were all the time, or are not."""
    wanted = 0
    back: float | None = None
    broken = False
    for look in looks:
        pods = [pod for pod in look.pods if pod.role == role]
        whole = len(pods) >= max(wanted, 1) and all(pod.ready for pod in pods)
        if look.at < injected:
            wanted = len(pods)
        elif not whole:
            broken, back = True, None
        elif broken and back is None:
            back = look.at
    return back
