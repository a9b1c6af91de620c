"""Laws that hold for any structural schema and any document."""

import copy
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.schema.widgets import DEFINITIONS, Widgets

from headstay.local.server.schema.crd_structural import check_schema
from headstay.local.server.schema.structural import Structural
from headstay.model.objects import Obj

LAW = settings(max_examples=60, deadline=None)
NAMES = st.sampled_from(["a", "b", "c", "x-y", "metadata"])
SCALARS = st.sampled_from(["string", "integer", "number", "boolean"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=12,
)


def value_of(schema: Obj) -> st.SearchStrategy[Any]:
    """Documents that fit the schema."""
    if schema.get("x-kubernetes-int-or-string"):
        return st.integers(0, 9) | st.text(max_size=3)
    match schema.get("type"):
        case "string":
            return st.sampled_from(schema.get("enum") or ["", "s", "é"])
        case "integer":
            return st.integers(schema.get("minimum", -9), 9)
        case "number":
            return st.integers(-9, 9) | st.sampled_from([0.5, -1.5])
        case "boolean":
            return st.booleans()
        case "array":
            return st.lists(value_of(schema["items"]), max_size=3)
        case "object" if "properties" in schema:
            required = schema.get("required") or []
            fields = {name: value_of(child) for name, child in schema["properties"].items()}
            return st.fixed_dictionaries(
                {name: fields[name] for name in required},
                optional={name: value for name, value in fields.items() if name not in required},
            )
        case "object" if "additionalProperties" in schema:
            return st.dictionaries(NAMES, value_of(schema["additionalProperties"]), max_size=3)
    return JSON.filter(lambda value: value is not None)


@st.composite
def scalar_schemas(draw: st.DrawFn) -> Obj:
    schema: Obj = {"type": draw(SCALARS)}
    if schema["type"] == "string" and draw(st.booleans()):
        schema["enum"] = ["s", "t"]
    if schema["type"] == "integer" and draw(st.booleans()):
        schema["minimum"] = 0
    return draw(st.sampled_from([schema, schema, schema, {"x-kubernetes-int-or-string": True}]))


@st.composite
def schemas(draw: st.DrawFn, depth: int = 3) -> Obj:
    shape = draw(st.sampled_from(["scalar", "object", "array", "map", "open"])) if depth else "scalar"
    match shape:
        case "object":
            properties = draw(st.dictionaries(NAMES, schemas(depth=depth - 1), min_size=1, max_size=3))
            schema: Obj = {"type": "object", "properties": properties}
            if draw(st.booleans()):
                schema["required"] = [name for name in properties if draw(st.booleans())]
        case "array":
            schema = {"type": "array", "items": draw(schemas(depth=depth - 1))}
        case "map":
            schema = {"type": "object", "additionalProperties": draw(schemas(depth=depth - 1))}
        case "open":
            schema = {"x-kubernetes-preserve-unknown-fields": True}
        case _:
            schema = draw(scalar_schemas())
    if draw(st.integers(0, 3)) == 0:
        schema["default"] = draw(value_of(schema))
    if draw(st.integers(0, 5)) == 0:
        schema["nullable"] = True
    return schema


@LAW
@given(schemas(), JSON)
def test_pruning_twice_is_pruning_once(schema: Obj, document: Any) -> None:
    widgets = Widgets(schema)
    once = widgets.pruned(document)
    assert widgets.unknown(once) == []
    assert widgets.pruned(once) == once


@LAW
@given(schemas(), JSON)
def test_defaulting_twice_is_defaulting_once(schema: Obj, document: Any) -> None:
    widgets = Widgets(schema)
    once = widgets.defaulted(document)
    assert widgets.defaulted(once) == once


@LAW
@given(schemas(), JSON)
def test_no_document_is_too_strange_to_be_judged(schema: Obj, document: Any) -> None:
    widgets = Widgets(schema)
    widgets.unknown(document)
    before = copy.deepcopy(document)
    widgets.errors(document, old=document)
    widgets.errors(document)
    assert document == before


@LAW
@given(st.data())
def test_a_valid_document_stays_valid_through_pruning_and_defaulting(data: st.DataObject) -> None:
    schema = data.draw(schemas())
    document = data.draw(value_of(schema))
    widgets = Widgets(schema)
    assert widgets.errors(document) == []
    assert widgets.errors(widgets.defaulted(widgets.pruned(document))) == []


@LAW
@given(schemas())
def test_a_schema_made_by_these_rules_is_structural(schema: Obj) -> None:
    root = {"type": "object", "properties": {"spec": schema}}
    assert check_schema(root, "x", Structural(DEFINITIONS).node) == []


@LAW
@given(schemas(), JSON.filter(lambda document: document is not None))
def test_an_update_that_changes_nothing_is_valid(schema: Obj, document: Any) -> None:
    assert Widgets(schema).errors(document, old=copy.deepcopy(document)) == []
