"""The pretended kubelet does what the flows of this tier (and the benches) take for granted of a node."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import pytest
from tests.sim.kubelet import Ending, Habits, Kubelet

from headstay.local.server.assembly import build_api
from headstay.local.server.inprocess import InProcessClient
from headstay.model.meta import Pod
from headstay.model.objects import Obj
from headstay.model.resource import PODS, SERVICE_ACCOUNTS

pytestmark = pytest.mark.looptime


@asynccontextmanager
async def node(
    habits: Habits | None = None, nodes: tuple[str, ...] = ("node-0",)
) -> AsyncIterator[tuple[InProcessClient, Kubelet]]:
    client = InProcessClient(build_api())
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": "default"}}
    await client.create(SERVICE_ACCOUNTS, account)
    kubelet = Kubelet(client, habits, nodes=nodes)
    await kubelet.register()
    work = asyncio.create_task(kubelet.run())
    try:
        yield client, kubelet
        assert not work.done()
    finally:
        work.cancel()
        await asyncio.wait({work})


async def make(client: InProcessClient, name: str, **spec: str) -> None:
    document: Obj = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default"}}
    await client.create(PODS, document | {"spec": {"containers": [{"name": "c", "image": "i"}], **spec}})


async def pods(client: InProcessClient) -> dict[str, Pod]:
    page = await client.list_page(PODS)
    found = [msgspec.json.decode(item, type=Pod) for item in page.items]
    return {pod.metadata.name: pod for pod in found}


async def test_an_unbound_pod_is_bound_and_becomes_ready_after_its_delay() -> None:
    async with node(Habits(ready_after=lambda _: 5.0)) as (client, _):
        await make(client, "a")
        await asyncio.sleep(4)
        assert (await pods(client))["a"].spec.node_name == "node-0"
        assert not (await pods(client))["a"].ready
        await asyncio.sleep(2)
        found = (await pods(client))["a"]
        assert found.ready
        assert found.status.pod_ip


async def test_a_deleted_pod_goes_within_its_grace_period() -> None:
    async with node(Habits(stop_after=lambda _: 1000.0)) as (client, _):
        await make(client, "a")
        await asyncio.sleep(2)
        await client.delete(PODS, "default", "a", grace_period_seconds=10)
        await asyncio.sleep(9)
        assert list(await pods(client)) == ["a"]
        await asyncio.sleep(2)
        assert not await pods(client)


async def test_a_pod_ends_as_its_habits_say() -> None:
    async with node(Habits(ends=lambda pod: Ending(3, 7 if pod.metadata.name == "bad" else 0))) as (client, _):
        await make(client, "good", restartPolicy="Never")
        await make(client, "bad", restartPolicy="Never")
        await asyncio.sleep(6)
        assert {name: pod.status.phase for name, pod in (await pods(client)).items()} == {
            "good": "Succeeded",
            "bad": "Failed",
        }


async def test_a_crashed_container_starts_again_and_counts() -> None:
    async with node() as (client, kubelet):
        await make(client, "a")
        await asyncio.sleep(3)
        await kubelet.crash("default", "a", message="boom")
        await asyncio.sleep(0.5)
        found = (await pods(client))["a"]
        assert not found.ready
        assert found.status.container_statuses[0].last_state.terminated is not None
        await asyncio.sleep(2)
        found = (await pods(client))["a"]
        assert found.ready
        assert found.status.container_statuses[0].restart_count == 1


async def test_a_lost_node_honours_no_deletion_until_it_is_back_or_removed() -> None:
    async with node(nodes=("one", "two")) as (client, kubelet):
        for name in ("a", "b"):
            await make(client, name)
        await asyncio.sleep(3)
        where = {name: pod.spec.node_name for name, pod in (await pods(client)).items()}
        assert sorted(where.values()) == ["one", "two"]
        for node_name in ("one", "two"):
            kubelet.lose(node_name)
        for name in where:
            await client.delete(PODS, "default", name)
        await asyncio.sleep(100)
        assert len(await pods(client)) == 2
        kubelet.bring_back("one")
        await asyncio.sleep(2)
        assert [pod.spec.node_name for pod in (await pods(client)).values()] == ["two"]
        await kubelet.remove("two")
        assert not await pods(client)


async def test_a_thousand_pods_are_ready_in_two_writes_each() -> None:
    async with node() as (client, _):
        for number in range(1000):
            await make(client, f"p{number}")
        before = (await client.list_page(PODS)).resource_version
        await asyncio.sleep(10)
        assert all(pod.ready for pod in (await pods(client)).values())
        assert int((await client.list_page(PODS)).resource_version) - int(before) <= 2000
