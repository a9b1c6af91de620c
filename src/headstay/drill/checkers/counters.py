from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from headstay.drill.history import Call
from headstay.drill.reading import Reading
from headstay.drill.verdict import Evidence, Verdict

NAME = "counters-add-up"


@dataclass(frozen=True)
class _Count:
    """An increment that was answered."""

    began: float
    ended: float
    value: int


def counters_add_up(reading: Reading) -> Verdict:
    """Each counter's answers only ever go up, none twice, and skip no more numbers than increments went unanswered.

    An increment that failed for certain may not have counted; one that was never answered may count at any later time.
    Who reads the number is not told less than was answered before. A counter may begin again once for each Pod of its
    actor that ended, and for an emptied Redis; where nobody saw its Pod, nobody can say whether it may.
    """
    counters: dict[str, list[Call]] = defaultdict(list)
    for call in reading.by_operation.get("increment", []):
        counters[call.subject].append(call)
    if not counters:
        return Verdict(NAME, "unknown", "No counter was incremented.")
    found = [breach for name, calls in counters.items() for breach in _breaches(reading, name, calls)]
    evidence = tuple(breach for breach in found if breach.kind != "back" or _pods_seen(reading, breach.subject))
    if evidence:
        broken = len({breach.subject for breach in evidence})
        return Verdict(NAME, "invalid", f"{broken} of {len(counters)} counters do not add up.", evidence)
    if found:
        return Verdict(NAME, "unknown", f"{found[0].text}, and nobody saw what became of its Pod.")
    thin = [name for name, calls in counters.items() if not _answered_after(reading, calls)]
    may_be_gone = {name for name in thin if _ends_of_pods(reading, name)}
    if silent := [name for name in thin if name not in may_be_gone]:
        return Verdict(NAME, "unknown", f"Not answered after the fault: {', '.join(silent)}.")
    answered = sum(call.outcome == "ok" for calls in counters.values() for call in calls)
    return Verdict(NAME, "valid", f"{answered} answers of {len(counters)} counters add up.")


def _answered_after(reading: Reading, calls: list[Call]) -> bool:
    fault = reading.injected
    return fault is not None and any(c.outcome == "ok" and c.began > fault and isinstance(c.value, int) for c in calls)


def _pods_seen(reading: Reading, name: str) -> bool:
    homes = {home.pod_uid for home in reading.actors.get(name, [])}
    return bool(homes) and homes <= {life.pod.uid for life in reading.lives}


def _ends_of_pods(reading: Reading, name: str) -> int:
    """How often the actor's state may have gone with a Pod, or with an emptied Redis."""
    homes = {home.pod_uid for home in reading.actors.get(name, [])}
    ends = sum(len(life.restarts) + (life.gone is not None) for life in reading.lives if life.pod.uid in homes)
    return ends + len(reading.done("redis-flush"))


def _breaches(reading: Reading, name: str, calls: list[Call]) -> Iterator[Evidence]:
    counts = [
        _Count(call.began, call.ended, call.value)
        for call in calls
        if call.outcome == "ok" and call.ended is not None and isinstance(call.value, int)
    ]
    unanswered = sorted(call.began for call in calls if call.outcome == "unknown")
    stretches, back = _stretches(counts, _ends_of_pods(reading, name))
    for count, before in back:
        text = f"{name} answered {count.value} after it had answered {before}"
        yield Evidence("back", name, count.ended, text)
    for stretch in stretches:
        yield from _skips(name, stretch, unanswered)
    if not back and len(stretches) == 1:
        yield from _read_back(reading, name, counts)


def _read_back(reading: Reading, name: str, counts: list[_Count]) -> Iterator[Evidence]:
    """Who only asks for the number (`named-actor`) is not told less than others were before."""
    for call in reading.by_operation.get("named-actor", []):
        if call.subject != name or call.outcome != "ok" or not isinstance(call.value, int):
            continue
        before = max((count.value for count in counts if count.ended < call.began), default=0)
        if call.value < before:
            yield Evidence("back", name, call.ended, f"{name} was found at {call.value} after it had answered {before}")
            return


def _stretches(counts: list[_Count], may_begin_again: int) -> tuple[list[list[_Count]], list[tuple[_Count, int]]]:
    """The answers of each life of the counter, and those that went back without leave with what was answered before.

    Answers that stay below what was answered before are one going back, not many.
    """
    ended_first = sorted(counts, key=lambda count: count.ended)
    stretches: list[list[_Count]] = [[]]
    back: list[tuple[_Count, int]] = []
    highest, position, began, below = 0, 0, float("-inf"), False
    seen: set[int] = set()
    for count in sorted(counts, key=lambda count: (count.began, count.ended)):
        while position < len(ended_first) and ended_first[position].ended < count.began:
            earlier = ended_first[position]
            highest = max(highest, earlier.value) if earlier.began >= began else highest
            position += 1
        if count.value <= highest or count.value in seen:
            if may_begin_again > 0:
                may_begin_again -= 1
                stretches.append([])
                highest, began, seen = 0, count.began, set()
            else:
                if not below:
                    back.append((count, max(highest, count.value)))
                below = True
                continue
        below = False
        seen.add(count.value)
        stretches[-1].append(count)
    return stretches, back


def _skips(name: str, counts: list[_Count], unanswered: list[float]) -> Iterator[Evidence]:
    """A number that nobody was told must have been an increment begun before a higher number was known."""
    by_value = sorted(counts, key=lambda count: count.value)
    known_by = [count.ended for count in by_value]
    for i in reversed(range(len(known_by) - 1)):
        known_by[i] = min(known_by[i], known_by[i + 1])
    skipped = forgiven = 0
    for i in range(1, len(by_value)):
        skipped += by_value[i].value - by_value[i - 1].value - 1
        allowed = bisect_left(unanswered, known_by[i])
        if skipped > allowed + forgiven:
            text = (
                f"{name} went from {by_value[i - 1].value} to {by_value[i].value}; until then {skipped} numbers were "
                f"told to nobody, and {allowed} increments had gone unanswered"
            )
            yield Evidence("skipped", name, by_value[i].ended, text)
            forgiven = skipped - allowed
