"""DNS as Pods meet it: libc's resolver in a Pod's namespace, and the wire where libc hides it."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import cast

import pytest
from dnslib import EDNS0, QTYPE, RCODE, RR, A, DNSRecord
from tests.local.network_lab import CONFIG, Host, at, endpoint_slice, private_machine, service
from tests.unit.network.test_cluster_zone import World

from headstay.local.network import links
from headstay.local.network.dns import DnsServer, Resolver
from headstay.local.network.pods import BridgeNetwork
from headstay.local.network.upstream import Server, Upstream
from headstay.model.objects import ObjectKey

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")

GATEWAY = str(CONFIG.bridge_address)
RESOLV_CONF = (
    f"nameserver {GATEWAY}\nsearch default.svc.cluster.local svc.cluster.local cluster.local\noptions ndots:5\n"
)
HOSTS = "127.0.0.1 localhost\n"


class OutsideResolver(asyncio.DatagramProtocol):
    """Knows example.org alone, and stays silent about slow.example."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: object) -> None:
        request = DNSRecord.parse(data)
        name = str(request.q.qname)
        self.asked.append(name)
        if name.startswith("slow."):
            return
        reply = request.reply(aa=0)
        if name != "example.org.":
            reply.header.rcode = RCODE.NXDOMAIN
        elif request.q.qtype == QTYPE.A:
            reply.add_answer(RR(name, QTYPE.A, rdata=A("198.51.100.7"), ttl=60))
        self.transport.sendto(reply.pack(), addr)  # type: ignore[arg-type]


class Resolvers:
    def __init__(self) -> None:
        self.found: list[Server] = []

    def servers(self) -> list[Server]:
        return self.found


class DnsLab(World):
    def __init__(self, directory: Path) -> None:
        super().__init__()
        self.resolvers = Resolvers()
        self.resolver = Resolver(self.zone, Upstream(self.resolvers, total_seconds=0.6))
        self.server = DnsServer(self.resolver, GATEWAY)
        self.outside = OutsideResolver()
        self.pod = Host()
        self.resolv_conf = directory / "resolv.conf"
        self.resolv_conf.write_text(RESOLV_CONF)
        self.nsswitch = directory / "nsswitch.conf"
        self.nsswitch.write_text("hosts: dns\n")

    async def in_pod(self, *argv: str) -> tuple[int, str]:
        mounts = f"mount --bind {self.resolv_conf} /etc/resolv.conf && mount --bind {self.nsswitch} /etc/nsswitch.conf"
        return await self.pod.run("unshare", "--mount", "sh", "-c", f'{mounts} && exec "$@"', "sh", *argv)

    async def getent(self, name: str) -> list[str]:
        """The IPv4 addresses that libc finds."""
        code, output = await self.in_pod("getent", "ahostsv4", name)
        return sorted({line.split()[0] for line in output.splitlines()}) if code == 0 else []

    async def query(self, query: DNSRecord, *, tcp: bool = False) -> DNSRecord:
        packed = query.pack()
        loop = asyncio.get_running_loop()
        if tcp:
            reader, writer = await asyncio.open_connection(GATEWAY, 53)
            writer.write(len(packed).to_bytes(2, "big") + packed)
            async with asyncio.timeout(5):
                answer = await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))
            writer.close()
            return DNSRecord.parse(answer)
        future: asyncio.Future[bytes] = loop.create_future()

        class Asker(asyncio.DatagramProtocol):
            def datagram_received(self, data: bytes, addr: object) -> None:
                if not future.done():
                    future.set_result(data)

        transport, _ = await loop.create_datagram_endpoint(Asker, remote_addr=(GATEWAY, 53))
        try:
            transport.sendto(packed)
            return DNSRecord.parse(await asyncio.wait_for(future, 5))
        finally:
            transport.close()


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[DnsLab]:
    async with AsyncExitStack() as stack:
        stack.enter_context(private_machine())
        lab = DnsLab(tmp_path)
        network = BridgeNetwork(CONFIG)
        await network.start()
        place = await network.attach("uid-asker", "asker")
        lab.pod = Host(place.namespace_path, str(place.address))
        await lab.server.start()
        lab.resolver.filled.set()
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(lambda: lab.outside, local_addr=("127.0.0.1", 0))
        lab.resolvers.found = [Server("127.0.0.1", transport.get_extra_info("sockname")[1])]
        lab.services.put(service("redis", clusterIP="10.89.0.10", ports=[{"name": "redis", "port": 6379}]))
        lab.services.put(service("head", clusterIP="None", ports=[{"name": "gcs", "port": 6379}]))
        lab.services.put(service("elsewhere", type="ExternalName", externalName="example.org"))
        lab.services.put(service("alias", type="ExternalName", externalName="redis.default.svc.cluster.local"))
        yield lab
        transport.close()
        await lab.server.stop()
        assert await links.remove_all(CONFIG) == []


@pytest.mark.parametrize("name", ["redis", "redis.default", "redis.default.svc", "redis.default.svc.cluster.local"])
async def test_a_pod_finds_a_service_by_every_usual_name(lab: DnsLab, name: str) -> None:
    assert await lab.getent(name) == ["10.89.0.10"]


