"""The loop around a reconcile function: keys in, results and failures out.

Invariants: no key is reconciled twice at once; nothing is reconciled before every watched cache holds its first list;
each reconcile has a deadline; whatever it raises is filed as one of four kinds (`runtime.errors`) and the key comes
back as that kind says. Every log record made within a reconcile can carry its id (`ReconcileFilter`).
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Hashable, Iterable
from contextvars import ContextVar
from typing import Generic, NamedTuple, TypeVar

from prometheus_client import CollectorRegistry

from headstay.runtime.backoff import Backoff
from headstay.runtime.cache import HasMetadata
from headstay.runtime.errors import Bug, Conflict, Terminal, classify
from headstay.runtime.metrics import Metrics
from headstay.runtime.queue import DEFAULT_BACKOFF, QueueShutDownError, WorkQueue
from headstay.runtime.reflector import Reflector

K = TypeVar("K", bound=Hashable)
T = TypeVar("T", bound=HasMetadata)

log = logging.getLogger(__name__)

CONFLICTS_AT_ONCE = 3
"""After so many lost races in a row even a conflict waits its turn: a cache that lags cannot win by hurrying."""

current_reconcile: ContextVar[str] = ContextVar("current_reconcile", default="")


class ReconcileFilter(logging.Filter):
    """Puts `reconcile_id` on every record, "" outside a reconcile; add it to the log handler."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.reconcile_id = current_reconcile.get()
        return True


class Result(NamedTuple):
    """What a reconcile that did not fail says: finished for now, or look again in `requeue_after` s, and why."""

    requeue_after: float | None = None
    reason: str = ""


class Controller(Generic[K]):
    def __init__(
        self,
        name: str,
        reconcile: Callable[[K], Awaitable[Result]],
        *,
        workers: int = 1,
        deadline: float = 120.0,
        backoff: Backoff = DEFAULT_BACKOFF,
        metrics: Metrics | None = None,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self.name = name
        self._reconcile = reconcile
        self._workers = workers
        self._deadline = deadline
        self._draw = draw
        registered = metrics or Metrics(CollectorRegistry())  # without one given: counted, but served nowhere
        self._metrics = registered.controller(name, workers)
        self.queue: WorkQueue[K] = WorkQueue(backoff=backoff, observer=registered.queue(name), draw=draw)
        registered.watch_queue(name, self.queue.unfinished, self.queue.longest_running)
        self._caches: list[tuple[str, asyncio.Event]] = []

    def watches(self, reflector: Reflector[T], keys: Callable[[T], Iterable[K]], *, waited_for: bool = True) -> None:
        """Enqueues `keys(object)` whenever an object changes: for its old and for its new state.

        `run` begins without the first list of one that is not `waited_for`.
        """

        def changed(old: T | None, new: T | None) -> None:
            for state in (old, new):
                if state is not None:
                    for key in keys(state):
                        self.queue.add(key)

        if waited_for:
            self._caches.append((str(reflector.resource), reflector.cache.synced))
        reflector.on_change(changed)

    def enqueue(self, key: K) -> None:
        self.queue.add(key)

    def enqueue_after(self, key: K, seconds: float) -> None:
        self.queue.add_after(key, seconds)

    async def run(self) -> None:
        """Waits for all watched caches, then works until cancelled, or until the queue is shut down."""
        await self._wait_for_caches()
        async with asyncio.TaskGroup() as group:
            for number in range(self._workers):
                group.create_task(self._work(), name=f"{self.name}/{number}")

    async def _wait_for_caches(self) -> None:
        for resource, synced in self._caches:
            while not synced.is_set():
                try:
                    async with asyncio.timeout(30):
                        await synced.wait()
                except TimeoutError:
                    log.warning("%s still waits for the first list of %s", self.name, resource)

    async def _work(self) -> None:
        while True:
            try:
                key = await self.queue.get()
            except QueueShutDownError:
                return
            try:
                await self._reconcile_once(key)
            finally:
                self.queue.done(key)

    async def _reconcile_once(self, key: K) -> None:
        reconcile_id = f"{int(self._draw() * 16**12):012x}"
        token = current_reconcile.set(reconcile_id)
        began = asyncio.get_running_loop().time()
        self._metrics.began()
        outcome = "error"
        try:
            async with asyncio.timeout(self._deadline):
                result = await self._reconcile(key)
            outcome = self._succeeded(key, result)
        except Exception as error:  # noqa: BLE001 the worker loop: nothing a reconcile raises may end it
            outcome = self._failed(key, error)
        finally:
            self._metrics.ended(outcome, asyncio.get_running_loop().time() - began)
            current_reconcile.reset(token)

    def _succeeded(self, key: K, result: Result) -> str:
        self.queue.forget(key)
        if result.requeue_after is None:
            return "success"
        log.debug("%s %s: again in %.1f s: %s", self.name, key, result.requeue_after, result.reason)
        self.queue.add_after(key, result.requeue_after)
        return "requeue_after"

    def _failed(self, key: K, error: Exception) -> str:
        kind = classify(error)
        where = f"{self.name} {key} (reconcileID {current_reconcile.get()})"
        if kind is Terminal:
            self.queue.forget(key)
            self._metrics.terminal()
            log.error("%s: %s; waiting for a change", where, error)
            return "error"
        if kind is Bug:
            self._metrics.panicked()
            log.error("%s: a bug of ours", where, exc_info=error)
        if isinstance(error, TimeoutError):
            self._metrics.timed_out()
        lost_races = self.queue.failures(key)
        delay = self.queue.add_rate_limited(key)
        if kind is Conflict and lost_races < CONFLICTS_AT_ONCE:
            self.queue.add(key)
            log.debug("%s: %s; again now", where, error)
            return "requeue"
        if kind is not Bug:
            text = str(error) or f"not finished within {self._deadline:g} s"
            log.warning("%s: %s; again in %.1f s", where, text, delay)
        return "error"
