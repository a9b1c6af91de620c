"""One run, drawn: the fault, the milestones, each Pod, and what became of the calls. Geometry alone.

Calls are put into narrow columns, so that a picture has the same size whether a run made a hundred calls or a million.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from headstay.drill.figures import SLOW_S, usual_seconds
from headstay.drill.history import Call, Phase, PodSeen
from headstay.drill.reading import Life, Reading
from headstay.drill.report.words import milestone, milestone_class
from headstay.drill.requests import SERVE, by_hop
from headstay.drill.verdict import Evidence

WIDTH, LEFT, RIGHT = 1000, 130, 985
ROW = 20
COLUMNS = 220
_WORKERS_DRAWN = 6
_BREACHES_DRAWN = 50
_SAME_MILESTONE_PX = 40
_OUTCOMES = ("ok", "slow", "unknown", "failed")
_CHARACTER_PX = 6.4


@dataclass(frozen=True)
class Box:
    x: float
    width: float
    css: str
    title: str


@dataclass(frozen=True)
class Mark:
    x: float
    css: str
    title: str


@dataclass(frozen=True)
class Label:
    x: float
    y: float
    anchor: str
    text: str


@dataclass(frozen=True)
class Row:
    y: float
    label: str
    title: str
    boxes: tuple[Box, ...] = ()
    marks: tuple[Mark, ...] = ()
    paths: tuple[tuple[str, str], ...] = ()
    """Of each kind of outcome, all its columns in one path."""


@dataclass(frozen=True)
class Milestone:
    x: float
    css: str
    label: Label


@dataclass(frozen=True)
class Timeline:
    height: float
    top: float
    fault: Box
    milestones: tuple[Milestone, ...]
    breaches: tuple[Mark, ...]
    rows: tuple[Row, ...]
    ticks: tuple[Label, ...]
    description: str
    caption: str


@dataclass(frozen=True)
class Window:
    """What of the run is drawn: from a little before the fault until nothing more of interest happened."""

    began: float
    ended: float

    def x(self, at: float) -> float:
        inside = min(max(at, self.began), self.ended)
        return round(LEFT + (inside - self.began) / (self.ended - self.began) * (RIGHT - LEFT), 1)


def timeline(reading: Reading, evidence: Sequence[Evidence] = ()) -> Timeline | None:
    """`evidence` has to be seen in it. None where there is no fault to draw."""
    if reading.injected is None:
        return None
    breaches = [(breach.at, breach.text) for breach in evidence if breach.at is not None]
    window = _window(reading, reading.injected, [at for at, _text in breaches])
    milestones, labels = _milestones(reading, window)
    top = 14.0 + 13 * labels
    y, rows = top + 4, []
    for make in (*_pod_rows(reading, window), *_call_rows(reading, window)):
        rows.append(make(y))
        y += ROW
    fault = reading.faults[0]
    until = max(f.healed if f.healed is not None else window.ended for f in reading.faults)
    names = " + ".join(f.name for f in reading.faults)
    left = window.x(fault.injected)
    return Timeline(
        height=y + 18,
        top=top,
        fault=Box(left, max(window.x(until) - left, 2), "fault", names),
        milestones=milestones,
        breaches=tuple(Mark(window.x(at), "breach", text) for at, text in breaches[:_BREACHES_DRAWN]),
        rows=tuple(rows),
        ticks=tuple(_ticks(reading, window, y + 12)),
        caption=(
            f"Drawn from {reading.since(window.began):.1f} s to {reading.since(window.ended):.1f} s, the fault at 0 s; "
            f"the run went from {reading.since(reading.run.began):.1f} s to {reading.since(reading.run.ended):.1f} s."
        ),
        description="; ".join([f"{names} at 0 s", *(m.label.text for m in milestones), *(row.title for row in rows)]),
    )


def _window(reading: Reading, injected: float, breaches: Sequence[float]) -> Window:
    moments = [*breaches, *(phase.at for phase in reading.phases)]
    moments += [fault.healed or fault.injected for fault in reading.faults]
    # A call that fails long after all is well is in the figures; to draw it would make the recovery too small to see.
    back = reading.run.ended if reading.back is None else reading.back
    moments += [c.ended or reading.run.ended for c in reading.calls if c.outcome != "ok" and c.began <= back]
    moments += [at for life in reading.lives for at in (*life.restarts, life.gone or injected)]
    moments += [outage.ended or reading.run.ended for outage in reading.outages]
    last = min(max([injected + 1, *moments]), reading.run.ended)
    margin = max(1.0, 0.15 * (last - injected))
    return Window(max(injected - margin, min(reading.run.began, injected)), max(last + margin / 2, injected + 1))


def _milestones(reading: Reading, window: Window) -> tuple[tuple[Milestone, ...], int]:
    """With labels in as many lines as it takes for none to lie over another."""
    phases = list(reading.phases)
    if not any(phase.name == "first-call" for phase in phases) and reading.outages[0].ended is not None:
        phases.append(Phase(reading.outages[0].ended, "first-call", "workload"))
    phases = _told_apart(phases, window)
    found, ends = [], [float("-inf")]
    for phase in phases:
        text = f"{milestone(phase.name)} +{reading.since(phase.at):.2f} s"
        x, length = window.x(phase.at), len(text) * _CHARACTER_PX
        right = x + length < RIGHT
        begins = x if right else x - length
        line = next((i for i, end in enumerate(ends) if end < begins), len(ends))
        ends[line : line + 1] = [begins + length + 8]
        label = Label(x + 3 if right else x - 3, 10 + 13 * line, "start" if right else "end", text)
        found.append(Milestone(x, milestone_class(phase.name), label))
    return tuple(found), len(ends)


def _told_apart(phases: list[Phase], window: Window) -> list[Phase]:
    """Without those that would lie on one of the same name: two sources often tell of the same milestone."""
    found: list[Phase] = []
    for phase in sorted(phases, key=lambda phase: phase.at):
        before = [window.x(other.at) for other in found if other.name == phase.name]
        if not before or window.x(phase.at) - before[-1] > _SAME_MILESTONE_PX:
            found.append(phase)
    return found


def _pod_rows(reading: Reading, window: Window) -> Iterator[Callable[[float], Row]]:
    heads, workers = reading.lives_of("head"), reading.lives_of("worker")
    yield _pod_row(reading, window, "head Pod", heads)
    for life in workers[:_WORKERS_DRAWN]:
        yield _pod_row(reading, window, life.pod.name, [life])
    if rest := workers[_WORKERS_DRAWN:]:
        yield _pod_row(reading, window, f"{len(rest)} more workers", rest)
    for role in ("redis", "operator"):
        lives = reading.lives_of(role)
        if any(not life.unharmed for life in lives):
            yield _pod_row(reading, window, role, lives)


def _pod_row(reading: Reading, window: Window, name: str, lives: list[Life]) -> Callable[[float], Row]:
    uids = {life.pod.uid for life in lives}
    boxes: list[Box] = []
    for i, look in enumerate(reading.looks):
        until = reading.looks[i + 1].at if i + 1 < len(reading.looks) else reading.run.ended
        pods = [pod for pod in look.pods if pod.uid in uids]
        left, right = window.x(look.at), window.x(until)
        if pods and right > left:
            css = "ready" if all(pod.ready for pod in pods) else "unready"
            boxes.append(Box(left, round(right - left, 1), css, _states(pods)))
    marks = [Mark(window.x(at), "restarted", f"{life.pod.name} restarted") for life in lives for at in life.restarts]
    marks += [Mark(window.x(life.gone), "gone", f"{life.pod.name} is gone") for life in lives if life.gone is not None]
    restarts = sum(len(life.restarts) for life in lives)
    gone = sum(life.gone is not None for life in lives)
    title = f"{name}: {restarts} restarts, {gone} gone"
    short = name if len(name) <= 19 else f"…{name[-18:]}"
    return lambda y: Row(y, short, title, tuple(_joined(boxes)), tuple(marks))


def _states(pods: list[PodSeen]) -> str:
    return ", ".join(f"{pod.name} {'ready' if pod.ready else 'not ready'}" for pod in pods)


def _joined(boxes: list[Box]) -> Iterator[Box]:
    for (css, title), same in groupby(boxes, key=lambda box: (box.css, box.title)):
        row = list(same)
        yield Box(row[0].x, round(row[-1].x + row[-1].width - row[0].x, 1), css, title)


def _call_rows(reading: Reading, window: Window) -> Iterator[Callable[[float], Row]]:
    for operation, calls in sorted(reading.by_operation.items()):
        if operation != SERVE:
            yield _call_row(reading, window, operation, calls)
    for hop, calls in by_hop(reading).items():
        if calls:
            yield _call_row(reading, window, hop, calls)


def _call_row(reading: Reading, window: Window, operation: str, calls: list[Call]) -> Callable[[float], Row]:
    columns: dict[str, set[int]] = {outcome: set() for outcome in _OUTCOMES}
    counts = dict.fromkeys(_OUTCOMES, 0)
    slower = usual_seconds(reading, operation) + SLOW_S
    for call in calls:
        ended = call.ended if call.ended is not None else reading.run.ended
        if ended < window.began or call.began > window.ended or reading.cut_off(call):
            continue
        slow = call.outcome == "ok" and ended - call.began > slower
        counts["slow" if slow else call.outcome] += 1
        if call.outcome == "ok":
            columns["ok"].add(_column(window, ended))
        if slow or call.outcome != "ok":
            span = range(_column(window, call.began), _column(window, ended) + 1)
            columns["slow" if slow else call.outcome].update(span)
    title = f"{operation}: " + ", ".join(f"{counts[outcome]} {outcome}" for outcome in _OUTCOMES if counts[outcome])
    return lambda y: Row(
        y,
        operation,
        title,
        paths=tuple((css, _path(columns[css], y, above=css != "ok")) for css in _OUTCOMES if columns[css]),
    )


def _column(window: Window, at: float) -> int:
    inside = min(max(at, window.began), window.ended)
    return min(int((inside - window.began) / (window.ended - window.began) * COLUMNS), COLUMNS - 1)


def _path(columns: set[int], y: float, *, above: bool) -> str:
    """Answers are below the row's middle, what was not answered (or late) above it: no colour is needed to tell."""
    pixels = (RIGHT - LEFT) / COLUMNS
    middle, height = y + ROW / 2, ROW / 2 - 2
    path = []
    for _key, run in groupby(enumerate(sorted(columns)), key=lambda pair: pair[1] - pair[0]):
        found = [column for _i, column in run]
        x, width = LEFT + found[0] * pixels, len(found) * pixels - 0.6
        path.append(f"M{x:.1f} {middle:.0f}h{width:.1f}v{-height if above else height:.0f}h-{width:.1f}z")
    return "".join(path)


def _ticks(reading: Reading, window: Window, y: float) -> Iterator[Label]:
    span = window.ended - window.began
    step = next(step for step in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 10**6) if span / step <= 10)
    zero = reading.injected if reading.injected is not None else window.began
    first = int((window.began - zero) / step)
    for i in range(first, int((window.ended - zero) / step) + 1):
        if window.began <= zero + i * step <= window.ended:
            yield Label(window.x(zero + i * step), y, "middle", f"{i * step:g} s")
