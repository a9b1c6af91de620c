"""Watches: one broadcaster, and a bounded buffer for each subscriber.

Invariants:
- A watcher that replays its events onto the state at its resourceVersion has exactly the state a list shows.
  No change is skipped: where one would be (a slow reader, a compacted revision), the watch ends with 410.
- A filtered watch speaks of the objects its filter selects: an object that stops matching is DELETED for it,
  one that begins to match is ADDED.
- A bookmark is only sent when everything up to its resourceVersion has been sent.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import NamedTuple

from headstay.local.server import codec, errors
from headstay.local.server.kinds import Served
from headstay.local.server.listing import Selection, candidates
from headstay.local.server.store import Change, CompactedError, Store
from headstay.local.server.table import Entry
from headstay.local.server.versions import presenter
from headstay.model.objects import Obj

BUFFER = 4096
"""Changes a subscriber may be behind. They are shared with the store, so that a buffer costs references only."""
BATCH = 128
INITIAL_EVENTS_END = "k8s.io/initial-events-end"


class Frame(NamedTuple):
    """One event of a watch; `object` is the encoded object in the version the watcher asked for."""

    type: str
    object: bytes


@dataclass(frozen=True)
class WatchOptions:
    """`resource_version` "" and "0" both mean: the current objects first, as ADDED."""

    resource_version: str = ""
    timeout_seconds: float = 1800.0
    allow_bookmarks: bool = False
    send_initial_events: bool | None = None
    bookmark_seconds: float = 45.0


class Subscription:
    """A subscriber's buffer. `closed` is set when no more will come; `overflowed` says that some were lost."""

    def __init__(self, wanted: Callable[[Change], bool], limit: int) -> None:
        self._wanted = wanted
        self._limit = limit
        self.changes: deque[Change] = deque()
        self.wake = asyncio.Event()
        self.overflowed = False
        self.closed = False

    def offer(self, change: Change) -> None:
        if self.overflowed or not self._wanted(change):
            return
        if len(self.changes) >= self._limit:
            self.overflowed = True
            self.changes.clear()
        else:
            self.changes.append(change)
        self.wake.set()

    def close(self) -> None:
        self.closed = True
        self.wake.set()


class Broadcaster:
    """Tells the subscribers of a table in the order they came, so that a run in virtual time can be told again."""

    def __init__(self, store: Store) -> None:
        self._subscriptions: dict[str, dict[Subscription, None]] = {}
        store.on_change(self._broadcast)

    def subscribe(self, table: str, wanted: Callable[[Change], bool], limit: int = BUFFER) -> Subscription:
        subscription = Subscription(wanted, limit)
        self._subscriptions.setdefault(table, {})[subscription] = None
        return subscription

    def unsubscribe(self, table: str, subscription: Subscription) -> None:
        self._subscriptions.get(table, {}).pop(subscription, None)

    def close(self, table: str | None = None) -> None:
        """Ends the watches of one table (its CRD is gone), or all of them (the server stops)."""
        for name, subscriptions in self._subscriptions.items():
            if table in (None, name):
                for subscription in subscriptions:
                    subscription.close()

    def count(self) -> int:
        return sum(map(len, self._subscriptions.values()))

    def _broadcast(self, change: Change) -> None:
        for subscription in self._subscriptions.get(change.key.table, ()):
            subscription.offer(change)


