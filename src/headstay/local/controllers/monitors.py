"""A metadata-only watch on every kind that is served, custom ones included, as they come and go."""

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from typing import NamedTuple

import msgspec

from headstay.model.meta import Named
from headstay.model.resource import CUSTOM_RESOURCE_DEFINITIONS, Resource
from headstay.runtime.client import Client
from headstay.runtime.reflector import Reflector

POLL = 2.0
"""Seconds between looks at the list of kinds; a CRD's own change is noticed at once."""

NOT_WATCHED = frozenset({("", "events"), ("events.k8s.io", "events")})
"""Events have no owners and go by themselves."""

_NAMED = msgspec.json.Decoder(Named)
_NOTHING: dict[str, str] = {}


class Lean(Named):
    """An object's identity, owners and finalizers; no labels and annotations, which are most of the metadata."""

    @classmethod
    def from_json(cls, encoded: bytes) -> Named:
        found = _NAMED.decode(encoded)
        found.metadata.labels = found.metadata.annotations = _NOTHING
        return found


class _Monitor(NamedTuple):
    resource: Resource
    reflector: Reflector[Lean]
    task: asyncio.Task[None]


class Monitors:
    """`changed(resource, old, new)` for every object of every kind. `resources` says what is served now."""

    def __init__(
        self,
        client: Client,
        resources: Callable[[], Iterable[Resource]],
        changed: Callable[[Resource, Named | None, Named | None], None],
    ) -> None:
        self._client = client
        self._resources = resources
        self._changed = changed
        self._monitors: dict[Resource, _Monitor] = {}
        self._look_again = asyncio.Event()

    @property
    def synced(self) -> bool:
        """Every kind has been listed at least once."""
        started = set(self._monitors)
        return started == self._wanted() and all(m.reflector.cache.synced.is_set() for m in self._monitors.values())

    def unsynced(self) -> list[str]:
        missing = [m for m in self._monitors.values() if not m.reflector.cache.synced.is_set()]
        return sorted(str(monitor.resource) for monitor in missing)

    async def run(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                while True:
                    self._adjust(group)
                    self._look_again.clear()
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(POLL):
                            await self._look_again.wait()
        finally:
            self._monitors.clear()

    def _wanted(self) -> set[Resource]:
        """One version of each kind: the objects are the same in all of them."""
        chosen: dict[tuple[str, str], Resource] = {}
        for resource in self._resources():
            name = (resource.group, resource.plural)
            if name not in NOT_WATCHED:
                chosen.setdefault(name, resource)
        return set(chosen.values())

    def _adjust(self, group: asyncio.TaskGroup) -> None:
        wanted = self._wanted()
        for resource in sorted(wanted - set(self._monitors)):
            self._start(group, resource)
        for resource in sorted(set(self._monitors) - wanted):
            self._stop(resource)

    def _start(self, group: asyncio.TaskGroup, resource: Resource) -> None:
        reflector = Reflector(self._client, resource, Lean)
        reflector.on_change(lambda old, new: self._changed(resource, old, new))
        if resource == CUSTOM_RESOURCE_DEFINITIONS:
            reflector.on_change(lambda _old, _new: self._look_again.set())
        task = group.create_task(reflector.run(), name=f"monitor/{resource}")
        self._monitors[resource] = _Monitor(resource, reflector, task)

    def _stop(self, resource: Resource) -> None:
        """The kind is gone, and with it all its objects."""
        monitor = self._monitors.pop(resource)
        monitor.task.cancel()
        for item in monitor.reflector.cache.list():
            self._changed(resource, item, None)
