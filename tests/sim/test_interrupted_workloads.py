"""Every write of the workload controllers fails once, before or after it took effect, with or without a crash.

Whatever half-done state that leaves, the end is the one that an undisturbed run reaches.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple

import pytest
from tests.unit.local_controllers.workload_world import World, running, template

from headstay.model.objects import Obj, dig
from headstay.model.resource import DEPLOYMENTS, JOBS, PODS, REPLICA_SETS, STATEFUL_SETS

pytestmark = pytest.mark.looptime

SELECTOR = {"matchLabels": {"app": "x"}}
STEPS = 20
"""At most; a scenario ends when it has no such many writes."""


async def deploy_and_update(world: World) -> None:
    await world.make(DEPLOYMENTS, "web", {"replicas": 2, "selector": SELECTOR, "template": template()})
    await asyncio.sleep(30)
    containers = [{"name": "c", "image": "j"}]
    await world.patch(DEPLOYMENTS, "web", {"spec": {"template": {"spec": {"containers": containers}}}})


async def updated(world: World) -> None:
    pods = await world.all(PODS)
    assert [dig(pod, "spec", "containers", 0, "image") for pod in pods] == ["j", "j"]
    assert sorted(found["spec"]["replicas"] for found in await world.all(REPLICA_SETS)) == [0, 2]
    status = await world.status(DEPLOYMENTS, "web")
    assert (status["updatedReplicas"], status["availableReplicas"]) == (2, 2)
    meta = (await world.get(DEPLOYMENTS, "web"))["metadata"]
    assert meta["annotations"]["deployment.kubernetes.io/revision"] == "2"


async def run_a_job(world: World) -> None:
    pods = template("Never", exit_after="5")
    await world.make(JOBS, "work", {"completions": 3, "parallelism": 2, "template": pods})


async def completed(world: World) -> None:
    status = await world.status(JOBS, "work")
    assert status["succeeded"] >= 3
    assert "active" not in status
    assert [c["type"] for c in status["conditions"]] == ["SuccessCriteriaMet", "Complete"]


async def keep_a_set(world: World) -> None:
    spec: Obj = {"replicas": 3, "serviceName": "db", "selector": SELECTOR, "template": template()}
    await world.make(STATEFUL_SETS, "db", spec)
    await asyncio.sleep(60)
    await world.patch(STATEFUL_SETS, "db", {"spec": {"replicas": 2}})


async def two_left(world: World) -> None:
    assert await world.names(PODS) == ["db-0", "db-1"]
    assert (await world.status(STATEFUL_SETS, "db"))["readyReplicas"] == 2


async def make_and_remove(world: World) -> None:
    await world.make(DEPLOYMENTS, "web", {"replicas": 2, "selector": SELECTOR, "template": template()})
    await asyncio.sleep(30)
    await world.client.delete(DEPLOYMENTS, "default", "web", propagation="Foreground")


async def all_gone(world: World) -> None:
    assert await world.names(DEPLOYMENTS) == []
    assert await world.names(REPLICA_SETS) == []
    assert await world.names(PODS) == []


class Scenario(NamedTuple):
    begin: Callable[[World], Awaitable[None]]
    check: Callable[[World], Awaitable[None]]


SCENARIOS = {
    "a Deployment that is updated": Scenario(deploy_and_update, updated),
    "a Job": Scenario(run_a_job, completed),
    "a StatefulSet that is scaled": Scenario(keep_a_set, two_left),
    "a Deployment that is deleted": Scenario(make_and_remove, all_gone),
}


async def crash_when_broken(world: World) -> None:
    await world.controllers.broken.wait()
    await world.stop_controllers()
    world.start_controllers()


@pytest.mark.parametrize("name", SCENARIOS)
@pytest.mark.parametrize("how", ["cut", "answer lost", "cut and crash", "answer lost and crash"])
async def test_a_disturbed_run_ends_as_an_undisturbed_one(name: str, how: str) -> None:
    scenario = SCENARIOS[name]
    for step in range(1, STEPS + 1):
        async with running() as world:
            world.controllers.fail_at = step
            world.controllers.answer_lost = how.startswith("answer lost")
            crash = asyncio.create_task(crash_when_broken(world)) if how.endswith("crash") else None
            await scenario.begin(world)
            await asyncio.sleep(120)
            await scenario.check(world)
            if crash is not None:
                crash.cancel()
            if not world.controllers.broken.is_set():
                assert step > 5, "a scenario has more writes than that"
                break
