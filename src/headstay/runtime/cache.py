"""What a reflector holds: decoded views by key, by namespace and by any declared index.

Reads are plain calls that never wait. What they return is shared: treat it as frozen.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Generic, Protocol, TypeAlias, TypeVar

from headstay.model.meta import ObjectMeta
from headstay.model.objects import ObjectKey


class HasMetadata(Protocol):
    metadata: ObjectMeta


T = TypeVar("T", bound=HasMetadata)

Change: TypeAlias = tuple[T | None, T | None]
"""(old, new): (None, x) was added, (x, y) changed, (x, None) is gone."""
Changes: TypeAlias = list[Change[T]]
Items: TypeAlias = list[T]


def version_number(version: str) -> int | None:
    """A resourceVersion that can be ordered, or None where the server's versions are not numbers."""
    return int(version) if version.isascii() and version.isdigit() else None


class Cache(Generic[T]):
    def __init__(self, indexes: Mapping[str, Callable[[T], Iterable[str]]] | None = None) -> None:
        self.synced = asyncio.Event()
        """Set once the first list is in; an empty cache before that says nothing."""
        self.version = ""
        """The resourceVersion up to which the cache holds everything: a write at or below it has been seen."""
        self._items: dict[ObjectKey, T] = {}
        self._by_namespace: dict[str, dict[ObjectKey, T]] = {}
        self._index_functions: dict[str, Callable[[T], Iterable[str]]] = {}
        self._indexes: dict[str, dict[str, dict[ObjectKey, T]]] = {}
        for name, function in (indexes or {}).items():
            self.add_index(name, function)

    def __len__(self) -> int:
        return len(self._items)

    def covers(self, version: str) -> bool:
        """Whether a write that was given `version` has been seen; False where versions cannot be ordered."""
        here, there = version_number(self.version), version_number(version)
        return here is not None and there is not None and here >= there

    def get(self, key: ObjectKey) -> T | None:
        return self._items.get(key)

    def list(self, namespace: str = "") -> Items[T]:
        """All objects, or those of one namespace."""
        items = self._by_namespace.get(namespace, {}) if namespace else self._items
        return list(items.values())

    def by_index(self, index: str, value: str) -> Items[T]:
        """The objects whose index function yielded `value`. KeyError for an index nobody declared."""
        return list(self._indexes[index].get(value, {}).values())

    def count(self, index: str, value: str) -> int:
        """How many `by_index` would return."""
        return len(self._indexes[index].get(value, ()))

    def add_index(self, name: str, function: Callable[[T], Iterable[str]]) -> None:
        """Declares an index; what is already held is indexed too. The same function may be declared twice."""
        if name in self._index_functions:
            if self._index_functions[name] is not function:
                raise ValueError(f"the index {name!r} already means something else")
            return
        self._index_functions[name] = function
        self._indexes[name] = {}
        for key, item in self._items.items():
            for value in function(item):
                self._indexes[name].setdefault(value, {})[key] = item

    def replace(self, fresh: Mapping[ObjectKey, T]) -> Changes[T]:
        """Makes the cache hold exactly `fresh`; the changes, deletions first."""
        changes: Changes[T] = []
        for key, old in list(self._items.items()):
            new = fresh.get(key)
            if new is None or new.metadata.uid != old.metadata.uid:
                self._drop(key)
                changes.append((old, None))
        for key, new in fresh.items():
            old_now = self._items.get(key)
            if old_now is new:
                continue
            self._set(key, new)
            changes.append((old_now, new))
        return changes

    def put(self, new: T) -> Changes[T]:
        """Takes in one object, unless what is held is newer."""
        key = ObjectKey(new.metadata.namespace, new.metadata.name)
        old = self._items.get(key)
        if old is None:
            self._set(key, new)
            return [(None, new)]
        if _is_newer(old.metadata, new.metadata):
            return []
        if old.metadata.uid != new.metadata.uid:
            self._set(key, new)
            return [(old, None), (None, new)]
        self._set(key, new)
        return [(old, new)]

    def remove(self, last: ObjectMeta) -> Changes[T]:
        """Takes out the object whose last metadata was `last`, unless a newer one has taken its name."""
        key = ObjectKey(last.namespace, last.name)
        old = self._items.get(key)
        if old is None or (old.metadata.uid != last.uid and _is_newer(old.metadata, last)):
            return []
        self._drop(key)
        return [(old, None)]

    def _set(self, key: ObjectKey, new: T) -> None:
        if key in self._items:
            self._drop(key)
        self._items[key] = new
        self._by_namespace.setdefault(key.namespace, {})[key] = new
        for name, function in self._index_functions.items():
            for value in function(new):
                self._indexes[name].setdefault(value, {})[key] = new

    def _drop(self, key: ObjectKey) -> None:
        old = self._items.pop(key)
        _discard(self._by_namespace, key.namespace, key)
        for name, function in self._index_functions.items():
            for value in function(old):
                _discard(self._indexes[name], value, key)


def _discard(index: dict[str, dict[ObjectKey, T]], value: str, key: ObjectKey) -> None:
    entries = index.get(value)
    if entries is not None:
        entries.pop(key, None)
        if not entries:
            del index[value]


def _is_newer(held: ObjectMeta, other: ObjectMeta) -> bool:
    """`held` is of a later or the same version; False where versions cannot be ordered."""
    mine, theirs = version_number(held.resource_version), version_number(other.resource_version)
    return mine is not None and theirs is not None and mine >= theirs
