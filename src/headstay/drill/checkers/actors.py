from collections.abc import Iterator

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
    unasked = [name for name in judged if not _there(reading, name)]
    if unplaced or unasked:
        missing = [f"never seen the Pod of {name}" for name in unplaced] + [f"{name} was not heard" for name in unasked]
        return Verdict(NAME, "unknown", f"After the recovery: {', '.join(missing)}.")
    spared = len(reading.actors) - len(judged)
    why = f"{len(judged)} actors are there with their state"
    return Verdict(NAME, "valid", why + (f"; {spared} lived in a Pod that ended." if spared else "."))


def _must_survive(reading: Reading, name: str, lives: dict[str, Life]) -> bool:
    """Its first Pod lived to the end without a restart. (Where it went from a Pod that ended is not our business.)"""
    return lives[reading.actors[name][0].pod_uid].unharmed


def _breaches(reading: Reading, name: str) -> Iterator[Evidence]:
    homes = reading.actors[name]
    moved = next((home for home in homes if home.pod_uid != homes[0].pod_uid), None)
    lost = _lost(reading, name, moved)
    if lost:
        yield lost
    elif again := _began_again(_asked(reading, name)):
        text = f"{name} answered {again.value} after it had been further"
        yield Evidence("reset", name, again.ended, text)


def _lost(reading: Reading, name: str, moved: Actor | None) -> Evidence | None:
    if moved is not None:
        return Evidence("lost", name, moved.at, f"{name} was made anew in another Pod although its own lived")
    if reading.back is None:
        return None
    tail: list[Call] = []
    for call in (call for call in _asked(reading, name) if call.began > reading.back):
        tail = [] if call.outcome == "ok" else [*tail, call]
    if len(tail) < _ASKED_OFTEN_ENOUGH:
        return None
    text = f"{name} answered none of its last {len(tail)} calls, with the cluster back: {tail[-1].error or 'no answer'}"
    return Evidence("lost", name, tail[0].began, text)


def _began_again(calls: list[Call]) -> Call | None:
    """The first answer that is no more than the counter's very first one, and was asked for after it."""
    first: tuple[float, int] | None = None
    for call in sorted(calls, key=lambda call: call.ended or call.began):
        if (
            call.outcome != "ok"
            or call.operation != "increment"
            or call.ended is None
            or not isinstance(call.value, int)
        ):
            continue
        if first is None:
            first = call.ended, call.value
        elif call.began > first[0] and call.value <= first[1]:
            return call
    return None


def _there(reading: Reading, name: str) -> bool:
    return reading.back is not None and any(
        call.outcome == "ok" and call.began > reading.back for call in _asked(reading, name)
    )


def _asked(reading: Reading, name: str) -> list[Call]:
    calls = reading.by_operation
    return sorted(
        (c for operation in ("increment", "named-actor") for c in calls.get(operation, []) if c.subject == name),
        key=lambda call: call.began,
    )
