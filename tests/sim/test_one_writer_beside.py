"""A storage namespace has one writer: also beside a debt of it, and across watched namespaces."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
import yaml
from tests.sim.writers import conflict, head_of, judged, make, refused
from tests.unit.controllers.world import SAMPLE, world

from headstay.controllers.debts import DebtBook, DebtController
from headstay.controllers.holders import StorageHolders
from headstay.controllers.raycluster import RayClusterController
from headstay.local.server.inprocess import InProcessClient
from headstay.model.objects import ObjectKey
from headstay.model.ray import HEAD, NODE_TYPE, RAYCLUSTERS
from headstay.model.resource import NAMESPACES, PODS, SERVICE_ACCOUNTS, Resource
from headstay.plan.debts import Debt
from headstay.plan.raycluster.identity import StorageIdentity
from headstay.plan.raycluster.plan import Holder
from headstay.plan.raycluster.storage import Storage
from headstay.runtime.client import Page
from headstay.runtime.events import EventRecorder

pytestmark = pytest.mark.looptime

POLICY = "headstay.io/gcs-ft-cleanup"
SHARED = StorageIdentity("redis.default", 6379, "shared")


async def test_nobody_is_let_in_while_a_debt_of_the_namespace_is_being_paid() -> None:
    async with judged() as w:
        await w.stop()
        holders = StorageHolders(w.client, "cluster.local")
        operator = RayClusterController(w.client, w.events, w.settings, now=lambda: datetime.now(UTC), holders=holders)
        task = asyncio.create_task(operator.run())
        with holders.cleaning(SHARED, Holder("ConfigMap", ObjectKey("default", "headstay-debt-1"), "1")):
            await make(w, "next")
            await w.until(lambda: refused(w, "next"))
            found = await conflict(w, "next")
            assert found["reason"] == "BeingCleaned"
            assert "ConfigMap default/headstay-debt-1" in found["message"]
            await w.settle(60)
            assert await head_of(w, "next") == []
        await w.until(lambda: head_of(w, "next"), seconds=15)
        task.cancel()
        await asyncio.wait({task})


async def test_a_debt_shuts_the_namespace_before_it_asks_who_uses_it() -> None:
    async with judged() as w:
        await w.stop()
        holders = StorageHolders(w.user, "cluster.local")
        shut: list[bool] = []

        class Asking(InProcessClient):
            async def list_page(self, resource: Resource, namespace: str = "", **rest: Any) -> Page:
                if resource == RAYCLUSTERS:
                    shut.append(bool(await holders.of(SHARED)))
                return await super().list_page(resource, namespace, **rest)

        client = Asking(w.api)
        storage = Storage(namespace="shared", host="redis.default", credentials="lost")
        debt = Debt("default", "first", "1", storage, "told by the test", datetime.now(UTC))
        await DebtBook(w.user, "default").record(debt)
        events = EventRecorder(client, "test")
        payer = DebtController(
            client, events, w.settings, namespace="default", now=lambda: datetime.now(UTC), holders=holders
        )
        task = asyncio.create_task(payer.run())
        await asyncio.sleep(5)
        task.cancel()
        await asyncio.wait({task})
        assert shut
        assert all(shut)
        assert await holders.of(SHARED) == ()


async def test_two_watched_namespaces_with_a_cache_each_still_have_one_writer() -> None:
    async with world() as w:
        await w.stop()
        await w.user.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team"}})
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": "team"}}
        await w.user.create(SERVICE_ACCOUNTS, account)
        namespaces = ("default", "team")
        holders = StorageHolders(w.client, "cluster.local", namespaces)
        tasks = [
            asyncio.create_task(
                RayClusterController(
                    w.client,
                    w.events,
                    w.settings,
                    now=lambda: datetime.now(UTC),
                    namespace=namespace,
                    holders=holders,
                ).run()
            )
            for namespace in namespaces
        ]
        document = next(found for found in yaml.safe_load_all(SAMPLE.read_text()) if found["kind"] == "RayCluster")
        container = document["spec"]["headGroupSpec"]["template"]["spec"]["containers"][0]
        entry = next(entry for entry in container["env"] if entry["name"] == "RAY_REDIS_ADDRESS")
        entry["value"] = "redis.default.svc:6379"
        document["metadata"]["annotations"]["ray.io/external-storage-namespace"] = "shared"
        for namespace in namespaces:
            document["metadata"]["namespace"] = namespace
            await w.user.create(RAYCLUSTERS, document)

        async def heads() -> list[str]:
            page = await w.user.list_page(PODS, "", label_selector=f"{NODE_TYPE}={HEAD}")
            return [msgspec.json.decode(item)["metadata"]["namespace"] for item in page.items]

        await w.until(heads)
        await w.settle(120)
        (writer,) = await heads()
        assert "StorageNamespaceConflict" in w.events.reasons()
        await w.user.patch(
            RAYCLUSTERS, writer, document["metadata"]["name"], {"metadata": {"annotations": {POLICY: "Retain"}}}
        )
        await w.user.delete(RAYCLUSTERS, writer, document["metadata"]["name"])
        await w.settle(60)
        assert await heads() == [writer], "here nobody collects Pods whose owner is gone"
        page = await w.user.list_page(PODS, writer, label_selector=f"{NODE_TYPE}={HEAD}")
        await w.user.delete(PODS, writer, msgspec.json.decode(page.items[0])["metadata"]["name"])

        async def handed_over() -> bool:
            return await heads() == [namespace for namespace in namespaces if namespace != writer]

        await w.until(handed_over, seconds=30)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
