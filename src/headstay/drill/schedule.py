"""Which faults, in which order, at which moments: drawn from the seed alone, so that it can be repeated. Pure."""

import hashlib
from collections.abc import Sequence
from random import Random
from typing import NamedTuple

from headstay.drill.expression import Combination
from headstay.drill.history import Run

Recovery = str
LONGEST_LEAD = 1.5
"""Seconds: a fault comes at a moment within this, so that no two meet the workload at the same point of its round."""


class Planned(NamedTuple):
    """One run to come. `seed` draws what is left to chance within it (which worker, for one)."""

    number: int
    combination: Combination
    recovery: Recovery
    seed: int
    lead: float
    rate: int = 0
    """Requests a second to Serve meanwhile."""

    @property
    def fault(self) -> str:
        return str(self.combination)


def schedule(
    combinations: Sequence[Combination],
    recoveries: Sequence[Recovery],
    *,
    runs: int,
    seed: int,
    rates: Sequence[int] = (0,),
) -> list[Planned]:
    """`runs` of each combination for each recovery and each rate of requests: shuffled, but one recovery after the

    other (each has a cluster).
    """
    planned: list[Planned] = []
    for recovery in recoveries:
        draw = _random(seed, recovery)
        todo = [(combination, rate) for combination in combinations for rate in rates for _ in range(runs)]
        draw.shuffle(todo)
        for combination, rate in todo:
            lead = round(draw.uniform(0, LONGEST_LEAD), 3)
            planned.append(Planned(len(planned) + 1, combination, recovery, draw.getrandbits(31), lead, rate))
    return planned


def seconds_left(done: Sequence[Run], left: Sequence[Planned], guess: float) -> float:
    """From how long each fault has taken so far; the mean of all for one not seen yet, `guess` before any."""
    took: dict[tuple[str, str], list[float]] = {}
    for run in done:
        took.setdefault((run.fault, run.recovery), []).append(run.ended - run.began)
    every = [seconds for found in took.values() for seconds in found]
    overall = sum(every) / len(every) if every else guess
    known = {key: sum(found) / len(found) for key, found in took.items()}
    return sum(known.get((planned.fault, planned.recovery), overall) for planned in left)


def _random(seed: int, recovery: Recovery) -> Random:
    """Not of Python's own hash, which differs from process to process."""
    digest = hashlib.sha256(f"{seed} {recovery}".encode()).digest()
    return Random(int.from_bytes(digest[:8], "big"))  # noqa: S311  (drawing a schedule, not a secret)
