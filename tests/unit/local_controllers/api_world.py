"""A whole API server in memory, and what a controller needs to run on it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from headstay.local.config import LocalConfig
from headstay.local.controllers.informers import Informers
from headstay.local.server.assembly import build_api
from headstay.local.server.inprocess import InProcessClient
from headstay.model.errors import StatusError, is_not_found
from headstay.model.objects import Obj
from headstay.model.resource import EVENTS, NODES, PODS, SERVICE_ACCOUNTS, Resource
from headstay.runtime.client import Page
from headstay.runtime.events import EventRecorder


class ApiWorld:
    SERVICE_NETWORK = LocalConfig().service_network

    def __init__(self) -> None:
        self.api = build_api()
        self.client = InProcessClient(self.api)
        self.informers = Informers(self.client)
        self.recorder = EventRecorder(self.client, "test")
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, *works: Coroutine[Any, Any, None]) -> None:
        for work in (*works, self.informers.run(), self.recorder.run()):
            self._tasks.append(asyncio.create_task(work))

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def make(self, resource: Resource, name: str, *, namespace: str = "default", **fields: Any) -> Obj:
        meta = {"name": name} | ({"namespace": namespace} if resource.namespaced else {}) | fields.pop("metadata", {})
        document = {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": meta, **fields}
        made = await self.client.create(resource, document)
        if "status" in fields:
            made = await self.client.update(resource, made | {"status": fields["status"]}, subresource="status")
        return made

    async def node(self, **allocatable: str) -> Obj:
        status = {"allocatable": {"cpu": "2", "memory": "4Gi", "pods": "110"} | allocatable}
        labels = {"kubernetes.io/hostname": "one"}
        return await self.make(NODES, "one", metadata={"labels": labels}, status=status)

    async def pod(self, name: str, *, memory: str = "1Gi", **more: Any) -> Obj:
        spec = {"containers": [{"name": "c", "image": "i", "resources": {"requests": {"memory": memory}}}]}
        return await self.make(PODS, name, spec=spec | more.pop("spec", {}), **more)

    async def get(self, resource: Resource, name: str, namespace: str = "default") -> Obj | None:
        try:
            return await self.client.get(resource, namespace if resource.namespaced else "", name)
        except StatusError as error:
            if is_not_found(error):
                return None
            raise

    async def events(self) -> list[tuple[str, str]]:
        """(reason, note) of every Event so far."""
        await self.recorder.flush()
        page = await self.client.list_page(EVENTS)
        return [(event["reason"], event["note"]) for event in decoded(page)]


def decoded(page: Page) -> list[Obj]:
    return [msgspec.json.decode(item) for item in page.items]


@asynccontextmanager
async def running(world: ApiWorld, *works: Coroutine[Any, Any, None]) -> AsyncIterator[ApiWorld]:
    """Runs `works`; Pods can be made in namespace default, whose service account stands."""
    await world.make(SERVICE_ACCOUNTS, "default")
    world.start(*works)
    try:
        yield world
    finally:
        await world.stop()


async def eventually(check: Callable[[], Awaitable[Any]], timeout: float = 3.0) -> Any:
    """The first true value of `check`, within `timeout`."""
    async with asyncio.timeout(timeout):
        while not (found := await check()):
            await asyncio.sleep(0.01)
    return found


async def settled() -> None:
    """Long enough for every watch event and reconcile that is due."""
    await asyncio.sleep(0.1)
