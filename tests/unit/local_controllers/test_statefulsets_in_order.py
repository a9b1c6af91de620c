import asyncio
from typing import Any

import pytest
from tests.unit.local_controllers.workload_world import World, running, template

from headstay.model.objects import Obj, dig
from headstay.model.resource import CONTROLLER_REVISIONS, PERSISTENT_VOLUME_CLAIMS, PODS, STATEFUL_SETS

pytestmark = pytest.mark.looptime


def spec(replicas: int = 3, **more: Any) -> Obj:
    pods = template(**more.pop("does", {}))
    return {
        "replicas": replicas,
        "serviceName": "db",
        "selector": {"matchLabels": {"app": "x"}},
        "template": pods,
        **more,
    }


def claim() -> Obj:
    return {
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }


async def set_image(world: World, image: str, **spec_changes: Any) -> None:
    containers = [{"name": "c", "image": image}]
    await world.patch(STATEFUL_SETS, "db", {"spec": {"template": {"spec": {"containers": containers}}} | spec_changes})


async def images(world: World) -> dict[str, str]:
    return {pod["metadata"]["name"]: dig(pod, "spec", "containers", 0, "image") for pod in await world.all(PODS)}


async def test_pods_are_made_in_order_each_after_its_predecessor_is_ready() -> None:
    async with running() as world:
        await world.make(STATEFUL_SETS, "db", spec(does={"ready_after": "10"}))
        await asyncio.sleep(5)
        assert await world.names(PODS) == ["db-0"]
        await asyncio.sleep(10)
        assert await world.names(PODS) == ["db-0", "db-1"]
        await asyncio.sleep(20)
        assert await world.names(PODS) == ["db-0", "db-1", "db-2"]
        pod = await world.get(PODS, "db-1")
        labels = pod["metadata"]["labels"]
        assert labels["statefulset.kubernetes.io/pod-name"] == "db-1"
        assert labels["apps.kubernetes.io/pod-index"] == "1"
        assert (pod["spec"]["hostname"], pod["spec"]["subdomain"]) == ("db-1", "db")
        status = await world.status(STATEFUL_SETS, "db")
        counts = {name: value for name, value in status.items() if "evision" not in name}
        assert counts == {
            "observedGeneration": 1,
            "replicas": 3,
            "readyReplicas": 3,
            "availableReplicas": 3,
            "currentReplicas": 3,
            "updatedReplicas": 3,
        } | ({"collisionCount": 0} if "collisionCount" in counts else {})
        assert status["currentRevision"] == status["updateRevision"] == labels["controller-revision-hash"]


async def test_parallel_pods_are_made_at_once() -> None:
    async with running() as world:
        await world.make(STATEFUL_SETS, "db", spec(podManagementPolicy="Parallel", does={"ready_after": "10"}))
        await asyncio.sleep(5)
        assert len(await world.names(PODS)) == 3


async def test_scaling_down_takes_the_highest_first_and_one_at_a_time() -> None:
    async with running() as world:
        await world.make(STATEFUL_SETS, "db", spec(does={"stop_after": "10"}))
        await asyncio.sleep(20)
        await world.patch(STATEFUL_SETS, "db", {"spec": {"replicas": 1}})
        await asyncio.sleep(5)
        going = [pod["metadata"]["name"] for pod in await world.all(PODS) if pod["metadata"].get("deletionTimestamp")]
        assert going == ["db-2"]
        await asyncio.sleep(10)
        assert await world.names(PODS) == ["db-0", "db-1"]
        await asyncio.sleep(10)
        assert await world.names(PODS) == ["db-0"]


async def test_a_lost_pod_comes_back_under_its_name_with_its_claim() -> None:
    async with running() as world:
        await world.make(STATEFUL_SETS, "db", spec(2, volumeClaimTemplates=[claim()]))
        await asyncio.sleep(10)
        assert await world.names(PERSISTENT_VOLUME_CLAIMS) == ["data-db-0", "data-db-1"]
        volumes = (await world.get(PODS, "db-0"))["spec"]["volumes"]
        assert {"name": "data", "persistentVolumeClaim": {"claimName": "data-db-0"}} in volumes
        claims = [found["metadata"]["uid"] for found in await world.all(PERSISTENT_VOLUME_CLAIMS)]
        before = (await world.get(PODS, "db-0"))["metadata"]["uid"]
        await world.client.delete(PODS, "default", "db-0")
        await asyncio.sleep(10)
        assert (await world.get(PODS, "db-0"))["metadata"]["uid"] != before
        assert [found["metadata"]["uid"] for found in await world.all(PERSISTENT_VOLUME_CLAIMS)] == claims


