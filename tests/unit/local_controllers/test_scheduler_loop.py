"""The scheduler on a real API server: bindings, conditions, Events, and trying again."""

from typing import Any

from tests.unit.local_controllers.api_world import ApiWorld, eventually, running, settled

from headstay.local.controllers.scheduler import Scheduler
from headstay.model.objects import dig
from headstay.model.resource import NODES, PERSISTENT_VOLUME_CLAIMS, PODS, Resource

PRIORITY_CLASSES = Resource("scheduling.k8s.io", "v1", "priorityclasses", "PriorityClass", namespaced=False)


def scheduler(world: ApiWorld) -> Any:
    return Scheduler(world.client, world.informers, world.recorder).run()


async def node_of(world: ApiWorld, name: str) -> Any:
    return dig(await world.get(PODS, name), "spec", "nodeName")


async def scheduled_condition(world: ApiWorld, name: str) -> Any:
    conditions = dig(await world.get(PODS, name), "status", "conditions") or []
    return next((c for c in conditions if c["type"] == "PodScheduled"), None)


async def test_a_pending_pod_is_bound_and_told_so() -> None:
    world = ApiWorld()
    async with running(world, scheduler(world)):
        await world.node()
        await world.pod("p")
        assert await eventually(lambda: node_of(world, "p")) == "one"
        assert (await scheduled_condition(world, "p"))["status"] == "True"
        assert await world.events() == [("Scheduled", "Successfully assigned default/p to one")]


async def test_a_pod_without_room_says_why_and_is_bound_once_another_goes() -> None:
    world = ApiWorld()
    async with running(world, scheduler(world)):
        await world.node()
        await world.pod("a", memory="3Gi")
        await eventually(lambda: node_of(world, "a"))
        await world.pod("b", memory="2Gi")
        condition = await eventually(lambda: scheduled_condition(world, "b"))
        assert (condition["status"], condition["reason"]) == ("False", "Unschedulable")
        assert condition["message"].startswith("0/1 nodes are available: 1 Insufficient memory. preemption:")
        assert ("FailedScheduling", condition["message"]) in await world.events()
        await world.client.delete(PODS, "default", "a", grace_period_seconds=0)
        assert await eventually(lambda: node_of(world, "b")) == "one"


async def test_pods_made_together_never_share_the_same_room() -> None:
    world = ApiWorld()
    async with running(world, scheduler(world)):
        await world.node(memory="3Gi")
        for number in range(6):
            await world.pod(f"p{number}")
        await settled()
        assert len([n for n in range(6) if await node_of(world, f"p{n}")]) == 3


async def test_a_pod_waits_for_a_node_and_for_its_capacity_to_grow() -> None:
    world = ApiWorld()
    async with running(world, scheduler(world)):
        await world.pod("p", memory="8Gi")
        condition = await eventually(lambda: scheduled_condition(world, "p"))
        assert condition["message"] == "no nodes available to schedule pods"
        node = await world.node()
        await settled()
        assert (await scheduled_condition(world, "p"))["message"].startswith("0/1 nodes are available")
        node["status"]["allocatable"]["memory"] = "16Gi"
        await world.client.update(NODES, node, subresource="status")
        assert await eventually(lambda: node_of(world, "p")) == "one"


async def test_the_most_important_waiting_pod_goes_first() -> None:
    world = ApiWorld()
    async with running(world, scheduler(world)):
        await world.node()
        await world.pod("big", memory="4Gi")
        await eventually(lambda: node_of(world, "big"))
        await world.pod("low", memory="4Gi")
        await world.make(PRIORITY_CLASSES, "important", value=10)
        await world.pod("high", memory="4Gi", spec={"priorityClassName": "important"})
        await settled()
        await world.client.delete(PODS, "default", "big", grace_period_seconds=0)
        await settled()
        assert (await node_of(world, "high"), await node_of(world, "low")) == ("one", None)


async def test_other_schedulers_and_gated_pods_are_left_alone() -> None:
    world = ApiWorld()
    async with running(world, scheduler(world)):
        await world.node()
        await world.pod("other", spec={"schedulerName": "mine"})
        await world.pod("gated", spec={"schedulingGates": [{"name": "wait"}]})
        await settled()
        assert not await node_of(world, "other")
        assert not await node_of(world, "gated")
        assert await world.events() == []


async def test_a_pod_is_bound_once_its_claim_appears() -> None:
    world = ApiWorld()
    async with running(world, scheduler(world)):
        await world.node()
        volumes = [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]
        await world.pod("p", spec={"volumes": volumes})
        condition = await eventually(lambda: scheduled_condition(world, "p"))
        assert 'persistentvolumeclaim "data" not found' in condition["message"]
        spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
        await world.make(PERSISTENT_VOLUME_CLAIMS, "data", spec=spec)
        assert await eventually(lambda: node_of(world, "p")) == "one"


async def test_a_pod_that_wants_company_is_bound_once_it_has_come() -> None:
    world = ApiWorld()
    async with running(world, scheduler(world)):
        await world.node()
        term = {"labelSelector": {"matchLabels": {"app": "web"}}, "topologyKey": "kubernetes.io/hostname"}
        affinity = {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
        await world.pod("follower", spec={"affinity": affinity})
        await eventually(lambda: scheduled_condition(world, "follower"))
        await world.pod("web", metadata={"labels": {"app": "web"}})
        assert await eventually(lambda: node_of(world, "follower")) == "one"
