"""Runs the quickstart in front of the user and says what held.

On this machine it starts the local Kubernetes first (and stops it again if it was not running before). With
`--context` it touches nothing but a namespace: its own, or the one the user names.
"""

import time
from dataclasses import dataclass
from typing import NamedTuple

from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from headstay.cli.output import Output, UserError, console, errors, print_json
from headstay.cli.quickstart import place
from headstay.cli.quickstart.steps import REDIS_PROMPT, Command, Seen, Step, Wait, steps
from headstay.cli.quickstart.terminal import Shell, TerminalTimeoutError

_POLL_SECONDS = 1.0


@dataclass(frozen=True)
class Options:
    keep: bool = False
    context: str = ""
    namespace: str = ""
    assume_yes: bool = False
    output: Output = Output.text


class Outcome(NamedTuple):
    step: str
    command: str
    proves: str
    problem: str
    seconds: float


class _Runner:
    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        self._seen = Seen()
        self.outcomes: list[Outcome] = []

    def run(self, plan: list[Step]) -> bool:
        """True when every expectation held. Stops at the first that did not: what follows builds on it."""
        for step in plan:
            console.rule(f"[bold]Step {step.number}: {step.title}", align="left")
            for action in step.actions:
                if action.note:
                    console.print(f"[italic]# {action.note}[/]", soft_wrap=True)
                outcome = self._act(step, action)
                self.outcomes.append(outcome)
                self._say(outcome)
                if outcome.problem:
                    return False
        return True

    def _act(self, step: Step, action: Command | Wait) -> Outcome:
        began = time.monotonic()
        console.print(f"[bold cyan]$ {action.text}[/]", soft_wrap=True, markup=True)
        try:
            problem = self._wait(action) if isinstance(action, Wait) else self._command(action)
        except TerminalTimeoutError as error:
            console.print(error.output, style="dim", markup=False)
            problem = str(error)
        return Outcome(step.number, action.text, action.proves, problem, time.monotonic() - began)

    def _command(self, action: Command) -> str:
        if action.dialogue:
            lines = [line.format(uid=self._seen.uid) for line in action.dialogue]
            answers = self._shell.converse(action.text, REDIS_PROMPT, lines, timeout=action.timeout)
            for line, answer in zip(lines, answers[1:], strict=True):
                console.print(f"redis> {line}", style="bold", markup=False)
                console.print(_shortened(answer), style="dim", markup=False, soft_wrap=True)
            output, code = answers[-1], 0
        else:
            with console.status("running"):
                output, code = self._shell.run(action.text, timeout=action.timeout)
            if output.strip():
                console.print(_shortened(output), style="dim", markup=False, soft_wrap=True)
        if code != 0:
            return f"exit code {code}"
        return action.expect(output, self._seen) if action.expect else ""

    def _wait(self, action: Wait) -> str:
        deadline = time.monotonic() + action.timeout
        began = time.monotonic()
        spinner = Spinner("dots", text="waiting")
        with Live(spinner, console=console, transient=True, refresh_per_second=8):
            while True:
                output, code = self._shell.run(action.text, timeout=30)
                problem = action.expect(output, self._seen) if code == 0 else f"exit code {code}"
                if not problem or time.monotonic() > deadline:
                    break
                spinner.update(text=Text(f"{time.monotonic() - began:4.0f} s  {problem}"))
                time.sleep(_POLL_SECONDS)
        console.print(_shortened(output), style="dim", markup=False, soft_wrap=True)
        return f"after {action.timeout:.0f} s: {problem}" if problem else ""

    def _say(self, outcome: Outcome) -> None:
        if outcome.problem:
            errors.print(f"[bold red]✗[/] {outcome.proves or outcome.command}: {outcome.problem}", soft_wrap=True)
        elif outcome.proves:
            console.print(f"[green]✓[/] {outcome.proves} [dim]({outcome.seconds:.1f} s)[/]", soft_wrap=True)


def _shortened(text: str, most: int = 24) -> str:
    lines = text.splitlines()
    if len(lines) <= most:
        return text
    return "\n".join([*lines[: most - 4], f"... ({len(lines) - most + 1} lines more)", *lines[-3:]])


def _summary(outcomes: list[Outcome], seconds: float, *, held: bool) -> None:
    table = Table(title="What was shown", title_justify="left", show_edge=False, pad_edge=False)
    table.add_column("step")
    table.add_column("expectation")
    table.add_column("time", justify="right")
    for outcome in outcomes:
        if outcome.proves or outcome.problem:
            mark = "[red]✗[/] " if outcome.problem else "[green]✓[/] "
            table.add_row(outcome.step, mark + (outcome.proves or outcome.command), f"{outcome.seconds:.1f} s")
    console.print(table)
    verdict = "[bold green]All steps passed[/]" if held else "[bold red]A step did not come out as expected[/]"
    console.print(f"{verdict} in {seconds:.0f} s.")


def quickstart(options: Options) -> None:
    began = time.monotonic()
    if options.output is Output.json:
        console.quiet = True
    if options.namespace and not options.context:
        raise UserError(
            "--namespace goes with --context", hint="On this machine the quickstart uses `default`.", code=2
        )
    with place.prepared(options.context, options.namespace, keep=options.keep, assume_yes=options.assume_yes) as here:
        with Shell(here.environment) as shell:
            runner = _Runner(shell)
            held = runner.run(steps(here.sample, operator_here=here.operator_here))
        _summary(runner.outcomes, time.monotonic() - began, held=held)
        if not held:
            here.explain()
    if options.output is Output.json:
        print_json(
            {
                "passed": held,
                "seconds": round(time.monotonic() - began, 1),
                "steps": [outcome._asdict() for outcome in runner.outcomes],
            }
        )
    if not held:
        raise SystemExit(1)
