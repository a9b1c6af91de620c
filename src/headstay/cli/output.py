"""How the command line speaks: pleasant in a terminal, JSON for machines, errors that say what to do."""

import json
import sys
from enum import StrEnum
from typing import Any, NoReturn

import typer
from rich.console import Console

console = Console(highlight=False)
errors = Console(stderr=True, highlight=False)


class Output(StrEnum):
    text = "text"
    json = "json"


OUTPUT_OPTION = typer.Option("--output", "-o", help="text, or json for machines.")


class UserError(Exception):
    """Something the user can put right. `hint` is the command or setting to use."""

    def __init__(self, message: str, *, hint: str = "", code: int = 1) -> None:
        super().__init__(message)
        self.hint = hint
        self.code = code


def fail(error: UserError) -> NoReturn:
    errors.print(f"[bold red]error:[/] {error}", soft_wrap=True)
    if error.hint:
        errors.print(f"  {error.hint}", soft_wrap=True)
    raise SystemExit(error.code)


def print_json(data: Any) -> None:
    json.dump(data, sys.stdout, indent=2)
    sys.stdout.write("\n")
