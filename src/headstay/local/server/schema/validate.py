"""Values against a schema: types, required fields, checks, combinations, uniqueness.

On an update, what has not changed is not judged again (Kubernetes' validation ratcheting): an object stored under
an older schema can still be patched and deleted. Kubernetes' own types are judged for required fields only; their
types were settled by decoding, and the rest is their strategies' business.
"""

import json
from collections.abc import Iterator
from typing import Any

from headstay.local.server import codec
from headstay.local.server.schema import fields
from headstay.local.server.schema.fields import child
from headstay.local.server.schema.formats import FORMATS
from headstay.local.server.schema.node import Combination, Node
from headstay.local.server.strategies.names import dns_1035_label
from headstay.model.errors import Cause
from headstay.model.objects import Obj

_ELSEWHERE = frozenset({"metadata", "status"})
"""Metadata is judged alike for every kind, by the server's core; a status of Kubernetes' own is taken as it is."""
_GO_FORMATS = {"integer": "int64", "number": "double"}
"""What a value of the wrong type is called where the schema has a format."""
ABSENT: Any = object()
"""Stands for "there is no old value"; None is a value (null)."""


def validate(node: Node, obj: Obj, old: Obj | None) -> list[Cause]:
    causes: list[Cause] = []
    if node.native:
        _native_missing(node, obj, "", causes)
        judged = obj.keys() - _ELSEWHERE - set(codec.unchanged(obj, old) if old else ())
        _native_required_below(node, {key: value for key, value in obj.items() if key in judged}, "", causes)
    else:
        judge(node, obj, ABSENT if old is None else old, "", causes)
    return causes


def judge(node: Node, value: Any, old: Any, path: str, causes: list[Cause]) -> None:
    """Adds what is wrong with `value` and everything below it."""
    if old is not ABSENT and same_document(value, old):
        return
    if node.native:
        if isinstance(value, dict) and path not in _ELSEWHERE:
            _native_required(node, value, path, causes)
        return
    if value is None:
        _null(node, path, causes)
        return
    _type(node, value, path, causes)
    if node.combination is not None:
        _combination(node.combination, value, path, causes)
    for check in node.checks:
        check(value, path, causes)
    if isinstance(value, dict):
        _object(node, value, old, path, causes)
    elif isinstance(value, list):
        _list(node, value, old, path, causes)


def same_document(one: Any, other: Any) -> bool:
    """JSON equality; Python's own would take true for 1."""
    if one != other:
        return False
    if isinstance(one, dict):
        return all(same_document(value, other[key]) for key, value in one.items())
    if isinstance(one, list):
        return all(map(same_document, one, other))
    return isinstance(one, bool) == isinstance(other, bool)


def _null(node: Node, path: str, causes: list[Cause]) -> None:
    if node.nullable:
        if node.checks:
            for check in node.checks:
                check(None, path, causes)
    elif node.type:
        causes.append(fields.type_invalid(path, "null", f'{path} in body must be of type {node.type}: "null"'))


def json_type(value: Any) -> str:
    match value:
        case bool():
            return "boolean"
        case str():
            return "string"
        case dict():
            return "object"
        case list():
            return "array"
        case int():
            return "integer"
        case float():
            return "number"
    return "null"


def _type(node: Node, value: Any, path: str, causes: list[Cause]) -> None:
    expected: str = "integer,string" if node.int_or_string else node.type
    if not expected:
        return
    found = json_type(value)
    if found == expected:
        return
    if found == "integer" and expected == "number":
        return
    if found == "number" and "integer" in expected and value == int(value):
        return
    if node.int_or_string and found in ("integer", "string"):
        return
    if node.format in FORMATS and found not in ("string", "array"):
        expected, found = node.format, _GO_FORMATS.get(found, "")
    causes.append(fields.type_invalid(path, found, f'{path} in body must be of type {expected}: "{found}"'))


def _object(node: Node, value: Obj, old: Any, path: str, causes: list[Cause]) -> None:
    causes.extend(fields.required(child(path, name)) for name in node.required if name not in value)
    if node.embedded:
        _embedded(value, path, causes)
    before = old if isinstance(old, dict) else {}
    for name, item in value.items():
        known = node.properties.get(name) or node.additional
        if known is not None:
            judge(known, item, before.get(name, ABSENT), child(path, name), causes)


