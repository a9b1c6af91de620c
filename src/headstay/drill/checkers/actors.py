from bisect import bisect_left
from collections.abc import Iterator
from heapq import heappop, heappush

from headstay.drill.history import Actor, Call
from headstay.drill.reading import Life, Reading
from headstay.drill.verdict import Evidence, Verdict

NAME = "actors-survive"
_ASKED_OFTEN_ENOUGH = 3
"""So many questions in a row without an answer mean that nobody is there; fewer may be bad luck."""


def actors_survive(reading: Reading) -> Verdict:
    """A detached actor whose Pod lived through the fault is still there afterwards, in the same Pod, with its state.

    Lost is who answers no longer once new actors are answered again, or who was made anew although its Pod lived.
    Reset is who counts from its beginning again. Not judged is who lived in a Pod that ended (workers-left-alone asks
    whether it had to), and nobody is after redis-flush, which gives the state up on purpose.
    """
    if reading.done("redis-flush"):
        return Verdict(NAME, "valid", "Nothing was promised: Redis was emptied on purpose.")
    if not reading.actors:
        return Verdict(NAME, "unknown", "No detached actor was recorded.")
    lives = {life.pod.uid: life for life in reading.lives}
    unplaced = [name for name, homes in reading.actors.items() if any(home.pod_uid not in lives for home in homes)]
    judged = [name for name in reading.actors if name not in unplaced and _must_survive(reading, name, lives)]
    evidence = tuple(breach for name in judged for breach in _breaches(reading, name))
    if evidence:
        return Verdict(NAME, "invalid", f"{len(evidence)} of {len(judged)} actors lost or reset.", evidence)
    counted = [name for name in judged if any(call.operation == "increment" for call in _asked(reading, name))]
    if judged and not counted:
        return Verdict(NAME, "unknown", "No actor was asked for its state.")
    unasked = [name for name in judged if not _there(reading, name, state=name in counted)]
    if unplaced or unasked:
        missing = [f"never seen the Pod of {name}" for name in unplaced] + [f"{name} was not heard" for name in unasked]
        return Verdict(NAME, "unknown", f"After the recovery: {', '.join(missing)}.")
    why = f"{len(judged)} actors are there, {len(counted)} of them asked for their state"
    gone = len(reading.actors) - len(judged)
    return Verdict(NAME, "valid", why + (f"; {gone} lived in a Pod that ended." if gone else "."))


def _must_survive(reading: Reading, name: str, lives: dict[str, Life]) -> bool:
    """Its first Pod lived to the end without a restart. (Where it went from a Pod that ended is not our business.)"""
    return lives[reading.actors[name][0].pod_uid].unharmed


def _breaches(reading: Reading, name: str) -> Iterator[Evidence]:
    homes = reading.actors[name]
    moved = next((home for home in homes if home.pod_uid != homes[0].pod_uid), None)
    lost = _lost(reading, name, moved)
    if lost:
        yield lost
    elif again := _began_again(reading, name):
        text = f"{name} answered {again.value} after it had been further"
        yield Evidence("reset", name, again.ended, text)


def _lost(reading: Reading, name: str, moved: Actor | None) -> Evidence | None:
    if moved is not None:
        return Evidence("lost", name, moved.at, f"{name} was made anew in another Pod although its own lived")
    recovered = reading.last_answer
    if recovered is None:
        return None
    tail: list[Call] = []
    for call in (call for call in _asked(reading, name) if call.began > recovered):
        tail = [] if call.outcome == "ok" else [*tail, call]
    if len(tail) < _ASKED_OFTEN_ENOUGH:
        return None
    text = f"{name} answered none of its last {len(tail)} calls, with the cluster back: {tail[-1].error or 'no answer'}"
    return Evidence("lost", name, tail[0].began, text)


def _began_again(reading: Reading, name: str) -> Call | None:
    """The first answer that went back so far that the increments since the fault explain all of it."""
    fault = reading.run.began if reading.injected is None else reading.injected
    calls = [call for call in _asked(reading, name) if call.operation == "increment"]
    since = sorted(call.began for call in calls if call.outcome != "failed" and call.began >= fault)
    first, highest = None, 0
    under_way: list[tuple[float, int]] = []
    for call in calls:
        while under_way and under_way[0][0] < call.began:
            highest = max(highest, heappop(under_way)[1])
        if call.outcome != "ok" or call.ended is None or not isinstance(call.value, int):
            continue
        first = call.value if first is None else first
        if call.value <= highest and call.value <= first + bisect_left(since, call.ended):
            return call
        heappush(under_way, (call.ended, call.value))
    return None


def _there(reading: Reading, name: str, *, state: bool) -> bool:
    """Whether it answered once the cluster had recovered; `state` if it has to have said what it is."""
    recovered = reading.last_answer
    return recovered is not None and any(
        call.outcome == "ok" and call.began > recovered and (not state or isinstance(call.value, int))
        for call in _asked(reading, name)
    )


def _asked(reading: Reading, name: str) -> list[Call]:
    return [call for call in reading.by_subject.get(name, []) if call.operation in {"increment", "named-actor"}]
