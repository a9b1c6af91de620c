"""The whole network over a whole API: Services and Pods are objects, Pods' programs are real."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.local.network_lab import CONFIG, Host, private_machine, sh
from tests.unit.local_controllers.api_world import ApiWorld, eventually, running

from headstay.local.controllers.endpoints import EndpointsController
from headstay.local.network import links
from headstay.local.network.cluster import ClusterNetwork
from headstay.model.resource import PODS, SERVICES

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")

CLUSTER = replace(CONFIG, service_network=ApiWorld.SERVICE_NETWORK)


class Cluster(ApiWorld):
    def __init__(self, directory: Path) -> None:
        super().__init__()
        self.network = ClusterNetwork(CLUSTER, self.client)
        self._resolv_conf = directory / "resolv.conf"
        self._resolv_conf.write_text(
            f"nameserver {CLUSTER.bridge_address}\nsearch default.svc.cluster.local\noptions ndots:5\n"
        )
        self._nsswitch = directory / "nsswitch.conf"
        self._nsswitch.write_text("hosts: dns\n")
        self._servers: list[asyncio.subprocess.Process] = []

    async def run_pod(self, name: str, *, app: str, port: int, **spec: Any) -> Host:
        """A ready Pod object with a namespace of its own and a web server in it."""
        made = await self.pod(name, metadata={"labels": {"app": app}}, spec={"nodeName": "one", **spec})
        place = await self.network.pods.attach(made["metadata"]["uid"], name)
        host = Host(place.namespace_path, str(place.address))
        self._servers.append(await host.serve(port, name))
        status = {
            "phase": "Running",
            "podIP": host.address,
            "podIPs": [{"ip": host.address}],
            "conditions": [{"type": "Ready", "status": "True"}],
        }
        await self.client.update(PODS, made | {"status": status}, subresource="status")
        return host

    async def end_pod(self, name: str) -> None:
        made = await self.client.get(PODS, "default", name)
        await self.client.delete(PODS, "default", name, grace_period_seconds=0)
        await self.network.pods.detach(made["metadata"]["uid"])

    async def fetch(self, host: Host, url: str) -> str:
        """By name, with the resolv.conf of a Pod."""
        mounts = f"mount --bind {self._resolv_conf} /etc/resolv.conf; mount --bind {self._nsswitch} /etc/nsswitch.conf"
        command = f"{mounts}; exec curl -sS --max-time 2 http://{url}/"
        _, output = await host.run("unshare", "--mount", "sh", "-ec", command)
        return output

    async def end_servers(self) -> None:
        for server in self._servers:
            server.kill()
            await server.wait()


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    async with AsyncExitStack() as stack:
        stack.enter_context(private_machine())
        cluster = Cluster(tmp_path)
        await cluster.network.start()
        endpoints = EndpointsController(CLUSTER, cluster.client, cluster.informers)
        await stack.enter_async_context(running(cluster, endpoints.run(), cluster.network.run()))
        await asyncio.wait_for(cluster.network.ready.wait(), 10)
        yield cluster
        await cluster.end_servers()
        await cluster.network.stop()
        assert await links.remove_all(CLUSTER) == []
        assert "nettest" not in sh("ip", "link")


async def test_a_pod_reaches_a_service_by_name_as_soon_as_its_pod_is_ready(cluster: Cluster) -> None:
    await cluster.make(SERVICES, "web", spec={"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]})
    client = await cluster.run_pod("client", app="client", port=9000)
    await cluster.run_pod("web-1", app="web", port=8080)

    async def answers() -> bool:
        return await cluster.fetch(client, "web") == f"web-1 saw {client.address}"

    await eventually(answers)
    assert "web-1" in await cluster.fetch(client, "web.default.svc.cluster.local")


async def test_a_headless_name_follows_a_replaced_pod(cluster: Cluster) -> None:
    await cluster.make(
        SERVICES, "head", spec={"clusterIP": "None", "selector": {"app": "head"}, "ports": [{"port": 8080}]}
    )
    client = await cluster.run_pod("client", app="client", port=9000)
    for name in ("head-old", "head-new"):
        await cluster.run_pod(name, app="head", port=8080)

        async def answers(name: str = name) -> bool:
            return (await cluster.fetch(client, "head:8080")).startswith(f"{name} saw")

        await eventually(answers)
        await cluster.end_pod(name)

    async def unknown() -> bool:
        answer = await cluster.fetch(client, "head:8080")
        return "resolv" in answer.lower()

    await eventually(unknown)


async def test_a_pod_with_hostname_and_subdomain_has_its_own_name(cluster: Cluster) -> None:
    await cluster.make(SERVICES, "db", spec={"clusterIP": "None", "selector": {"app": "db"}, "ports": [{"port": 8080}]})
    client = await cluster.run_pod("client", app="client", port=9000)
    await cluster.run_pod("db-0", app="db", port=8080, hostname="db-0", subdomain="db")

    async def answers() -> bool:
        return (await cluster.fetch(client, "db-0.db:8080")).startswith("db-0 saw")

    await eventually(answers)


async def test_the_next_daemon_takes_over_without_a_gap_in_the_rules(cluster: Cluster) -> None:
    await cluster.make(SERVICES, "web", spec={"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]})
    web = await cluster.run_pod("web-1", app="web", port=8080)
    service = await cluster.client.get(SERVICES, "default", "web")
    target = service["spec"]["clusterIP"]

    async def answers() -> bool:
        return (await Host().get(target)).startswith("web-1 saw")

    await eventually(answers)
    await cluster.network.stop()
    following = ClusterNetwork(CLUSTER, cluster.client)
    await following.start()
    assert await answers(), "before the new daemon has even listed a Service"
    uid = (await cluster.client.get(PODS, "default", "web-1"))["metadata"]["uid"]
    assert str((await following.pods.attach(uid, "web-1")).address) == web.address
    await following.stop()
