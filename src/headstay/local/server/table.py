"""The current entries of one table, in the log's order and by label, so that no reader has to look at all of them."""

from bisect import bisect_left, insort
from collections.abc import Iterable, Mapping
from typing import NamedTuple

Labels = Mapping[str, str]


class Entry(NamedTuple):
    """One version of an object. `value` already carries its revision, if the writer put it there."""

    revision: int
    value: bytes
    labels: Labels


class Table:
    """Paths are "namespace/name"."""

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        self._order: list[str] = []
        self._labelled: dict[tuple[str, str], set[str]] = {}

    def set(self, path: str, entry: Entry) -> None:
        before = self.entries.get(path)
        self.entries[path] = entry
        if before is None:
            insort(self._order, path)
            self._add_labels(path, entry.labels)
        elif before.labels != entry.labels:
            self._drop_labels(path, before.labels)
            self._add_labels(path, entry.labels)

    def remove(self, path: str) -> None:
        gone = self.entries.pop(path)
        del self._order[bisect_left(self._order, path)]
        self._drop_labels(path, gone.labels)

    def paths(self, namespace: str = "", after: str = "") -> list[str]:
        """Of one namespace or of all; a copy, which what is written later does not disturb."""
        start, end = self._bounds(namespace)
        if after:
            start = max(start, bisect_left(self._order, after + "\0"))
        return self._order[start:end]

    def count(self, namespace: str = "") -> int:
        start, end = self._bounds(namespace)
        return end - start

    def _bounds(self, namespace: str) -> tuple[int, int]:
        if not namespace:
            return 0, len(self._order)
        return bisect_left(self._order, f"{namespace}/"), bisect_left(self._order, f"{namespace}0")  # "0" follows "/"

    def count_labelled(self, key: str, values: Iterable[str]) -> int:
        """How many have one of `values` for the label `key`."""
        return sum(len(self._labelled.get((key, value), ())) for value in values)

    def labelled(self, key: str, values: Iterable[str]) -> list[str]:
        """Those, in the log's order."""
        return sorted(path for value in values for path in self._labelled.get((key, value), ()))

    def _add_labels(self, path: str, labels: Labels) -> None:
        for label in labels.items():
            self._labelled.setdefault(label, set()).add(path)

    def _drop_labels(self, path: str, labels: Labels) -> None:
        for label in labels.items():
            paths = self._labelled[label]
            paths.discard(path)
            if not paths:
                del self._labelled[label]
