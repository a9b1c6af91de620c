"""One append-only log in SQLite: every write is a row, and the row's id is the resourceVersion.

The store knows tables, keys, bytes and revisions, and nothing of Kubernetes. Invariants:

- Revisions only grow, also over restarts and compaction.
- A row names its predecessor (`prev`), and (key, prev) is unique: the database itself is the compare-and-swap.
- A write that returned is in the operating system's hands (WAL, synchronous=NORMAL): a killed process loses
  nothing, a power cut may lose the last moments but never the order.
- State and history at any revision not below `floor` can be read; below it they are refused, never guessed.

One process, one thread writes. The current state is also held in memory, as the encoded bytes.
"""

import sqlite3
import weakref
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from headstay.local.server.table import Entry, Labels, Table

_SCHEMA = """
CREATE TABLE IF NOT EXISTS log (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    key TEXT NOT NULL,
    prev INTEGER NOT NULL,
    deleted INTEGER NOT NULL,
    value BLOB NOT NULL,
    UNIQUE (key, prev)
);
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
"""


class StoreKey(NamedTuple):
    """`table` is a resource such as `pods` or `deployments.apps`; none of the three contains a slash."""

    table: str
    namespace: str
    name: str

    @property
    def text(self) -> str:
        return f"{self.table}/{self.namespace}/{self.name}"

    @classmethod
    def parse(cls, text: str) -> "StoreKey":
        table, namespace, name = text.split("/", 2)
        return cls(table, namespace, name)


class Change(NamedTuple):
    """`previous` is None for a create. When `deleted`, `entry` is the last state, at the deletion's revision."""

    key: StoreKey
    entry: Entry
    previous: Entry | None
    deleted: bool


class RevisionConflictError(Exception):
    """The key is not at the revision that the writer expected; `current` is 0 where there is none."""

    def __init__(self, key: StoreKey, expected: int, current: int) -> None:
        super().__init__(f"{key.text} is at revision {current}, not {expected}")
        self.current = current


class CompactedError(Exception):
    """The revision asked for is below `floor`."""

    def __init__(self, revision: int, floor: int) -> None:
        super().__init__(f"revision {revision} was compacted; the oldest one kept is {floor}")
        self.floor = floor


