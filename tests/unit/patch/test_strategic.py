import copy
from collections.abc import Callable
from typing import Any

import pytest

from headstay.local.server.patch.strategic import strategic_merge_patch
from headstay.local.server.patch.wording import BUILTIN_PATCHES, CUSTOM_RESOURCE_PATCHES, unsupported_media_type
from headstay.local.server.seams import Schema
from headstay.model.errors import StatusError
from headstay.model.objects import Obj

Kind = Callable[[str], Schema]


def pod(*containers: Obj, **spec: Any) -> Obj:
    return {"metadata": {"name": "p"}, "spec": {"containers": list(containers), **spec}}


def patched_spec(kind: Kind, live: Obj, spec: Obj) -> Obj:
    before = copy.deepcopy(live)
    result: Obj = strategic_merge_patch(kind("core.v1.Pod"), live, {"spec": spec})["spec"]
    assert live == before
    return result


def test_a_container_is_found_by_its_name_and_the_others_are_left_alone(kind: Kind) -> None:
    live = pod({"name": "a", "image": "a:1"}, {"name": "b", "image": "b:1", "command": ["x"]})
    assert patched_spec(kind, live, {"containers": [{"name": "b", "image": "b:2"}]})["containers"] == [
        {"name": "a", "image": "a:1"},
        {"name": "b", "image": "b:2", "command": ["x"]},
    ]


def test_a_list_item_goes_with_patch_delete(kind: Kind) -> None:
    live = pod({"name": "a", "env": [{"name": "X", "value": "1"}, {"name": "Y", "value": "2"}]})
    patch = {"containers": [{"name": "a", "env": [{"name": "X", "$patch": "delete"}]}]}
    assert patched_spec(kind, live, patch)["containers"][0]["env"] == [{"name": "Y", "value": "2"}]


def test_a_list_is_replaced_whole_with_patch_replace(kind: Kind) -> None:
    live = pod({"name": "a"}, {"name": "b"})
    assert patched_spec(kind, live, {"containers": [{"name": "c"}, {"$patch": "replace"}]})["containers"] == [
        {"name": "c"}
    ]


def test_a_map_is_replaced_or_emptied_by_directive(kind: Kind) -> None:
    live = pod({"name": "a"}, nodeSelector={"x": "1", "y": "2"}, securityContext={"runAsUser": 1})
    spec = patched_spec(
        kind, live, {"nodeSelector": {"$patch": "replace", "z": "3"}, "securityContext": {"$patch": "delete"}}
    )
    assert spec["nodeSelector"] == {"z": "3"}
    assert spec["securityContext"] == {}


def test_null_deletes_and_a_list_without_merge_strategy_is_replaced(kind: Kind) -> None:
    live = pod({"name": "a", "command": ["x", "y"]}, hostname="h", nodeSelector={"x": "1"})
    spec = patched_spec(
        kind, live, {"hostname": None, "nodeSelector": {"x": None}, "containers": [{"name": "a", "command": ["z"]}]}
    )
    assert spec == {"nodeSelector": {}, "containers": [{"name": "a", "command": ["z"]}]}


def test_finalizers_are_a_set_and_leave_by_delete_from_primitive_list(kind: Kind) -> None:
    live = {"metadata": {"finalizers": ["a", "b", "c"]}}
    patch = {"metadata": {"finalizers": ["d", "a"], "$deleteFromPrimitiveList/finalizers": ["b"]}}
    result = strategic_merge_patch(kind("core.v1.Pod"), live, patch)
    assert sorted(result["metadata"]["finalizers"]) == ["a", "c", "d"]


def test_set_element_order_puts_the_named_items_in_order_and_keeps_the_servers_own_near(kind: Kind) -> None:
    live = pod({"name": "a"}, {"name": "sidecar"}, {"name": "b"})
    patch = {
        "$setElementOrder/containers": [{"name": "c"}, {"name": "b"}, {"name": "a"}],
        "containers": [{"name": "c", "image": "c:1"}],
    }
    names = [container["name"] for container in patched_spec(kind, live, patch)["containers"]]
    assert names == ["c", "sidecar", "b", "a"]


def test_set_element_order_alone_moves_primitives(kind: Kind) -> None:
    live = {"metadata": {"finalizers": ["a", "b", "c"]}}
    patch = {"metadata": {"$setElementOrder/finalizers": ["c", "a"]}}
    result = strategic_merge_patch(kind("core.v1.Pod"), live, patch)
    assert result["metadata"]["finalizers"] == ["b", "c", "a"]