class Watch:
    """One watch request. Subscribed from the moment it is made; `batches` must be run, or `close` called."""

    def __init__(
        self,
        store: Store,
        broadcaster: Broadcaster,
        served: Served,
        selection: Selection,
        options: WatchOptions,
        *,
        buffer: int = BUFFER,
    ) -> None:
        self._store = store
        self._broadcaster = broadcaster
        self._resource = served.kind.resource
        self._table = table = served.table
        self._selection = selection
        self._options = options
        self._convert = presenter(served)
        self._start = _parse_revision(options.resource_version)
        if self._start > store.revision:
            raise errors.too_new(self._start, store.revision)
        self._subscribed_at = store.revision
        self._initial = self._wants_initial_events()
        self._snapshot = list(candidates(store, table, selection)) if self._initial else []
        self._subscription = broadcaster.subscribe(table, self._concerns, buffer)

    def close(self) -> None:
        self._broadcaster.unsubscribe(self._table, self._subscription)

    async def batches(self) -> AsyncGenerator[list[Frame], None]:
        """Events in batches, until the time-out; who stops earlier closes it. Raises 410 where events were lost."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._options.timeout_seconds
        try:
            for batch in self._first_batches():
                if batch:
                    yield batch
                await asyncio.sleep(0)
            async with aclosing(self._live_batches(loop, deadline)) as live:
                async for batch in live:
                    yield batch
        finally:
            self.close()

    # --- the beginning ---------------------------------------------------------------------------------------

    def _wants_initial_events(self) -> bool:
        if self._options.send_initial_events is not None:
            return self._options.send_initial_events
        return self._start == 0

    def _first_batches(self) -> Iterator[list[Frame]]:
        if not self._initial:
            if self._start:
                yield from self._history()
            return
        snapshot = [entry for key, entry in self._snapshot if self._selection.matches(key, entry)]
        self._snapshot = []
        for start in range(0, len(snapshot), BATCH):
            yield [Frame("ADDED", self._convert(entry.value)) for entry in snapshot[start : start + BATCH]]
        if self._options.send_initial_events and self._options.allow_bookmarks:
            yield [self._bookmark(self._subscribed_at, initial_events_end=True)]

    def _history(self) -> Iterator[list[Frame]]:
        at = self._start
        while True:
            try:
                changes = self._store.since(self._table, at, until=self._subscribed_at, limit=BATCH)
            except CompactedError as error:
                raise errors.too_old(at, error.floor) from error
            yield [frame for change in changes if (frame := self._frame(change))]
            if len(changes) < BATCH:
                return
            at = changes[-1].entry.revision

    # --- the rest ----------------------------------------------------------------------------------------------

    async def _live_batches(
        self, loop: asyncio.AbstractEventLoop, deadline: float
    ) -> AsyncGenerator[list[Frame], None]:
        subscription = self._subscription
        next_bookmark = loop.time() + self._options.bookmark_seconds
        while not subscription.closed and loop.time() < deadline:
            if subscription.overflowed:
                raise errors.expired("the watch fell too far behind and was closed; list again")
            if subscription.changes:
                yield self._drain(subscription)
                await asyncio.sleep(0)
                continue
            if self._options.allow_bookmarks and loop.time() >= next_bookmark:
                next_bookmark = loop.time() + self._options.bookmark_seconds
                yield [self._bookmark(self._store.revision)]
                continue
            subscription.wake.clear()
            until = min(deadline, next_bookmark) if self._options.allow_bookmarks else deadline
            try:
                async with asyncio.timeout_at(until):
                    await subscription.wake.wait()
            except TimeoutError:
                continue
        last = self._drain(subscription, len(subscription.changes))
        if self._options.allow_bookmarks and not subscription.overflowed:
            last.append(self._bookmark(self._store.revision))
        yield last

    def _drain(self, subscription: Subscription, limit: int = BATCH) -> list[Frame]:
        changes = subscription.changes
        found = (self._frame(changes.popleft()) for _ in range(min(limit, len(changes))))
        return [frame for frame in found if frame]

    # --- one change ----------------------------------------------------------------------------------------------

    def _concerns(self, change: Change) -> bool:
        """Whether the watcher could see this change: its old or its new state is selected."""
        selection = self._selection
        if selection.matches(change.key, change.entry):
            return True
        return change.previous is not None and selection.matches(change.key, change.previous)

    def _frame(self, change: Change) -> Frame | None:
        selected = not change.deleted and self._selection.matches(change.key, change.entry)
        before = change.previous is not None and self._selection.matches(change.key, change.previous)
        if selected:
            return Frame("MODIFIED" if before else "ADDED", self._convert(change.entry.value))
        if not before or change.previous is None:
            return None
        gone = change.entry if change.deleted else _at_revision(change.previous, change.entry.revision)
        return Frame("DELETED", self._convert(gone.value))

    def _bookmark(self, revision: int, *, initial_events_end: bool = False) -> Frame:
        meta: Obj = {"resourceVersion": str(revision), "creationTimestamp": None}
        if initial_events_end:
            meta["annotations"] = {INITIAL_EVENTS_END: "true"}
        about = {"apiVersion": self._resource.api_version, "kind": self._resource.kind}
        return Frame("BOOKMARK", codec.encode(about | {"metadata": meta}))


def _at_revision(entry: Entry, revision: int) -> Entry:
    """The old state as the watcher last knew it, marked with the revision that took it away."""
    return Entry(revision, codec.render(codec.decode_object(entry.value), revision), entry.labels)


def _parse_revision(text: str) -> int:
    if text in {"", "0"}:
        return 0
    if not text.isdecimal():
        raise errors.invalid_resource_version(text)
    return int(text)
