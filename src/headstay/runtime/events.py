"""Events for people: what happened to an object and why, in `kubectl describe` and `kubectl events`.

Recording never waits and never fails a reconcile. The same thing said again becomes one Event with a growing
`series.count`, written at most every `flush_every`; one object may cause `burst` new Events and then one every
`refill` seconds. What does not fit the bounded queue is dropped and counted in the log.

Events are written one after the other: in a busy minute they get one turn among all requests, so that they slow nothing
down, and they catch up afterwards. The queue is as long as such a minute needs.
"""

import asyncio
import logging
import secrets
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal, NamedTuple

from headstay.model.errors import StatusError, is_not_found
from headstay.model.meta import ObjectMeta
from headstay.model.objects import Obj
from headstay.model.resource import EVENTS, Resource
from headstay.model.timestamps import rfc3339_micro
from headstay.runtime.client import Client, TransportError

log = logging.getLogger(__name__)

EventType = Literal["Normal", "Warning"]


class ObjectReference(NamedTuple):
    """What an Event is about."""

    api_version: str
    kind: str
    namespace: str
    name: str
    uid: str = ""

    def document(self) -> Obj:
        document = {"apiVersion": self.api_version, "kind": self.kind, "name": self.name}
        document |= {"namespace": self.namespace} if self.namespace else {}
        return document | ({"uid": self.uid} if self.uid else {})


def reference_to(resource: Resource, metadata: ObjectMeta) -> ObjectReference:
    """A reference to an object of a cache."""
    return ObjectReference(resource.api_version, resource.kind, metadata.namespace, metadata.name, metadata.uid)


def reference_to_document(obj: Obj) -> ObjectReference:
    meta = obj["metadata"]
    return ObjectReference(
        obj["apiVersion"], obj["kind"], meta.get("namespace") or "", meta["name"], meta.get("uid") or ""
    )


class Bounds(NamedTuple):
    queue: int = 16384
    """A thousand clusters of ten Pods at once have 11,000 things to say; each that waits holds about a kilobyte."""
    remembered: int = 4096
    forget_after: float = 360.0
    """The same thing after this long is a new Event, as in client-go."""
    flush_every: float = 10.0
    burst: int = 25
    refill: float = 60.0
    attempts: int = 4
    call: float = 10.0


class _Said(NamedTuple):
    """Two Events with an equal one of these are the same thing said twice."""

    regarding: ObjectReference
    type: EventType
    reason: str
    action: str
    note: str
    related: ObjectReference | None


@dataclass
class _Series:
    name: str
    namespace: str
    count: int
    last: datetime
    said_at: float
    created: bool = False
    flush: asyncio.TimerHandle | None = None


@dataclass
class _Bucket:
    tokens: float
    at: float