class Store:
    """`labels_of` reads the labels of a stored value, so that selectors need not decode whole objects."""

    def __init__(self, database: Path | str, labels_of: Callable[[bytes], Labels]) -> None:
        self._labels_of = labels_of
        self._listeners: list[Callable[[Change], None]] = []
        self._tables: dict[str, Table] = {}
        self._db = sqlite3.connect(
            str(database), isolation_level=None, timeout=30, cached_statements=64, check_same_thread=False
        )
        # A store that is let go of closes its file: an open one is a warning since Python 3.13. The garbage collector
        # may do so on any thread, hence check_same_thread=False; everything else stays on the loop's.
        self.close = weakref.finalize(self, self._db.close)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.execute("PRAGMA journal_size_limit = 16777216")
        self._db.executescript(_SCHEMA)
        self.floor = self._read_floor()
        self.revision = max(self._last_id(), self.floor)
        self._compacted = 0  # the rows up to here have been looked at; not stored: see `compact`
        self._load()

    # --- reading -------------------------------------------------------------------------------------------

    def get(self, key: StoreKey) -> Entry | None:
        table = self._tables.get(key.table)
        return table.entries.get(f"{key.namespace}/{key.name}") if table else None

    def entries(self, table: str, namespace: str = "", after: str = "") -> Iterator[tuple[StoreKey, Entry]]:
        """Current entries in the log's order, of one namespace or of all; `after` is a "namespace/name"."""
        found = self._tables.get(table)
        return _read(table, found, found.paths(namespace, after)) if found else iter(())

    def count_labelled(self, table: str, key: str, values: Iterable[str]) -> int:
        """How many entries `labelled` would give."""
        found = self._tables.get(table)
        return found.count_labelled(key, values) if found else 0

    def labelled(self, table: str, key: str, values: Iterable[str]) -> Iterator[tuple[StoreKey, Entry]]:
        """Current entries, in the log's order, that have one of `values` for the label `key`."""
        found = self._tables.get(table)
        return _read(table, found, found.labelled(key, values)) if found else iter(())

    def count(self, table: str, namespace: str = "") -> int:
        found = self._tables.get(table)
        return found.count(namespace) if found else 0

    def tables(self) -> list[str]:
        return sorted(self._tables)

    def list_at(
        self, table: str, namespace: str, revision: int, *, after: str, limit: int
    ) -> list[tuple[StoreKey, Entry]]:
        """At most `limit` entries beyond `after`, as they were at `revision`. Raises CompactedError."""
        self._check_kept(revision)
        low = f"{table}/{after}" if after else f"{table}/{namespace}/" if namespace else f"{table}/"
        high = f"{table}/{namespace}0" if namespace else f"{table}0"  # "0" is the character after "/"
        rows = self._db.execute(
            "SELECT l.key, l.id, l.value FROM log l WHERE l.key > ? AND l.key < ? AND l.deleted = 0 AND l.id = "
            "(SELECT max(m.id) FROM log m WHERE m.key = l.key AND m.id <= ?) ORDER BY l.key LIMIT ?",
            (low, high, revision, limit),
        )
        return [(StoreKey.parse(key), self._entry(row_id, value)) for key, row_id, value in rows]

    def since(self, table: str, revision: int, *, until: int, limit: int) -> list[Change]:
        """The first `limit` changes after `revision`, up to and including `until`. Raises CompactedError."""
        self._check_kept(revision)
        rows = self._db.execute(
            "SELECT l.id, l.key, l.deleted, l.value, p.id, p.deleted, p.value "
            "FROM log l NOT INDEXED LEFT JOIN log p ON p.id = l.prev "
            "WHERE l.id > ? AND l.id <= ? AND l.key > ? AND l.key < ? ORDER BY l.id LIMIT ?",
            (revision, until, f"{table}/", f"{table}0", limit),
        )
        return [
            Change(
                StoreKey.parse(key),
                self._entry(row_id, value),
                self._entry(prev_id, prev_value) if prev_id and not prev_deleted else None,
                bool(deleted),
            )
            for row_id, key, deleted, value, prev_id, prev_deleted, prev_value in rows
        ]

    def _check_kept(self, revision: int) -> None:
        if revision < self.floor:
            raise CompactedError(revision, self.floor)

    # --- writing -------------------------------------------------------------------------------------------

    def put(self, key: StoreKey, render: Callable[[int], bytes], *, expected: int) -> Entry:
        """Writes what `render` makes of the new revision. `expected` is the current revision, 0 for "none"."""
        previous = self._check_current(key, expected)
        entry = self._append(key, render, previous, deleted=False)
        self._tables.setdefault(key.table, Table()).set(f"{key.namespace}/{key.name}", entry)
        self._tell(Change(key, entry, previous, deleted=False))
        return entry

    def delete(self, key: StoreKey, render: Callable[[int], bytes], *, expected: int) -> Entry:
        """Removes the key; `render` makes the last state that watchers see."""
        previous = self._check_current(key, expected)
        if previous is None:
            raise RevisionConflictError(key, expected, 0)
        entry = self._append(key, render, previous, deleted=True)
        self._tables[key.table].remove(f"{key.namespace}/{key.name}")
        self._tell(Change(key, entry, previous, deleted=True))
        return entry

    def on_change(self, listener: Callable[[Change], None]) -> None:
        """Calls `listener` after each write, before the writer gets its answer, in the order of revisions."""
        self._listeners.append(listener)

    def _check_current(self, key: StoreKey, expected: int) -> Entry | None:
        current = self.get(key)
        at = current.revision if current else 0
        if at != expected:
            raise RevisionConflictError(key, expected, at)
        return current

    def _append(self, key: StoreKey, render: Callable[[int], bytes], previous: Entry | None, *, deleted: bool) -> Entry:
        revision = self.revision + 1
        value = render(revision)
        before = previous.revision if previous else self._last_of(key)
        self._db.execute(
            "INSERT INTO log (id, key, prev, deleted, value) VALUES (?, ?, ?, ?, ?)",
            (revision, key.text, before, deleted, value),
        )
        self.revision = revision
        return self._entry(revision, value)

    def _last_of(self, key: StoreKey) -> int:
        """The deletion that a new object of an old name follows, unless it was compacted."""
        row = self._db.execute("SELECT id FROM log WHERE key = ? ORDER BY prev DESC LIMIT 1", (key.text,)).fetchone()
        return int(row[0]) if row else 0

    def _tell(self, change: Change) -> None:
        for listener in self._listeners:
            listener(change)

    # --- compaction ----------------------------------------------------------------------------------------

    def compact(self, *, keep: int, batch: int) -> bool:
        """Drops what no revision from `revision - keep` on needs, going on over the next `batch` rows: is there more?

        Each row is looked at once, when it falls behind: it is what its predecessor was kept for. The floor is raised
        first: a crash between the two leaves rows that nobody may read, and a new process looks at all of them.
        """
        target = max(self.revision - keep, self.floor)
        if target > self.floor:
            self._db.execute("INSERT OR REPLACE INTO meta (name, value) VALUES ('floor', ?)", (target,))
            self.floor = target
        (last,) = self._db.execute(
            "SELECT max(id) FROM (SELECT id FROM log WHERE id > ? AND id <= ? ORDER BY id LIMIT ?)",
            (self._compacted, target, batch),
        ).fetchone()
        if last is None:
            return False
        self._db.execute(
            "DELETE FROM log WHERE id IN (SELECT prev FROM log WHERE id > ?1 AND id <= ?2 "
            "UNION SELECT id FROM log WHERE id > ?1 AND id <= ?2 AND deleted = 1)",
            (self._compacted, last),
        )
        self._compacted = int(last)
        return True

    # --- loading -------------------------------------------------------------------------------------------

    def _read_floor(self) -> int:
        row = self._db.execute("SELECT value FROM meta WHERE name = 'floor'").fetchone()
        return int(row[0]) if row else 0

    def _last_id(self) -> int:
        row = self._db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'log'").fetchone()
        return int(row[0]) if row else 0

    def _load(self) -> None:
        rows = self._db.execute(
            "SELECT key, id, value FROM log WHERE deleted = 0 AND id IN (SELECT max(id) FROM log GROUP BY key) "
            "ORDER BY key"
        )
        for text, row_id, value in rows:
            key = StoreKey.parse(text)
            table = self._tables.setdefault(key.table, Table())
            table.set(f"{key.namespace}/{key.name}", self._entry(row_id, value))

    def _entry(self, revision: int, value: bytes) -> Entry:
        return Entry(revision, value, self._labels_of(value))


def _read(name: str, table: Table, paths: Iterable[str]) -> Iterator[tuple[StoreKey, Entry]]:
    """Each entry as it is when its turn comes; one that has gone by then is passed over."""
    for path in paths:
        if entry := table.entries.get(path):
            namespace, _, key = path.partition("/")
            yield StoreKey(name, namespace, key), entry
