"""What users do to RayServices, one flow at a time. Each returns the RayServices that must stand at the end."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from tests.sim.kubelet import Ending
from tests.sim.services import BROKEN, CONFIG, GIVEN, ServiceWorld, cluster_spec

from headstay.model.ray import HEAD

ServiceFlow: TypeAlias = Callable[[ServiceWorld], Awaitable[set[str]]]

SETTLED = 45.0
"""Long enough for a RayService to stand, an operator's death and its restart included."""
RETAIN = {"headstay.io/gcs-ft-cleanup": "Retain"}


async def create(world: ServiceWorld) -> set[str]:
    await world.create_service("s")
    return {"s"}


async def upgrade(world: ServiceWorld) -> set[str]:
    await world.create_service("s")
    await world.settle(SETTLED)
    await world.set_image("s", "2")
    return {"s"}


async def upgrade_during_an_upgrade(world: ServiceWorld) -> set[str]:
    await world.create_service("s")
    await world.settle(SETTLED)
    await world.set_image("s", "2")
    await asyncio.sleep(2)
    await world.set_image("s", "3")
    return {"s"}


async def roll_back_by_edit(world: ServiceWorld) -> set[str]:
    await world.create_service("s")
    await world.settle(SETTLED)
    await world.set_image("s", "2")
    await asyncio.sleep(4)
    await world.set_image("s", "1")
    return {"s"}


async def roll_back_after_the_upgrade(world: ServiceWorld) -> set[str]:
    await world.create_service("s")
    await world.settle(SETTLED)
    await world.set_image("s", "2")
    await world.settle(SETTLED)
    await world.set_image("s", "1")
    return {"s"}


async def change_the_configuration(world: ServiceWorld) -> set[str]:
    await world.create_service("s")
    await world.settle(SETTLED)
    await world.edit_service("s", serveConfigV2=CONFIG + "- name: second\n")
    return {"s"}


async def lose_serve_while_an_upgrade_is_stuck(world: ServiceWorld) -> set[str]:
    """What had been deployed is deployed again, not what the next generation is to run."""
    await world.create_service("s")
    await world.settle(SETTLED)
    await world.edit_service("s", rayClusterConfig=cluster_spec(BROKEN), serveConfigV2=CONFIG + "- name: second\n")
    await asyncio.sleep(10)
    world.serve.deployed.clear()
    await asyncio.sleep(SETTLED)
    _, config = world.serve.deployed.get(GIVEN, (0.0, {}))
    names = [found["name"] for found in config.get("applications", [])]
    world.expect(names == ["app"], f"the active RayCluster runs app again; it runs {names}")
    await world.set_image("s", "2")
    return {"s"}


async def suspend_and_resume(world: ServiceWorld) -> set[str]:
    await world.create_service("s")
    await world.settle(SETTLED)
    await world.edit_service("s", suspend=True)
    await asyncio.sleep(SETTLED)
    await world.edit_service("s", suspend=False)
    return {"s"}


async def lose_the_head(world: ServiceWorld) -> set[str]:
    await world.create_service("s")
    await world.settle(SETTLED)
    for name in world.judges.clusters():
        await world.delete_pod(name, HEAD)
    return {"s"}


async def delete(world: ServiceWorld) -> set[str]:
    await world.create_service("s")
    await world.settle(SETTLED)
    await world.delete_service("s")
    return set()


async def delete_during_an_upgrade(world: ServiceWorld) -> set[str]:
    await world.create_service("s")
    await world.settle(SETTLED)
    await world.set_image("s", "2")
    await asyncio.sleep(3)
    await world.delete_service("s")
    return set()


async def upgrade_while_cleanups_hang(world: ServiceWorld) -> set[str]:
    """The old generation's cleanup holds nothing up; it is given up at its own deadline."""
    world.cleanup = None
    await upgrade(world)
    await asyncio.sleep(SETTLED)
    world.cleanup = Ending(1.0)
    return {"s"}


async def retain_and_create_again(world: ServiceWorld) -> set[str]:
    await world.create_service("s", annotations=RETAIN)
    await world.settle(SETTLED)
    await world.set_image("s", "2")
    await world.settle(SETTLED)
    await world.delete_service("s")
    await asyncio.sleep(SETTLED)
    await world.create_service("s", "2", annotations=RETAIN)
    return {"s"}


async def retain_and_create_again_broken_then_mend(world: ServiceWorld) -> set[str]:
    """Nobody served in between, so nothing may be lost, although the keys are not to be retained any more."""
    await world.create_service("s", annotations=RETAIN)
    await world.settle(SETTLED)
    await world.set_image("s", "2")
    await world.settle(SETTLED)
    await world.delete_service("s")
    await world.settle(SETTLED)
    kept = world.used[-1]
    await world.create_service("s", BROKEN)
    await asyncio.sleep(12)
    await world.set_image("s", "2")
    await asyncio.sleep(2 * SETTLED)
    world.expect(world.used[-1] == kept, f"it goes on in {kept}; the namespaces in turn: {world.used}")
    emptied = [storage for storage in world.judges.redis.emptied if storage.endswith(f"/{kept}")]
    world.expect(not emptied, f"what was retained is not removed: {emptied}")
    return {"s"}


SERVICE_FLOWS: dict[str, ServiceFlow] = {
    flow.__name__.replace("_", " "): flow
    for flow in (
        create,
        upgrade,
        upgrade_during_an_upgrade,
        roll_back_by_edit,
        roll_back_after_the_upgrade,
        change_the_configuration,
        lose_serve_while_an_upgrade_is_stuck,
        suspend_and_resume,
        lose_the_head,
        delete,
        delete_during_an_upgrade,
        upgrade_while_cleanups_hang,
        retain_and_create_again,
        retain_and_create_again_broken_then_mend,
    )
}
