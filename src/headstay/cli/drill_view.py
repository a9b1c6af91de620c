"""How a drill looks in a terminal: the plan, the progress with the time that is left, the result."""

from collections.abc import Sequence
from types import TracebackType
from typing import Any, Protocol, Self

import msgspec
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn
from rich.table import Table

from headstay.cli.output import Output, console, errors, print_json
from headstay.drill.checkers import judge, merged
from headstay.drill.faults import KINDS
from headstay.drill.figures import figures_of
from headstay.drill.history import Fault, Run
from headstay.drill.place import Place
from headstay.drill.reading import Reading
from headstay.drill.report import ReportFiles
from headstay.drill.request_figures import HopFigures
from headstay.drill.schedule import Planned, seconds_left

_GUESS = {"InPlace": 15.0, "RestartHead": 60.0}
_GUESS_SERVE = 30.0
"""More, for the load before and after."""
_COLOURS = {"valid": "green", "invalid": "bold red", "unknown": "yellow"}


class View(Protocol):
    """A `campaign.Watcher` that is there while it is entered."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
    def says(self, text: str) -> None: ...
    def began(self, planned: Planned) -> None: ...
    def ended(self, run: Run) -> None: ...


class Quiet:
    """For `-o json`: what happens goes to standard error, line by line."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def says(self, text: str) -> None:
        errors.print(text, markup=False, soft_wrap=True)

    def began(self, planned: Planned) -> None:
        self.says(f"run {planned.number}: {planned.fault}{_at(planned.rate)}")

    def ended(self, run: Run) -> None:
        self.says(f"run {run.number}: {run.fault}{_at(run.rate)}: {_words(run)[1]}")


class LiveView:
    """A line for each run that ended, and one that moves: how many, which is on, how long it will take."""

    def __init__(self, planned: Sequence[Planned]) -> None:
        self._planned = planned
        self._done: list[Run] = []
        self._progress = Progress(
            SpinnerColumn(),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TextColumn("{task.description}"),
            TextColumn("[dim]{task.fields[left]}[/]"),
            console=console,
            transient=True,
        )
        self._task = self._progress.add_task("making the cluster", total=len(planned), left=self._left())

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def says(self, text: str) -> None:
        console.print(text, markup=False, soft_wrap=True, style="dim")

    def began(self, planned: Planned) -> None:
        self._progress.update(
            self._task, description=f"{planned.recovery} {planned.fault}{_at(planned.rate)}", left=self._left()
        )

    def ended(self, run: Run) -> None:
        self._done.append(run)
        outcome, words = _words(run)
        colour = _COLOURS.get(outcome, "dim")
        console.print(
            f"[{colour}]{outcome:8}[/] {run.number:3} {run.recovery:12} {run.fault + _at(run.rate):24} ", end=""
        )
        console.print(words, markup=False, soft_wrap=True)
        self._progress.update(self._task, completed=len(self._done), left=self._left())

    def _left(self) -> str:
        left = self._planned[len(self._done) :]
        guess = _guess(left[0]) if left else 0
        minutes, seconds = divmod(round(seconds_left(self._done, left, guess)), 60)
        return f"about {minutes} min {seconds:02} s left" if minutes else f"about {seconds} s left"


def _guess(planned: Planned) -> float:
    return _GUESS[planned.recovery] + (_GUESS_SERVE if planned.rate else 0)


def _at(rate: int) -> str:
    return f" at {rate}/s" if rate else ""


def _words(run: Run) -> tuple[str, str]:
    """The outcome in a word, and what a person wants to know of it in a line."""
    skipped = [fault.skipped for fault in run.records if isinstance(fault, Fault) and fault.skipped]
    if skipped:
        return "skipped", skipped[0]
    verdicts = judge(run)
    outcome = merged(verdict.outcome for verdict in verdicts)
    figures = figures_of(Reading(run))
    found = [f"back after {figures.downtime_s:.2f} s" if figures.downtime_s is not None else "not back"]
    found += [_lost(hop) for hop in figures.requests]
    found += [f"{v.checker}: {v.why}" for v in verdicts if v.outcome == "invalid"]
    if outcome == "unknown":
        found += [f"{v.checker}: {v.why}" for v in verdicts if v.outcome == "unknown"]
    return outcome, "; ".join(found)


