"""What users and nodes do to clusters, one flow at a time. Each returns the clusters that must stand at the end."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from tests.sim.kubelet import Ending
from tests.sim.world import World, cluster

from headstay.model.ray import HEAD, WORKER

Flow: TypeAlias = Callable[[World], Awaitable[set[str]]]

SETTLED = 40.0
"""Long enough for a cluster to stand, an operator's death and its restart included."""


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
    if not any("redis.default" in debt for debt in world.debts()):
        world.judges.complain("the former Redis of a is not owed for")
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
    )
}
