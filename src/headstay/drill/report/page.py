"""`report.html`: one file that needs nothing else, made by templates/ of a report and its pictures."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby

from jinja2 import Environment, PackageLoader, StrictUndefined

from headstay.drill.figures import FaultFigures
from headstay.drill.reading import Reading
from headstay.drill.report import words
from headstay.drill.report.document import Judged, Report
from headstay.drill.report.plots import stack, strip
from headstay.drill.report.timeline import Timeline, timeline

_EVIDENCE_SHOWN = 12
_ORDER = {"invalid": 0, "unknown": 1, "valid": 2}


@dataclass(frozen=True)
class Shown:
    """A run, its picture, and what was noted in it."""

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
class CallRow:
    fault: str
    way: str
    cells: tuple[str, ...]


def page(report: Report, readings: Sequence[Reading]) -> str:
    environment = Environment(
        loader=PackageLoader("headstay.drill.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["seconds"] = words.seconds
    environment.filters["clock"] = _clock
    environment.filters["milestone"] = words.milestone
    shown = [_shown(run, reading) for run, reading in zip(report.runs, readings, strict=True)]
    return environment.get_template("report.html").render(
        report=report,
        verdict=words.verdict_words(report.summary),
        sentence=words.sentence(report.summary),
        ways=words.WAYS,
        ratio={found.fault: words.ratio(report, found.fault) for found in report.faults},
        strip=strip(report),
        stack=stack(report),
        operations=_operations(report),
        call_rows=[_call_row(found, _operations(report)) for found in report.faults if found.runs],
        broken=[item for item in shown if item.run.outcome == "invalid"],
        sections=list(_sections(shown)),
        skipped=[run for run in report.runs if run.skipped],
        evidence_shown=_EVIDENCE_SHOWN,
    )


def _clock(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _shown(run: Judged, reading: Reading) -> Shown:
    breaches = [breach.at for verdict in run.verdicts for breach in verdict.evidence if breach.at is not None]
    return Shown(
        run,
        timeline(reading, breaches),
        tuple((f"{reading.since(note.at):+.1f} s", note.text) for note in reading.notes),
        tuple(f"{fault.name} on {fault.target}: {fault.detail}" for fault in reading.faults if fault.detail),
    )


def _sections(shown: Sequence[Shown]) -> Iterator[Section]:
    """Failures first, then what nobody knows, then the rest by fault."""
    judged = [item for item in shown if not item.run.skipped]
    if broken := [item for item in judged if item.run.outcome == "invalid"]:
        yield Section("A promise was broken", tuple(broken), open=True)
    if unknown := [item for item in judged if item.run.outcome == "unknown"]:
        yield Section("Could not be judged", tuple(unknown), open=False)
    valid = sorted((item for item in judged if item.run.outcome == "valid"), key=_kind)
    for (fault, recovery), same in groupby(valid, key=_kind):
        yield Section(f"{fault}, {words.WAYS[recovery]}", tuple(same), open=False)


def _kind(shown: Shown) -> tuple[str, str]:
    return shown.run.fault, shown.run.recovery


def _operations(report: Report) -> list[str]:
    return sorted({calls.operation for found in report.faults for calls in found.calls})


def _call_row(found: FaultFigures, operations: Sequence[str]) -> CallRow:
    by_operation = {calls.operation: calls for calls in found.calls}
    cells = []
    for operation in operations:
        calls = by_operation.get(operation)
        total = 0 if calls is None else calls.ok + calls.failed + calls.unknown
        if calls is None or not total:
            cells.append("")
            continue
        parts = [f"{count} {word}" for word, count in _harm(calls.failed, calls.unknown, calls.slow) if count]
        cells.append(f"{', '.join(parts) or 'all answered'} of {total}" if parts else f"all {total}")
    return CallRow(found.fault, words.WAYS[found.recovery], tuple(cells))


def _harm(failed: int, unknown: int, slow: int) -> tuple[tuple[str, int], ...]:
    return ("failed", failed), ("unknown", unknown), ("slow", slow)
