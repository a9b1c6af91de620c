"""Flows about the keys in Redis: who cleans, what is owed, who may write. Each returns what must stand at the end."""

import asyncio

from tests.sim.kubelet import Ending
from tests.sim.world import SETTLED, Kit, World

from headstay.model.ray import HEAD, RAYCLUSTERS
from headstay.plan.raycluster.cleanup_policy import CLEANUP_POLICY
from headstay.plan.raycluster.cleanup_words import CLEANUP_BLOCKED
from headstay.plan.raycluster.settings import Settings

FAILS = Ending(1.0, 1, "Redis refused")
MANDATORY = Kit(settings=Settings(redis_access=True, cleanup_mode="Mandatory"))


async def owe_while_redis_is_away(world: World) -> set[str]:
    world.cleanup = FAILS
    world.judges.redis.trouble = "away"
    await world.create("a", workers=1)
    await asyncio.sleep(SETTLED)
    await world.delete("a")
    await asyncio.sleep(150)
    world.expect(bool(world.judges.redis.debts), "what the Job left is owed")
    world.judges.redis.trouble = ""
    return set()


async def owe_what_is_taken_over(world: World) -> set[str]:
    """The debt is void: who has the namespace now also has the keys."""
    world.cleanup = FAILS
    world.judges.redis.trouble = "away"
    await world.create("a", workers=1, storage="shared")
    await asyncio.sleep(SETTLED)
    await world.delete("a")
    await asyncio.sleep(SETTLED)
    await world.create("b", workers=1, storage="shared")
    await asyncio.sleep(SETTLED)
    world.judges.redis.trouble = ""
    return {"b"}


async def owe_without_access_to_redis(world: World) -> set[str]:
    """Nobody here can pay: it stays, and is said to be unpayable, until a person has removed the keys and the debt."""
    world.cleanup = FAILS
    await world.create("a", workers=1)
    await asyncio.sleep(SETTLED)
    await world.delete("a")
    await asyncio.sleep(SETTLED)
    states = [debt["metadata"]["labels"]["headstay.io/debt"] for debt in world.judges.redis.debts.values()]
    world.expect(states == ["Unpayable"], f"one debt is unpayable; there are {states}")
    await world.pay_by_hand()
    return set()


async def clean_from_the_operator(world: World) -> set[str]:
    await world.create("a", workers=1, annotations={CLEANUP_POLICY: "Operator"})
    await asyncio.sleep(SETTLED)
    await world.delete("a")
    await asyncio.sleep(SETTLED)
    world.expect(not world.jobs(), "no Job was needed")
    return set()


async def clean_from_the_operator_in_vain(world: World) -> set[str]:
    world.judges.redis.trouble = "NOAUTH Authentication required"
    await world.create("a", workers=1, annotations={CLEANUP_POLICY: "Operator"})
    await asyncio.sleep(SETTLED)
    await world.delete("a")
    await asyncio.sleep(100)
    world.judges.redis.trouble = ""
    return set()


async def retain_the_keys(world: World) -> set[str]:
    await world.create("a", workers=1, storage="kept", annotations={CLEANUP_POLICY: "Retain"})
    await asyncio.sleep(SETTLED)
    await world.delete("a")
    await asyncio.sleep(SETTLED)
    world.expect(not world.judges.redis.debts, "what is to be kept is not owed")
    await world.create("b", workers=1, storage="kept")
    await asyncio.sleep(SETTLED)
    world.expect(not world.judges.redis.emptied, "the keys that are to be kept are there")
    return {"b"}


async def hold_on_while_cleanup_is_mandatory(world: World) -> set[str]:
    world.cleanup = FAILS
    await world.create("a", workers=1)
    await asyncio.sleep(SETTLED)
    await world.delete("a")
    await asyncio.sleep(200)
    shown = world.judges.clusters().get("a")
    world.expect(shown is not None and shown.is_true(CLEANUP_BLOCKED), "it is held, and says so")
    world.cleanup = Ending(1.0)
    for job in world.failed_jobs():
        await world.delete_job(job)
    return set()


async def hold_on_while_the_operator_must_clean(world: World) -> set[str]:
    world.judges.redis.trouble = "away"
    await world.create("a", workers=1, annotations={CLEANUP_POLICY: "Operator"})
    await asyncio.sleep(SETTLED)
    await world.delete("a")
    await asyncio.sleep(200)
    shown = world.judges.clusters().get("a")
    world.expect(shown is not None and shown.is_true(CLEANUP_BLOCKED), "it is held, and says so")
    world.judges.redis.trouble = ""
    return set()


async def take_over_a_namespace(world: World) -> set[str]:
    await world.create("a", workers=1, storage="shared")
    await asyncio.sleep(2.0)  # of two that are equally old the UID decides
    await world.create("b", workers=1, storage="shared")
    await asyncio.sleep(SETTLED)
    world.expect(not world.pods("b", HEAD), "the second waits")
    await world.delete("a")
    return {"b"}


async def keep_a_namespace(world: World) -> set[str]:
    """Its head gone for a moment, and the one that was refused deleted: nothing of that costs it the keys."""
    await world.create("a", workers=1, storage="shared")
    await asyncio.sleep(2.0)
    await world.create("b", workers=0, storage="shared")
    await asyncio.sleep(SETTLED)
    await world.delete_pod("a", HEAD)
    await asyncio.sleep(SETTLED)
    world.expect(not world.pods("b", HEAD), "the second waits")
    await world.delete("b")
    await asyncio.sleep(SETTLED)
    world.expect(not world.judges.redis.emptied, "a refused cluster takes no keys with it")
    return {"a"}


async def give_a_namespace_back(world: World) -> set[str]:
    """Deleted and made again under its name and namespace, with another one waiting for it."""
    await world.create("a", workers=0, storage="shared")
    await asyncio.sleep(SETTLED)
    await world.create("b", workers=0, storage="shared")
    await world.delete("a")
    await world.create("a", workers=0, storage="shared")
    await asyncio.sleep(SETTLED)
    await world.user.delete(RAYCLUSTERS, "default", "b")
    return {"a"}
