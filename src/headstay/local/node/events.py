"""Events about Pods, as the kubelet writes them: one object for each distinct message, counted when it repeats.

Sending never holds up a Pod: events wait in a bounded queue and the oldest are dropped, loudly, when nobody takes them.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime
from typing import Literal, NamedTuple

from headstay.model.errors import StatusError
from headstay.model.meta import ObjectMeta
from headstay.model.objects import Obj
from headstay.model.resource import CORE_EVENTS
from headstay.model.timestamps import rfc3339
from headstay.runtime.client import Client, TransportError

log = logging.getLogger(__name__)
EventType = Literal["Normal", "Warning"]
_QUEUED = 1000
_REMEMBERED = 2000
_SEND_SECONDS = 10.0
_MOST_MESSAGE = 1024


class Subject(NamedTuple):
    """What an event is about; `field_path` such as `spec.containers{ray-head}`."""

    kind: str
    namespace: str
    name: str
    uid: str
    field_path: str = ""
    api_version: str = "v1"
    resource_version: str = ""


class _Event(NamedTuple):
    subject: Subject
    type: EventType
    reason: str
    message: str


class _Sent(NamedTuple):
    name: str
    times: int


def pod_subject(metadata: ObjectMeta, container: str = "", *, init: bool = False) -> Subject:
    path = f"spec.{'initContainers' if init else 'containers'}{{{container}}}" if container else ""
    return Subject("Pod", metadata.namespace, metadata.name, metadata.uid, path)


class Events:
    def __init__(self, client: Client, component: str, host: str, clock: Callable[[], datetime]) -> None:
        self._client = client
        self._source = {"component": component, "host": host}
        self._component = component
        self._clock = clock
        self._queue: asyncio.Queue[tuple[_Event, datetime]] = asyncio.Queue(_QUEUED)
        self._sent: OrderedDict[_Event, _Sent] = OrderedDict()
        self._serial = 0

    def say(self, subject: Subject, kind: EventType, reason: str, message: str) -> None:
        """Queues an event; returns at once."""
        event = _Event(subject, kind, reason, message[:_MOST_MESSAGE])
        level = logging.DEBUG if event in self._sent else logging.INFO
        log.log(level, "%s/%s %s: %s", subject.namespace, subject.name, reason, message)
        if self._queue.full():
            dropped, _ = self._queue.get_nowait()
            self._queue.task_done()
            log.warning("events: the API server takes none; dropped %s of %s", dropped.reason, dropped.subject.name)
        self._queue.put_nowait((event, self._clock()))

    async def run(self) -> None:
        while True:
            event, moment = await self._queue.get()
            try:
                async with asyncio.timeout(_SEND_SECONDS):
                    await self._send(event, moment)
            except (StatusError, TransportError, TimeoutError) as error:
                log.info("event %s of %s is lost: %s", event.reason, event.subject.name, error)
            finally:
                self._queue.task_done()

    async def drain(self) -> None:
        """Waits until all that is queued now has been sent (the end of a daemon)."""
        await self._queue.join()

    async def _send(self, event: _Event, moment: datetime) -> None:
        known = self._sent.get(event)
        if known is not None:
            patch: Obj = {"count": known.times + 1, "lastTimestamp": rfc3339(moment)}
            try:
                await self._client.patch(CORE_EVENTS, event.subject.namespace, known.name, patch)
            except StatusError as error:
                if error.reason != "NotFound":
                    raise
                del self._sent[event]  # it had its time; a new one follows
            else:
                self._remember(event, _Sent(known.name, known.times + 1))
                return
        self._serial += 1
        name = f"{event.subject.name}.{int(moment.timestamp() * 1e6):x}{self._serial:04x}"
        await self._client.create(CORE_EVENTS, self._document(event, name, moment))
        self._remember(event, _Sent(name, 1))

    def _remember(self, event: _Event, sent: _Sent) -> None:
        self._sent[event] = sent
        self._sent.move_to_end(event)
        while len(self._sent) > _REMEMBERED:
            self._sent.popitem(last=False)

    def _document(self, event: _Event, name: str, moment: datetime) -> Obj:
        subject = event.subject
        involved = {
            "apiVersion": subject.api_version,
            "kind": subject.kind,
            "namespace": subject.namespace,
            "name": subject.name,
            "uid": subject.uid,
            "fieldPath": subject.field_path,
        }
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"namespace": subject.namespace or "default", "name": name},
            "involvedObject": {key: value for key, value in involved.items() if value},
            "type": event.type,
            "reason": event.reason,
            "message": event.message,
            "source": self._source,
            "reportingComponent": self._component,
            "reportingInstance": self._source["host"],
            "firstTimestamp": rfc3339(moment),
            "lastTimestamp": rfc3339(moment),
            "count": 1,
        }
