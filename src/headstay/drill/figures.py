"""The figures of runs, and what each of them means.

Where a figure is a percentile of few runs it is interpolated between the two nearest (as `statistics.median` does), so
that the p50 here is the median that `make bench-recovery` reports. Runs that never came back have no downtime: they are
counted beside the percentiles, never left out of sight.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise
from statistics import median

import msgspec

from headstay.drill.checkers.downtime import bound_of
from headstay.drill.history import Call, Run
from headstay.drill.percentile import percentile
from headstay.drill.promises import Recovery
from headstay.drill.reading import Reading
from headstay.drill.request_figures import HopFigures, hop_figures

SLOW_S = 1.0
MILESTONES = ("detected", "gcs-serving", "head-ready", "workers-back", "first-call")


class Distribution(msgspec.Struct, frozen=True):
    """`p50` and `p90` are interpolated percentiles; `n` is how many values there were. Seconds."""

    n: int
    min: float
    p25: float
    p50: float
    p75: float
    p90: float
    max: float


class Step(msgspec.Struct, frozen=True):
    """One stretch of a recovery: `name` is the milestone that ends it, `at_s` when that was, in seconds since the

    fault, `lasted_s` how long after the milestone before it (or after the fault). `source` says who saw it.
    """

    name: str
    source: str
    at_s: float
    lasted_s: float


class Calls(msgspec.Struct, frozen=True):
    """What became of the calls of one operation that were under way while the cluster was not back.

    `slow` are those of `ok` that took more than a second longer than the median of their kind before the fault.
    `longest_gap_s` is the longest time after the fault in which none was answered, `usual_gap_s` the longest before it:
    an operation that is tried every 10 s has a gap of 10 s when all is well.
    """

    operation: str
    ok: int
    failed: int
    unknown: int
    slow: int
    longest_gap_s: float | None
    usual_gap_s: float | None


class RunFigures(msgspec.Struct, frozen=True):
    """`first_answer_s`: from the fault to the first answer of a new actor asked for after it (the benchmark's clock).

    `downtime_s`: the longest time after the fault in which no new actor was answered. It is the same figure, unless
    the fault took a moment to bite or a second outage followed. None if new actors were not answered at the end.
    `bound_s` is what `downtime_s` may be at most, `faulted_s` when the fault was done, since the run began.
    """

    faulted_s: float | None
    first_answer_s: float | None
    downtime_s: float | None
    bound_s: float | None
    head_restarts: int
    worker_restarts: int
    steps: tuple[Step, ...]
    calls: tuple[Calls, ...]
    requests: tuple[HopFigures, ...] = ()


class StepFigures(msgspec.Struct, frozen=True):
    """A stretch over the runs in which it was recorded: `at` and `lasted` as in the runs' own steps."""

    name: str
    at: Distribution
    lasted: Distribution


class FaultFigures(msgspec.Struct, frozen=True):
    """All runs of one fault with one way of recovery. `not_back` of `runs` never answered a new actor again;

    `downtime` is that of the others. `calls` are sums, their gaps the longest of all runs.
    """

    fault: str
    recovery: Recovery
    runs: int
    skipped: int
    not_back: int
    bound_s: float | None
    downtime: Distribution | None
    first_answer: Distribution | None
    steps: tuple[StepFigures, ...]
    calls: tuple[Calls, ...]


def distribution(values: Iterable[float]) -> Distribution | None:
    found = sorted(values)
    if not found:
        return None
    p25, p50, p75, p90 = (percentile(found, share) for share in (0.25, 0.5, 0.75, 0.9))
    return Distribution(len(found), found[0], p25, p50, p75, p90, found[-1])


def figures(run: Run) -> RunFigures:
    return figures_of(Reading(run))


def figures_of(reading: Reading) -> RunFigures:
    first = reading.outages[0].ended if reading.outages else None
    lasted = [outage.ended - outage.began for outage in reading.outages if outage.ended is not None]
    return RunFigures(
        faulted_s=None if reading.injected is None else reading.injected - reading.run.began,
        first_answer_s=None if first is None or reading.injected is None else first - reading.injected,
        downtime_s=None if reading.back is None else max(lasted),
        bound_s=bound_of(reading),
        head_restarts=_ends(reading, "head"),
        worker_restarts=_ends(reading, "worker"),
        steps=tuple(_steps(reading)),
        calls=tuple(_calls(reading, operation, calls) for operation, calls in sorted(reading.by_operation.items())),
        requests=hop_figures(reading),
    )


def _ends(reading: Reading, role: str) -> int:
    return sum(len(life.restarts) + (life.gone is not None) for life in reading.lives_of(role))


def _steps(reading: Reading) -> list[Step]:
    """The first of each milestone after the fault, in the order they came, however they ought to have come."""
    if reading.injected is None:
        return []
    reached: dict[str, tuple[float, str]] = {}
    for phase in reading.phases:
        if phase.at >= reading.injected:
            reached.setdefault(phase.name, (phase.at, phase.source))
    if reading.outages[0].ended is not None:
        reached.setdefault("first-call", (reading.outages[0].ended, "workload"))
    steps, before = [], reading.injected
    for name, (at, source) in sorted(reached.items(), key=lambda item: item[1][0]):
        steps.append(Step(name, source, at - reading.injected, at - before))
        before = at
    return steps


def _calls(reading: Reading, operation: str, calls: list[Call]) -> Calls:
    fault = reading.injected
    if fault is None:
        return Calls(operation, 0, 0, 0, 0, None, None)
    until = reading.back or reading.run.ended
    under_way = [
        call for call in calls if call.began <= until and (call.ended or until) >= fault and not reading.cut_off(call)
    ]
    slower = usual_seconds(reading, operation) + SLOW_S
    ok = [call for call in under_way if call.outcome == "ok" and call.ended is not None]
    answers = [call.ended for call in calls if call.outcome == "ok" and call.ended is not None]
    last_try = max((call.ended or reading.run.ended for call in calls if not reading.cut_off(call)), default=fault)
    return Calls(
        operation,
        ok=len(ok),
        failed=sum(call.outcome == "failed" for call in under_way),
        unknown=sum(call.outcome == "unknown" for call in under_way),
        slow=sum((call.ended or 0) - call.began > slower for call in ok),
        longest_gap_s=_gap([fault, *(at for at in answers if at > fault), max(fault, last_try)]),
        usual_gap_s=_gap([at for at in answers if at <= fault]),
    )


def usual_seconds(reading: Reading, operation: str) -> float:
    """The median of what was answered before the fault; 0 where nothing was."""
    calls = reading.by_operation.get(operation, [])
    fault = reading.run.ended if reading.injected is None else reading.injected
    usual = [c.ended - c.began for c in calls if c.outcome == "ok" and c.ended is not None and c.ended <= fault]
    return median(usual) if usual else 0.0


def _gap(moments: list[float]) -> float | None:
    return max((later - earlier for earlier, later in pairwise(sorted(moments))), default=None)


def by_fault(runs: Sequence[tuple[Run, RunFigures, str]]) -> list[FaultFigures]:
    """`runs` are runs with their figures, and why they were skipped or "". In the order in which faults first came,

    Ray's own way before ours.
    """
    groups: dict[tuple[str, Recovery], list[tuple[RunFigures, str]]] = defaultdict(list)
    for run, found, skipped in runs:
        groups[run.fault, run.recovery].append((found, skipped))
    faults = list(dict.fromkeys(fault for fault, _recovery in groups))
    ordered = sorted(groups, key=lambda kind: (faults.index(kind[0]), kind[1] == "InPlace"))
    return [_fault(fault, recovery, groups[fault, recovery]) for fault, recovery in ordered]


def _fault(fault: str, recovery: Recovery, group: Sequence[tuple[RunFigures, str]]) -> FaultFigures:
    done = [found for found, skipped in group if not skipped]
    bounds = {round(found.bound_s, 1) for found in done if found.bound_s is not None}
    return FaultFigures(
        fault,
        recovery,
        runs=len(done),
        skipped=len(group) - len(done),
        not_back=sum(found.downtime_s is None and found.faulted_s is not None for found in done),
        bound_s=max(bounds, default=None),
        downtime=distribution(found.downtime_s for found in done if found.downtime_s is not None),
        first_answer=distribution(found.first_answer_s for found in done if found.first_answer_s is not None),
        steps=_step_figures(done),
        calls=_sums(done),
    )


def _step_figures(done: Sequence[RunFigures]) -> tuple[StepFigures, ...]:
    at: dict[str, list[float]] = defaultdict(list)
    lasted: dict[str, list[float]] = defaultdict(list)
    for step in (step for found in done for step in found.steps):
        at[step.name].append(step.at_s)
        lasted[step.name].append(step.lasted_s)
    found = [
        StepFigures(name, a, b) for name in at if (a := distribution(at[name])) and (b := distribution(lasted[name]))
    ]
    return tuple(sorted(found, key=lambda step: step.at.p50))


def _sums(done: Sequence[RunFigures]) -> tuple[Calls, ...]:
    by_operation: dict[str, list[Calls]] = defaultdict(list)
    for calls in (calls for found in done for calls in found.calls):
        by_operation[calls.operation].append(calls)
    return tuple(
        Calls(
            operation,
            ok=sum(calls.ok for calls in group),
            failed=sum(calls.failed for calls in group),
            unknown=sum(calls.unknown for calls in group),
            slow=sum(calls.slow for calls in group),
            longest_gap_s=max((c.longest_gap_s for c in group if c.longest_gap_s is not None), default=None),
            usual_gap_s=max((c.usual_gap_s for c in group if c.usual_gap_s is not None), default=None),
        )
        for operation, group in sorted(by_operation.items())
    )
