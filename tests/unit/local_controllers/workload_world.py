"""An API server in memory, the workload controllers on it, and a pretended node, all in virtual time.

The node does what a Pod's annotations say: `sim/ready-after` seconds ("never" too), `sim/exit-after` seconds with
`sim/exit-code`, `sim/stop-after` seconds when it is deleted.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from tests.unit.local_controllers.faulty_client import FaultyClient

from headstay.local.controllers.garbage import GarbageCollector
from headstay.local.controllers.informers import Informers
from headstay.local.controllers.manager import workload_runners
from headstay.local.server.assembly import build_api
from headstay.local.server.inprocess import InProcessClient
from headstay.model.errors import StatusError, is_not_found
from headstay.model.objects import Obj, dig
from headstay.model.resource import EVENTS, NODES, PODS, SERVICE_ACCOUNTS, Resource
from headstay.model.timestamps import rfc3339
from headstay.runtime.reflector import Reflector
from headstay.runtime.views import Document

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


def clock() -> datetime:
    return EPOCH + timedelta(seconds=asyncio.get_running_loop().time())


class Node:
    """One task for each Pod; each ends when its Pod is gone."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._reflector = Reflector(world.client, PODS, Document)
        self._reflector.on_change(self._changed)
        self._lives: dict[str, asyncio.Task[None]] = {}
        self._stops: dict[str, asyncio.Task[None]] = {}

    async def run(self) -> None:
        try:
            await self._reflector.run()
        finally:
            for task in (*self._lives.values(), *self._stops.values()):
                task.cancel()

    def _changed(self, _: Document | None, new: Document | None) -> None:
        if new is None:
            return
        uid = new.metadata.uid
        if uid not in self._lives:
            self._lives[uid] = asyncio.create_task(self._live(new.obj()))
        if new.metadata.deletion_timestamp and uid not in self._stops:
            self._lives[uid].cancel()
            self._stops[uid] = asyncio.create_task(self._stop(new.obj()))

    async def _live(self, pod: Obj) -> None:
        does = pod["metadata"].get("annotations") or {}
        binding = {"metadata": pod["metadata"], "target": {"kind": "Node", "name": "one"}}
        await self._world.quietly(self._world.client.create, PODS, binding, subresource="binding", name=_name(pod))
        await self._say(pod, "Pending", "False")
        if does.get("sim/ready-after") == "never":
            return
        await asyncio.sleep(float(does.get("sim/ready-after", "1")))
        await self._say(pod, "Running", "True")
        if "sim/exit-after" in does:
            await asyncio.sleep(float(does["sim/exit-after"]))
            await self.finish(pod, int(does.get("sim/exit-code", "0")))

    async def finish(self, pod: Obj, code: int) -> None:
        ended = {"terminated": {"exitCode": code, "finishedAt": rfc3339(clock()), "startedAt": rfc3339(clock())}}
        await self._say(pod, "Failed" if code else "Succeeded", "False", state=ended)

    async def _stop(self, pod: Obj) -> None:
        does = pod["metadata"].get("annotations") or {}
        await asyncio.sleep(float(does.get("sim/stop-after", "0.5")))
        meta = pod["metadata"]
        await self._world.quietly(
            self._world.client.delete,
            PODS,
            meta["namespace"],
            meta["name"],
            uid=meta["uid"],
            grace_period_seconds=0,
        )

    async def _say(self, pod: Obj, phase: str, ready: str, *, state: Obj | None = None) -> None:
        now = rfc3339(clock())
        container = {"name": "c", "image": "i", "imageID": "", "ready": ready == "True", "restartCount": 0}
        status = {
            "phase": phase,
            "startTime": now,
            "conditions": [{"type": "Ready", "status": ready, "lastTransitionTime": now}],
            "containerStatuses": [container | {"state": state or {}}],
        }
        meta = pod["metadata"]
        patch = {"metadata": {"uid": meta["uid"]}, "status": status}
        await self._world.quietly(
            self._world.client.patch, PODS, meta["namespace"], meta["name"], patch, subresource="status"
        )