class EventRecorder:
    """`event` may be called at any time; `run` writes what was recorded until cancelled."""

    def __init__(
        self,
        client: Client,
        component: str,
        *,
        instance: str = "",
        bounds: Bounds | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        suffix: Callable[[], str] = lambda: secrets.token_hex(8),
    ) -> None:
        self._client = client
        self._component = component
        self._instance = instance or component
        self._bounds = bounds or Bounds()
        self._now = now
        self._suffix = suffix
        self._queue: asyncio.Queue[tuple[_Said, _Series]] = asyncio.Queue(self._bounds.queue)
        self._series: OrderedDict[_Said, _Series] = OrderedDict()
        self._buckets: OrderedDict[ObjectReference, _Bucket] = OrderedDict()

    def event(
        self,
        regarding: ObjectReference,
        type: EventType,  # noqa: A002 Kubernetes' own word
        reason: str,
        action: str,
        note: str,
        *,
        related: ObjectReference | None = None,
    ) -> None:
        """`reason` is a CamelCase word for what happened, `action` one for what was done, `note` is the sentence."""
        said = _Said(regarding, type, reason[:128], (action or reason)[:128], note[:1024], related)
        at = asyncio.get_running_loop().time()
        series = self._series.get(said)
        if series is not None and at - series.said_at < self._bounds.forget_after:
            self._repeat(said, series, at)
        elif self._allowed(regarding, at):
            namespace = regarding.namespace or "default"
            name = f"{regarding.name[:236]}.{self._suffix()}"
            series = _Series(name, namespace, 1, self._now(), at)
            self._remember(said, series)
            self._enqueue(said, series)

    async def run(self) -> None:
        while True:
            said, series = await self._queue.get()
            try:
                await self._write(said, replace(series), series)
            finally:
                self._queue.task_done()

    async def flush(self, timeout: float = 5.0) -> bool:
        """For a clean stop: waits until `run` has written everything recorded so far; False if `timeout` came first."""
        try:
            async with asyncio.timeout(timeout):
                await self._queue.join()
        except TimeoutError:
            return False
        return True

    def _repeat(self, said: _Said, series: _Series, at: float) -> None:
        series.count += 1
        series.last = self._now()
        series.said_at = at
        if series.flush is None:
            loop = asyncio.get_running_loop()
            series.flush = loop.call_later(self._bounds.flush_every, self._flush_series, said, series)

    def _flush_series(self, said: _Said, series: _Series) -> None:
        series.flush = None
        if self._series.get(said) is series:
            self._enqueue(said, series)

    def _remember(self, said: _Said, series: _Series) -> None:
        old = self._series.pop(said, None)
        if old is not None and old.flush is not None:
            old.flush.cancel()
        self._series[said] = series
        while len(self._series) > self._bounds.remembered:
            _, forgotten = self._series.popitem(last=False)
            if forgotten.flush is not None:
                forgotten.flush.cancel()

    def _allowed(self, regarding: ObjectReference, at: float) -> bool:
        """A token bucket for each object: a crash loop must not fill the store with its Events."""
        bucket = self._buckets.pop(regarding, None) or _Bucket(float(self._bounds.burst), at)
        tokens = min(float(self._bounds.burst), bucket.tokens + (at - bucket.at) / self._bounds.refill)
        allowed = tokens >= 1
        self._buckets[regarding] = _Bucket(tokens - 1 if allowed else tokens, at)
        while len(self._buckets) > self._bounds.remembered:
            self._buckets.popitem(last=False)
        return allowed

    def _enqueue(self, said: _Said, series: _Series) -> None:
        try:
            self._queue.put_nowait((said, series))
        except asyncio.QueueFull:
            log.warning("an event is dropped, %d wait already: %s %s", self._queue.qsize(), said.reason, said.note)

    async def _write(self, said: _Said, snapshot: _Series, series: _Series) -> None:
        for attempt in range(self._bounds.attempts):
            try:
                async with asyncio.timeout(self._bounds.call):
                    await self._send(said, snapshot)
            except (TransportError, TimeoutError) as error:
                reason = str(error) or "no answer in time"
            except StatusError as error:
                reason = str(error)
                if is_not_found(error) and snapshot.created:
                    snapshot.created = False  # the server has expired the Event: say it anew
                elif error.code < 500 and error.code != 429:
                    log.warning("an event is refused: %s: %s", said.reason, reason)
                    return
            else:
                series.created = True
                return
            await asyncio.sleep(2.0**attempt)
        log.warning("an event is given up: %s: %s", said.reason, reason)

    async def _send(self, said: _Said, series: _Series) -> None:
        count = {"count": series.count, "lastObservedTime": rfc3339_micro(series.last)}
        if series.created:
            await self._client.patch(EVENTS, series.namespace, series.name, {"series": count})
            return
        document: Obj = {
            "apiVersion": EVENTS.api_version,
            "kind": EVENTS.kind,
            "metadata": {"name": series.name, "namespace": series.namespace},
            "eventTime": rfc3339_micro(series.last),
            "reportingController": self._component,
            "reportingInstance": self._instance,
            "action": said.action,
            "reason": said.reason,
            "type": said.type,
            "note": said.note,
            "regarding": said.regarding.document(),
        }
        if said.related is not None:
            document["related"] = said.related.document()
        if series.count > 1:
            document["series"] = count
        try:
            await self._client.create(EVENTS, document)
        except StatusError as error:
            # A retry of a create whose answer was lost; anything else with this random name is impossible.
            if error.reason != "AlreadyExists":
                raise
