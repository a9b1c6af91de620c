"""Looking out for KubeRay's Lease on a real API core, in virtual time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest

from headstay.controllers.kuberay import KubeRayWatch
from headstay.local.server.assembly import build_api
from headstay.local.server.inprocess import InProcessClient
from headstay.model.errors import StatusError
from headstay.model.objects import Obj
from headstay.model.resource import LEASES, NAMESPACES, Resource
from headstay.model.timestamps import rfc3339_micro
from headstay.runtime.client import Page, TransportError

pytestmark = pytest.mark.looptime
PLACE = ("default", "ray-operator-leader")


class Restricted(InProcessClient):
    """Answers lists of all namespaces and of `closed` ones with 403; is not there at all while `down`."""

    closed: frozenset[str] = frozenset()
    down = False
    asked = 0

    async def list_page(self, resource: Resource, namespace: str = "", **rest: Any) -> Page:
        self.asked += 1
        if self.down:
            raise TransportError("connection refused")
        if namespace in self.closed:
            raise StatusError(403, "Forbidden", "may not")
        return await super().list_page(resource, namespace, **rest)


class KubeRay:
    def __init__(self, client: InProcessClient) -> None:
        self.client = client
        self._renewal: asyncio.Task[None] | None = None

    async def start(self, namespace: str = "default") -> None:
        lease: Obj = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease"}
        lease["metadata"] = {"name": PLACE[1], "namespace": namespace}
        lease["spec"] = {"holderIdentity": "kuberay-operator-abc_1", "leaseDurationSeconds": 15}
        await self.client.create(LEASES, lease)
        self._renewal = asyncio.create_task(self._renew(namespace))

    async def _renew(self, namespace: str) -> None:
        for number in range(10_000):
            now = rfc3339_micro(datetime.now(UTC).replace(microsecond=number))
            await self.client.patch(LEASES, namespace, PLACE[1], {"spec": {"renewTime": now}})
            await asyncio.sleep(2)

    async def stop(self) -> None:
        """As killed: the Lease stays as it was last renewed."""
        assert self._renewal is not None
        self._renewal.cancel()
        await asyncio.wait({self._renewal})


@asynccontextmanager
async def watching(client: Restricted, *namespaces: str) -> AsyncIterator[tuple[KubeRayWatch, list[str]]]:
    changes: list[str] = []
    watch = KubeRayWatch(client, lambda: datetime.now(UTC), lambda: changes.append(watch.beside), namespaces or ("",))
    task = asyncio.create_task(watch.run())
    try:
        yield watch, changes
    finally:
        task.cancel()
        await asyncio.wait({task})


async def test_kuberay_comes_is_waited_for_and_goes() -> None:
    client = Restricted(build_api())
    kuberay = KubeRay(client)
    async with watching(client) as (watch, changes):
        await watch.known.wait()
        assert watch.beside == ""
        await kuberay.start()
        await asyncio.sleep(6)
        assert watch.beside == "kuberay-operator-abc (Lease ray-operator-leader in namespace default)"
        await asyncio.sleep(300)
        assert len(changes) == 1
        await kuberay.stop()
        await asyncio.sleep(12)
        assert watch.beside
        await asyncio.sleep(12)
        assert (watch.beside, len(changes)) == ("", 2)


async def test_where_not_all_may_be_seen_the_watched_namespaces_are() -> None:
    client = Restricted(build_api())
    client.closed = frozenset({"", "closed"})
    await client.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team"}})
    kuberay = KubeRay(client)
    await kuberay.start("team")
    async with watching(client, "closed", "team") as (watch, _):
        await watch.known.wait()
        assert "namespace team" in watch.beside
        asked = client.asked
        await asyncio.sleep(50)
        assert client.asked - asked == 10, "who said no is not asked again"
    await kuberay.stop()


async def test_without_an_answer_nothing_is_begun_and_nothing_changes() -> None:
    client = Restricted(build_api())
    client.down = True
    kuberay = KubeRay(client)
    async with watching(client) as (watch, changes):
        await asyncio.sleep(100)
        assert not watch.known.is_set()
        client.down = False
        await kuberay.start()
        await asyncio.sleep(6)
        client.down = True
        await asyncio.sleep(100)
        assert watch.beside
        assert len(changes) == 1
    await kuberay.stop()