async def test_a_headless_name_follows_the_pod_that_is_replaced(lab: DnsLab) -> None:
    for address in ("10.88.0.5", "10.88.0.6"):
        lab.slices.put(endpoint_slice("head", [at(address)], gcs=6379))
        assert await lab.getent("head") == [address]
    lab.slices.put(endpoint_slice("head", [], gcs=6379))
    assert await lab.getent("head") == []
    lab.services.remove(service("head").metadata)
    assert lab.services.get(ObjectKey("default", "head")) is None
    assert await lab.getent("head") == []


async def test_other_names_are_asked_of_the_machines_resolvers(lab: DnsLab) -> None:
    assert await lab.getent("example.org") == ["198.51.100.7"]
    assert "example.org." in lab.outside.asked
    assert not [name for name in lab.outside.asked if name.endswith("cluster.local.")]
    assert await lab.getent("nothing.example") == []


async def test_an_external_name_is_followed_to_its_address(lab: DnsLab) -> None:
    assert await lab.getent("elsewhere") == ["198.51.100.7"]
    assert await lab.getent("alias") == ["10.89.0.10"]


async def test_a_resolver_that_does_not_answer_gives_servfail_within_its_bound(lab: DnsLab) -> None:
    began = asyncio.get_running_loop().time()
    answer = await lab.query(DNSRecord.question("slow.example"))
    assert answer.header.rcode == RCODE.SERVFAIL
    assert asyncio.get_running_loop().time() - began < 2
    lab.resolvers.found = []
    assert (await lab.query(DNSRecord.question("example.org"))).header.rcode == RCODE.SERVFAIL


async def test_a_slow_resolver_holds_up_no_name_of_the_cluster(lab: DnsLab) -> None:
    slow = asyncio.create_task(lab.query(DNSRecord.question("slow.example")))
    await asyncio.sleep(0.05)
    answer = await lab.query(DNSRecord.question("redis.default.svc.cluster.local"))
    assert not slow.done()
    assert str(answer.rr[0].rdata) == "10.89.0.10"
    await slow


async def test_a_second_resolver_is_asked_when_the_first_is_silent(lab: DnsLab) -> None:
    lab.resolvers.found = [Server("192.0.2.77"), *lab.resolvers.found]
    answer = await lab.query(DNSRecord.question("example.org"))
    assert str(answer.rr[0].rdata) == "198.51.100.7"


async def test_an_answer_too_long_for_a_datagram_is_whole_over_tcp(lab: DnsLab) -> None:
    lab.slices.put(endpoint_slice("head", [at(f"10.88.1.{n}") for n in range(1, 201)], gcs=6379))
    query = DNSRecord.question("head.default.svc.cluster.local")
    plain = await lab.query(query)
    assert plain.header.tc == 1
    assert 0 < len(plain.rr) < 40
    assert len(plain.pack()) <= 512
    query.add_ar(EDNS0(udp_len=4096))
    wide = await lab.query(query)
    assert len(plain.rr) < len(wide.rr) < 200
    assert wide.ar[0].rtype == QTYPE.OPT
    whole = await lab.query(query, tcp=True)
    assert whole.header.tc == 0
    assert len(whole.rr) == 200
    assert len(await lab.getent("head")) == 200


async def test_an_absent_name_and_an_absent_type_are_told_apart_on_the_wire(lab: DnsLab) -> None:
    absent = await lab.query(DNSRecord.question("nothing.default.svc.cluster.local"))
    assert absent.header.rcode == RCODE.NXDOMAIN
    assert absent.auth[0].rtype == QTYPE.SOA
    empty = await lab.query(DNSRecord.question("redis.default.svc.cluster.local", "AAAA"))
    assert empty.header.rcode == RCODE.NOERROR
    assert not empty.rr
    assert empty.header.aa == 1


async def test_the_question_comes_back_in_the_askers_own_spelling(lab: DnsLab) -> None:
    answer = await lab.query(DNSRecord.question("ReDis.DEFAULT.svc.cluster.local"))
    assert str(answer.q.qname) == "ReDis.DEFAULT.svc.cluster.local."
    assert str(answer.rr[0].rname) == "ReDis.DEFAULT.svc.cluster.local."


async def test_questions_wait_while_the_caches_are_empty(lab: DnsLab) -> None:
    lab.resolver.filled.clear()
    waiting = asyncio.create_task(lab.query(DNSRecord.question("late.default.svc.cluster.local")))
    await asyncio.sleep(0.1)
    assert not waiting.done()
    lab.services.put(service("late", clusterIP="10.89.0.77"))
    lab.resolver.filled.set()
    assert str((await waiting).rr[0].rdata) == "10.89.0.77"


async def test_nonsense_is_refused_and_an_answer_is_never_answered(lab: DnsLab) -> None:
    malformed = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\xff\xff"
    reply = lab.resolver.at_once(malformed, tcp=False)
    assert isinstance(reply, bytes)
    assert reply[:2] == b"\x12\x34"
    assert reply[3] & 0x0F == RCODE.FORMERR
    answer = DNSRecord.question("redis.default.svc.cluster.local").reply().pack()
    assert lab.resolver.at_once(answer, tcp=False) is None
    assert lab.resolver.at_once(b"short", tcp=False) is None


async def test_musl_or_any_program_gets_the_addresses_by_getaddrinfo(lab: DnsLab) -> None:
    code = "import socket; print(socket.getaddrinfo('redis', 6379, type=socket.SOCK_STREAM)[0][4])"
    assert await lab.in_pod(sys.executable, "-c", code) == (0, "('10.89.0.10', 6379)")
