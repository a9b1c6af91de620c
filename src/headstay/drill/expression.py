"""What `--faults` means. Pure.

- `gcs-kill`: one fault;
- `redis-*`: every one whose name is like that;
- `redis-away:20`: with its parameter, in seconds;
- `redis-flush+gcs-kill`: one run in which both are done, one right after the other;
- `all,operator-kill`: what a campaign is made of by default, and one more.
"""

import fnmatch
from collections.abc import Mapping
from typing import NamedTuple


class ExpressionError(ValueError):
    """The message names what was not understood and what would be."""


class Step(NamedTuple):
    """One fault of a run. `parameter` is in the unit its kind says (seconds), or None for its default."""

    name: str
    parameter: float | None = None

    def __str__(self) -> str:
        return self.name if self.parameter is None else f"{self.name}:{self.parameter:g}"


class Combination(NamedTuple):
    """What one run does, in this order; mostly one step."""

    steps: tuple[Step, ...]

    def __str__(self) -> str:
        return "+".join(str(step) for step in self.steps)


class Rule(NamedTuple):
    """What an expression may say of a fault: `most` is the largest parameter it takes, None where it takes none."""

    most: float | None
    in_all: bool


def parse(text: str, rules: Mapping[str, Rule]) -> list[Combination]:
    """In the order of their first mention, each once. Raises ExpressionError."""
    found: dict[Combination, None] = {}
    for entry in text.split(","):
        if entry.strip() == "all":
            found |= {Combination((Step(name),)): None for name, rule in rules.items() if rule.in_all}
        elif names := fnmatch.filter(rules, entry.strip()):
            found |= {Combination((Step(name),)): None for name in names}
        elif entry.strip():
            found[Combination(tuple(_step(part.strip(), rules) for part in entry.split("+")))] = None
    if not found:
        raise ExpressionError(f"--faults is empty: name some of {_names(rules)}, or all")
    return list(found)


def _step(text: str, rules: Mapping[str, Rule]) -> Step:
    name, colon, value = text.partition(":")
    rule = rules.get(name)
    if rule is None:
        raise ExpressionError(f"there is no fault {name!r} in --faults: choose from {_names(rules)}, or all")
    if not colon:
        return Step(name)
    if rule.most is None:
        raise ExpressionError(f"fault {name} takes no parameter: write {name}, not {text}")
    try:
        seconds = float(value)
    except ValueError:
        seconds = -1
    if not 0 < seconds <= rule.most:
        raise ExpressionError(f"{text}: seconds must be a number above 0 and at most {rule.most:g}")
    return Step(name, seconds)


def _names(rules: Mapping[str, Rule]) -> str:
    return ", ".join(rules)
