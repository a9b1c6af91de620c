"""A storage namespace has one writer: what the controller does about two RayClusters that name the same one."""

import asyncio
import random
from contextlib import suppress

import pytest
from tests.sim.writers import Judge, conflict, find, gone, head_of, judged, make, pair, refused
from tests.unit.controllers.world import World

from headstay.model.errors import StatusError
from headstay.model.ray import RAYCLUSTERS
from headstay.model.resource import JOBS, PODS
from headstay.plan.raycluster.writer import WRITER

pytestmark = pytest.mark.looptime


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
            await asyncio.sleep(1)
            for name in "ab":  # both may still have been going when the last of the above was done
                with suppress(StatusError):
                    await make(w, name)
            for job in await w.jobs():
                done = {"status": {"conditions": [{"type": "Complete", "status": "True"}]}}
                await w.user.patch(JOBS, "default", job["metadata"]["name"], done, subresource="status")
            await collect_jobs(w)
            return len(await w.pods("head")) == 1

        await w.until(one_runs, seconds=900)


async def collect_jobs(w: World) -> None:
    """As the garbage collector, which this world lacks: a Job of a cluster that is gone keeps the next one waiting."""
    living = {found["metadata"]["uid"] for name in "ab" if (found := await find(w, name)) is not None}
    for job in await w.jobs():
        if not living.intersection(owner["uid"] for owner in job["metadata"]["ownerReferences"]):
            await w.user.delete(JOBS, "default", job["metadata"]["name"])
