"""One reflector per resource and view for everybody in this process: one watch, one copy, however many readers.

Ask for what you need (`of`) before `run`; indexes asked for by different readers are joined. Use `model.meta.Pod` for
Pods unless you need fields it lacks, since another view is another watch.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from headstay.model.resource import Resource
from headstay.runtime.cache import HasMetadata
from headstay.runtime.client import Client
from headstay.runtime.reflector import Reflector

T = TypeVar("T", bound=HasMetadata)


class Informers:
    def __init__(self, client: Client) -> None:
        self.client = client
        self._reflectors: dict[tuple[Resource, type], Reflector[Any]] = {}
        self._started = False

    def of(
        self,
        resource: Resource,
        view: type[T],
        indexes: Mapping[str, Callable[[T], Iterable[str]]] | None = None,
    ) -> Reflector[T]:
        """The one reflector of `resource` as `view`."""
        found: Reflector[T] | None = self._reflectors.get((resource, view))
        if found is None:
            if self._started:
                raise RuntimeError(f"{resource}: reflectors are made before run")
            found = self._reflectors[resource, view] = Reflector(self.client, resource, view)
        for name, function in (indexes or {}).items():
            found.cache.add_index(name, function)
        return found

    async def run(self) -> None:
        """Runs every reflector until cancelled."""
        self._started = True
        async with asyncio.TaskGroup() as group:
            for reflector in self._reflectors.values():
                group.create_task(reflector.run(), name=f"reflector/{reflector.resource}")
