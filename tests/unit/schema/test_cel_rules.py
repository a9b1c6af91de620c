"""CEL rules of custom resources: when they are judged, what they may say, how they refuse."""

from typing import Any

import pytest
from tests.unit.schema.widgets import Widgets

from headstay.local.server.schema.cel_functions import FUNCTIONS
from headstay.local.server.schema.rules import RuleError, compile_expression
from headstay.model.objects import Obj


def spec_with(rules: list[Obj], **properties: Obj) -> Obj:
    return {"type": "object", "x-kubernetes-validations": rules, "properties": properties}


NUMBER: Obj = {"type": "integer"}
TEXT: Obj = {"type": "string"}


def ruled(rule: str, **more: Any) -> Widgets:
    properties = {
        "a": NUMBER,
        "b": TEXT,
        "list": {"type": "array", "items": NUMBER},
        "x": TEXT,
        "r": {"type": "number"},
    }
    return Widgets(spec_with([{"rule": rule} | more], **properties))


def test_a_failed_rule_is_an_invalid_value_with_its_message() -> None:
    widgets = ruled("self.a > 0", message="a must be positive")
    assert widgets.errors({"a": 0}) == ['spec: Invalid value: "object": a must be positive']
    assert widgets.errors({"a": 1}) == []


def test_without_a_message_the_rule_is_shown() -> None:
    assert ruled("self.a > 0").errors({"a": 0}) == ['spec: Invalid value: "object": failed rule: self.a > 0']


def test_a_message_expression_is_evaluated() -> None:
    widgets = ruled("self.a > 0", messageExpression="'a is ' + string(self.a)", message="unused")
    assert widgets.errors({"a": -1}) == ['spec: Invalid value: "object": a is -1']


def test_a_message_expression_that_fails_gives_way_to_the_message() -> None:
    widgets = ruled("self.a > 0", messageExpression="self.nothing", message="plain")
    assert widgets.errors({"a": -1}) == ['spec: Invalid value: "object": plain']


@pytest.mark.parametrize(
    ("reason", "error"),
    [
        ("FieldValueForbidden", "spec.b: Forbidden: no"),
        ("FieldValueRequired", "spec.b: Required value: no"),
        ("FieldValueInvalid", 'spec.b: Invalid value: "object": no'),
    ],
)
def test_a_rule_may_choose_its_reason_and_field(reason: str, error: str) -> None:
    widgets = ruled("has(self.b)", reason=reason, fieldPath=".b", message="no")
    assert widgets.errors({}) == [error]
    assert widgets.causes({})[0].reason == reason


def test_a_refusal_shows_the_type_of_the_value() -> None:
    widgets = Widgets(
        {"type": "object", "properties": {"a": NUMBER | {"x-kubernetes-validations": [{"rule": "self > 1"}]}}}
    )
    assert widgets.errors({"a": 1}) == ['spec.a: Invalid value: "integer": failed rule: self > 1']


def test_rules_at_the_root_see_the_whole_object() -> None:
    rule = {"rule": "self.metadata.name.size() <= 3", "message": "name is too long"}
    widgets = Widgets({"type": "object"}, **{"x-kubernetes-validations": [rule]})
    assert widgets.errors({}) == []
    assert widgets.errors({}, metadata={"name": "long"}) == [': Invalid value: "object": name is too long']


def test_a_transition_rule_is_judged_on_updates_only() -> None:
    widgets = Widgets(
        {"type": "object", "properties": {"a": NUMBER | {"x-kubernetes-validations": [{"rule": "self == oldSelf"}]}}}
    )
    assert widgets.errors({"a": 1}) == []
    assert widgets.errors({"a": 1}, old={}) == []
    assert widgets.errors({"a": 1}, old={"a": 1}) == []
    assert widgets.errors({"a": 2}, old={"a": 1}) == ['spec.a: Invalid value: "integer": failed rule: self == oldSelf']


def test_a_transition_rule_is_judged_even_where_nothing_changed() -> None:
    assert len(ruled("self.a > oldSelf.a").errors({"a": 1}, old={"a": 1})) == 1


def test_other_rules_are_not_judged_again_for_what_did_not_change() -> None:
    assert ruled("self.a > 0").errors({"a": 0}, old={"a": 0}) == []
    assert len(ruled("self.a > 0").errors({"a": 0, "b": "x"}, old={"a": 0})) == 1


def test_an_optional_old_self_is_there_on_create_too() -> None:
    widgets = ruled("!oldSelf.hasValue() || self.a >= oldSelf.value().a", optionalOldSelf=True)
    assert widgets.errors({"a": 1}) == []
    assert widgets.errors({"a": 2}, old={"a": 1}) == []
    assert len(widgets.errors({"a": 0}, old={"a": 1})) == 1


