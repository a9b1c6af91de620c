"""`report.json`: everything that was found, without the histories (they stay in their own files).

The names below are the schema `headstay.io/drill-report/v1`. Fields may be added to it; none is renamed or removed.
Times are seconds: those called `..._s` last, or are counted from the fault, those called `at`, `began` and `ended` are
Unix times.
"""

from collections.abc import Iterator, Sequence

import msgspec

from headstay.drill.checkers import Judgement, Verdict, judge_reading, judges, merged, promise_of
from headstay.drill.checkers import outcome as outcome_of
from headstay.drill.figures import Distribution, FaultFigures, RunFigures, by_fault, distribution, figures_of
from headstay.drill.history import Run
from headstay.drill.promises import Recovery
from headstay.drill.reading import Reading
from headstay.drill.request_figures import LoadFigures, Stretch, load_figures

SCHEMA = "headstay.io/drill-report/v1"
DEAD_GCS = {"gcs-term", "gcs-kill"}


class About(msgspec.Struct, frozen=True):
    """What a reader has to know to do it again. `partial` is why the campaign did not come to its end, or ""."""

    title: str
    command: str
    seed: int
    started: float
    versions: dict[str, str]
    """Of headstay, ray, redis, kubernetes, ..."""
    machine: str
    partial: str = ""


class Judged(msgspec.Struct, frozen=True):
    """One run. `skipped` says why its fault was not done; then it has no verdicts and its outcome is `unknown`."""

    number: int
    fault: str
    recovery: Recovery
    seed: int
    began: float
    ended: float
    ended_early: str
    skipped: str
    outcome: Judgement
    verdicts: tuple[Verdict, ...]
    figures: RunFigures
    rate: int = 0
    """Requests a second through the Serve Service meanwhile; 0 where there was no Serve."""


class Checked(msgspec.Struct, frozen=True):
    """One checker over all runs: what it promises, and how many runs it found valid, invalid and unknown."""

    checker: str
    promise: str
    valid: int
    invalid: int
    unknown: int


class Summary(msgspec.Struct, frozen=True):
    """Over all runs that were not skipped. `faults` is how many were done, combinations counted as what they combine.

    `workers_restarted` (and replaced), `actors_lost`, `counters_reset` (times that one went back) and `writes_lost`
    (keys) are numbers of breaches, each with its evidence in its run.
    """

    outcome: Judgement
    runs: int
    faults: int
    invalid: int
    unknown: int
    skipped: int
    workers_restarted: int
    actors_lost: int
    counters_reset: int
    writes_lost: int
    downtime: dict[Recovery, Distribution]
    """By way of recovery, over all faults. It depends on which faults were asked for how often."""
    downtime_dead_gcs: dict[Recovery, Distribution]
    """The same over `gcs-term` and `gcs-kill` alone."""
    requests: int = 0
    """To Serve, on all hops together."""
    requests_lost: int = 0
    """Of those, whether a promise was broken by it or not."""


class Report(msgspec.Struct, frozen=True):
    schema: str
    about: About
    summary: Summary
    checkers: tuple[Checked, ...]
    faults: tuple[FaultFigures, ...]
    runs: tuple[Judged, ...]
    requests: tuple[LoadFigures, ...] = ()
    """Of requests to Serve, by fault, way of recovery and rate."""


def judged(reading: Reading) -> Judged:
    run, verdicts = reading.run, tuple(judge_reading(reading))
    return Judged(
        number=run.number,
        fault=run.fault,
        recovery=run.recovery,
        seed=run.seed,
        began=run.began,
        ended=run.ended,
        ended_early=run.ended_early,
        skipped=reading.skipped,
        outcome=outcome_of(verdicts),
        verdicts=verdicts,
        figures=figures_of(reading),
        rate=run.rate,
    )


def document(readings: Sequence[Reading], about: About) -> Report:
    runs = [judged(reading) for reading in readings]
    by_run: list[tuple[Run, RunFigures, str]] = [
        (reading.run, run.figures, run.skipped) for reading, run in zip(readings, runs, strict=True)
    ]
    return Report(
        schema=SCHEMA,
        about=about,
        summary=_summary(readings, runs),
        checkers=tuple(_checked(name, runs) for name in judges(serve=any(run.rate for run in runs))),
        faults=tuple(by_fault(by_run)),
        runs=tuple(runs),
        requests=load_figures(readings),
    )


def _summary(readings: Sequence[Reading], runs: Sequence[Judged]) -> Summary:
    done = [run for run in runs if not run.skipped]

    def breaches(checker: str, kinds: set[str]) -> int:
        verdicts = (verdict for run in done for verdict in run.verdicts if verdict.checker == checker)
        return sum(breach.kind in kinds for verdict in verdicts for breach in verdict.evidence)

    return Summary(
        outcome=merged(run.outcome for run in done),
        runs=len(done),
        faults=sum(len(reading.faults) for reading in readings),
        invalid=sum(run.outcome == "invalid" for run in done),
        unknown=sum(run.outcome == "unknown" for run in done),
        skipped=len(runs) - len(done),
        workers_restarted=breaches("workers-left-alone", {"restarted", "replaced"}),
        actors_lost=breaches("actors-survive", {"lost"}),
        counters_reset=breaches("counters-add-up", {"back"}),
        writes_lost=sum(_keys_lost(run) for run in done),
        downtime=_downtime(done),
        downtime_dead_gcs=_downtime([run for run in done if run.fault in DEAD_GCS]),
        requests=sum(stretch.sent for stretch in _stretches(done)),
        requests_lost=sum(stretch.lost for stretch in _stretches(done)),
    )


def _stretches(runs: Sequence[Judged]) -> Iterator[Stretch]:
    return (part for run in runs for hop in run.figures.requests for part in (hop.before, hop.during, hop.after))


def _downtime(runs: Sequence[Judged]) -> dict[Recovery, Distribution]:
    values: dict[Recovery, list[float]] = {}
    for run in runs:
        if run.figures.downtime_s is not None:
            values.setdefault(run.recovery, []).append(run.figures.downtime_s)
    return {way: found for way, downtimes in values.items() if (found := distribution(downtimes))}


def _keys_lost(run: Judged) -> int:
    """A key that is gone is missed by each read, and lost once."""
    return len({b.subject for verdict in run.verdicts if verdict.checker == "writes-kept" for b in verdict.evidence})


def _checked(name: str, runs: Sequence[Judged]) -> Checked:
    said = [verdict.outcome for run in runs for verdict in run.verdicts if verdict.checker == name]
    return Checked(name, promise_of(name), said.count("valid"), said.count("invalid"), said.count("unknown"))
