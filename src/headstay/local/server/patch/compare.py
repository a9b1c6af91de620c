"""What changed between two states of an object, as sets of fields: who writes the change owns these."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any, Literal, NamedTuple

from headstay.local.server import codec
from headstay.local.server.patch import fieldset
from headstay.local.server.patch.fieldset import EMPTY, FieldSet
from headstay.local.server.patch.typed import MISSING, Shape, child_schema, elements, is_empty, shape
from headstay.local.server.seams import Schema


class Comparison(NamedTuple):
    """No path is in more than one of the three."""

    added: FieldSet
    modified: FieldSet
    removed: FieldSet

    def __bool__(self) -> bool:
        return bool(self.added or self.modified or self.removed)

    @property
    def written(self) -> FieldSet:
        return self.added.union(self.modified)


NOTHING = Comparison(EMPTY, EMPTY, EMPTY)
_REMEMBERED_BYTES = 16 * 1024
"""Larger ones (the data of a ConfigMap) seldom come twice, and would hold much memory."""

_Own = Literal["", "added", "modified", "removed", "added and removed"]
"""What became of the path itself, apart from what is below it."""


def compare(schema: Schema | None, old: Any, new: Any) -> Comparison:
    return _compare(schema, old, new, 0)[1]


def _compare(schema: Schema | None, old: Any, new: Any, depth: int) -> tuple[_Own, Comparison]:
    """What became of a value, and of everything below it. The two are apart since the whole object has no path."""
    if old is new:
        return "", NOTHING
    if depth == 1 and (told := _told_by_bytes(schema, old, new)):
        return told
    if old is MISSING:
        return "added", Comparison(_everything(schema, new), EMPTY, EMPTY)
    if new is MISSING:
        return "removed", Comparison(EMPTY, EMPTY, _everything(schema, old))
    before, after = _own_shape(schema, old), _own_shape(schema, new)
    if before and after and before != after:
        return _own(old, new), Comparison(_everything(schema, new), EMPTY, _everything(schema, old))
    how = after or before or "leaf"
    if how == "leaf" or (is_empty(old) and is_empty(new)):
        return _own(old, new), NOTHING
    if how == "map":
        return "", _collected(_map_parts(schema, old, new, depth))
    return "", _collected(_list_parts(schema, old, new, depth)) if schema is not None else NOTHING


def _own(old: Any, new: Any) -> _Own:
    return "" if same(old, new) else "modified"


_Part = tuple[str, _Own, Comparison]


def _map_parts(schema: Schema | None, old: Any, new: Any, depth: int) -> Iterator[_Part]:
    before = old if isinstance(old, dict) else {}
    after = new if isinstance(new, dict) else {}
    for name in before.keys() | after.keys():
        left, right = before.get(name, MISSING), after.get(name, MISSING)
        yield fieldset.field(name), *_compare(child_schema(schema, name), left, right, depth + 1)


def _list_parts(schema: Schema, old: Any, new: Any, depth: int) -> Iterator[_Part]:
    before, after = _by_element(schema, old), _by_element(schema, new)
    for element in before.keys() | after.keys():
        left, right = before.get(element, []), after.get(element, [])
        if len(left) <= 1 and len(right) <= 1:
            pair = left[0] if left else MISSING, right[0] if right else MISSING
            yield element, *_compare(schema.items, *pair, depth + 1)
        else:
            yield element, *_duplicates(schema, left, right)


def _duplicates(schema: Schema, left: list[Any], right: list[Any]) -> tuple[_Own, Comparison]:
    """The same key more than once, which old data may have: such a group is one value."""
    if len(left) > 1 and len(right) > 1:
        return _own(left, right), NOTHING
    if len(left) > 1:
        if not right:
            return "removed", NOTHING
        return "added and removed", Comparison(_everything(schema.items, right[0]), EMPTY, EMPTY)
    if not left:
        return "added", NOTHING
    return "added and removed", Comparison(EMPTY, EMPTY, _everything(schema.items, left[0]))


def _collected(parts: Iterable[_Part]) -> Comparison:
    members: dict[str, list[str]] = {"added": [], "modified": [], "removed": []}
    children: list[dict[str, FieldSet]] = [{}, {}, {}]
    changed = False
    for element, own, below in parts:
        if own:
            changed = True
            for kind in own.split(" and "):
                members[kind].append(element)
        if below is not NOTHING:
            changed = True
            for found, tree in zip(children, below, strict=True):
                if tree:
                    found[element] = tree
    return Comparison(*map(FieldSet, members.values(), children)) if changed else NOTHING


def _everything(schema: Schema | None, value: Any) -> FieldSet:
    """Every path below `value`, which has come or gone as a whole."""
    match _own_shape(schema, value):
        case "map":
            parts = [(fieldset.field(name), child_schema(schema, name), item) for name, item in value.items()]
        case "list" if schema is not None:
            # Of a key that stands there more than once nothing below is told apart.
            groups = _by_element(schema, value).items()
            parts = [(element, schema.items, group[0] if len(group) == 1 else None) for element, group in groups]
        case _:
            return EMPTY
    below = ((element, _everything(inner, item)) for element, inner, item in parts if item)
    return FieldSet((element for element, _, _ in parts), {element: tree for element, tree in below if tree})


def _told_by_bytes(schema: Schema | None, old: Any, new: Any) -> tuple[_Own, Comparison] | None:
    """Most writes leave most top-level fields alone, and all Pods of a template begin alike."""
    if not isinstance(old, dict) or not isinstance(new, dict):
        return None
    before, after = codec.encode(old), codec.encode(new)
    if before == after:
        return "", NOTHING
    return _remembered(schema, before, after) if len(before) + len(after) <= _REMEMBERED_BYTES else None


@lru_cache(maxsize=128)
def _remembered(schema: Schema | None, old: bytes, new: bytes) -> tuple[_Own, Comparison]:
    return _compare(schema, codec.decode(old), codec.decode(new), 2)


def _own_shape(schema: Schema | None, value: Any) -> Shape | None:
    return None if value is MISSING or value is None else shape(schema, value)


def _by_element(schema: Schema, items: Any) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = defaultdict(list)
    if isinstance(items, list):
        for element, item in zip(elements(schema, items), items, strict=True):
            found[element].append(item)
    return found


def same(one: Any, other: Any) -> bool:
    """Equal as JSON: 1 is 1.0, but not true."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(item, other[name]) for name, item in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(same(a, b) for a, b in zip(one, other, strict=True))
    found: bool = one == other
    return found
