"""What is said of custom resources that do not fit their schema, to the letter."""

from typing import Any

import pytest
from tests.unit.schema.widgets import Widgets


def field(schema: dict[str, Any]) -> Widgets:
    """A kind whose spec.x has the given schema."""
    return Widgets({"type": "object", "properties": {"x": schema}})


@pytest.mark.parametrize(
    ("schema", "value", "error"),
    [
        ({"type": "integer"}, "1", 'Invalid value: "string": spec.x in body must be of type integer: "string"'),
        ({"type": "string"}, 1, 'Invalid value: "integer": spec.x in body must be of type string: "integer"'),
        ({"type": "string"}, True, 'Invalid value: "boolean": spec.x in body must be of type string: "boolean"'),
        ({"type": "object"}, [], 'Invalid value: "array": spec.x in body must be of type object: "array"'),
        ({"type": "integer"}, 1.5, 'Invalid value: "number": spec.x in body must be of type integer: "number"'),
        ({"type": "string"}, None, 'Invalid value: "null": spec.x in body must be of type string: "null"'),
        ({"type": "string", "enum": ["a", "b"]}, "c", 'Unsupported value: "c": supported values: "a", "b"'),
        ({"type": "integer", "minimum": 1}, 0, "Invalid value: 0: spec.x in body should be greater than or equal to 1"),
        ({"type": "number", "maximum": 2.5}, 3, "Invalid value: 3: spec.x in body should be less than or equal to 2.5"),
        (
            {"type": "integer", "minimum": 1, "exclusiveMinimum": True},
            1,
            "Invalid value: 1: spec.x in body should be greater than 1",
        ),
        ({"type": "integer", "multipleOf": 5}, 7, "Invalid value: 7: spec.x in body should be a multiple of 5"),
        ({"type": "string", "maxLength": 2}, "abc", "Too long: may not be more than 2 bytes"),
        ({"type": "string", "minLength": 1}, "", 'Invalid value: "": spec.x in body should be at least 1 chars long'),
        ({"type": "string", "pattern": "^a+$"}, "b", "Invalid value: \"b\": spec.x in body should match '^a+$'"),
        (
            {"type": "string", "format": "date-time"},
            5,
            'Invalid value: "int64": spec.x in body must be of type date-time: "int64"',
        ),
        (
            {"type": "string", "format": "date-time"},
            "today",
            'Invalid value: "today": spec.x in body must be of type date-time: "today"',
        ),
        (
            {"type": "array", "minItems": 1, "items": {"type": "string"}},
            [],
            "Invalid value: 0: spec.x in body should have at least 1 items",
        ),
        ({"type": "array", "maxItems": 1, "items": {}}, [1, 2], "Too many: 2: must have at most 1 items"),
        (
            {"type": "object", "minProperties": 1},
            {},
            "Invalid value: 0: spec.x in body should have at least 1 properties",
        ),
        (
            {"x-kubernetes-int-or-string": True},
            False,
            'Invalid value: "boolean": spec.x in body must be of type integer,string: "boolean"',
        ),
    ],
)
def test_a_value_that_does_not_fit_is_refused_in_kubernetes_words(
    schema: dict[str, Any], value: Any, error: str
) -> None:
    assert field(schema).errors({"x": value}) == [f"spec.x: {error}"]


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "number"}, 1),
        ({"type": "integer"}, 1.0),
        ({"type": "string", "nullable": True}, None),
        ({"x-kubernetes-int-or-string": True}, 1),
        ({"x-kubernetes-int-or-string": True}, "50%"),
        ({"type": "string", "format": "made-up"}, "anything"),
        ({"type": "string", "format": "date-time"}, "2026-01-02T03:04:05.123456789+01:00"),
        ({"type": "string", "format": "byte"}, "aGk="),
        ({"type": "string", "maxLength": 2}, "éé"),
        ({"type": "integer", "format": "int32"}, 2**31),
        ({"x-kubernetes-preserve-unknown-fields": True}, {"a": None}),
    ],
)
def test_a_value_that_fits_is_taken(schema: dict[str, Any], value: Any) -> None:
    assert field(schema).errors({"x": value}) == []


