"""A judge is worth what it complains of: of a good history nobody does, of a broken promise those whom it concerns."""

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from tests.unit.drill.breakages import BREAKAGES, spared
from tests.unit.drill.histories import DOWN, Scene, good_run

from headstay.drill.checkers import CHECKERS, judge, outcome, promise_of
from headstay.drill.history import Run
from headstay.drill.promises import UNBOUNDED, promise


@st.composite
def scenes(draw: st.DrawFn) -> Scene:
    recovery = draw(st.sampled_from(sorted(DOWN)))
    fault = draw(st.sampled_from(sorted(DOWN[recovery])))
    workers, rate = draw(st.integers(1, 3)), draw(st.sampled_from([0, 10, 10]))
    return Scene(fault, recovery, draw(st.integers(0, 10_000)), workers=workers, rate=rate)


def found(run: Run) -> dict[str, str]:
    return {verdict.checker: f"{verdict.outcome}: {verdict.why}" for verdict in judge(run)}


def those(run: Run, wanted: str) -> set[str]:
    return {verdict.checker for verdict in judge(run) if verdict.outcome == wanted}


@given(scenes())
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_nobody_complains_of_a_good_history(scene: Scene) -> None:
    run = good_run(scene)
    assert outcome(judge(run)) == "valid", found(run)


@pytest.mark.parametrize("name", BREAKAGES)
@given(scene=scenes())
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
def test_those_and_only_those_complain(name: str, scene: Scene) -> None:
    breakage = BREAKAGES[name]
    run = breakage.change(scene)
    assume(run is not None)
    assert run is not None
    if scene.fault == "redis-flush" or spared(scene) is None:  # nothing is promised of any actor
        assume("actors-survive" not in breakage.invalid | breakage.unknown)
    promised = promise(scene.fault, scene.recovery)
    if promised is not None and promised.downtime(0) == UNBOUNDED:
        assume("downtime-bounded" not in breakage.invalid | breakage.unknown)
    assert those(run, "invalid") == breakage.invalid, found(run)
    assert breakage.unknown <= those(run, "unknown") <= breakage.unknown | breakage.perhaps_unknown, found(run)


def test_every_judge_has_something_to_complain_of() -> None:
    blamed = {checker for breakage in BREAKAGES.values() for checker in breakage.invalid | breakage.unknown}
    assert blamed == set(CHECKERS)


@pytest.mark.parametrize("checker", CHECKERS)
def test_a_judge_says_in_a_sentence_what_it_judges(checker: str) -> None:
    sentence = promise_of(checker)
    assert sentence.endswith(".")
    assert 40 < len(sentence) < 140
    assert judge(good_run(Scene(rate=10)))[list(CHECKERS).index(checker)].checker == checker


def test_nobody_judges_requests_where_there_were_none() -> None:
    assert {verdict.checker for verdict in judge(good_run(Scene(rate=0)))} == set(CHECKERS) - {"requests-kept"}
