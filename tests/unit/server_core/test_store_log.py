"""The log: revisions, compare-and-swap, history, compaction, and what outlives a process."""

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from headstay.local.server.store import Change, CompactedError, RevisionConflictError, Store, StoreKey


def no_labels(_value: bytes) -> dict[str, str]:
    return {}


def value(text: str) -> Callable[[int], bytes]:
    return lambda revision: f"{text}@{revision}".encode()


def key(name: str, namespace: str = "ns", table: str = "things") -> StoreKey:
    return StoreKey(table, namespace, name)


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "log.sqlite"


@pytest.fixture
def store(database: Path) -> Iterator[Store]:
    opened = Store(database, no_labels)
    yield opened
    opened.close()


def test_every_write_gets_the_next_revision_and_may_put_it_into_its_value(store: Store) -> None:
    first = store.put(key("a"), value("x"), expected=0)
    second = store.put(key("a"), value("y"), expected=first.revision)

    assert (first.revision, second.revision) == (1, 2)
    assert second.value == b"y@2"
    assert store.get(key("a")) == second


def test_a_write_at_another_revision_than_the_current_one_is_refused_with_the_current_one(store: Store) -> None:
    store.put(key("a"), value("x"), expected=0)

    with pytest.raises(RevisionConflictError) as refused:
        store.put(key("a"), value("y"), expected=0)
    assert refused.value.current == 1
    with pytest.raises(RevisionConflictError):
        store.delete(key("b"), value("y"), expected=0)
    assert store.revision == 1


def test_a_name_can_be_used_again_after_its_deletion(store: Store) -> None:
    first = store.put(key("a"), value("x"), expected=0)
    store.delete(key("a"), value("x"), expected=first.revision)
    again = store.put(key("a"), value("z"), expected=0)

    assert again.revision == 3
    assert [change.deleted for change in store.since("things", 0, until=3, limit=10)] == [False, True, False]


def test_entries_come_in_the_order_of_the_log_of_one_namespace_or_of_all(store: Store) -> None:
    for namespace, name in (("b", "1"), ("a-b", "2"), ("a", "3"), ("a", "1"), ("ab", "0")):
        store.put(key(name, namespace), value("x"), expected=0)
    store.put(key("1", "a", "others"), value("x"), expected=0)

    everything = [f"{k.namespace}/{k.name}" for k, _ in store.entries("things")]
    assert everything == sorted(everything)
    assert [k.name for k, _ in store.entries("things", "a")] == ["1", "3"]
    assert [k.name for k, _ in store.entries("things", "a", after="a/1")] == ["3"]
    assert [f"{k.namespace}/{k.name}" for k, _ in store.list_at("things", "", store.revision, after="", limit=10)] == (
        everything
    )


def test_a_list_at_an_older_revision_shows_that_moment(store: Store) -> None:
    a = store.put(key("a"), value("old"), expected=0)
    b = store.put(key("b"), value("old"), expected=0)
    store.put(key("a"), value("new"), expected=a.revision)
    store.delete(key("b"), value("old"), expected=b.revision)
    store.put(key("c"), value("new"), expected=0)

    assert [entry.value for _, entry in store.list_at("things", "ns", 2, after="", limit=10)] == [b"old@1", b"old@2"]
    assert [k.name for k, _ in store.list_at("things", "ns", 2, after="ns/a", limit=10)] == ["b"]


def test_history_tells_each_change_with_what_it_replaced(store: Store) -> None:
    a = store.put(key("a"), value("1"), expected=0)
    a = store.put(key("a"), value("2"), expected=a.revision)
    store.put(key("x", table="others"), value("1"), expected=0)
    store.delete(key("a"), value("3"), expected=a.revision)

    created, changed, deleted = store.since("things", 0, until=store.revision, limit=10)
    assert created.previous is None
    assert changed.previous is not None
    assert (changed.previous.value, changed.entry.value) == (b"1@1", b"2@2")
    assert deleted.deleted
    assert deleted.entry.value == b"3@4"
    assert store.since("things", 2, until=3, limit=10) == []


def test_listeners_hear_of_each_write_in_order_before_the_writer_does(store: Store) -> None:
    heard: list[Change] = []
    store.on_change(heard.append)
    entry = store.put(key("a"), value("1"), expected=0)
    assert [change.entry.revision for change in heard] == [entry.revision]


def test_everything_is_there_again_after_a_restart(database: Path) -> None:
    store = Store(database, no_labels)
    store.put(key("a"), value("1"), expected=0)
    b = store.put(key("b"), value("1"), expected=0)
    store.delete(key("b"), value("1"), expected=b.revision)
    store.close()

    again = Store(database, no_labels)
    assert again.revision == 3
    assert [k.name for k, _ in again.entries("things")] == ["a"]
    assert again.put(key("c"), value("1"), expected=0).revision == 4
    again.close()