def _lost(hop: HopFigures) -> str:
    stretches = (hop.before, hop.during, hop.after)
    return f"{hop.hop} lost {sum(s.lost for s in stretches)} of {sum(s.sent for s in stretches)}"


def list_faults(output: Output) -> None:
    if output is Output.json:
        print_json(
            [
                {"name": kind.name, "help": kind.help, "touches": kind.touches, "default_s": kind.default}
                | {"most_s": kind.most, "in_all": kind.in_all}
                for kind in KINDS.values()
            ]
        )
        return
    table = Table(box=None, pad_edge=False)
    table.add_column("FAULT", no_wrap=True)
    table.add_column("WHAT IT DOES")
    table.add_column("WHAT IT TOUCHES")
    for kind in KINDS.values():
        name = kind.name if kind.default is None else f"{kind.name}:SECONDS ({kind.default:g})"
        table.add_row(name, kind.help, kind.touches)
    console.print(table)


def show_plan(place: Place, context: str, planned: Sequence[Planned], seed: int, output: Output) -> None:
    """What a drill would do and touch. Nothing has been."""
    if output is Output.json:
        runs = [
            {"number": one.number, "fault": one.fault, "recovery": one.recovery, "seed": one.seed, "lead_s": one.lead}
            | ({"rate": one.rate} if one.rate else {})
            for one in planned
        ]
        print_json(
            {"context": context, "place": place.describe(), "seed": seed, "touches": _touched(planned, own=place.own)}
            | {"runs": runs}
        )
        return
    guess = sum(map(_guess, planned)) / 60
    console.print(f"In context {context!r}: {place.describe()}", markup=False, soft_wrap=True)
    console.print(f"{len(planned)} runs with seed {seed}, about {guess:.0f} min on an idle machine. Touched would be:")
    for name, touches in _touched(planned, own=place.own).items():
        console.print(f"  {name}: {touches}", markup=False, soft_wrap=True)
    console.print("Nothing was touched (--dry-run).")


def _touched(planned: Sequence[Planned], *, own: bool) -> dict[str, str]:
    names = {step.name for one in planned for step in one.combination.steps}
    return {
        name: "nothing: it is skipped, since it is only for what a drill made"
        if kind.own_only and not own
        else kind.touches
        for name, kind in KINDS.items()
        if name in names
    }


def show_result(files: ReportFiles, problem: str, hint: str, output: Output) -> bool:
    """Says how it went. Returns whether all was done and found valid."""
    summary = msgspec.json.decode(files.json.read_bytes())["summary"]
    valid = summary["outcome"] == "valid" and not problem
    if output is Output.json:
        print_json(
            {"valid": valid, "problem": problem, "summary": summary, "json": str(files.json), "html": str(files.html)}
        )
        return valid
    console.print()
    console.print(f"[{_COLOURS[summary['outcome']]}]{summary['outcome']}[/]: {_sentence(summary)}", soft_wrap=True)
    if problem:
        errors.print(f"[bold red]error:[/] the drill did not come to its end: {problem}", soft_wrap=True)
        if hint:
            errors.print(f"  {hint}", soft_wrap=True)
    console.print(f"The report: {files.html}   (for programs: {files.json})", markup=False, soft_wrap=True)
    return valid


def _sentence(summary: dict[str, Any]) -> str:
    return (
        f"{summary['faults']} faults, {summary['invalid']} runs invalid, {summary['unknown']} unknown, "
        f"{summary['skipped']} skipped; {summary['workers_restarted']} workers restarted needlessly, "
        f"{summary['actors_lost']} actors lost, {summary['counters_reset']} counters reset, "
        f"{summary['writes_lost']} writes lost"
        + (
            f", {summary['requests_lost']} of {summary['requests']} requests to Serve lost."
            if summary["requests"]
            else "."
        )
    )