def test_a_missing_field_is_named() -> None:
    widgets = Widgets({"type": "object", "required": ["x"], "properties": {"x": {"type": "string"}}})
    assert widgets.errors({}) == ["spec.x: Required value"]
    assert [cause.reason for cause in widgets.causes({})] == ["FieldValueRequired"]


def test_paths_show_list_positions_and_map_keys() -> None:
    item = {"type": "object", "properties": {"n": {"type": "integer"}}}
    spec = {
        "type": "object",
        "properties": {
            "list": {"type": "array", "items": item},
            "map": {"type": "object", "additionalProperties": item},
        },
    }
    causes = Widgets(spec).causes({"list": [{"n": 1}, {"n": ""}], "map": {"k": {"n": ""}}})
    assert [cause.field for cause in causes] == ["spec.list[1].n", "spec.map.k.n"]


def test_items_of_a_set_are_unique() -> None:
    widgets = field({"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}})
    assert widgets.errors({"x": ["a", "b", "a"]}) == ['spec.x[2]: Duplicate value: "a"']


def test_items_of_a_keyed_list_are_unique_by_their_keys() -> None:
    item = {"type": "object", "properties": {"name": {"type": "string"}, "v": {"type": "integer"}}}
    schema = {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"], "items": item}
    errors = field(schema).errors({"x": [{"name": "a", "v": 1}, {"name": "a", "v": 2}]})
    assert errors == ['spec.x[1]: Duplicate value: map[string]interface {}{"name":"a"}']


def test_one_of_wants_exactly_one() -> None:
    spec = {
        "type": "object",
        "properties": {"a": {"type": "string"}, "b": {"type": "string"}},
        "oneOf": [{"required": ["a"]}, {"required": ["b"]}],
    }
    widgets = Widgets(spec)
    assert widgets.errors({"a": ""}) == []
    none = '<nil>: Invalid value: "": "spec" must validate one and only one schema (oneOf). Found none valid'
    assert widgets.errors({})[0] == none
    both = '<nil>: Invalid value: "": "spec" must validate one and only one schema (oneOf). Found 2 valid alternatives'
    assert widgets.errors({"a": "", "b": ""}) == [both]


def test_any_of_all_of_and_not() -> None:
    widgets = field({"type": "integer", "anyOf": [{"minimum": 10}, {"maximum": 1}]})
    assert widgets.errors({"x": 1}) == []
    assert "must validate at least one schema (anyOf)" in widgets.errors({"x": 5})[0]
    widgets = field({"type": "integer", "allOf": [{"minimum": 10}, {"maximum": 20}]})
    assert "must validate all the schemas (allOf)" in widgets.errors({"x": 5})[-1]
    widgets = field({"type": "integer", "not": {"enum": [5]}})
    assert "must not validate the schema (not)" in widgets.errors({"x": 5})[0]
    assert widgets.errors({"x": 6}) == []


def test_a_crds_rules_on_the_name_hold() -> None:
    name = {"type": "object", "properties": {"name": {"type": "string", "pattern": "^x"}}}
    widgets = Widgets({"type": "object"}, properties={"metadata": name})
    assert "should match '^x'" in "".join(widgets.errors({}))


def test_what_an_update_leaves_alone_is_not_judged_again() -> None:
    spec = {
        "type": "object",
        "properties": {"a": {"type": "integer", "minimum": 1}, "b": {"type": "integer", "minimum": 1}},
    }
    widgets = Widgets(spec)
    assert widgets.errors({"a": 0, "b": 2}, old={"a": 0, "b": 1}) == []
    assert len(widgets.errors({"a": 0, "b": 0}, old={"a": 0, "b": 1})) == 1


def test_an_update_from_one_to_true_is_a_change() -> None:
    assert field({"type": "boolean"}).errors({"x": 1}, old={"x": True}) != []


def test_unchanged_items_of_a_keyed_list_are_found_by_key() -> None:
    item = {
        "type": "object",
        "properties": {"name": {"type": "string"}, "v": {"type": "integer", "minimum": 1}, "w": {"type": "integer"}},
    }
    schema = {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"], "items": item}
    old = {"x": [{"name": "a", "v": 0}, {"name": "b", "v": 1}]}
    assert field(schema).errors({"x": [{"name": "b", "v": 1}, {"name": "a", "v": 0, "w": 1}]}, old=old) == []
