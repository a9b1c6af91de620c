"""For any two Pods, the patch that kubectl would compute between them turns one into the other."""

import copy
from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from headstay.local.server.patch.strategic import strategic_merge_patch
from headstay.local.server.seams import Schema
from headstay.model.objects import Obj

names = st.sampled_from(["a", "b", "c", "d"])
strings = st.dictionaries(names, st.sampled_from(["1", "2"]), max_size=3)


def named(fields: dict[str, st.SearchStrategy[Any]], key: str = "name") -> st.SearchStrategy[list[Obj]]:
    item = st.fixed_dictionaries({key: names if key == "name" else st.integers(1, 4)}, optional=fields)
    return st.lists(item, max_size=4, unique_by=lambda i: i[key])


containers = named(
    {
        "image": names,
        "command": st.lists(names, max_size=2),
        "env": named({"value": names}),
        "ports": named({"name": names}, key="containerPort"),
        "resources": st.fixed_dictionaries({}, optional={"limits": strings, "requests": strings}),
    }
)
volumes = named({"emptyDir": st.just({}), "hostPath": st.fixed_dictionaries({"path": names})})
pods = st.fixed_dictionaries(
    {
        "metadata": st.fixed_dictionaries(
            {}, optional={"labels": strings, "finalizers": st.lists(names, unique=True, max_size=4)}
        ),
        "spec": st.fixed_dictionaries(
            {"containers": containers},
            optional={"volumes": volumes, "nodeSelector": strings, "hostname": names, "tolerations": st.just([{}])},
        ),
    }
)


def diff(schema: Schema | None, old: Obj, new: Obj) -> Obj:
    """A two-way strategic merge diff, as kubectl sends it."""
    patch: Obj = {key: None for key in old if key not in new}
    for key, value in new.items():
        child = schema.property(key) if schema else None
        if key not in old:
            patch[key] = value
        elif isinstance(value, dict) and isinstance(old[key], dict):
            if change := diff(child, old[key], value):
                patch[key] = change
        elif isinstance(value, list) and child and "merge" in child.patch_strategy:
            patch |= diff_list(child, key, old[key], value)
        elif value != old[key]:
            patch[key] = value
    return patch


def diff_list(schema: Schema, key: str, old: list[Any], new: list[Any]) -> Obj:
    if old == new:
        return {}
    if not schema.patch_merge_key:
        return {
            f"$deleteFromPrimitiveList/{key}": [item for item in old if item not in new],
            f"$setElementOrder/{key}": new,
            key: [item for item in new if item not in old],
        }
    merge_key = schema.patch_merge_key
    before = {item[merge_key]: item for item in old}
    changes: list[Obj] = []
    for item in new:
        known = before.get(item[merge_key])
        if known is None:
            changes.append(item)
        elif change := diff(schema.items, known, item):
            if "retainKeys" in schema.patch_strategy:
                change["$retainKeys"] = sorted(item)
            changes.append(change | {merge_key: item[merge_key]})
    kept = {item[merge_key] for item in new}
    changes += [{merge_key: name, "$patch": "delete"} for name in before if name not in kept]
    return {f"$setElementOrder/{key}": [{merge_key: item[merge_key]} for item in new], key: changes}


@settings(max_examples=60, deadline=None)
@given(old=pods, new=pods)
def test_the_diff_of_two_pods_turns_one_into_the_other(kind: Callable[[str], Schema], old: Obj, new: Obj) -> None:
    schema = kind("core.v1.Pod")
    patch = diff(schema, old, new)
    before = copy.deepcopy((old, patch))
    assert strategic_merge_patch(schema, old, patch) == new
    assert (old, patch) == before


@settings(max_examples=40, deadline=None)
@given(live=pods, patch=pods)
def test_a_strategic_patch_is_idempotent(kind: Callable[[str], Schema], live: Obj, patch: Obj) -> None:
    schema = kind("core.v1.Pod")
    once = strategic_merge_patch(schema, live, patch)
    assert strategic_merge_patch(schema, once, patch) == once
