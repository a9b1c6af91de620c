"""A storage namespace has one writer: what the controller does about two RayClusters that name the same one."""

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
import yaml
from tests.unit.controllers.world import SAMPLE, Misbehaving, World, world

from headstay.controllers.debts import DebtBook, DebtController
from headstay.controllers.holders import StorageHolders
from headstay.controllers.raycluster import RayClusterController
from headstay.local.server.inprocess import InProcessClient
from headstay.model.errors import StatusError, is_not_found
from headstay.model.objects import Obj, ObjectKey
from headstay.model.ray import CLUSTER, ENV_STORAGE_NAMESPACE, HEAD, NODE_TYPE, RAYCLUSTERS, env_entry
from headstay.model.resource import JOBS, NAMESPACES, PODS, SERVICE_ACCOUNTS, Resource
from headstay.plan.debts import Debt
from headstay.plan.raycluster.identity import StorageIdentity
from headstay.plan.raycluster.plan import Holder
from headstay.plan.raycluster.storage import Storage
from headstay.plan.raycluster.writer import CONFLICT, WRITER
from headstay.runtime.client import Page, WatchEvent
from headstay.runtime.events import EventRecorder

pytestmark = pytest.mark.looptime


class Judge(Misbehaving):
    """Fails the test the moment a head or a cleanup is made while another cluster's is there.

    With `luck`, news of RayClusters and Pods come late, and every write may be the operator's last.
    """

    luck: random.Random | None = None
    crimes: list[str]
    asked: list[Resource]

    async def create(self, resource: Resource, obj: Obj, *, subresource: str = "", name: str = "") -> Obj:
        labels = obj["metadata"].get("labels") or {}
        there: list[Obj] = []
        if (resource == PODS and labels.get(NODE_TYPE) == HEAD) or resource == JOBS:
            jobs = await self._list(JOBS, "")
            there += [job for job in jobs if not (job.get("status") or {}).get("conditions")]
            there += await self._list(PODS, f"{NODE_TYPE}={HEAD}")
        made = await super().create(resource, obj, subresource=subresource, name=name)
        for found in there:
            self._judge(made, found, own_too=resource == JOBS or found["kind"] == "Job")
        return made

    def _judge(self, made: Obj, there: Obj, *, own_too: bool) -> None:
        ours, theirs = (obj["metadata"]["ownerReferences"][0]["uid"] for obj in (made, there))
        if storage_of(made) == storage_of(there) and (own_too or ours != theirs):
            name = made["metadata"]["labels"][CLUSTER]
            self.crimes.append(f"{made['kind']} of {name} beside {there['metadata']['name']}")

    async def _list(self, resource: Resource, selector: str) -> list[Obj]:
        page = await super().list_page(resource, "default", label_selector=selector)
        return [msgspec.json.decode(item) for item in page.items]

    async def list_page(self, resource: Resource, namespace: str = "", **rest: Any) -> Page:
        self.asked.append(resource)
        return await super().list_page(resource, namespace, **rest)

    async def watch(self, resource: Resource, namespace: str = "", **rest: Any) -> AsyncGenerator[WatchEvent, None]:
        async for event in super().watch(resource, namespace, **rest):
            if self.luck is not None and resource in {RAYCLUSTERS, PODS}:
                await asyncio.sleep(self.luck.choice([0, 0, 0.3, 2]))
            yield event


def storage_of(obj: Obj) -> str:
    """What the environment says: neither label nor annotation can make the judge look away."""
    template = obj["spec"].get("template") or obj
    entry = env_entry(template["spec"]["containers"][0], ENV_STORAGE_NAMESPACE)
    assert entry is not None
    return str(entry["value"])


@asynccontextmanager
async def judged(luck: random.Random | None = None) -> AsyncIterator[World]:
    async with world() as w:
        await w.stop()
        judge = Judge.over(w.api)
        assert isinstance(judge, Judge)
        judge.luck, judge.crimes, judge.asked = luck, [], []
        w.client = judge
        await w.start()
        yield w
        assert judge.crimes == []