async def test_a_rolling_update_goes_down_from_the_highest_ordinal() -> None:
    async with running() as world:
        await world.make(STATEFUL_SETS, "db", spec(does={"ready_after": "5"}))
        await asyncio.sleep(30)
        await set_image(world, "j")
        await asyncio.sleep(5)
        assert (await images(world)) == {"db-0": "i", "db-1": "i", "db-2": "j"}
        status = await world.status(STATEFUL_SETS, "db")
        assert status["currentRevision"] != status["updateRevision"]
        await asyncio.sleep(60)
        assert set((await images(world)).values()) == {"j"}
        status = await world.status(STATEFUL_SETS, "db")
        assert status["currentRevision"] == status["updateRevision"]


async def test_a_partition_holds_the_lower_ordinals_back_even_when_they_are_replaced() -> None:
    async with running() as world:
        await world.make(STATEFUL_SETS, "db", spec())
        await asyncio.sleep(20)
        await set_image(world, "j", updateStrategy={"type": "RollingUpdate", "rollingUpdate": {"partition": 2}})
        await asyncio.sleep(20)
        assert (await images(world)) == {"db-0": "i", "db-1": "i", "db-2": "j"}
        await world.client.delete(PODS, "default", "db-1")
        await asyncio.sleep(10)
        assert (await images(world))["db-1"] == "i"


async def test_on_delete_waits_for_the_user_to_delete() -> None:
    async with running() as world:
        await world.make(STATEFUL_SETS, "db", spec(2, updateStrategy={"type": "OnDelete"}))
        await asyncio.sleep(20)
        await set_image(world, "j")
        await asyncio.sleep(20)
        assert set((await images(world)).values()) == {"i"}
        await world.client.delete(PODS, "default", "db-0")
        await asyncio.sleep(10)
        assert (await images(world)) == {"db-0": "j", "db-1": "i"}


async def test_a_failed_pod_is_replaced() -> None:
    async with running() as world:
        await world.make(STATEFUL_SETS, "db", spec(1))
        await asyncio.sleep(5)
        pod = await world.get(PODS, "db-0")
        await world.node.finish(pod, 1)
        await asyncio.sleep(5)
        assert (await world.get(PODS, "db-0"))["metadata"]["uid"] != pod["metadata"]["uid"]


async def test_nothing_goes_on_above_a_pod_that_is_not_ready() -> None:
    async with running() as world:
        await world.make(STATEFUL_SETS, "db", spec(does={"ready_after": "never"}))
        await asyncio.sleep(100)
        assert await world.names(PODS) == ["db-0"]


async def test_revisions_are_kept_to_the_limit_and_an_undone_one_is_renumbered() -> None:
    async with running() as world:
        await world.make(STATEFUL_SETS, "db", spec(1, revisionHistoryLimit=1))
        for image in ("j", "k", "l"):
            await asyncio.sleep(10)
            await set_image(world, image)
        await asyncio.sleep(20)
        assert sorted(found["revision"] for found in await world.all(CONTROLLER_REVISIONS)) == [3, 4]
        await set_image(world, "k")
        await asyncio.sleep(20)
        assert sorted(found["revision"] for found in await world.all(CONTROLLER_REVISIONS)) == [4, 5]
        assert (await images(world)) == {"db-0": "k"}


async def test_claims_of_surplus_pods_go_with_them_when_scaled_down_with_delete() -> None:
    async with running() as world:
        policy = {"whenScaled": "Delete", "whenDeleted": "Retain"}
        more = {"volumeClaimTemplates": [claim()], "persistentVolumeClaimRetentionPolicy": policy}
        await world.make(STATEFUL_SETS, "db", spec(2, **more))
        await asyncio.sleep(10)
        await world.patch(STATEFUL_SETS, "db", {"spec": {"replicas": 1}})
        await asyncio.sleep(10)
        assert await world.names(PERSISTENT_VOLUME_CLAIMS) == ["data-db-0"]
        assert "ownerReferences" not in (await world.get(PERSISTENT_VOLUME_CLAIMS, "data-db-0"))["metadata"]


async def test_a_start_ordinal_moves_the_names() -> None:
    async with running() as world:
        await world.make(STATEFUL_SETS, "db", spec(2, ordinals={"start": 5}))
        await asyncio.sleep(10)
        assert await world.names(PODS) == ["db-5", "db-6"]


async def test_a_settled_set_is_left_alone() -> None:
    async with running() as world:
        await world.make(STATEFUL_SETS, "db", spec(2))
        await asyncio.sleep(30)
        before = (await world.get(STATEFUL_SETS, "db"))["metadata"]["resourceVersion"]
        await asyncio.sleep(500)
        assert (await world.get(STATEFUL_SETS, "db"))["metadata"]["resourceVersion"] == before