class World:
    def __init__(self) -> None:
        self.api = build_api(clock=clock)
        self.client = InProcessClient(self.api)
        self.controllers = FaultyClient(self.api)
        self.informers = Informers(self.controllers)
        self.node = Node(self)
        self._tasks: list[asyncio.Task[None]] = []

    def start_controllers(self) -> None:
        runners = [*workload_runners(self.informers, now=clock), GarbageCollector(self.controllers, self._resources)]
        self._tasks = [asyncio.create_task(runner.run()) for runner in (*runners, self.informers)]

    async def stop_controllers(self) -> None:
        """As a crash would: nothing is finished, nothing is remembered."""
        for task in self._tasks:
            assert not task.done(), task
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.informers = Informers(self.controllers)

    def _resources(self) -> list[Resource]:
        return [kind.resource for kind in self.api.kinds.all() if {"list", "delete"} <= set(kind.verbs)]

    async def quietly(self, call: Callable[..., Awaitable[Any]], *args: Any, **more: Any) -> None:
        """A node does not mind that a Pod is gone or has been replaced."""
        try:
            await call(*args, **more)
        except StatusError as error:
            if not is_not_found(error) and error.reason != "Conflict":
                raise

    async def make(self, resource: Resource, name: str, spec: Obj | None = None, **meta: Any) -> Obj:
        namespace = {"namespace": "default"} if resource.namespaced else {}
        document: Obj = {"apiVersion": resource.api_version, "kind": resource.kind}
        document |= {"metadata": {"name": name} | namespace | meta, "spec": spec or {}}
        return await self.client.create(resource, document)

    async def get(self, resource: Resource, name: str) -> Obj:
        return await self.client.get(resource, "default" if resource.namespaced else "", name)

    async def exists(self, resource: Resource, name: str) -> bool:
        try:
            await self.get(resource, name)
        except StatusError as error:
            if is_not_found(error):
                return False
            raise
        return True

    async def status(self, resource: Resource, name: str) -> Obj:
        found: Obj = (await self.get(resource, name)).get("status") or {}
        return found

    async def condition(self, resource: Resource, name: str, kind: str) -> Obj | None:
        conditions = (await self.status(resource, name)).get("conditions") or []
        return next((found for found in conditions if found["type"] == kind), None)

    async def all(self, resource: Resource, **labels: str) -> list[Obj]:
        selector = ",".join(f"{name}={value}" for name, value in labels.items())
        page = await self.client.list_page(resource, "", label_selector=selector)
        found = [msgspec.json.decode(item, type=dict) for item in page.items]
        return sorted(found, key=_name)

    async def names(self, resource: Resource, **labels: str) -> list[str]:
        return [_name(found) for found in await self.all(resource, **labels)]

    async def patch(self, resource: Resource, name: str, patch: Obj) -> Obj:
        return await self.client.patch(resource, "default", name, patch)

    async def reasons(self) -> list[str]:
        return [found["reason"] for found in await self.all(EVENTS)]

    async def pods(self) -> list[Obj]:
        return [pod for pod in await self.all(PODS) if not pod["metadata"].get("deletionTimestamp")]


def _name(obj: Obj) -> str:
    found: str = obj["metadata"]["name"]
    return found


def template(restart: str = "Always", **does: str) -> Obj:
    """A Pod template; `does` are the node's instructions, with `_` for `-`."""
    annotations = {f"sim/{name.replace('_', '-')}": value for name, value in does.items()}
    metadata: Obj = {"labels": {"app": "x"}, "annotations": annotations}
    return {"metadata": metadata, "spec": {"restartPolicy": restart, "containers": [{"name": "c", "image": "i"}]}}


def image(obj: Obj) -> str:
    found: str = dig(obj, "spec", "containers", 0, "image")
    return found


@asynccontextmanager
async def running() -> AsyncIterator[World]:
    world = World()
    await world.make(SERVICE_ACCOUNTS, "default")
    await world.make(NODES, "one")
    world.start_controllers()
    node = asyncio.create_task(world.node.run())
    try:
        yield world
        assert not node.done()
        await world.stop_controllers()
    finally:
        for task in (node, *world._tasks):
            task.cancel()
        await asyncio.gather(node, *world._tasks, return_exceptions=True)