def test_a_patch_list_that_contradicts_its_order_is_refused(kind: Kind) -> None:
    patch = {"$setElementOrder/containers": [{"name": "a"}], "containers": [{"name": "b"}]}
    with pytest.raises(StatusError, match=r"doesn't match \$setElementOrder list"):
        patched_spec(kind, pod({"name": "a"}), patch)


def test_retain_keys_drops_the_other_volume_source(kind: Kind) -> None:
    live = pod({"name": "a"}, volumes=[{"name": "v", "emptyDir": {}}])
    patch = {"volumes": [{"name": "v", "$retainKeys": ["name", "hostPath"], "hostPath": {"path": "/x"}}]}
    assert patched_spec(kind, live, patch)["volumes"] == [{"name": "v", "hostPath": {"path": "/x"}}]


def test_retain_keys_that_do_not_name_what_the_patch_sets_are_400(kind: Kind) -> None:
    live = {"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}}
    patch = {"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}
    schema = kind("apps.v1.Deployment")
    assert strategic_merge_patch(schema, live, patch) == {"spec": {"strategy": {"type": "Recreate"}}}
    with pytest.raises(StatusError, match="invalid patch format of retainKeys") as refused:
        strategic_merge_patch(
            schema, live, {"spec": {"strategy": {"$retainKeys": ["rollingUpdate"], "type": "Recreate"}}}
        )
    assert refused.value.code == 400


def test_an_item_without_its_merge_key_is_refused_in_the_servers_words(kind: Kind) -> None:
    with pytest.raises(StatusError) as refused:
        patched_spec(kind, pod({"name": "a"}), {"containers": [{"image": "x"}]})
    assert refused.value.message == "map: map[image:x] does not contain declared merge key: name"


def test_lists_of_mixed_kinds_or_of_lists_and_unknown_directives_are_refused(kind: Kind) -> None:
    live = pod({"name": "a"})
    with pytest.raises(StatusError, match="list element types are not identical"):
        patched_spec(kind, live, {"containers": ["x"]})
    with pytest.raises(StatusError) as lists:
        patched_spec(kind, pod(), {"containers": [["x"]]})
    assert lists.value.code == 422
    with pytest.raises(StatusError, match="unknown patch type: explode in map: map"):
        patched_spec(kind, live, {"containers": [{"name": "a", "$patch": "explode"}]})
    with pytest.raises(StatusError, match="unknown patch type: explode in map: map"):
        patched_spec(kind, pod(nodeSelector={"x": "1"}), {"nodeSelector": {"$patch": "explode"}})
    with pytest.raises(StatusError, match="invalid patch format of primitive list"):
        strategic_merge_patch(
            kind("core.v1.Pod"), {"metadata": {}}, {"metadata": {"$deleteFromPrimitiveList/finalizers": "a"}}
        )
    with pytest.raises(StatusError, match="invalid patch format of setElementOrder list"):
        patched_spec(kind, live, {"$setElementOrder/containers": "a"})


def test_directives_leave_no_trace_where_there_is_nothing_to_merge_with(kind: Kind) -> None:
    patch = {
        "containers": [
            {
                "name": "new",
                "env": [{"name": "X", "$patch": "delete"}, {"name": "Y", "value": "1"}],
                "$setElementOrder/env": [{"name": "Y"}],
                "command": None,
            }
        ],
        "$setElementOrder/containers": [{"name": "new"}],
        "nodeSelector": {"a": None, "b": "1"},
    }
    assert patched_spec(kind, {"spec": {}}, patch) == {
        "containers": [{"name": "new", "env": [{"name": "Y", "value": "1"}]}],
        "nodeSelector": {"b": "1"},
    }


def test_unknown_fields_are_merged_like_plain_json(kind: Kind) -> None:
    live = {"spec": {"future": {"a": 1, "l": [1]}}}
    patch = {"spec": {"future": {"b": 2, "l": [2]}}}
    assert strategic_merge_patch(kind("core.v1.Pod"), live, patch) == {"spec": {"future": {"a": 1, "b": 2, "l": [2]}}}


def test_a_dollar_key_that_is_no_directive_survives(kind: Kind) -> None:
    patch = {"metadata": {"annotations": {"$ref": "x"}}}
    assert strategic_merge_patch(kind("core.v1.Pod"), {}, patch) == {"metadata": {"annotations": {"$ref": "x"}}}


def test_a_custom_resource_takes_no_strategic_merge_patch() -> None:
    refused = unsupported_media_type(CUSTOM_RESOURCE_PATCHES)
    assert (refused.code, refused.reason) == (415, "UnsupportedMediaType")
    assert refused.message == (
        "the body of the request was in an unknown format - accepted media types include: "
        "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml"
    )
    assert "application/strategic-merge-patch+json" in BUILTIN_PATCHES
