"""A work queue of keys: what makes reconciling level-triggered.

Invariants: a key waits at most once; a key is never handed to two workers at once (`locked`); a key added while it is
being worked on is handed out again after `done`, so no change is lost; keys leave in the order they came.
One event loop only: `add` is a plain call, so that a watch handler can never block.
"""

import asyncio
import heapq
import random
from collections import deque
from collections.abc import Callable, Hashable
from typing import Generic, Protocol, TypeVar

from headstay.runtime.backoff import Backoff

K = TypeVar("K", bound=Hashable)

DEFAULT_BACKOFF = Backoff(base=0.05, cap=60.0)


class QueueShutDownError(Exception):
    """`get` was called, or was waiting, when the queue shut down."""


class QueueObserver(Protocol):
    """What the metrics want to know of a queue."""

    def depth(self, waiting: int) -> None: ...

    def added(self) -> None: ...

    def retried(self) -> None: ...

    def started(self, waited_seconds: float) -> None: ...

    def finished(self, worked_seconds: float) -> None: ...


class WorkQueue(Generic[K]):
    def __init__(
        self,
        *,
        backoff: Backoff = DEFAULT_BACKOFF,
        observer: QueueObserver | None = None,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._backoff = backoff
        self._observer = observer
        self._draw = draw
        self._waiting: dict[K, float] = {}  # key -> when it was added; a dict keeps the order of arrival
        self._locked: dict[K, float] = {}  # key -> when work on it began
        self._again: dict[K, float] = {}  # added while locked -> when
        self._due: dict[K, float] = {}  # the earliest time a delayed key is due
        self._heap: list[tuple[float, int, K]] = []
        self._sequence = 0
        self._timer: asyncio.TimerHandle | None = None
        self._failures: dict[K, int] = {}
        self._getters: deque[asyncio.Future[None]] = deque()
        self._shut_down = False

    def __len__(self) -> int:
        """Keys that wait for a worker; neither delayed nor locked ones."""
        return len(self._waiting)

    @property
    def idle(self) -> bool:
        """Nothing waits and nothing is worked on; delayed keys may still come due."""
        return not self._waiting and not self._locked and not self._again

    def longest_running(self, now: float) -> float:
        """For how long the oldest piece of work has been running."""
        return max((now - began for began in self._locked.values()), default=0.0)

    def unfinished(self, now: float) -> float:
        """Seconds of work in progress that `finished` has not yet counted."""
        return sum(now - began for began in self._locked.values())

    def add(self, key: K) -> None:
        if self._shut_down:
            return
        now = asyncio.get_running_loop().time()
        if key in self._locked:
            if key not in self._again:
                self._again[key] = now
                self._note_added()
            return
        if key not in self._waiting:
            self._waiting[key] = now
            self._note_added()
            self._wake()

    def add_after(self, key: K, seconds: float) -> None:
        """Adds `key` in `seconds`; of several delays the earliest stands."""
        if self._shut_down:
            return
        if seconds <= 0:
            self.add(key)
            return
        due = asyncio.get_running_loop().time() + seconds
        if key in self._due and self._due[key] <= due:
            return
        self._due[key] = due
        self._sequence += 1
        heapq.heappush(self._heap, (due, self._sequence, key))
        self._set_timer()

    def add_rate_limited(self, key: K) -> float:
        """Adds `key` after the next delay of its own back-off, which `forget` resets. Returns that delay."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        delay = self._backoff.delay(failures, self._draw)
        if self._observer:
            self._observer.retried()
        self.add_after(key, delay)
        return delay

    def failures(self, key: K) -> int:
        return self._failures.get(key, 0)

    def forget(self, key: K) -> None:
        self._failures.pop(key, None)

    async def get(self) -> K:
        """The next key, locked until `done`. Raises QueueShutDownError once the queue is shut down."""
        while not self._waiting:
            if self._shut_down:
                raise QueueShutDownError
            getter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._getters.append(getter)
            try:
                await getter
            except asyncio.CancelledError:
                if getter.done() and not getter.cancelled():
                    self._wake()  # this wake-up was meant for a worker that no longer wants it
                elif getter in self._getters:
                    self._getters.remove(getter)
                raise
        if self._shut_down:
            raise QueueShutDownError
        key = next(iter(self._waiting))
        added = self._waiting.pop(key)
        now = asyncio.get_running_loop().time()
        self._locked[key] = now
        if self._observer:
            self._observer.depth(len(self._waiting))
            self._observer.started(now - added)
        return key

    def done(self, key: K) -> None:
        now = asyncio.get_running_loop().time()
        began = self._locked.pop(key)
        if self._observer:
            self._observer.finished(now - began)
        if key in self._again and not self._shut_down:
            self._waiting[key] = self._again.pop(key)
            if self._observer:
                self._observer.depth(len(self._waiting))
            self._wake()

    def shut_down(self) -> None:
        """Ends every `get`, now and later; what waits is dropped, since the next start lists everything again."""
        self._shut_down = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._waiting.clear()
        self._again.clear()
        self._due.clear()
        self._heap.clear()
        while self._getters:
            self._wake()

    def _note_added(self) -> None:
        if self._observer:
            self._observer.added()
            self._observer.depth(len(self._waiting))

    def _wake(self) -> None:
        while self._getters:
            getter = self._getters.popleft()
            if not getter.done():
                getter.set_result(None)
                return

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._heap:
            self._timer = asyncio.get_running_loop().call_at(self._heap[0][0], self._release_due)

    def _release_due(self) -> None:
        now = asyncio.get_running_loop().time()
        while self._heap and self._heap[0][0] <= now:
            due, _, key = heapq.heappop(self._heap)
            if self._due.get(key) == due:  # otherwise an earlier delay of this key has replaced this entry
                del self._due[key]
                self.add(key)
        self._set_timer()
