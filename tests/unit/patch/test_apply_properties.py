"""What must hold for any documents and any order of writers."""

from collections.abc import Callable
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headstay.local.server.patch import managers as book
from headstay.local.server.patch.apply import server_side_apply
from headstay.local.server.patch.compare import compare
from headstay.local.server.patch.fieldset import Path
from headstay.local.server.patch.managed import track
from headstay.local.server.patch.typed import fields_of
from headstay.local.server.seams import Schema
from headstay.model.errors import StatusError
from headstay.model.objects import Obj

T0 = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
names = st.sampled_from(["a", "b", "c", "d"])
texts = st.sampled_from(["1", "2"])
strings = st.dictionaries(names, texts, max_size=3)


def named(fields: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[list[Obj]]:
    item = st.fixed_dictionaries({"name": names}, optional=fields)
    return st.lists(item, max_size=3, unique_by=lambda i: i["name"])


containers = named(
    {
        "image": texts,
        "command": st.lists(names, max_size=2),
        "env": named({"value": texts}),
        "resources": st.fixed_dictionaries({}, optional={"limits": strings}),
    }
)
documents = st.builds(
    lambda meta, spec: {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", **meta}, "spec": spec},
    st.fixed_dictionaries({}, optional={"labels": strings, "finalizers": st.lists(names, unique=True, max_size=3)}),
    st.fixed_dictionaries({}, optional={"containers": containers, "nodeSelector": strings, "hostname": texts}),
)
writers = st.sampled_from(["one", "two", "three"])


def apply(schema: Schema, live: Obj | None, applied: Obj, manager: str, minute: int = 0, *, force: bool = True) -> Obj:
    now = T0 + timedelta(minutes=minute)
    return server_side_apply(schema, live, applied, manager=manager, force=force, api_version="v1", now=now)


def update(schema: Schema, live: Obj, new: Obj, minute: int) -> Obj:
    written = deepcopy(new)
    written["metadata"]["managedFields"] = live["metadata"].get("managedFields")
    track(schema, live, written, manager="editor", api_version="v1", now=T0 + timedelta(minutes=minute))
    return written


def owned(obj: Obj, manager: str) -> set[Path]:
    entries = book.decode(obj["metadata"].get("managedFields"))
    return {path for who, entry in entries.items() if who.name == manager for path in entry.fields.paths()}


def plain(obj: Obj) -> Obj:
    meta = {key: value for key, value in obj["metadata"].items() if key != "managedFields"}
    return obj | {"metadata": meta}


@settings(max_examples=40, deadline=None)
@given(first=documents, second=documents)
def test_an_apply_is_idempotent(kind: Callable[[str], Schema], first: Obj, second: Obj) -> None:
    schema = kind("core.v1.Pod")
    live = apply(schema, apply(schema, None, first, "one"), second, "two", 1)
    assert apply(schema, live, second, "two", 2) == live


@settings(max_examples=40, deadline=None)
@given(first=documents, second=documents)
def test_a_lone_applier_gets_what_it_applied_and_nothing_else(
    kind: Callable[[str], Schema], first: Obj, second: Obj
) -> None:
    schema = kind("core.v1.Pod")
    live = apply(schema, apply(schema, None, first, "one"), second, "one", 1)
    wanted, found = fields_of(schema, second), fields_of(schema, plain(live))
    assert {path for path in found.difference(wanted).paths() if path[0] != "f:metadata" or len(path) > 2} <= {
        path for path in fields_of(schema, first).paths() if any(other[: len(path)] == path for other in wanted.paths())
    }
    assert not compare(schema, second, plain(live)).modified
    assert not compare(schema, second, plain(live)).removed.difference(_empties(schema, second))


def _empties(schema: Schema, obj: Obj) -> Any:
    """Lists and maps that are there but empty: an apply of nothing below them is an apply of nothing."""
    return compare(schema, obj, _pruned(obj)).removed


def _pruned(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: inner for key, item in value.items() if (inner := _pruned(item)) not in ({}, [])}
    return [_pruned(item) for item in value] if isinstance(value, list) else value


@settings(max_examples=40, deadline=None)
@given(mine=documents, theirs=documents, less=documents, edit=documents)
def test_what_others_hold_survives_an_apply_that_takes_our_fields_back(
    kind: Callable[[str], Schema], mine: Obj, theirs: Obj, less: Obj, edit: Obj
) -> None:
    schema = kind("core.v1.Pod")
    live = apply(schema, apply(schema, None, mine, "one"), theirs, "two", 1)
    live = update(schema, live, live | {"spec": edit["spec"]}, 2)
    before = {manager: owned(live, manager) for manager in ("two", "editor")}
    after = apply(schema, live, less, "one", 3)
    there = set(fields_of(schema, plain(after), empty_lists=True).paths())
    taken = set(compare(schema, plain(live), plain(after)).written.paths())
    ours, others = owned(live, "one"), before["two"] | before["editor"]
    items = {path for path in ours - others if path[-1].startswith(("k:", "v:"))}
    for manager, held in before.items():
        kept = owned(after, manager)
        assert {path for path in kept if not path[-1].startswith("f:")} <= there
        assert kept <= held - taken
        for path in held - taken - kept:
            assert any(path[: len(item)] == item for item in items), "only what is in an item that was ours alone goes"


@settings(max_examples=40, deadline=None)
@given(mine=documents, theirs=documents)
def test_there_is_a_conflict_exactly_where_a_held_value_would_change(
    kind: Callable[[str], Schema], mine: Obj, theirs: Obj
) -> None:
    schema = kind("core.v1.Pod")
    live = apply(schema, None, theirs, "two")
    forced = apply(schema, live, mine, "one", 1)
    lost = owned(live, "two") - owned(forced, "two")
    if lost:
        with pytest.raises(StatusError) as refused:
            apply(schema, live, mine, "one", 1, force=False)
        assert refused.value.code == 409
        assert len(refused.value.causes) == len(lost)
    else:
        assert apply(schema, live, mine, "one", 1, force=False) == forced


@settings(max_examples=40, deadline=None)
@given(steps=st.lists(st.tuples(writers, documents, st.booleans()), min_size=1, max_size=5))
def test_managed_fields_never_name_a_field_that_is_not_there(
    kind: Callable[[str], Schema], steps: list[tuple[str, Obj, bool]]
) -> None:
    schema = kind("core.v1.Pod")
    live = apply(schema, None, steps[0][1], steps[0][0])
    for minute, (manager, document, by_apply) in enumerate(steps[1:], start=1):
        live = apply(schema, live, document, manager, minute) if by_apply else update(schema, live, document, minute)
    everything = compare(schema, {"metadata": {}}, plain(live)).added
    for manager in ("one", "two", "three", "editor"):
        for path in owned(live, manager):
            assert path in everything or path[:1] == ("f:spec",), path


@settings(max_examples=40, deadline=None)
@given(old=documents, new=documents)
def test_a_comparison_of_equals_is_empty_and_each_path_is_in_one_part(
    kind: Callable[[str], Schema], old: Obj, new: Obj
) -> None:
    schema = kind("core.v1.Pod")
    changes = compare(schema, old, new)
    parts = [set(part.paths()) for part in changes]
    assert sum(map(len, parts)) == len(set().union(*parts))
    assert bool(changes) == (_sorted(old) != _sorted(new))
    assert not compare(schema, old, deepcopy(old))


def _sorted(value: Any) -> Any:
    """Order in keyed lists and sets is nobody's field."""
    if isinstance(value, dict):
        return {key: sorted(item) if key == "finalizers" else _sorted(item) for key, item in value.items()}
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return sorted(map(_sorted, value), key=lambda item: str(item.get("name")))
    return value