async def make(w: World, name: str, storage: str = "shared", **annotations: str) -> None:
    document = next(found for found in yaml.safe_load_all(SAMPLE.read_text()) if found["kind"] == "RayCluster")
    document["metadata"] |= {"name": name, "namespace": "default"}
    document["metadata"]["annotations"] |= {"ray.io/external-storage-namespace": storage, **annotations}
    await w.user.create(RAYCLUSTERS, document)


async def find(w: World, name: str) -> Obj | None:
    try:
        return await w.user.get(RAYCLUSTERS, "default", name)
    except StatusError as error:
        if is_not_found(error):
            return None
        raise


async def conflict(w: World, name: str) -> Obj:
    found = await find(w, name) or {}
    return next((c for c in (found.get("status") or {}).get("conditions") or [] if c["type"] == CONFLICT), {})


async def refused(w: World, name: str) -> bool:
    return bool(await conflict(w, name))


async def head_of(w: World, name: str) -> list[str]:
    return [pod["metadata"]["name"] for pod in await w.pods("head") if pod["metadata"]["labels"][CLUSTER] == name]


async def gone(w: World, name: str) -> bool:
    return await find(w, name) is None


async def pair(w: World) -> None:
    """The first runs, the second is refused."""
    await make(w, "first")
    await w.until(lambda: head_of(w, "first"))
    await w.run_pods()
    await make(w, "second")
    await w.until(lambda: refused(w, "second"))


async def test_the_second_is_refused_and_told_who_has_it_and_what_to_do() -> None:
    async with judged() as w:
        await pair(w)
        found = await conflict(w, "second")
        assert found["reason"] == "HeldByAnotherCluster"
        for word in ('"shared"', "redis.default:6379", "default/first", "annotation ray.io/external-storage-namespace"):
            assert word in found["message"]
        await w.settle(600)
        assert await head_of(w, "second") == []
        assert w.events.reasons().count("StorageNamespaceConflict") == 1


async def test_it_is_let_in_once_the_first_and_its_cleanup_are_gone() -> None:
    async with judged() as w:
        await pair(w)
        await w.user.delete(RAYCLUSTERS, "default", "first")
        await w.until(w.has_job)
        await w.settle(60)
        assert await head_of(w, "second") == []
        assert (await conflict(w, "second"))["reason"] == "BeingDeleted"
        await w.end_job("Complete")
        await w.until(lambda: gone(w, "first"))
        await w.until(lambda: head_of(w, "second"), seconds=15)
        await w.settle()
        assert not await refused(w, "second")


async def test_a_refused_cluster_is_deleted_without_touching_the_keys() -> None:
    async with judged() as w:
        await pair(w)
        await w.user.delete(RAYCLUSTERS, "default", "second")
        await w.until(lambda: gone(w, "second"), seconds=5)
        assert await w.jobs() == []
        assert "RedisKeysLeft" in w.events.reasons()
        assert await head_of(w, "first")


async def test_a_head_on_a_lost_node_keeps_the_next_cluster_out_although_its_own_is_gone() -> None:
    async with judged() as w:
        await make(w, "first", **{"headstay.io/gcs-ft-cleanup": "Retain"})
        await w.until(lambda: head_of(w, "first"))
        (head,) = await head_of(w, "first")
        lost = {"metadata": {"finalizers": ["test/lost-node"]}}
        await w.user.patch(PODS, "default", head, lost)
        await w.user.delete(RAYCLUSTERS, "default", "first")
        await w.until(lambda: gone(w, "first"), seconds=400)
        await make(w, "second")
        await w.until(lambda: refused(w, "second"))
        found = await conflict(w, "second")
        assert found["reason"] == "HeldByPod"
        assert head in found["message"]
        await w.user.patch(PODS, "default", head, {"metadata": {"finalizers": None}})
        await w.user.delete(PODS, "default", head)
        await w.until(lambda: head_of(w, "second"), seconds=15)


