"""What keeps the store small: old revisions are compacted, Events live for an hour.

Both go in small steps that give way to the loop, so that no request waits for them.
"""

import asyncio
from collections.abc import Iterator
from datetime import datetime, timedelta

import msgspec

from headstay.local.server.requests import Call, Target
from headstay.local.server.rest import Api
from headstay.local.server.store import StoreKey
from headstay.model.resource import CORE_EVENTS
from headstay.model.timestamps import parse

KEPT_REVISIONS = 5000
"""How far a watcher or a paged list may be behind, in writes of the whole cluster."""
EVENT_LIFETIME = timedelta(hours=1)
INTERVAL = 60.0
_BATCH = 200
_CALL = Call(field_manager="kube-apiserver")


class _Series(msgspec.Struct, rename="camel"):
    last_observed_time: str | None = None


class _Meta(msgspec.Struct, rename="camel"):
    creation_timestamp: str | None = None


class _Event(msgspec.Struct, rename="camel"):
    metadata: _Meta
    last_timestamp: str | None = None
    event_time: str | None = None
    series: _Series | None = None

    @property
    def last_seen(self) -> datetime | None:
        times = [self.metadata.creation_timestamp, self.last_timestamp, self.event_time]
        if self.series:
            times.append(self.series.last_observed_time)
        return max((parse(time) for time in times if time), default=None)


_decoder = msgspec.json.Decoder(_Event)


class Maintenance:
    """`run` it beside the controllers, until cancelled."""

    def __init__(self, api: Api, interval: float = INTERVAL) -> None:
        self._api = api
        self._interval = interval

    async def run(self) -> None:
        while True:
            await asyncio.sleep(self._interval)
            await maintain(self._api)


async def maintain(api: Api) -> None:
    """One round of all that is due."""
    more = True
    while more:
        more = api.store.compact(keep=KEPT_REVISIONS, batch=_BATCH)
        await asyncio.sleep(0)
    for number, key in enumerate(list(_expired(api)), 1):
        target = Target(api.served(CORE_EVENTS), key.namespace, key.name)
        if api.store.get(key) is not None:
            api.writer.remove(target.served, api.writer.current(target), _CALL)
        if number % _BATCH == 0:
            await asyncio.sleep(0)


def _expired(api: Api) -> Iterator[StoreKey]:
    oldest = api.clock() - EVENT_LIFETIME
    for key, entry in api.store.entries(str(CORE_EVENTS)):
        last_seen = _decoder.decode(entry.value).last_seen
        if last_seen is not None and last_seen < oldest:
            yield key