def test_items_of_a_keyed_list_meet_their_old_selves() -> None:
    item = {
        "type": "object",
        "properties": {"name": TEXT, "v": NUMBER | {"x-kubernetes-validations": [{"rule": "self >= oldSelf"}]}},
    }
    keyed = {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"], "items": item}
    widgets = Widgets({"type": "object", "properties": {"list": keyed}})
    old = {"list": [{"name": "a", "v": 5}, {"name": "b", "v": 1}]}
    errors = widgets.errors({"list": [{"name": "b", "v": 2}, {"name": "a", "v": 4}]}, old=old)
    assert errors == ['spec.list[1].v: Invalid value: "integer": failed rule: self >= oldSelf']


def test_items_of_an_unchanged_list_are_not_judged_again_though_they_have_no_keys() -> None:
    items = NUMBER | {"x-kubernetes-validations": [{"rule": "self > 0"}]}
    widgets = Widgets({"type": "object", "properties": {"list": {"type": "array", "items": items}, "a": NUMBER}})
    assert widgets.errors({"list": [0], "a": 1}, old={"list": [0]}) == []
    assert len(widgets.errors({"list": [0, 1]}, old={"list": [0]})) == 1


def test_rules_wait_until_types_and_required_fields_are_right() -> None:
    assert ruled("self.a > 0").errors({"a": "x"}) == [
        'spec.a: Invalid value: "string": spec.a in body must be of type integer: "string"'
    ]


def test_a_rule_that_cannot_be_evaluated_is_a_failure_that_says_so() -> None:
    assert ruled("self.a > 0").errors({}) == [
        'spec: Invalid value: "object": no such key: a evaluating rule: self.a > 0'
    ]


def test_a_number_is_a_double_however_it_is_written() -> None:
    assert ruled("self.r * 2.0 > 1.0").errors({"r": 1}) == []


@pytest.mark.parametrize(
    "rule",
    [
        "!has(self.x) || self.x == 'y'",
        "self.b in ['x', 'é']",
        "self.list.all(i, i > 0) && self.list.exists(i, i == 2) && self.list.exists_one(i, i == 3)",
        "self.list.map(i, i * 2) == [2, 4, 6] && self.list.filter(i, i > 1).size() == 2",
        "size(self.b) == 1 && self.b.size() == 1 && 'size(' != self.b",
        "self.list.isSorted() && self.list.sum() == 6 && self.list.max() == 3",
        "self.b.matches('^.$') && ' x '.trim() == 'x' && 'a,b'.split(',') == ['a', 'b']",
        "quantity('1Gi').isGreaterThan(quantity('1000Mi')) && isQuantity('5m') && !isQuantity('x')",
        "duration('1h') > duration('59m') && timestamp('2020-01-01T00:00:00Z').getFullYear() == 2020",
        "sets.contains([1, 2], [1]) && type(self.a) == int && string(self.a) == '1'",
        "isIP('10.0.0.1') && isCIDR('10.0.0.0/8') && isURL('http://a/b') && !isURL('b')",
        "self.a == 1 ? true : false",
    ],
)
def test_what_rules_may_use(rule: str) -> None:
    assert ruled(rule).errors({"a": 1, "b": "é", "list": [1, 2, 3]}) == []


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        ("self.a >", "compilation failed: "),
        ("slef.a > 1", "compilation failed: undeclared reference to 'slef'"),
        ("self.b.findAll('x') == []", "the CEL function 'findAll' is not supported by this server"),
        ("self.?a.orValue(1) == 1", "unsupported syntax '.?'"),
        ("authorizer.path('/x').check('get').allowed()", "undeclared reference to 'authorizer'"),
    ],
)
def test_what_cannot_be_done_is_refused_by_name(rule: str, reason: str) -> None:
    with pytest.raises(RuleError) as caught:
        compile_expression(rule)
    assert reason in str(caught.value)


def test_properties_that_are_no_identifiers_have_escaped_names() -> None:
    properties = {"x-y": NUMBER, "namespace": TEXT, "a.b": NUMBER}
    rule = {"rule": "self.x__dash__y == 1 && self.__namespace__ == 'n' && self.a__dot__b == 2"}
    assert Widgets(spec_with([rule], **properties)).errors({"x-y": 1, "namespace": "n", "a.b": 2}) == []


def test_times_and_bytes_have_their_own_types() -> None:
    properties = {
        "at": {"type": "string", "format": "date-time"},
        "wait": {"type": "string", "format": "duration"},
        "raw": {"type": "string", "format": "byte"},
    }
    rule = {"rule": "self.at > timestamp('2020-01-01T00:00:00Z') && self.wait > duration('1m') && self.raw == b'hi'"}
    spec = {"at": "2026-01-02T03:04:05Z", "wait": "1h30m", "raw": "aGk="}
    assert Widgets(spec_with([rule], **properties)).errors(spec) == []


def test_every_function_that_is_offered_is_known_by_one_name() -> None:
    names = [name.rpartition(".")[2] for name in FUNCTIONS]
    assert len(names) == len(set(names))
