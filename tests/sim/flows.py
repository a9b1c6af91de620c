"""What users and nodes do to clusters, one flow at a time. Each returns the clusters that must stand at the end."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from tests.sim import storage_flows
from tests.sim.kubelet import Ending
from tests.sim.manifests import cluster
from tests.sim.world import SETTLED, Kit, World

from headstay.model.objects import Obj
from headstay.model.ray import GROUP_NAME, HEAD, WORKER
from headstay.model.ray_names import head_ingress
from headstay.model.resource import INGRESSES
from headstay.plan.raycluster.settings import Settings

Flow: TypeAlias = Callable[[World], Awaitable[set[str]]]


async def create(world: World) -> set[str]:
    await world.create("a", slices=1)
    return {"a"}


async def scale(world: World) -> set[str]:
    await world.create("a", workers=1, slices=1)
    await asyncio.sleep(SETTLED)
    await world.scale("a", "w", 4)
    await asyncio.sleep(SETTLED)
    await world.scale("a", "w", 2)
    await world.scale("a", "m", 2)
    await asyncio.sleep(SETTLED)
    await world.scale("a", "m", 1)
    return {"a"}


async def suspend_and_resume(world: World) -> set[str]:
    await world.create("a")
    await asyncio.sleep(SETTLED)
    await world.edit("a", suspend=True)
    await asyncio.sleep(SETTLED)
    await world.edit("a", suspend=False)
    return {"a"}


async def suspend_half_way(world: World) -> set[str]:
    await world.create("a")
    await asyncio.sleep(0.1)
    await world.edit("a", suspend=True)
    return {"a"}


async def recreate(world: World) -> set[str]:
    await world.create("a", upgradeStrategy={"type": "Recreate"})
    await asyncio.sleep(SETTLED)
    spec = cluster("a")["spec"]
    for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"]):
        group["template"]["spec"]["containers"][0]["image"] = "rayproject/ray:2.10.0"
    await world.edit("a", headGroupSpec=spec["headGroupSpec"], workerGroupSpecs=spec["workerGroupSpecs"])
    return {"a"}


async def move_and_delete(world: World) -> set[str]:
    await world.create("a", workers=1, upgradeStrategy={"type": "Recreate"})
    await asyncio.sleep(SETTLED)
    await world.edit("a", gcsFaultToleranceOptions={"redisAddress": "other:6379"})
    await asyncio.sleep(SETTLED)
    await world.delete("a")
    await asyncio.sleep(SETTLED)
    emptied = world.judges.redis.emptied
    world.expect(any(place.startswith("redis.default") for place in emptied), f"its former Redis is cleaned: {emptied}")
    return set()


async def recover_the_head(world: World) -> set[str]:
    await world.create("a", workers=1)
    await asyncio.sleep(SETTLED)
    await world.fail_pod("a", HEAD)
    await asyncio.sleep(SETTLED)
    await world.delete_pod("a", HEAD)
    await asyncio.sleep(SETTLED)
    await world.crash_pod("a", HEAD)
    return {"a"}


async def recover_workers(world: World) -> set[str]:
    await world.create("a", slices=1)
    await asyncio.sleep(SETTLED)
    await world.fail_pod("a", WORKER)
    await asyncio.sleep(SETTLED)
    for pod in world.pods("a", WORKER):
        await world.kubelet.fail("default", pod["metadata"]["name"])
    return {"a"}


async def revive_the_gcs(world: World) -> set[str]:
    """Twice, so that whoever dies between hearing of one and writing it down finds the next beside it."""
    await world.create("a", workers=1)
    await asyncio.sleep(SETTLED)
    world.revive_gcs("a")
    await asyncio.sleep(SETTLED)
    world.revive_gcs("a")
    await asyncio.sleep(SETTLED)
    return {"a"}


async def replace_a_worker_that_stays_away(world: World) -> set[str]:
    await world.create("a", workers=2)
    await asyncio.sleep(SETTLED)
    world.lose_worker("a")
    world.revive_gcs("a")
    await asyncio.sleep(300)
    return {"a"}


async def delete_cleanly(world: World) -> set[str]:
    await world.create("a", workers=1)
    await asyncio.sleep(SETTLED)
    await world.delete("a")
    return set()


async def delete_where_the_cleanup_fails(world: World) -> set[str]:
    world.cleanup = Ending(1.0, 1, "Redis refused")
    return await delete_cleanly(world)


async def delete_where_the_cleanup_hangs(world: World) -> set[str]:
    world.cleanup = None
    return await delete_cleanly(world)


async def delete_on_a_lost_node(world: World) -> set[str]:
    await world.create("a", workers=1)
    await asyncio.sleep(SETTLED)
    for node in world.nodes:
        world.kubelet.lose(node)
    await world.delete("a")
    await asyncio.sleep(200)
    for node in world.nodes:
        world.kubelet.bring_back(node)
    return set()


async def delete_and_create_again(world: World) -> set[str]:
    await world.create("a", workers=1)
    await asyncio.sleep(SETTLED)
    await world.delete("a")
    await world.create("a", workers=1)
    return {"a"}


async def two_without_fault_tolerance(world: World) -> set[str]:
    await world.create("a", ft=False, workers=1)
    await world.create("b", ft=False, workers=2)
    await asyncio.sleep(SETTLED)
    await world.delete("a")
    await world.create("a", ft=False, workers=1)
    return {"a", "b"}


async def name_workers_for_deletion(world: World) -> set[str]:
    await world.create("a", workers=3, slices=1)
    await asyncio.sleep(SETTLED)
    first, second, third = sorted(pod["metadata"]["name"] for pod in _of_group(world, "w"))
    host = _of_group(world, "m")[0]["metadata"]["name"]
    await world.edit_group("a", "w", scaleStrategy={"workersToDelete": [second]})
    await world.edit_group("a", "m", scaleStrategy={"workersToDelete": [host]})
    await asyncio.sleep(SETTLED)
    await world.edit_group("a", "w", replicas=2, scaleStrategy={"workersToDelete": [second, third]})
    await asyncio.sleep(SETTLED)
    left = {pod["metadata"]["name"] for pod in _of_group(world, "w")}
    world.expect(first in left, f"a worker that nobody named is left alone; there are {sorted(left)}")
    world.expect(not left & {second, third}, f"workers named are gone; there are {sorted(left)}")
    return {"a"}


async def keep_an_ingress(world: World) -> set[str]:
    await world.create("a", workers=0)
    await world.edit("a", headGroupSpec={"enableIngress": True, "ingressOptions": {"host": "ray.example"}})
    await asyncio.sleep(SETTLED)
    name = head_ingress("a")
    rules = (await world.user.get(INGRESSES, "default", name))["spec"]["rules"]
    rules[0]["host"] = "other.example"
    await world.user.patch(INGRESSES, "default", name, {"spec": {"rules": rules}})
    await asyncio.sleep(SETTLED)
    found = await world.user.get(INGRESSES, "default", name)
    world.expect(found["spec"]["rules"][0]["host"] == "ray.example", "what the user changed is put right")
    await world.user.delete(INGRESSES, "default", name)
    await world.edit("a", headGroupSpec={"ingressOptions": {"host": "new.example"}})
    return {"a"}


async def drop_an_ingress(world: World) -> set[str]:
    await world.create("a", workers=0)
    await world.edit("a", headGroupSpec={"enableIngress": True})
    await asyncio.sleep(SETTLED)
    await world.edit("a", headGroupSpec={"enableIngress": False})
    await asyncio.sleep(SETTLED)
    await world.user.delete(INGRESSES, "default", head_ingress("a"))
    await asyncio.sleep(SETTLED)
    left = [key.name for key, _ in world.api.store.entries("ingresses.networking.k8s.io")]
    world.expect(not left, "what nobody asks for is not made again")
    await world.edit("a", headGroupSpec={"enableIngress": True})
    await asyncio.sleep(SETTLED)
    await world.delete("a")
    return set()


def _of_group(world: World, group: str) -> list[Obj]:
    return [pod for pod in world.pods("a", WORKER) if pod["metadata"]["labels"][GROUP_NAME] == group]


FLOWS: dict[str, Flow] = {
    flow.__name__.replace("_", " "): flow
    for flow in (
        create,
        scale,
        suspend_and_resume,
        suspend_half_way,
        recreate,
        move_and_delete,
        recover_the_head,
        recover_workers,
        revive_the_gcs,
        replace_a_worker_that_stays_away,
        delete_cleanly,
        delete_where_the_cleanup_fails,
        delete_where_the_cleanup_hangs,
        delete_on_a_lost_node,
        delete_and_create_again,
        two_without_fault_tolerance,
        name_workers_for_deletion,
        keep_an_ingress,
        drop_an_ingress,
        storage_flows.owe_while_redis_is_away,
        storage_flows.owe_what_is_taken_over,
        storage_flows.owe_without_access_to_redis,
        storage_flows.clean_from_the_operator,
        storage_flows.clean_from_the_operator_in_vain,
        storage_flows.retain_the_keys,
        storage_flows.hold_on_while_cleanup_is_mandatory,
        storage_flows.hold_on_while_the_operator_must_clean,
        storage_flows.take_over_a_namespace,
        storage_flows.keep_a_namespace,
        storage_flows.give_a_namespace_back,
    )
}

KITS: dict[str, Kit] = {
    "hold on while cleanup is mandatory": storage_flows.MANDATORY,
    "hold on while the operator must clean": storage_flows.MANDATORY,
    "owe without access to redis": Kit(settings=Settings()),
}
"""Of flows that play under an operator of their own."""
