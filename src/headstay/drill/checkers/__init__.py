"""Judges in Jepsen's manner: each is a pure function over one recorded run, and knows nothing of the others.

The first sentence of a checker's docstring is the promise it judges. The report prints it.
"""

import inspect
from collections.abc import Callable, Iterable

from headstay.drill.checkers.actors import actors_survive
from headstay.drill.checkers.counters import counters_add_up
from headstay.drill.checkers.downtime import downtime_bounded
from headstay.drill.checkers.heads import head_restarts_as_promised, one_head
from headstay.drill.checkers.requests import requests_kept
from headstay.drill.checkers.workers import workers_left_alone
from headstay.drill.checkers.workload import workload_ran
from headstay.drill.checkers.writes import writes_kept
from headstay.drill.history import Run
from headstay.drill.reading import Reading
from headstay.drill.verdict import Evidence, Judgement, Verdict, merged

__all__ = [
    "CHECKERS",
    "Evidence",
    "Judgement",
    "Verdict",
    "judge",
    "judge_reading",
    "judges",
    "merged",
    "outcome",
    "promise_of",
]

Checker = Callable[[Reading], Verdict]

CHECKERS: dict[str, Checker] = {
    "actors-survive": actors_survive,
    "counters-add-up": counters_add_up,
    "workers-left-alone": workers_left_alone,
    "writes-kept": writes_kept,
    "downtime-bounded": downtime_bounded,
    "head-restarts": head_restarts_as_promised,
    "one-head": one_head,
    "workload-ran": workload_ran,
    "requests-kept": requests_kept,
}
_OF_SERVE = {"requests-kept"}
"""Whom a run without Serve gives nothing to judge: they say nothing of it."""


def judge(run: Run) -> list[Verdict]:
    """One verdict from each checker, in the order above; none of a run whose fault was skipped: it did nothing.

    Judges of requests say nothing of a run without Serve.
    """
    return judge_reading(Reading(run))


def judge_reading(reading: Reading) -> list[Verdict]:
    """The same, for who has read the run already."""
    return [] if reading.skipped else [CHECKERS[name](reading) for name in judges(serve=bool(reading.run.rate))]


def judges(*, serve: bool) -> list[str]:
    return [name for name in CHECKERS if serve or name not in _OF_SERVE]


def outcome(verdicts: Iterable[Verdict]) -> Judgement:
    return merged(verdict.outcome for verdict in verdicts)


def promise_of(checker: str) -> str:
    """What the checker promises, in a sentence."""
    return " ".join((inspect.getdoc(CHECKERS[checker]) or "").split("\n\n", maxsplit=1)[0].split())
