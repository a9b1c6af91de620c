"""Requests to Serve over time, drawn: what they took and what was lost, a lane for each hop. Geometry alone.

All runs of one fault, way and rate are in one picture, with the fault at 0 s. Requests are put into narrow columns: a
column is as high as its slowest answer, dark up to its median; above it is what was lost.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import log10
from statistics import median

from headstay.drill.history import Call
from headstay.drill.promises import Recovery
from headstay.drill.reading import Reading
from headstay.drill.report.words import HOPS, latency, many
from headstay.drill.requests import SLOW_S, by_hop, calm, lost, took

WIDTH, LEFT, RIGHT = 1000, 190, 985
COLUMNS = 200
TOP, LANE, BARS = 20, 84, 52
LOST_PX = 10
FASTEST_S, SLOWEST_S = 0.001, 20.0
LEVELS = (0.01, 0.1, 1.0, 10.0)


@dataclass(frozen=True)
class Level:
    y: float
    label: str


@dataclass(frozen=True)
class LoadLane:
    y: float
    base: float
    label: str
    told: tuple[str, ...]
    """Beside the lane, in words: the colours say nothing that is not here."""
    title: str
    levels: tuple[Level, ...]
    paths: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class LoadPicture:
    fault: str
    recovery: Recovery
    rate: int
    runs: int
    height: float
    struck: float
    calm: float
    """Where all was well again, in the run in which that took longest."""
    ticks: tuple[tuple[float, str], ...]
    lanes: tuple[LoadLane, ...]


def load_pictures(readings: Sequence[Reading]) -> list[LoadPicture]:
    groups: dict[tuple[str, Recovery, int], list[Reading]] = {}
    for reading in readings:
        if reading.run.rate and reading.injected is not None:
            groups.setdefault((reading.run.fault, reading.run.recovery, reading.run.rate), []).append(reading)
    faults = list(dict.fromkeys(fault for fault, _recovery, _rate in groups))
    ordered = sorted(groups, key=lambda group: (faults.index(group[0]), group[1] == "InPlace", group[2]))
    return [_picture(group, groups[group]) for group in ordered]


class _Axis:
    """Seconds since the fault, to pixels and columns."""

    def __init__(self, readings: Sequence[Reading]) -> None:
        calls = [(reading, call) for reading in readings for hop in by_hop(reading).values() for call in hop]
        moments = [reading.since(call.began) for reading, call in calls] or [0.0]
        self.began = min(*moments, -1.0)
        self.ended = max(*moments, 1.0)

    def x(self, at: float) -> float:
        return round(LEFT + (at - self.began) / (self.ended - self.began) * (RIGHT - LEFT), 1)

    def column(self, at: float) -> int:
        return min(max(int((at - self.began) / (self.ended - self.began) * COLUMNS), 0), COLUMNS - 1)

    def ticks(self) -> Iterator[tuple[float, str]]:
        span = self.ended - self.began
        step = next(step for step in (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 10**6) if span / step <= 12)
        for number in range(int(self.began / step), int(self.ended / step) + 1):
            yield self.x(number * step), f"{number * step:g} s"


def _picture(group: tuple[str, Recovery, int], readings: Sequence[Reading]) -> LoadPicture:
    axis = _Axis(readings)
    lanes = []
    for number, hop in enumerate(HOPS):
        calls = [(reading.since(call.began), call) for reading in readings for call in by_hop(reading)[hop]]
        lanes.append(_lane(hop, calls, axis, TOP + number * LANE))
    return LoadPicture(
        *group,
        runs=len(readings),
        height=TOP + len(lanes) * LANE + 18,
        struck=axis.x(0),
        calm=axis.x(min(max(reading.since(calm(reading)) for reading in readings), axis.ended)),
        ticks=tuple(axis.ticks()),
        lanes=tuple(lanes),
    )


def _lane(hop: str, calls: Sequence[tuple[float, Call]], axis: _Axis, y: float) -> LoadLane:
    base = y + LOST_PX + 2 + BARS
    answered: dict[int, list[float]] = {}
    missed: set[int] = set()
    for at, call in calls:
        if lost(call):
            missed.add(axis.column(at))
        else:
            answered.setdefault(axis.column(at), []).append(took(call))
    slowest = {column: max(times) for column, times in answered.items()}
    slow = {column: base - _height(value) for column, value in slowest.items() if value > SLOW_S}
    quick = {column: base - _height(value) for column, value in slowest.items() if value <= SLOW_S}
    usual = {column: base - _height(median(times)) for column, times in answered.items()}
    lost_count = sum(lost(call) for _at, call in calls)
    slow_count = sum(not lost(call) and took(call) > SLOW_S for _at, call in calls)
    worst = max((took(call) for _at, call in calls if not lost(call)), default=None)
    told = (f"{lost_count:,} of {len(calls):,} lost", f"{slow_count:,} slow, at most {latency(worst)}")
    found = (
        ("load-max", _bars(quick, base)),
        ("load-slow", _bars(slow, base)),
        ("ok", _bars(usual, base)),
        ("failed", _bars(dict.fromkeys(missed, y), y + LOST_PX)),
    )
    return LoadLane(
        y,
        base,
        HOPS[hop],
        told,
        f"{HOPS[hop]}, {many(len(calls), 'request')}: {told[0]}, {told[1]}",
        tuple(Level(round(base - _height(level), 1), latency(level)) for level in LEVELS),
        tuple((css, path) for css, path in found if path),
    )


def _height(value: float) -> float:
    inside = min(max(value, FASTEST_S), SLOWEST_S)
    return max(log10(inside / FASTEST_S) / log10(SLOWEST_S / FASTEST_S) * BARS, 1.0)


def _bars(tops: dict[int, float], base: float) -> str:
    width = (RIGHT - LEFT) / COLUMNS
    bars = ((LEFT + column * width, top) for column, top in sorted(tops.items()))
    return "".join(f"M{x:.1f} {base:.0f}h{width - 0.5:.1f}V{top:.1f}h-{width - 0.5:.1f}z" for x, top in bars)
