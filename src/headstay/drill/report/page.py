"""`report.html`: one file that needs nothing else, made by templates/ of a report and its pictures."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from jinja2 import Environment, PackageLoader, StrictUndefined

from headstay.drill.figures import MILESTONES, Calls, FaultFigures, StepFigures
from headstay.drill.reading import PROBE, Reading
from headstay.drill.report import words
from headstay.drill.report.document import Judged, Report
from headstay.drill.report.load import load_pictures
from headstay.drill.report.plots import stack, strip
from headstay.drill.report.timeline import Timeline, timeline

_EVIDENCE_SHOWN = 12
_FIRST = ("increment", PROBE)


@dataclass(frozen=True)
class Shown:
    """A run, its picture, and what was noted in it."""

    anchor: int
    """Its place in the campaign: unique, which the run's own number need not be."""
    run: Judged
    picture: Timeline | None
    notes: tuple[tuple[str, str], ...]
    details: tuple[str, ...]
    """What the faults themselves had to say."""


@dataclass(frozen=True)
class Section:
    title: str
    shown: tuple[Shown, ...]
    open: bool


@dataclass(frozen=True)
class Cell:
    """Calls of one operation: how many there were, and the share of each kind in percent."""

    calls: Calls
    total: int
    shares: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class Row:
    found: FaultFigures
    cells: tuple[Cell | None, ...]
    """What became of the calls, by operation."""
    steps: tuple[StepFigures | None, ...]
    """When milestones were reached, by milestone."""


def page(report: Report, readings: Sequence[Reading]) -> str:
    environment = Environment(
        loader=PackageLoader("headstay.drill.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["seconds"] = words.seconds
    environment.filters["latency"] = words.latency
    environment.filters["clock"] = _clock
    environment.filters["milestone"] = words.milestone
    shown = [_shown(i, run, reading) for i, (run, reading) in enumerate(zip(report.runs, readings, strict=True), 1)]
    operations = _in_order(_FIRST, (calls.operation for found in report.faults for calls in found.calls))
    milestones = _in_order(MILESTONES, (step.name for found in report.faults for step in found.steps))
    return environment.get_template("report.html").render(
        report=report,
        verdict=words.verdict_words(report.summary),
        sentence=words.sentence(report.summary),
        headline=report.summary.downtime_dead_gcs or report.summary.downtime,
        ways=words.WAYS,
        ratio={found.fault: words.ratio(report, found.fault) for found in report.faults},
        strip=strip(report),
        stack=stack(report),
        operations=operations,
        milestones=milestones,
        rows=[_row(found, operations, milestones) for found in report.faults if found.runs],
        broken=[item for item in shown if item.run.outcome == "invalid"],
        sections=list(_sections(shown, report.faults)),
        loads=load_pictures(readings),
        hops=words.HOPS,
        skipped=[run for run in report.runs if run.skipped],
        evidence_shown=_EVIDENCE_SHOWN,
    )


def _clock(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _shown(anchor: int, run: Judged, reading: Reading) -> Shown:
    broken = [verdict for verdict in run.verdicts if verdict.outcome == "invalid"]
    return Shown(
        anchor,
        run,
        timeline(reading, [breach for verdict in broken for breach in verdict.evidence]),
        tuple((f"{reading.since(note.at):+.1f} s", note.text) for note in reading.notes),
        tuple(f"{fault.name} on {fault.target}: {fault.detail}" for fault in reading.faults if fault.detail),
    )


def _sections(shown: Sequence[Shown], faults: Sequence[FaultFigures]) -> Iterator[Section]:
    """Failures first, then what nobody knows, then the rest by fault."""
    judged = [item for item in shown if not item.run.skipped]
    if broken := [item for item in judged if item.run.outcome == "invalid"]:
        yield Section("A promise was broken", tuple(broken), open=True)
    if unknown := [item for item in judged if item.run.outcome == "unknown"]:
        yield Section("Could not be judged", tuple(unknown), open=False)
    for found in faults:
        kind = (found.fault, found.recovery, "valid")
        same = [item for item in judged if (item.run.fault, item.run.recovery, item.run.outcome) == kind]
        if same:
            yield Section(f"{found.fault}, {words.WAYS[found.recovery]}", tuple(same), open=False)


def _in_order(first: Sequence[str], names: Iterable[str]) -> list[str]:
    """Those that were found, the known ones in their order and the others by name."""
    found = set(names)
    return [name for name in first if name in found] + sorted(found - set(first))


def _row(found: FaultFigures, operations: Sequence[str], milestones: Sequence[str]) -> Row:
    calls = {calls.operation: calls for calls in found.calls}
    steps = {step.name: step for step in found.steps}
    return Row(
        found,
        tuple(_cell(calls.get(operation)) for operation in operations),
        tuple(steps.get(name) for name in milestones),
    )


def _cell(calls: Calls | None) -> Cell | None:
    total = 0 if calls is None else calls.ok + calls.failed + calls.unknown
    if calls is None or not total:
        return None
    kinds = (("ok", calls.ok - calls.slow), ("slow", calls.slow), ("unknown", calls.unknown), ("failed", calls.failed))
    return Cell(calls, total, tuple((kind, round(100 * count / total, 1)) for kind, count in kinds if count))
