"""What a checker says."""

from collections.abc import Iterable
from typing import Literal

import msgspec

Judgement = Literal["valid", "invalid", "unknown"]


class Evidence(msgspec.Struct, frozen=True):
    """One breach of a promise: `kind` in a word (`lost`, `reset`, `restarted`), whose, when, and in full."""

    kind: str
    subject: str
    at: float | None
    text: str


class Verdict(msgspec.Struct, frozen=True):
    """`unknown` is not a mild `valid`: the history does not show whether the promise was kept, and `why` says what

    is missing. Every breach that was found is in `evidence`, so its length is a number of breaches.
    """

    checker: str
    outcome: Judgement
    why: str
    evidence: tuple[Evidence, ...] = ()


def merged(outcomes: Iterable[Judgement]) -> Judgement:
    """One breach is a breach; and what nobody knows is not valid. Nothing judged is unknown."""
    found = set(outcomes)
    if "invalid" in found:
        return "invalid"
    return "valid" if found == {"valid"} else "unknown"
