import pytest

from headstay.drill.expression import Combination, ExpressionError, Rule, Step, parse
from headstay.drill.faults import KINDS, RULES, rules

SOME = {"gcs-kill": Rule(None, True), "redis-away": Rule(600, True), "operator-kill": Rule(None, False)}


def test_names_and_parameters_and_combinations_are_told_apart() -> None:
    assert parse("gcs-kill, redis-away:20 ,redis-away:1.5+gcs-kill", SOME) == [
        Combination((Step("gcs-kill"),)),
        Combination((Step("redis-away", 20),)),
        Combination((Step("redis-away", 1.5), Step("gcs-kill"))),
    ]


def test_a_fault_is_named_in_reports_as_it_was_typed() -> None:
    typed = ["redis-away:20+gcs-kill", "gcs-kill"]
    assert [str(one) for one in parse(",".join(typed), SOME)] == typed


def test_all_leaves_out_what_has_to_be_asked_for_by_name() -> None:
    assert [str(one) for one in parse("all", SOME)] == ["gcs-kill", "redis-away"]
    assert [str(one) for one in parse("all,operator-kill", SOME)] == ["gcs-kill", "redis-away", "operator-kill"]


def test_the_operator_serves_others_and_is_not_part_of_all() -> None:
    assert "operator-kill" not in [str(one) for one in parse("all", RULES)]


def test_a_pattern_names_every_fault_that_is_like_it() -> None:
    assert [str(one) for one in parse("network-cut-*", RULES)] == ["network-cut-redis", "network-cut-workers"]


def test_what_is_named_twice_is_done_once() -> None:
    assert [str(one) for one in parse("gcs-kill,all,gcs-kill", SOME)] == ["gcs-kill", "redis-away"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "--faults is empty"),
        (" , ", "--faults is empty"),
        ("gcs-kil", "there is no fault 'gcs-kil' in --faults: choose from gcs-kill, redis-away, operator-kill, or all"),
        ("gcs-kill:3", "fault gcs-kill takes no parameter: write gcs-kill, not gcs-kill:3"),
        ("redis-away:", "redis-away:: seconds must be a number above 0 and at most 600"),
        ("redis-away:x", "redis-away:x: seconds must be a number above 0 and at most 600"),
        ("redis-away:0", "above 0 and at most 600"),
        ("redis-away:601", "above 0 and at most 600"),
        ("redis-away:nan", "above 0 and at most 600"),
        ("gcs-kill+", "there is no fault ''"),
        ("gcs-kill+all", "there is no fault 'all'"),
    ],
)
def test_what_is_not_understood_is_named(text: str, says: str) -> None:
    with pytest.raises(ExpressionError) as refused:
        parse(text, SOME)
    assert says in str(refused.value)


def test_every_fault_says_what_it_does_and_touches() -> None:
    for name, kind in KINDS.items():
        assert kind.name == name
        assert kind.help.endswith(".")
        assert kind.touches
        assert (kind.default is None) == (kind.most is None)
        assert kind.default is None or kind.most is None or 0 < kind.default <= kind.most


def test_all_has_what_needs_serve_where_there_is_serve() -> None:
    without = {str(one) for one in parse("all", rules(serve=False))}
    assert {str(one) for one in parse("all", rules(serve=True))} == without | {"upgrade"}
