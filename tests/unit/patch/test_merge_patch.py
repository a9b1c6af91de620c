import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headstay.local.server.patch.json import json_patch
from headstay.local.server.patch.merge import merge_patch
from headstay.model.errors import StatusError

leaves = st.none() | st.booleans() | st.integers() | st.text(max_size=3)
documents = st.recursive(leaves, lambda c: st.lists(c, max_size=3) | st.dictionaries(st.text("abc", max_size=2), c))
objects = st.dictionaries(st.text("abc", max_size=2), documents)


def test_null_removes_and_objects_merge() -> None:
    live = {"a": {"b": 1, "c": 2}, "d": [1, 2], "e": 1}
    assert merge_patch(live, {"a": {"b": None, "x": {"y": None, "z": 1}}, "d": [3]}) == {
        "a": {"c": 2, "x": {"z": 1}},
        "d": [3],
        "e": 1,
    }


def test_a_merge_patch_must_be_an_object() -> None:
    with pytest.raises(StatusError) as refused:
        merge_patch({}, [])  # type: ignore[arg-type]
    assert (refused.value.code, refused.value.message) == (
        400,
        "error decoding patch: json: cannot unmarshal array into Go value of type map[string]interface {}",
    )


@settings(max_examples=40, deadline=None)
@given(live=objects, patch=objects)
def test_a_merge_patch_applied_twice_changes_nothing_more_and_leaves_its_input_alone(
    live: dict[str, Any], patch: dict[str, Any]
) -> None:
    before = copy.deepcopy((live, patch))
    once = merge_patch(live, patch)
    assert merge_patch(once, patch) == once
    assert (live, patch) == before


def test_a_json_patch_edits_in_order() -> None:
    live = {"metadata": {"finalizers": ["a", "b"]}}
    assert json_patch(
        live,
        [
            {"op": "test", "path": "/metadata/finalizers/0", "value": "a"},
            {"op": "remove", "path": "/metadata/finalizers/0"},
            {"op": "add", "path": "/metadata/labels", "value": {}},
            {"op": "add", "path": "/metadata/labels/ray.io~1node-type", "value": "head"},
        ],
    ) == {"metadata": {"finalizers": ["b"], "labels": {"ray.io/node-type": "head"}}}
    assert live == {"metadata": {"finalizers": ["a", "b"]}}


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "remove", "path": "/missing"},
        {"op": "replace", "path": "/missing", "value": 1},
        {"op": "test", "path": "/a", "value": 2},
        {"op": "add", "path": "/b/c", "value": 2},
        {"op": "add", "path": "/a/c", "value": 2},
        {"op": "remove", "path": "/l/7"},
        {"op": "explode", "path": "/a"},
        {"path": "/a"},
        {"op": "add"},
        {"op": "add", "path": 3, "value": 1},
        {"op": "copy", "path": "/a"},
        {"op": "replace", "path": "", "value": 3},
        {"op": "remove", "path": ""},
    ],
)
def test_a_json_patch_that_does_not_fit_is_422_in_the_servers_words(operation: dict[str, Any]) -> None:
    with pytest.raises(StatusError) as refused:
        json_patch({"a": 1, "l": [1]}, [operation])
    assert (refused.value.code, refused.value.reason) == (422, "Invalid")
    assert refused.value.message == "the server rejected our request due to an error in our request"


def test_a_json_patch_that_is_no_list_is_400() -> None:
    with pytest.raises(StatusError) as refused:
        json_patch({}, {"op": "add"})  # type: ignore[arg-type]
    assert refused.value.code == 400


def test_a_json_patch_of_more_than_ten_thousand_operations_is_413() -> None:
    with pytest.raises(StatusError) as refused:
        json_patch({}, [{"op": "add", "path": "/a", "value": 1}] * 10_001)
    assert refused.value.code == 413


@settings(max_examples=40, deadline=None)
@given(
    live=objects,
    operations=st.lists(
        st.fixed_dictionaries(
            {},
            optional={
                "op": st.sampled_from(["add", "remove", "replace", "move", "copy", "test", "x"]) | leaves,
                "path": st.sampled_from(["", "/", "/a", "/a/b", "/a/0", "/a/-", "/a/01", "/a/-1"]) | documents,
                "from": st.sampled_from(["", "/a", "/a/b"]) | documents,
                "value": documents,
            },
        ),
        max_size=4,
    ),
)
def test_no_json_patch_breaks_the_server(live: dict[str, Any], operations: list[Any]) -> None:
    try:
        assert isinstance(json_patch(live, operations), dict)
    except StatusError as refused:
        assert refused.code == 422  # noqa: PT017 (most fit; those that do not are refused)
