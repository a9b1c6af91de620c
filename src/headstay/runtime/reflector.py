"""Keeps a cache of one resource equal to what the API server holds: list, then watch, for ever.

Invariants, each of them attacked in tests/wire:
- after a list the cache holds what the list held, and every key that vanished was reported as a deletion, also when
  nobody could see it happen; identity is the uid: the same name with a new uid is a deletion and an addition;
- within one watch old news never overwrites new, and a stream whose versions go backwards (a restored store) ends in
  a new list;
- a stream that has gone silent is dropped after `idle_timeout`; no failure, instant close included, is retried
  without a growing delay.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Iterable, Mapping
from typing import Generic, NamedTuple, TypeVar

import msgspec

from headstay.model.errors import StatusError, is_expired
from headstay.model.meta import Named, ObjectMeta
from headstay.model.objects import ObjectKey
from headstay.model.resource import Resource
from headstay.runtime.backoff import Backoff
from headstay.runtime.cache import Cache, Changes, HasMetadata, version_number
from headstay.runtime.client import Client, TransportError, WatchEvent
from headstay.runtime.views import decoder_of

T = TypeVar("T", bound=HasMetadata)

log = logging.getLogger(__name__)


class Bounds(NamedTuple):
    """Every bound of a reflector, in seconds where not said otherwise; the tests shorten them."""

    page_size: int = 500
    watch_timeout: tuple[int, int] = (300, 600)
    idle_timeout: float = 75.0
    list_timeout: float = 120.0
    instant: float = 1.0
    """A stream that lived less than this and brought nothing new has failed."""
    backoff: Backoff = Backoff(base=1.6, cap=30.0)
    quiet: float = 120.0
    """After this long without a failure the back-off starts from its base again."""


DEFAULT_BOUNDS = Bounds()


class _Unreadable(NamedTuple):
    metadata: ObjectMeta


class _WentBackError(Exception):
    """The server's versions went backwards: what we hold is of a future that no longer exists."""


