"""Pods deleted at awkward moments: nothing of them is left, and nobody waits longer than was asked for."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from tests.local.node_lab import Lab, needs_root, node_lab

from headstay.local.node import cgroups
from headstay.local.node.engine import Engine
from headstay.local.node.images import Image, ImageStore
from headstay.model.objects import Obj
from headstay.model.resource import PODS

pytestmark = [needs_root, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lab() -> AsyncIterator[Lab]:
    async with node_lab("hsdel", 96) as made:
        yield made


def checkpoints(lab: Lab) -> list[str]:
    return [path.name for path in (lab.config.state_dir / "pods").glob("*")]


@pytest_asyncio.fixture(loop_scope="module", autouse=True)
async def nothing_is_left(lab: Lab) -> AsyncIterator[None]:
    yield
    async with asyncio.timeout(15):
        while await Engine(lab.config).identities() or lab.network.attached() or checkpoints(lab):
            await asyncio.sleep(0.1)
    assert cgroups.processes(lab.config.cgroup_parent) == set()


def deaf(**more: object) -> Obj:
    """Its first process ignores SIGTERM, as a PID 1 without a handler does."""
    return {"name": "main", "image": "busybox:1.36", "command": ["sleep", "1000"]} | more


async def gone_after(lab: Lab, name: str) -> float:
    began = asyncio.get_running_loop().time()
    await lab.until_gone(name)
    return asyncio.get_running_loop().time() - began


async def test_a_pod_deleted_right_after_it_was_made(lab: Lab) -> None:
    for number in range(5):
        await lab.run(f"quick{number}", deaf(), deaf(name="other"))
        await asyncio.sleep(number * 0.06)
        await lab.client.delete(PODS, "default", f"quick{number}", grace_period_seconds=1)
    for number in range(5):
        await lab.until_gone(f"quick{number}")


async def test_a_pod_deleted_by_force_while_it_starts(lab: Lab) -> None:
    for number in range(4):
        await lab.run(f"force{number}", deaf())
        await asyncio.sleep(number * 0.06)
        await lab.client.delete(PODS, "default", f"force{number}", grace_period_seconds=0)


async def test_a_pod_deleted_while_its_image_is_fetched(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    fetching = asyncio.Event()

    async def endless(*_: object) -> Image:
        fetching.set()
        await asyncio.sleep(1000)
        raise AssertionError

    monkeypatch.setattr(ImageStore, "pull", endless)
    await lab.run("fetches", {"name": "main", "image": "unknown/image:1"})
    await asyncio.wait_for(fetching.wait(), 5)
    await lab.client.delete(PODS, "default", "fetches")
    assert await gone_after(lab, "fetches") < 3


async def test_a_grace_that_is_shortened_meanwhile(lab: Lab) -> None:
    await lab.run("patient", deaf(), terminationGracePeriodSeconds=60)
    await lab.until_phase("patient", "Running")
    await lab.client.delete(PODS, "default", "patient")
    await asyncio.sleep(1)
    assert (await lab.pod("patient"))["status"]["phase"] == "Running"
    await lab.client.delete(PODS, "default", "patient", grace_period_seconds=1)
    assert await gone_after(lab, "patient") < 4


async def test_a_pre_stop_hook_that_takes_longer_than_the_grace(lab: Lab) -> None:
    hook = {"preStop": {"exec": {"command": ["sleep", "100"]}}}
    await lab.run("hooked", deaf(lifecycle=hook), terminationGracePeriodSeconds=2)
    await lab.until_phase("hooked", "Running")
    await lab.client.delete(PODS, "default", "hooked")
    assert 1.5 < await gone_after(lab, "hooked") < 7


async def test_a_finalizer_of_somebody_else_keeps_the_object_and_not_the_containers(lab: Lab) -> None:
    await lab.run("kept", deaf())
    await lab.until_phase("kept", "Running")
    await lab.client.patch(PODS, "default", "kept", {"metadata": {"finalizers": ["example.com/mine"]}})
    await lab.client.delete(PODS, "default", "kept", grace_period_seconds=1)
    await lab.until("kept", lambda pod: "terminated" in str(pod["status"]["containerStatuses"][0]["state"]))
    async with asyncio.timeout(10):
        while await Engine(lab.config).identities():
            await asyncio.sleep(0.1)
    await lab.client.patch(PODS, "default", "kept", {"metadata": {"finalizers": None, "labels": {"seen": "yes"}}})
    await lab.until_gone("kept")


async def test_a_pod_of_the_same_name_follows_at_once(lab: Lab) -> None:
    for number in range(3):
        await lab.run("again", deaf(command=["sh", "-c", f"echo {number}; exec sleep 1000"]))
        await lab.until_phase("again", "Running")
        await asyncio.sleep(0.2)
        assert await lab.logs("again") == f"{number}\n"
        await lab.client.delete(PODS, "default", "again", grace_period_seconds=0)


async def test_one_of_two_containers_restarts_alone(lab: Lab) -> None:
    await lab.run("pair", deaf(name="steady"), deaf(name="weak", command=["sh", "-c", "sleep 0.5; exit 1"]))
    pod = await lab.until("pair", lambda p: "'restartCount': 1" in str(p.get("status")))
    counts = {one["name"]: one["restartCount"] for one in pod["status"]["containerStatuses"]}
    assert counts == {"steady": 0, "weak": 1}
    await lab.client.delete(PODS, "default", "pair", grace_period_seconds=0)