async def test_a_running_cluster_edited_into_conflict_is_told_but_not_touched() -> None:
    async with judged() as w:
        await make(w, "first")
        await make(w, "second", storage="other")
        await w.until(lambda: head_of(w, "second"))
        before = await head_of(w, "second")
        edit = {"metadata": {"annotations": {"ray.io/external-storage-namespace": "shared"}}}
        await w.user.patch(RAYCLUSTERS, "default", "second", edit)
        await w.until(lambda: refused(w, "second"))
        await w.settle(60)
        assert await head_of(w, "second") == before
        await w.user.delete(PODS, "default", before[0])
        await w.settle(60)
        assert await head_of(w, "second") == []
        back = {"metadata": {"annotations": {"ray.io/external-storage-namespace": "other"}}}
        await w.user.patch(RAYCLUSTERS, "default", "second", back)
        await w.until(lambda: head_of(w, "second"))


async def test_a_replaced_head_is_made_again_by_the_one_that_had_it_not_by_the_older() -> None:
    async with judged() as w:
        await make(w, "older", storage="other")
        await w.until(lambda: head_of(w, "older"))
        await make(w, "holder")
        await w.until(lambda: head_of(w, "holder"))
        edit = {"metadata": {"annotations": {"ray.io/external-storage-namespace": "shared"}}}
        await w.user.patch(RAYCLUSTERS, "default", "older", edit)
        for name in ("older", "holder"):
            (head,) = await head_of(w, name)
            await w.user.delete(PODS, "default", head)
        await w.until(lambda: head_of(w, "holder"))
        await w.settle(60)
        assert await head_of(w, "older") == []


async def test_a_cluster_of_kuberay_that_runs_is_adopted_with_its_claim() -> None:
    async with judged() as w:
        await pair(w)
        await w.stop()
        await w.user.patch(RAYCLUSTERS, "default", "first", {"metadata": {"annotations": {WRITER: None}}})
        for pod in await w.pods("head"):
            strip = {"metadata": {"labels": {"headstay.io/storage-identity": None}}}
            await w.user.patch(PODS, "default", pod["metadata"]["name"], strip)
        await w.start()
        await w.settle(60)
        found = await find(w, "first")
        assert found is not None
        assert WRITER in found["metadata"]["annotations"]
        assert await head_of(w, "second") == []


async def test_the_default_namespace_costs_neither_a_write_nor_a_list() -> None:
    async with judged() as w:
        await w.settle(1)
        assert isinstance(w.client, Judge)
        w.client.asked.clear()
        await w.apply_sample()
        await w.until(lambda: w.pods("head"))
        await w.settle()
        assert w.client.asked == []
        assert w.client.writes.count("patch RayCluster") == 1, "the finalizer"


@pytest.mark.parametrize("seed", range(40))
async def test_late_news_and_crashes_never_let_two_in(seed: int) -> None:
    """Two clusters of one namespace, an operator that dies and sees late; heads lost, clusters deleted and remade."""
    luck = random.Random(seed)
    async with judged(luck) as w:
        await asyncio.gather(make(w, "a"), make(w, "b"))
        for _ in range(12):
            await asyncio.sleep(luck.choice([0.1, 1, 8, 40]))
            match luck.randrange(5):
                case 0:
                    await w.stop()
                    await w.start()
                case 1:
                    for head in await w.pods("head"):
                        with suppress(StatusError):
                            await w.user.delete(PODS, "default", head["metadata"]["name"])
                case 2:
                    name = luck.choice("ab")
                    with suppress(StatusError):
                        await w.user.delete(RAYCLUSTERS, "default", name)
                case 3:
                    for job in await w.jobs():
                        done = {"status": {"conditions": [{"type": "Complete", "status": "True"}]}}
                        await w.user.patch(JOBS, "default", job["metadata"]["name"], done, subresource="status")
                case _:
                    for name in "ab":
                        with suppress(StatusError):
                            await make(w, name)

        async def one_runs() -> bool:
            for name in "ab":  # both may still have been going when the last of the above was done
                with suppress(StatusError):
                    await make(w, name)
            for job in await w.jobs():
                done = {"status": {"conditions": [{"type": "Complete", "status": "True"}]}}
                await w.user.patch(JOBS, "default", job["metadata"]["name"], done, subresource="status")
            return len(await w.pods("head")) == 1

        await w.until(one_runs, seconds=900)


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