class Reflector(Generic[T]):
    """Runs one list-and-watch into `cache`. `view` decodes each object: a msgspec View, or a type with `from_json`."""

    def __init__(
        self,
        client: Client,
        resource: Resource,
        view: type[T],
        *,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        indexes: Mapping[str, Callable[[T], Iterable[str]]] | None = None,
        bounds: Bounds = DEFAULT_BOUNDS,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self.resource = resource
        self.view = view
        self.cache: Cache[T] = Cache(indexes)
        self._client = client
        self._namespace = namespace
        self._label_selector = label_selector
        self._field_selector = field_selector
        self._bounds = bounds
        self._draw = draw
        self._decode = decoder_of(view)
        self._handlers: list[Callable[[T | None, T | None], None]] = []
        self._position = ""  # where the next watch starts; "" means that a list must come first
        self._failures = 0
        self._failed_at = float("-inf")
        self._paging = True

    def on_change(self, handler: Callable[[T | None, T | None], None]) -> None:
        """Calls `handler(old, new)` after each change of the cache; at once for what the cache already holds."""
        self._handlers.append(handler)
        for item in self.cache.list():
            handler(None, item)

    async def run(self) -> None:
        """Never returns; ends only by being cancelled."""
        while True:
            began, start = asyncio.get_running_loop().time(), self._position
            stale = False
            try:
                if not self._position:
                    await self._list()
                    began, start = asyncio.get_running_loop().time(), self._position
                await self._watch()
                reason = "the server ended the watch"
            except (StatusError, TransportError, _WentBackError) as error:
                reason, stale = str(error), _is_stale(error)
            if stale:
                self._position = ""
            lived = asyncio.get_running_loop().time() - began
            if self._position and (lived >= self._bounds.instant or self._position != start):
                log.debug("%s: %s; watching again from %s", self.resource, reason, self._position)
            else:
                await self._pause(reason, stale=stale)

    async def _pause(self, reason: str, *, stale: bool) -> None:
        """Waits after a failure. Only a first stale position is not waited for: what we hold is known to be wrong."""
        now = asyncio.get_running_loop().time()
        if now - self._failed_at > self._bounds.quiet:
            self._failures = 0
        delay = 0.0 if stale and not self._failures else self._bounds.backoff.delay(self._failures, self._draw)
        self._failures += 1
        self._failed_at = now + delay
        level = logging.WARNING if self._failures > 2 else logging.INFO
        what = "watching" if self._position else "listing"
        log.log(level, "%s: %s; %s again in %.1f s", self.resource, reason, what, delay)
        await asyncio.sleep(delay)

    async def _list(self) -> None:
        """Replaces the cache by a full list and notes where a watch has to start."""
        try:
            fresh, position = await self._list_pages(self._bounds.page_size if self._paging else 0)
        except StatusError as error:
            # A continue token expired because the store is compacted faster than we page: ask for one big page.
            self._paging = not is_expired(error)
            raise
        self._paging = True
        changes = self.cache.replace(fresh)
        self._position = self.cache.version = position
        self._notify(changes)
        self.cache.synced.set()

    async def _list_pages(self, page_size: int) -> tuple[dict[ObjectKey, T], str]:
        fresh: dict[ObjectKey, T] = {}
        token, position = "", ""
        while True:
            try:
                async with asyncio.timeout(self._bounds.list_timeout):
                    page = await self._client.list_page(
                        self.resource,
                        self._namespace,
                        label_selector=self._label_selector,
                        field_selector=self._field_selector,
                        limit=page_size,
                        continue_token=token,
                    )
            except TimeoutError as error:
                raise TransportError(f"no answer to a list within {self._bounds.list_timeout:g} s") from error
            for encoded in page.items:
                self._take(fresh, encoded)
            position = position or page.resource_version
            token = page.continue_token
            if not token:
                return fresh, position
            await asyncio.sleep(0)  # a long list shares the loop with everybody else's work

    def _take(self, fresh: dict[ObjectKey, T], encoded: bytes) -> None:
        item = self._decoded(encoded)
        key = ObjectKey(item.metadata.namespace, item.metadata.name)
        held = self.cache.get(key)
        if isinstance(item, _Unreadable):
            # Absence would mean deletion, and deletion makes people build twins: keep what we knew.
            if held is not None:
                fresh[key] = held
        else:
            fresh[key] = held if held is not None and _same_version(held, item) else item

    def _decoded(self, encoded: bytes) -> "T | _Unreadable":
        """The object, or only its metadata where `view` cannot read it: a loud log, never a crash or a deletion."""
        try:
            return self._decode(encoded)
        except msgspec.ValidationError:
            item = _Unreadable(msgspec.json.decode(encoded, type=Named).metadata)
            where = ObjectKey(item.metadata.namespace, item.metadata.name)
            log.exception("%s %s does not fit %s; ignored", self.resource, where, self.view.__name__)
            return item

    async def _watch(self) -> None:
        """Applies one stream of events until the server ends it."""
        low, high = self._bounds.watch_timeout
        stream = self._client.watch(
            self.resource,
            self._namespace,
            resource_version=self._position,
            label_selector=self._label_selector,
            field_selector=self._field_selector,
            timeout_seconds=low + int(self._draw() * (high - low)),
        )
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._bounds.idle_timeout) as bound:
                async for event in stream:
                    bound.reschedule(loop.time() + self._bounds.idle_timeout)
                    self._apply(event)
        except TimeoutError as error:
            raise TransportError(f"nothing heard for {self._bounds.idle_timeout:g} s") from error
        finally:
            close = getattr(stream, "aclose", None)
            if close is not None:
                await close()

    def _apply(self, event: WatchEvent) -> None:
        if event.type == "BOOKMARK":
            self._advance(msgspec.json.decode(event.object, type=Named).metadata.resource_version)
            self.cache.version = self._position
            return
        item = self._decoded(event.object)
        self._advance(item.metadata.resource_version)
        changes: Changes[T] = []
        if event.type == "DELETED":
            changes = self.cache.remove(item.metadata)
        elif not isinstance(item, _Unreadable):
            changes = self.cache.put(item)
        self.cache.version = self._position
        self._notify(changes)

    def _advance(self, version: str) -> None:
        if not version:
            return
        here, there = version_number(self._position), version_number(version)
        if here is not None and there is not None and there < here:
            raise _WentBackError(f"resourceVersion went back from {self._position} to {version}")
        self._position = version

    def _notify(self, changes: Changes[T]) -> None:
        for old, new in changes:
            for handler in self._handlers:
                try:
                    handler(old, new)
                except Exception:
                    # One odd object must not blind the whole controller; the traceback is loud enough to be found.
                    log.exception("a handler of %s failed", self.resource)


def _same_version(held: HasMetadata, item: HasMetadata) -> bool:
    return held.metadata.uid == item.metadata.uid and held.metadata.resource_version == item.metadata.resource_version


def _is_stale(error: Exception) -> bool:
    """The position of the watch is worth nothing any more: compacted away, or ahead of a restored store."""
    if isinstance(error, StatusError):
        return is_expired(error) or any(cause.reason == "ResourceVersionTooLarge" for cause in error.causes)
    return isinstance(error, _WentBackError)