def test_compaction_keeps_the_newest_revisions_and_refuses_what_is_older(store: Store) -> None:
    entry = store.put(key("a"), value("0"), expected=0)
    for turn in range(1, 10):
        entry = store.put(key("a"), value(str(turn)), expected=entry.revision)

    assert store.compact(keep=4, batch=100)
    assert not store.compact(keep=4, batch=100)
    assert store.floor == 6
    assert [change.entry.revision for change in store.since("things", 6, until=10, limit=10)] == [7, 8, 9, 10]
    with pytest.raises(CompactedError):
        store.since("things", 5, until=10, limit=10)
    with pytest.raises(CompactedError):
        store.list_at("things", "", 5, after="", limit=10)
    assert [e.value for _, e in store.list_at("things", "", 6, after="", limit=10)] == [b"5@6"]


def test_compaction_goes_in_small_batches_and_never_drops_a_current_object(store: Store) -> None:
    store.put(key("kept"), value("x"), expected=0)
    for turn in range(20):
        gone = store.put(key(f"g{turn}"), value("x"), expected=0)
        store.delete(key(f"g{turn}"), value("x"), expected=gone.revision)

    assert [store.compact(keep=1, batch=7) for _ in range(7)] == [True] * 6 + [False]
    assert [k.name for k, _ in store.entries("things")] == ["kept"]


def rows(database: Path) -> list[int]:
    with closing(sqlite3.connect(database)) as connection:
        return [row for (row,) in connection.execute("SELECT id FROM log ORDER BY id")]


def test_only_what_later_revisions_need_is_left_in_the_log(database: Path) -> None:
    store = Store(database, no_labels)
    store.put(key("still"), value("x"), expected=0)
    old = store.put(key("changes"), value("1"), expected=0)
    gone = store.put(key("gone"), value("x"), expected=0)
    store.delete(key("gone"), value("x"), expected=gone.revision)
    store.put(key("gone"), value("again"), expected=0)
    while store.compact(keep=0, batch=2):
        pass
    assert rows(database) == [1, 2, 5]

    store.put(key("changes"), value("2"), expected=old.revision)
    while store.compact(keep=0, batch=2):
        pass
    assert rows(database) == [1, 5, 6], "what fell behind later is dropped by what took its place"
    store.close()


def test_a_new_process_drops_what_a_compaction_that_was_cut_short_left(database: Path) -> None:
    store = Store(database, no_labels)
    entry = store.put(key("a"), value("0"), expected=0)
    for turn in range(1, 6):
        entry = store.put(key("a"), value(str(turn)), expected=entry.revision)
    store.compact(keep=0, batch=3)
    assert rows(database) == [3, 4, 5, 6]
    store.close()

    again = Store(database, no_labels)
    while again.compact(keep=0, batch=3):
        pass
    assert rows(database) == [6]
    again.close()


def test_revisions_do_not_go_back_when_all_newer_rows_were_compacted(database: Path) -> None:
    store = Store(database, no_labels)
    a = store.put(key("a"), value("x"), expected=0)
    store.delete(key("a"), value("x"), expected=a.revision)
    store.compact(keep=0, batch=100)
    store.close()

    again = Store(database, no_labels)
    assert (again.revision, again.floor) == (2, 2)
    assert again.put(key("a"), value("x"), expected=0).revision == 3
    again.close()


WRITER = """
import sys
from pathlib import Path
from headstay.local.server.store import Store, StoreKey

store = Store(Path(sys.argv[1]), lambda value: {})
turn = 0
while True:
    turn += 1
    store.put(StoreKey("things", "ns", f"n{turn}"), lambda revision: b"x" * 500, expected=0)
    sys.stdout.write(f"{turn}\\n")
    sys.stdout.flush()
"""


def test_an_acknowledged_write_survives_kill_9(database: Path) -> None:
    acknowledged = 0
    for _ in range(3):
        database.unlink(missing_ok=True)
        database.with_name("log.sqlite-wal").unlink(missing_ok=True)
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(database)], stdout=subprocess.PIPE, env=os.environ, text=True
        )
        assert writer.stdout is not None
        for line in writer.stdout:
            if int(line) >= 300:
                break
        writer.send_signal(signal.SIGKILL)
        rest = writer.stdout.read().splitlines()
        writer.stdout.close()
        writer.wait(timeout=10)
        acknowledged = int(rest[-1]) if rest else 300
        store = Store(database, no_labels)
        assert store.count("things") >= acknowledged >= 300
        store.close()


def test_a_store_let_go_of_may_be_closed_on_any_thread(store: Store) -> None:
    with ThreadPoolExecutor(1) as pool:
        pool.submit(store.close).result()
    assert not store.close.alive
