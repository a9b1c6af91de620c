"""Where everything goes in the two pictures over all runs. Geometry alone; templates/ draws it."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import log10

from headstay.drill.figures import FaultFigures
from headstay.drill.promises import Recovery
from headstay.drill.report.document import Judged, Report
from headstay.drill.report.words import WAYS, many, milestone, milestone_class, seconds

WIDTH = 1000
LEFT, RIGHT = 185, 800
LANE, GAP, TOP = 26, 14, 30
_JITTER = (0, -5, 5, -2.5, 2.5, -7, 7)
_LABEL_FITS_PX = 7
_WAY = 120
_FEW = 3
"""A box of fewer runs would hide them and say nothing."""


@dataclass(frozen=True)
class Tick:
    x: float
    label: str


@dataclass(frozen=True)
class Dot:
    x: float
    y: float
    anchor: int
    title: str
    outcome: str


@dataclass(frozen=True)
class Lane:
    y: float
    recovery: Recovery
    label: str
    dots: tuple[Dot, ...]
    box: tuple[float, float, float, float, float] | None
    """Where minimum, quartiles and maximum are."""
    bound: float | None
    bound_label: str
    not_back: int


@dataclass(frozen=True)
class Group:
    y: float
    fault: str
    lanes: tuple[Lane, ...]


@dataclass(frozen=True)
class Strip:
    height: float
    axis: float
    ticks: tuple[Tick, ...]
    groups: tuple[Group, ...]


class LogScale:
    """Seconds to pixels, between two of 1, 2, 5 times a power of ten; what lies outside is drawn at the edge."""

    def __init__(self, values: Iterable[float]) -> None:
        found = [value for value in values if value > 0] or [1.0]
        steps = [digit * 10.0**decade for decade in range(-2, 5) for digit in (1, 2, 5)]
        low = max((step for step in steps if step <= min(found)), default=steps[0])
        high = min((step for step in steps if step >= max(found) and step >= 10 * low), default=steps[-1])
        self.steps = [step for step in steps if low <= step <= high]

    def __call__(self, value: float) -> float:
        low, high = self.steps[0], self.steps[-1]
        place = log10(min(max(value, low), high) / low) / log10(high / low)
        return round(LEFT + place * (RIGHT - LEFT), 1)

    def ticks(self) -> Iterator[Tick]:
        return (Tick(self(step), f"{step:g} s") for step in self.steps)


def strip(report: Report) -> Strip:
    done = [found for found in report.faults if found.runs]
    values = [run.figures.downtime_s for run in report.runs if run.figures.downtime_s is not None]
    scale = LogScale([*values, *(found.bound_s for found in done if found.bound_s is not None)])
    groups, y = [], float(TOP)
    for fault in dict.fromkeys(found.fault for found in done):
        of_fault = [found for found in done if found.fault == fault]
        lanes = [_lane(found, report.runs, y + LANE * (i + 0.5), scale) for i, found in enumerate(of_fault)]
        groups.append(Group(y, fault, tuple(lanes)))
        y += LANE * len(lanes) + GAP
    return Strip(height=y + 24, axis=y - GAP + 8, ticks=tuple(scale.ticks()), groups=tuple(groups))


def _lane(found: FaultFigures, runs: Sequence[Judged], y: float, scale: LogScale) -> Lane:
    kind = (found.fault, found.recovery, "")
    same = [(i, run) for i, run in enumerate(runs, 1) if (run.fault, run.recovery, run.skipped) == kind]
    dots = []
    for i, (anchor, run) in enumerate(same):
        down = run.figures.downtime_s
        if down is not None:
            title = f"run {run.number}: {seconds(down)}"
            dots.append(Dot(scale(down), y + _JITTER[i % len(_JITTER)], anchor, title, run.outcome))
    d = found.downtime
    return Lane(
        y,
        found.recovery,
        f"{seconds(d.p50)}, {many(d.n, 'run')}" if d else many(found.runs, "run"),
        tuple(dots),
        (scale(d.min), scale(d.p25), scale(d.p50), scale(d.p75), scale(d.max)) if d and d.n >= _FEW else None,
        scale(found.bound_s) if found.bound_s is not None else None,
        f"at most {seconds(found.bound_s)} promised",
        found.not_back,
    )


@dataclass(frozen=True)
class Part:
    x: float
    width: float
    css: str
    title: str
    label: str


@dataclass(frozen=True)
class Bar:
    y: float
    fault: str
    way: str
    parts: tuple[Part, ...]
    total: str


@dataclass(frozen=True)
class Stack:
    height: float
    bars: tuple[Bar, ...]


def stack(report: Report) -> Stack:
    """Each bar is one whole recovery, so that what takes the time is seen whether it took 0.7 s or 71 s."""
    bars, y, before = [], 6.0, ""
    for fault in dict.fromkeys(found.fault for found in report.faults):
        for found in report.faults:
            if found.fault != fault or not (parts := _parts(found)):
                continue
            y += GAP if before and before != fault else 0
            total = max(step.at.p50 for step in found.steps if _common(step.at.n, found.runs))
            bars.append(Bar(y, fault if fault != before else "", WAYS[found.recovery], parts, seconds(total)))
            before = fault
            y += LANE
    return Stack(y + 6, tuple(bars))


def _common(recorded: int, runs: int) -> bool:
    """A milestone that most runs never saw would only mislead in a picture of the median."""
    return recorded * 2 >= runs


def _parts(found: FaultFigures) -> tuple[Part, ...]:
    steps = [step for step in found.steps if _common(step.at.n, found.runs)]
    total = max((step.at.p50 for step in steps), default=0.0)
    if total <= 0:
        return ()
    parts, before, x = [], 0.0, float(LEFT + _WAY)
    for step in steps:
        width = (step.at.p50 - before) / total * (RIGHT - LEFT - _WAY)
        took, name = seconds(step.at.p50 - before), milestone(step.name)
        title = f"{name}: {took}, reached {seconds(step.at.p50)} after the fault"
        full = f"{name} {took}"
        label = full if width > len(full) * _LABEL_FITS_PX else took if width > len(took) * _LABEL_FITS_PX else ""
        parts.append(Part(round(x, 1), round(max(width, 0.5), 1), milestone_class(step.name), title, label))
        before, x = step.at.p50, x + width
    return tuple(parts)
