"""Services on real links and real rules: Pods are namespaces, their programs web servers."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
from tests.local.network_lab import (
    CONFIG,
    MACHINE_ADDRESS,
    OUTSIDE,
    OUTSIDE_ADDRESS,
    Host,
    at,
    endpoint_slice,
    private_machine,
    service,
    sh,
)
from tests.unit.network.test_service_rules import publishing

from headstay.local.network import links, machine
from headstay.local.network.commands import NetworkError
from headstay.local.network.pods import BridgeNetwork
from headstay.local.network.services import ServiceRules
from headstay.local.network.views import EndpointSlice, PublishingPod, Service
from headstay.runtime.cache import Cache

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")

WEB = "10.89.0.10"
MACHINE = Host()
REFUSED, SILENCE = "exit 7", "exit 28"


class Lab:
    def __init__(self) -> None:
        self.services: Cache[Service] = Cache()
        self.slices: Cache[EndpointSlice] = Cache()
        self.pods: Cache[PublishingPod] = Cache()
        self.network = BridgeNetwork(CONFIG)
        self.rules = ServiceRules(CONFIG, self.services, self.slices, self.pods)
        self.outside = Host(links.NETNS_DIR / OUTSIDE, OUTSIDE_ADDRESS)

    async def pod(self, name: str) -> Host:
        place = await self.network.attach(f"uid-{name}", name)
        return Host(place.namespace_path, str(place.address))

    async def follow(self) -> None:
        """Has the rules follow the caches, now."""
        self.rules.programmed.clear()
        self.rules.changed()
        await asyncio.wait_for(self.rules.programmed.wait(), 5)


on_either_machine = pytest.mark.parametrize(
    "lab", [True, False], indirect=True, ids=["bridged-frames-pass-rules", "bridged-frames-do-not"]
)


@pytest.fixture
async def lab(request: pytest.FixtureRequest) -> AsyncIterator[Lab]:
    async with AsyncExitStack() as stack:
        stack.enter_context(private_machine(bridged_frames_pass_rules=getattr(request, "param", True)))
        found = Lab()
        await found.network.start()
        await found.rules.start()
        found.services.synced.set()
        found.slices.synced.set()
        found.pods.synced.set()
        task = asyncio.create_task(found.rules.run())
        yield found
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert await links.remove_all(CONFIG) == []
        assert "nettest" not in sh("ip", "link") + sh("ip", "route") + sh("nft", "list", "tables")


@on_either_machine
async def test_a_service_forwards_pods_and_the_machine_to_its_endpoints(lab: Lab) -> None:
    web, client = await lab.pod("web"), await lab.pod("client")
    server = await web.serve(8080, "web")
    try:
        lab.services.put(service("web", clusterIP=WEB, ports=[{"name": "http", "port": 80, "nodePort": 30080}]))
        lab.slices.put(endpoint_slice("web", [at(web.address)], http=8080))
        await lab.follow()
        assert await client.get(WEB) == f"web saw {client.address}"
        assert await MACHINE.get(WEB) in {f"web saw {CONFIG.bridge_address}", f"web saw {MACHINE_ADDRESS}"}
        assert await MACHINE.get("127.0.0.1:30080") == f"web saw {CONFIG.bridge_address}"
        assert await client.get(f"{CONFIG.bridge_address}:30080") == f"web saw {client.address}"
        assert await web.get(WEB) == f"web saw {CONFIG.bridge_address}", "a Pod reaches itself through its Service"
        assert await client.get(web.address + ":8080") == f"web saw {client.address}"
    finally:
        server.kill()
        await server.wait()


@on_either_machine
async def test_what_has_no_endpoint_is_refused_at_once(lab: Lab) -> None:
    client = await lab.pod("client")
    lab.services.put(service("web", clusterIP=WEB, ports=[{"name": "http", "port": 80}]))
    lab.slices.put(endpoint_slice("web", [at("10.88.9.9", conditions={"ready": False})], http=8080))
    await lab.follow()
    for who in (client, MACHINE):
        assert await who.get(WEB) == REFUSED, who.address
        assert await who.get(f"{WEB}:81") == REFUSED, "a port the Service does not have"
        assert await who.get("10.89.7.7") == REFUSED, "an address no Service has"


async def test_a_datagram_to_no_endpoint_is_refused_too(lab: Lab) -> None:
    client = await lab.pod("client")
    ask = "import socket; s = socket.socket(type=socket.SOCK_DGRAM); s.settimeout(2); s.connect(('10.89.7.7', 9)); "
    code, output = await client.run(sys.executable, "-c", ask + "s.send(b'x'); s.recv(9)")
    assert code == 1
    assert "ConnectionRefusedError" in output


@on_either_machine
async def test_rules_follow_an_endpoint_that_is_replaced(lab: Lab) -> None:
    client, old, new = await lab.pod("client"), await lab.pod("old"), await lab.pod("new")
    servers = [await old.serve(8080, "old"), await new.serve(8080, "new")]
    try:
        lab.services.put(service("web", clusterIP=WEB, ports=[{"name": "http", "port": 80}]))
        for host, name in ((old, "old"), (new, "new")):
            lab.slices.put(endpoint_slice("web", [at(host.address)], http=8080))
            await lab.follow()
            assert await client.get(WEB) == f"{name} saw {client.address}"
    finally:
        for server in servers:
            server.kill()
            await server.wait()


async def test_a_host_port_is_open_on_loopback_and_to_pods(lab: Lab) -> None:
    web, client = await lab.pod("web"), await lab.pod("client")
    server = await web.serve(8080, "web")
    try:
        lab.pods.put(publishing("web", web.address, {"containerPort": 8080, "hostPort": 8265}))
        await lab.follow()
        assert await MACHINE.get("127.0.0.1:8265") == f"web saw {CONFIG.bridge_address}"
        assert await client.get(f"{CONFIG.bridge_address}:8265") == f"web saw {client.address}"
        assert await lab.outside.get(f"{MACHINE_ADDRESS}:8265") == REFUSED
    finally:
        server.kill()
        await server.wait()


async def test_the_outside_reaches_nothing_and_pods_reach_the_outside(lab: Lab) -> None:
    web = await lab.pod("web")
    servers = [
        await web.serve(8080, "web"),
        await lab.outside.serve(9000, "outside"),
        await MACHINE.serve(9001, "machine"),
    ]
    try:
        lab.services.put(service("web", clusterIP=WEB, ports=[{"name": "http", "port": 80, "nodePort": 30080}]))
        lab.slices.put(endpoint_slice("web", [at(web.address)], http=8080))
        await lab.follow()
        assert await web.get(f"{OUTSIDE_ADDRESS}:9000") == f"outside saw {MACHINE_ADDRESS}"
        sh("ip", "-n", OUTSIDE, "route", "add", "default", "via", MACHINE_ADDRESS)
        assert await lab.outside.get(f"{MACHINE_ADDRESS}:9001") == f"machine saw {OUTSIDE_ADDRESS}"
        targets = (f"{web.address}:8080", WEB, f"{CONFIG.bridge_address}:9001", f"{CONFIG.bridge_address}:30080")
        answers = await asyncio.gather(*(lab.outside.get(target) for target in targets))
        assert dict.fromkeys(targets, SILENCE) == dict(zip(targets, answers, strict=True))
        assert await lab.outside.get(f"{MACHINE_ADDRESS}:30080") == REFUSED, "node ports are for loopback and Pods"
    finally:
        for server in servers:
            server.kill()
            await server.wait()


async def test_connections_are_spread_over_endpoints_and_stick_where_asked(lab: Lab) -> None:
    client = await lab.pod("client")
    webs = [await lab.pod(f"web-{n}") for n in range(3)]
    servers = [await web.serve(8080, f"web-{n}") for n, web in enumerate(webs)]
    try:
        lab.slices.put(endpoint_slice("web", [at(web.address) for web in webs], http=8080))
        ports = [{"name": "http", "port": 80}]
        lab.services.put(service("web", clusterIP=WEB, ports=ports))
        await lab.follow()
        assert len({await client.get(WEB) for _ in range(40)}) == 3
        lab.services.put(service("web", clusterIP=WEB, ports=ports, sessionAffinity="ClientIP"))
        await lab.follow()
        assert len({await client.get(WEB) for _ in range(10)}) == 1
    finally:
        for server in servers:
            server.kill()
            await server.wait()


async def test_datagrams_are_forwarded_and_follow_a_replaced_endpoint(lab: Lab) -> None:
    client, old, new = await lab.pod("client"), await lab.pod("old"), await lab.pod("new")
    servers = [await old.serve_datagrams(5353, "old"), await new.serve_datagrams(5353, "new")]
    try:
        lab.services.put(service("dns", clusterIP=WEB, ports=[{"name": "dns", "port": 53, "protocol": "UDP"}]))
        for host, name in ((old, "old"), (new, "new")):
            lab.slices.put(endpoint_slice("dns", [at(host.address)], protocol="UDP", dns=5353))
            await lab.follow()
            # From one and the same source port, as a long-lived client would.
            assert await client.ask_datagram(WEB, 53, source_port=40000) == name
    finally:
        for server in servers:
            server.kill()
            await server.wait()


async def test_a_pod_cannot_reach_the_loopback_of_the_machine(lab: Lab) -> None:
    client = await lab.pod("client")
    server = await MACHINE.serve(9002, "loopback")
    try:
        await client.run("ip", "addr", "del", "127.0.0.1/8", "dev", "lo")
        await client.run("ip", "route", "add", "127.0.0.1/32", "via", str(CONFIG.bridge_address))
        await client.run("sh", "-c", "echo 1 > /proc/sys/net/ipv4/conf/all/route_localnet")
        assert await client.get("127.0.0.1:9002") == SILENCE
    finally:
        server.kill()
        await server.wait()


@on_either_machine
async def test_the_api_service_leads_to_the_api_on_the_bridge(lab: Lab) -> None:
    client = await lab.pod("client")
    server = await MACHINE.serve(CONFIG.api_port, "api")
    try:
        address = str(CONFIG.api_service_address)
        lab.services.put(service("kubernetes", clusterIP=address, ports=[{"name": "https", "port": 443}]))
        lab.slices.put(endpoint_slice("kubernetes", [at(str(CONFIG.bridge_address))], https=CONFIG.api_port))
        await lab.follow()
        assert await client.get(f"{address}:443") == f"api saw {client.address}"
        assert (await MACHINE.get(f"{address}:443")).startswith("api saw ")
    finally:
        server.kill()
        await server.wait()


@on_either_machine
async def test_a_docker_hosts_firewall_lets_pods_through_while_we_are_there(lab: Lab) -> None:
    web, client = await lab.pod("web"), await lab.pod("client")
    server = await web.serve(8080, "web")
    try:
        sh("iptables", "-P", "FORWARD", "DROP")
        sh("iptables", "-P", "INPUT", "DROP")
        await lab.rules.upkeep()
        assert await client.get(f"{web.address}:8080") == f"web saw {client.address}"
        assert sh("iptables", "-S").count("headstay-nettest") == 5
        await lab.rules.upkeep()
        assert sh("iptables", "-S").count("headstay-nettest") == 5
        await links.remove_all(CONFIG)
        assert "headstay-nettest" not in sh("iptables", "-S")
    finally:
        server.kill()
        await server.wait()


async def test_a_flushed_rule_set_is_put_back(lab: Lab) -> None:
    await lab.follow()
    sh("nft", "delete", "table", "ip", CONFIG.nft_table)
    await lab.rules.upkeep()
    await lab.follow()
    assert "chain borders" in sh("nft", "list", "table", "ip", CONFIG.nft_table)


async def test_a_kernel_that_cannot_do_services_is_found_out_at_the_start(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    await links.remove_all(CONFIG)
    monkeypatch.setattr("headstay.local.network.rules.AFFINITY_SEED", "nonsense")
    with pytest.raises(NetworkError, match="this kernel or its nft cannot do what Services need"):
        await lab.rules.start()


async def test_forwarding_is_lent_to_the_uplink_and_taken_back(lab: Lab) -> None:
    if machine.forwards("all"):
        pytest.skip("this kernel starts network namespaces with forwarding on")
    assert machine.forwards("uplink")
    await links.remove_all(CONFIG)
    assert not machine.forwards("uplink")
