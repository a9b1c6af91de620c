"""Callers that overlap: what could have happened must be valid, and only what could not may be blamed.

`could_be` tries every order in which the calls may have taken effect. It is slow and plain, and shares nothing with
the checkers but the histories.
"""

from collections.abc import Iterator
from itertools import chain, combinations, permutations, product
from random import Random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headstay.drill.checkers.counters import counters_add_up
from headstay.drill.checkers.writes import writes_kept
from headstay.drill.history import Actor, Call, Look, Outcome, PodSeen, Record, Run
from headstay.drill.reading import Reading


def reading(calls: list[Call]) -> Reading:
    pods = (PodSeen("worker-0", "uid-0", "worker", 0, ready=True),)
    records: tuple[Record, ...] = (Look(0, pods), Actor(0, "counter", "uid-0"), *calls, Look(100, pods))
    return Reading(Run(1, "gcs-kill", "InPlace", 0, 0, 100, records))


@st.composite
def increments(draw: st.DrawFn) -> list[Call]:
    """Up to five calls at small whole times, with any small answers."""
    calls = []
    for number in range(draw(st.integers(1, 5))):
        began = draw(st.integers(0, 12)) * 2
        outcome: Outcome = draw(st.sampled_from(("ok", "ok", "unknown", "failed")))
        ended = began + draw(st.integers(1, 9)) * 2 - 1
        value = draw(st.integers(1, 6)) if outcome == "ok" else None
        calls.append(Call(f"p{number}", "increment", "counter", began, ended, outcome, value))
    return calls


def could_be(calls: list[Call]) -> bool:
    """Is there an order, a choice of unanswered increments that counted, and a first value that explain the answers?"""
    told = [call for call in calls if call.outcome == "ok"]
    unanswered = [call for call in calls if call.outcome == "unknown"]
    subsets = chain.from_iterable(combinations(unanswered, n) for n in range(len(unanswered) + 1))
    return any(_explains(order) for some in subsets for order in permutations([*told, *some]))


def _explains(order: tuple[Call, ...]) -> bool:
    for position, later in enumerate(order):
        for earlier in order[:position]:
            if later.outcome == "ok" and later.ended is not None and later.ended < earlier.began:
                return False
    bases = {int(call.value) - place for place, call in enumerate(order) if isinstance(call.value, int)}
    return len(bases) <= 1


@given(increments())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_counters_are_blamed_when_no_order_explains_them_and_only_then(calls: list[Call]) -> None:
    assert (counters_add_up(reading(calls)).outcome == "invalid") == (not could_be(calls))


def _callers(random: Random, callers: int) -> Iterator[tuple[str, float, float, float, Outcome]]:
    """Overlapping calls: who, began, when it took effect, ended, and how. Unanswered ones may take effect late."""
    for number in range(callers):
        at = random.uniform(0, 2)
        for _ in range(12):
            ended = at + random.uniform(0.1, 4)
            outcome: Outcome = random.choice(("ok", "ok", "ok", "unknown", "failed"))
            effect = random.uniform(at, ended if outcome == "ok" else ended + 10)
            yield f"p{number}", at, effect, ended, outcome
            at = ended + random.uniform(0.01, 1)


@given(st.integers(0, 100_000), st.integers(1, 4))
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_key_that_many_write_and_read_is_not_blamed(seed: int, callers: int) -> None:
    random = Random(seed)
    made, value = [], None
    for number, (who, began, _effect, ended, outcome) in enumerate(
        sorted(_callers(random, callers), key=lambda c: c[2])
    ):
        if random.random() < 0.5 and outcome == "ok":
            made.append(Call(who, "kv-get", "key", began, ended, "ok", value))
            continue
        applied = outcome == "ok" or (outcome == "unknown" and random.random() < 0.5)
        value = f"v{number}" if applied else value
        made.append(Call(who, "kv-put", "key", began, ended, outcome, f"v{number}"))
    assert writes_kept(reading(made)).outcome != "invalid"


def test_a_value_overwritten_before_may_not_come_back() -> None:
    for gap, other in product((0.5, 5.0), ("old", None)):
        calls = [
            Call("a", "kv-put", "key", 1, 2, "ok", "old"),
            Call("b", "kv-put", "key", 2 + gap, 8, "ok", "new"),
            Call("a", "kv-get", "key", 9, 10, "ok", other),
        ]
        assert writes_kept(reading(calls)).outcome == "invalid"
    overlapping = [
        Call("a", "kv-put", "key", 1, 4, "ok", "old"),
        Call("b", "kv-put", "key", 3, 8, "ok", "new"),
        Call("a", "kv-get", "key", 9, 10, "ok", "old"),
    ]
    assert writes_kept(reading(overlapping)).outcome != "invalid"


def test_a_write_of_unknown_value_may_explain_any_value_but_not_nothing() -> None:
    written = [Call("a", "kv-put", "key", 1, 2, "ok", "old"), Call("b", "kv-put", "key", 3, 5, "unknown")]
    for found, blamed in (("new", False), ("old", False), (None, True)):
        calls = [*written, Call("a", "kv-get", "key", 9, 10, "ok", found)]
        assert (writes_kept(reading(calls)).outcome == "invalid") == blamed