def _embedded(value: Obj, path: str, causes: list[Cause]) -> None:
    for name in ("apiVersion", "kind"):
        at, found = child(path, name), value.get(name)
        if name not in value:
            causes.append(fields.required(at, "must not be empty"))
        elif found == "":
            causes.append(fields.invalid(at, found, "must not be empty"))
        elif name == "kind" and isinstance(found, str) and (complaints := dns_1035_label(found.lower())):
            detail = f"may have mixed case, but should otherwise match: {','.join(complaints)}"
            causes.append(fields.invalid(at, found, detail))


def _list(node: Node, value: list[Any], old: Any, path: str, causes: list[Cause]) -> None:
    items = node.items
    if items is not None:
        for index, (item, before) in enumerate(zip(value, counterparts(node, value, old), strict=True)):
            judge(items, item, before, f"{path}[{index}]", causes)
    if node.list_type != "atomic":
        _unique(node, value, path, causes)


def counterparts(node: Node, value: list[Any], old: Any) -> Iterator[Any]:
    """For each item of a keyed list the old item with the same keys; items of other lists have none."""
    if node.list_type != "map" or not isinstance(old, list):
        yield from (ABSENT for _ in value)
        return
    before = {_identity(node, item): item for item in old}
    for item in value:
        yield before.get(_identity(node, item), ABSENT)


def _identity(node: Node, item: Any) -> str:
    if node.list_type == "map" and isinstance(item, dict):
        item = [item.get(key) for key in node.list_map_keys]
    return json.dumps(item, sort_keys=True)


def _unique(node: Node, value: list[Any], path: str, causes: list[Cause]) -> None:
    seen: dict[str, int] = {}
    for index, item in enumerate(value):
        identity = _identity(node, item)
        seen[identity] = seen.get(identity, 0) + 1
        if seen[identity] == 2:
            shown = item
            if node.list_type == "map" and isinstance(item, dict):
                shown = {key: item[key] for key in node.list_map_keys if key in item}
            causes.append(fields.duplicate(f"{path}[{index}]", shown))


def _failures(node: Node, value: Any, path: str) -> list[Cause]:
    causes: list[Cause] = []
    judge(node, value, ABSENT, path, causes)
    return causes


def _nearest(outcomes: list[list[Cause]]) -> list[Cause]:
    """The alternative that the value misses least."""
    return min(outcomes, key=len)


def _combination(combination: Combination, value: Any, path: str, causes: list[Cause]) -> None:
    def add(text: str) -> None:
        causes.append(fields.invalid(fields.NO_FIELD, "", f"{fields.quoted(path)} {text}"))

    if combination.any_of:
        outcomes = [_failures(choice, value, path) for choice in combination.any_of]
        if all(outcomes):
            add("must validate at least one schema (anyOf)")
            causes.extend(_nearest(outcomes))
    if combination.one_of:
        outcomes = [_failures(choice, value, path) for choice in combination.one_of]
        valid = sum(not outcome for outcome in outcomes)
        if valid == 0:
            add("must validate one and only one schema (oneOf). Found none valid")
            causes.extend(_nearest(outcomes))
        elif valid > 1:
            add(f"must validate one and only one schema (oneOf). Found {valid} valid alternatives")
    outcomes = [_failures(choice, value, path) for choice in combination.all_of]
    if any(outcomes):
        for outcome in outcomes:
            causes.extend(outcome)
        add(f"must validate all the schemas (allOf){'. None validated' if all(outcomes) else ''}")
    if combination.not_ is not None and not _failures(combination.not_, value, path):
        add("must not validate the schema (not)")


def _native_required(node: Node, value: Any, path: str, causes: list[Cause]) -> None:
    """Required fields of Kubernetes' own types, at this place and below it."""
    if isinstance(value, dict):
        _native_missing(node, value, path, causes)
        _native_required_below(node, value, path, causes)
    elif isinstance(value, list) and node.items is not None:
        for index, item in enumerate(value):
            if isinstance(item, dict | list):
                _native_required(node.items, item, f"{path}[{index}]", causes)


def _native_missing(node: Node, value: Obj, path: str, causes: list[Cause]) -> None:
    """Empty strings and lists are none, as Go cannot tell."""
    causes += [fields.required(child(path, name)) for name in node.required if value.get(name) in (None, "", [])]


def _native_required_below(node: Node, value: Obj, path: str, causes: list[Cause]) -> None:
    for name, item in value.items():
        if isinstance(item, dict | list) and (known := node.properties.get(name) or node.additional) is not None:
            _native_required(known, item, child(path, name), causes)
