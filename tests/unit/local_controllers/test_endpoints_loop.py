"""Endpoints on a real API server: they follow Pods, and go with their Service."""

from typing import Any

from tests.unit.local_controllers.api_world import ApiWorld, decoded, eventually, running, settled

from headstay.local.config import LocalConfig
from headstay.local.controllers.endpoints import EndpointsController
from headstay.model.objects import Obj, dig
from headstay.model.resource import ENDPOINT_SLICES, ENDPOINTS, PODS, SERVICES

CONFIG = LocalConfig()


def endpoints(world: ApiWorld) -> Any:
    return EndpointsController(CONFIG, world.client, world.informers).run()


async def slices(world: ApiWorld, service: str) -> list[Obj]:
    page = await world.client.list_page(
        ENDPOINT_SLICES, "default", label_selector=f"kubernetes.io/service-name={service}"
    )
    return decoded(page)


async def ready_addresses(world: ApiWorld, service: str) -> list[str]:
    return sorted(
        address
        for found in await slices(world, service)
        for endpoint in found.get("endpoints") or []
        if dig(endpoint, "conditions", "ready")
        for address in endpoint["addresses"]
    )


async def make_service(world: ApiWorld, name: str, **spec: Any) -> None:
    await world.make(SERVICES, name, spec={"ports": [{"port": 80}], **spec})


async def run_pod(world: ApiWorld, name: str, address: str, *, ready: bool = True) -> None:
    pod = await world.client.get(PODS, "default", name)
    pod["status"] = pod.get("status", {}) | {
        "phase": "Running",
        "podIP": address,
        "podIPs": [{"ip": address}],
        "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
    }
    await world.client.update(PODS, pod, subresource="status")


async def has(world: ApiWorld, service: str, *addresses: str) -> bool:
    return await ready_addresses(world, service) == list(addresses)


async def test_endpoints_follow_a_pod_from_unready_to_gone() -> None:
    world = ApiWorld()
    async with running(world, endpoints(world)):
        await make_service(world, "web", selector={"app": "web"})
        await world.pod("a", metadata={"labels": {"app": "web"}})
        await run_pod(world, "a", "10.88.0.2", ready=False)
        await settled()
        assert await ready_addresses(world, "web") == []
        await run_pod(world, "a", "10.88.0.2")
        await eventually(lambda: has(world, "web", "10.88.0.2"))
        old = await world.get(ENDPOINTS, "web")
        assert dig(old, "subsets", 0, "addresses", 0, "ip") == "10.88.0.2"
        await world.client.delete(PODS, "default", "a", grace_period_seconds=0)
        await eventually(lambda: has(world, "web"))
        assert "subsets" not in (await world.get(ENDPOINTS, "web") or {})


async def test_a_pod_that_is_relabelled_changes_services() -> None:
    world = ApiWorld()
    async with running(world, endpoints(world)):
        for name in ("one", "two"):
            await make_service(world, name, selector={"app": name})
        await world.pod("a", metadata={"labels": {"app": "one"}})
        await run_pod(world, "a", "10.88.0.2")
        await eventually(lambda: has(world, "one", "10.88.0.2"))
        await world.client.patch(PODS, "default", "a", {"metadata": {"labels": {"app": "two"}}})
        await eventually(lambda: has(world, "two", "10.88.0.2"))
        await eventually(lambda: has(world, "one"))


async def test_nothing_is_written_when_nothing_changes() -> None:
    world = ApiWorld()
    async with running(world, endpoints(world)):
        await make_service(world, "web", selector={"app": "web"}, clusterIP="None")
        await world.pod("a", metadata={"labels": {"app": "web"}})
        await run_pod(world, "a", "10.88.0.2")
        await eventually(lambda: has(world, "web", "10.88.0.2"))
        before = [found["metadata"]["resourceVersion"] for found in await slices(world, "web")]
        await world.client.patch(PODS, "default", "a", {"metadata": {"annotations": {"note": "x"}}})
        await settled()
        assert [found["metadata"]["resourceVersion"] for found in await slices(world, "web")] == before


async def test_a_slice_changed_by_hand_is_put_right_and_another_managers_is_left_alone() -> None:
    world = ApiWorld()
    async with running(world, endpoints(world)):
        await make_service(world, "web", selector={"app": "web"})
        await world.pod("a", metadata={"labels": {"app": "web"}})
        await run_pod(world, "a", "10.88.0.2")
        await eventually(lambda: has(world, "web", "10.88.0.2"))
        await world.make(
            ENDPOINT_SLICES,
            "foreign",
            metadata={"labels": {"kubernetes.io/service-name": "web", "endpointslice.kubernetes.io/managed-by": "me"}},
            addressType="IPv4",
            endpoints=[{"addresses": ["192.0.2.1"], "conditions": {"ready": True}}],
            ports=[],
        )
        [mine] = [found for found in await slices(world, "web") if found["metadata"]["name"] != "foreign"]
        await world.client.update(ENDPOINT_SLICES, mine | {"endpoints": []})
        await eventually(lambda: has(world, "web", "10.88.0.2", "192.0.2.1"))


async def test_endpoints_go_with_their_service() -> None:
    world = ApiWorld()
    async with running(world, endpoints(world)):
        await make_service(world, "web", selector={"app": "web"})

        async def made() -> bool:
            return bool(await slices(world, "web")) and await world.get(ENDPOINTS, "web") is not None

        await eventually(made)
        await world.client.delete(SERVICES, "default", "web")

        async def gone() -> bool:
            return not await slices(world, "web") and await world.get(ENDPOINTS, "web") is None

        await eventually(gone)


async def test_hand_written_endpoints_are_kept_and_mirrored() -> None:
    world = ApiWorld()
    async with running(world, endpoints(world)):
        await make_service(world, "outside")
        subsets = [{"addresses": [{"ip": "192.0.2.9"}], "ports": [{"port": 6379}]}]
        await world.make(ENDPOINTS, "outside", subsets=subsets)
        await eventually(lambda: has(world, "outside", "192.0.2.9"))
        assert dig(await world.get(ENDPOINTS, "outside"), "subsets", 0, "addresses", 0, "ip") == "192.0.2.9"


async def test_the_apis_own_service_is_there_and_comes_back() -> None:
    world = ApiWorld()
    async with running(world, endpoints(world)):
        made = await eventually(lambda: world.get(SERVICES, "kubernetes"))
        assert made["spec"]["clusterIP"] == str(CONFIG.api_service_address)
        await eventually(lambda: has(world, "kubernetes", str(CONFIG.bridge_address)))
        await world.client.delete(SERVICES, "default", "kubernetes")
        again = await eventually(lambda: world.get(SERVICES, "kubernetes"))
        assert again["metadata"]["uid"] != made["metadata"]["uid"]
