"""What changed between two states of an object, as sets of fields: who writes the change owns these."""

from collections import defaultdict
from typing import Any, NamedTuple

from headstay.local.server import codec
from headstay.local.server.patch import fieldset
from headstay.local.server.patch.fieldset import FieldSet, Path
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


def compare(schema: Schema | None, old: Any, new: Any) -> Comparison:
    walk = _Walk()
    walk.compare(schema, old, new, ())
    return Comparison(FieldSet.of(walk.added), FieldSet.of(walk.modified), FieldSet.of(walk.removed))


class _Walk:
    def __init__(self) -> None:
        self.added: list[Path] = []
        self.modified: list[Path] = []
        self.removed: list[Path] = []

    def compare(self, schema: Schema | None, old: Any, new: Any, path: Path) -> None:
        if old is new or (len(path) == 1 and _written_alike(old, new)):
            return
        before, after = _own_shape(schema, old), _own_shape(schema, new)
        if before and after and before != after:
            self._parts(schema, old, MISSING, path, before)
            self._parts(schema, MISSING, new, path, after)
            self._leaf(old, new, path)
            return
        how = after or before or "leaf"
        if how == "leaf" or (is_empty(old) and is_empty(new)):
            self._leaf(old, new, path)
            return
        self._parts(schema, old, new, path, how)
        if old is MISSING:
            self.added.append(path)
        elif new is MISSING:
            self.removed.append(path)

    def _leaf(self, old: Any, new: Any, path: Path) -> None:
        if old is MISSING:
            self.added.append(path)
        elif new is MISSING:
            self.removed.append(path)
        elif not same(old, new):
            self.modified.append(path)

    def _parts(self, schema: Schema | None, old: Any, new: Any, path: Path, how: Shape) -> None:
        if how == "map":
            self._map(schema, old, new, path)
        elif how == "list" and schema is not None:
            self._list(schema, old, new, path)

    def _map(self, schema: Schema | None, old: Any, new: Any, path: Path) -> None:
        before = old if isinstance(old, dict) else {}
        after = new if isinstance(new, dict) else {}
        for name in before.keys() | after.keys():
            inner = (*path, fieldset.field(name))
            self.compare(child_schema(schema, name), before.get(name, MISSING), after.get(name, MISSING), inner)

    def _list(self, schema: Schema, old: Any, new: Any, path: Path) -> None:
        before, after = _by_element(schema, old), _by_element(schema, new)
        for element in before.keys() | after.keys():
            left, right = before.get(element, []), after.get(element, [])
            inner = (*path, element)
            if len(left) <= 1 and len(right) <= 1:
                self.compare(schema.items, left[0] if left else MISSING, right[0] if right else MISSING, inner)
            else:
                self._duplicates(schema, left, right, inner)

    def _duplicates(self, schema: Schema, left: list[Any], right: list[Any], path: Path) -> None:
        """The same key more than once, which old data may have: such a group is one value."""
        if len(left) > 1 and len(right) > 1:
            if not same(left, right):
                self.modified.append(path)
        elif len(left) > 1:
            if right:
                self.compare(schema.items, MISSING, right[0], path)
            self.removed.append(path)
        else:
            if left:
                self.compare(schema.items, left[0], MISSING, path)
            self.added.append(path)


def _written_alike(old: Any, new: Any) -> bool:
    """Most writes leave most top-level fields alone; that is seen faster in bytes than in a walk of both."""
    return old is not MISSING and new is not MISSING and codec.encode(old) == codec.encode(new)


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
