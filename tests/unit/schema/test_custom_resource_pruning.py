"""Unknown fields of custom resources, and defaults."""

from tests.unit.schema.widgets import Widgets

OPEN = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
SPEC = {
    "type": "object",
    "properties": {
        "size": {"type": "integer"},
        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        "parts": {"type": "array", "items": {"type": "object", "properties": {"name": {"type": "string"}}}},
        "open": OPEN | {"properties": {"known": {"type": "object", "properties": {"a": {"type": "string"}}}}},
        "anything": {"type": "object", "additionalProperties": True},
    },
}


def test_fields_that_the_schema_does_not_know_are_named_by_path_and_dropped() -> None:
    widgets = Widgets(SPEC)
    spec = {"size": 1, "sise": 2, "parts": [{"name": "a"}, {"name": "b", "nmae": "c"}]}
    assert widgets.unknown(spec) == ["spec.parts[1].nmae", "spec.sise"]
    assert widgets.pruned(spec) == {"size": 1, "parts": [{"name": "a"}, {"name": "b"}]}


def test_any_key_of_a_map_is_known() -> None:
    assert Widgets(SPEC).unknown({"labels": {"app.io/x": "y"}}) == []


def test_preserved_fields_stay_and_declared_ones_below_them_are_still_pruned() -> None:
    spec = {"open": {"free": {"x": [1]}, "known": {"a": "b", "c": "d"}}}
    assert Widgets(SPEC).pruned(spec) == {"open": {"free": {"x": [1]}, "known": {"a": "b"}}}


def test_a_map_of_anything_keeps_scalars_only() -> None:
    assert Widgets(SPEC).pruned({"anything": {"a": 1, "b": {"c": 2}}}) == {"anything": {"a": 1, "b": {}}}


def test_an_objects_own_metadata_is_always_object_metadata() -> None:
    widgets = Widgets(SPEC)
    metadata = {"name": "w", "labels": {"a": "b"}, "lables": {}, "ownerReferences": [{"uid": "1", "uuid": "2"}]}
    assert widgets.unknown({}, metadata=metadata) == ["metadata.lables", "metadata.ownerReferences[0].uuid"]


def test_status_and_other_top_level_fields_follow_the_schema() -> None:
    assert Widgets(SPEC).unknown({}, status={"x": 1}, data={}) == ["data"]


def test_an_embedded_resource_has_object_metadata() -> None:
    widgets = Widgets({"type": "object", "x-kubernetes-embedded-resource": True, "properties": {"spec": OPEN}})
    spec = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x", "nmae": "y"}, "spec": {"z": 1}, "extra": 1}
    assert widgets.unknown(spec) == ["spec.extra", "spec.metadata.nmae"]
    assert widgets.errors({"metadata": {}}) == [
        "spec.apiVersion: Required value: must not be empty",
        "spec.kind: Required value: must not be empty",
    ]


DEFAULTS = {
    "type": "object",
    "properties": {
        "size": {"type": "integer", "default": 3},
        "inner": {"type": "object", "default": {}, "properties": {"mode": {"type": "string", "default": "fast"}}},
        "optional": {"type": "object", "properties": {"mode": {"type": "string", "default": "slow"}}},
        "list": {
            "type": "array",
            "items": {"type": "object", "properties": {"weight": {"type": "number", "default": 1.5}}},
        },
        "map": {
            "type": "object",
            "additionalProperties": {"type": "object", "properties": {"on": {"type": "boolean", "default": False}}},
        },
        "nullable": {"type": "string", "nullable": True, "default": "x"},
        "plain": {"type": "string"},
    },
}


def test_defaults_are_filled_in_and_below_defaults_again() -> None:
    assert Widgets(DEFAULTS).defaulted({}) == {"size": 3, "inner": {"mode": "fast"}, "nullable": "x"}


def test_defaults_reach_into_objects_lists_and_maps_that_are_there() -> None:
    found = Widgets(DEFAULTS).defaulted({"optional": {}, "list": [{}, {"weight": 2}], "map": {"k": {}}})
    assert found["optional"] == {"mode": "slow"}
    assert found["list"] == [{"weight": 1.5}, {"weight": 2}]
    assert found["map"] == {"k": {"on": False}}


def test_a_null_becomes_the_default_unless_null_is_allowed() -> None:
    found = Widgets(DEFAULTS).defaulted({"size": None, "nullable": None})
    assert (found["size"], found["nullable"]) == (3, None)


def test_a_null_without_a_default_is_dropped_where_null_is_not_allowed() -> None:
    assert "plain" not in Widgets(DEFAULTS).defaulted({"plain": None})


def test_two_objects_do_not_share_a_default() -> None:
    widgets = Widgets(DEFAULTS)
    widgets.defaulted({})["inner"]["mode"] = "changed"
    assert widgets.defaulted({})["inner"] == {"mode": "fast"}


def test_equal_schemas_are_held_once() -> None:
    spec = {"type": "object", "properties": {"a": SPEC, "b": SPEC | {"description": "other words"}}}
    node = Widgets(spec).node.properties["spec"]
    assert node.properties["a"] is node.properties["b"]
