"""The names of cluster.local, answered from caches."""

import pytest
from dnslib import QTYPE
from tests.local.network_lab import CONFIG, at, endpoint_slice, service

from headstay.local.network.views import EndpointSlice, Service
from headstay.local.network.zone import (
    BY_ADDRESS,
    BY_CLUSTER_IP,
    BY_SERVICE,
    ClusterZone,
    service_indexes_by_cluster_ip,
    slice_indexes_by_address,
    slice_indexes_by_service,
)
from headstay.model.meta import Named, ObjectMeta
from headstay.runtime.cache import Cache


class World:
    def __init__(self) -> None:
        self.services: Cache[Service] = Cache({BY_CLUSTER_IP: service_indexes_by_cluster_ip})
        self.slices: Cache[EndpointSlice] = Cache(
            {BY_SERVICE: slice_indexes_by_service, BY_ADDRESS: slice_indexes_by_address}
        )
        namespaces: Cache[Named] = Cache()
        namespaces.put(Named(ObjectMeta(name="default")))
        self.zone = ClusterZone(CONFIG, self.services, self.slices, namespaces)

    def ask(self, name: str, kind: str = "A") -> str | list[str]:
        """The records' data, or the word for an answer without any."""
        found = self.zone.lookup(name, getattr(QTYPE, kind))
        if found is None:
            return "not ours"
        if not found.exists:
            return "NXDOMAIN"
        return [str(record.rdata) for record in found.records] or "NODATA"


@pytest.fixture
def world() -> World:
    world = World()
    world.services.put(service("redis", clusterIP="10.89.0.10", ports=[{"name": "redis", "port": 6379}]))
    world.services.put(service("head", clusterIP="None", ports=[{"name": "gcs", "port": 6379}]))
    world.slices.put(
        endpoint_slice(
            "head",
            [at("10.88.0.5", hostname="head-0"), at("10.88.0.6"), at("10.88.0.7", conditions={"ready": False})],
            gcs=6380,
        )
    )
    world.services.put(service("elsewhere", type="ExternalName", externalName="example.org"))
    return world


def test_a_service_is_found_by_its_full_name_whatever_the_case(world: World) -> None:
    assert world.ask("redis.default.svc.cluster.local.") == ["10.89.0.10"]
    assert world.ask("ReDis.Default.SVC.cluster.LOCAL") == ["10.89.0.10"]


def test_a_service_without_the_asked_type_is_nodata_and_not_nxdomain(world: World) -> None:
    assert world.ask("redis.default.svc.cluster.local", "AAAA") == "NODATA"
    assert world.ask("head.default.svc.cluster.local", "AAAA") == "NODATA"
    assert world.ask("_redis._tcp.redis.default.svc.cluster.local", "A") == "NODATA"


@pytest.mark.parametrize("name", ["svc", "default.svc", "pod", "default.pod", "_tcp.redis.default.svc", "dns"])
def test_what_has_names_below_it_exists(world: World, name: str) -> None:
    assert world.ask(f"{name}.cluster.local") == "NODATA"


@pytest.mark.parametrize(
    "name",
    [
        "nothing.default.svc",
        "redis.nowhere.svc",
        "nowhere.svc",
        "redis.default.svc.svc",
        "a.b.c.redis.default.svc",
        "_udp.redis.default.svc",
        "_other._tcp.redis.default.svc",
        "google.com",
        "1-2-3.default.pod",
        "1-2-3-4.nowhere.pod",
    ],
)
def test_what_is_not_there_is_nxdomain(world: World, name: str) -> None:
    for kind in ("A", "AAAA", "SRV"):
        assert world.ask(f"{name}.cluster.local", kind) == "NXDOMAIN"


def test_a_headless_service_is_its_ready_endpoints(world: World) -> None:
    assert world.ask("head.default.svc.cluster.local") == ["10.88.0.5", "10.88.0.6"]


def test_a_headless_service_follows_a_replaced_pod_at_once(world: World) -> None:
    world.slices.put(endpoint_slice("head", [at("10.88.0.9")], gcs=6380))
    assert world.ask("head.default.svc.cluster.local") == ["10.88.0.9"]
    assert world.ask("6.0.88.10.in-addr.arpa", "PTR") == "NXDOMAIN"


def test_a_headless_service_without_ready_endpoints_is_nxdomain(world: World) -> None:
    world.slices.put(endpoint_slice("head", [at("10.88.0.9", conditions={"ready": False})], gcs=6380))
    assert world.ask("head.default.svc.cluster.local") == "NXDOMAIN"


def test_a_pod_of_a_headless_service_has_a_name_of_its_own(world: World) -> None:
    assert world.ask("head-0.head.default.svc.cluster.local") == ["10.88.0.5"]
    assert world.ask("10-88-0-6.head.default.svc.cluster.local") == ["10.88.0.6"]
    assert world.ask("10-88-0-7.head.default.svc.cluster.local") == "NXDOMAIN"


def test_a_pod_is_found_by_its_dashed_address(world: World) -> None:
    assert world.ask("10-88-0-6.default.pod.cluster.local") == ["10.88.0.6"]
    assert world.ask("10-88-0-6.default.pod.cluster.local", "AAAA") == "NODATA"


def test_a_named_port_is_found_by_srv(world: World) -> None:
    cluster_ip = world.zone.lookup("_redis._tcp.redis.default.svc.cluster.local", QTYPE.SRV)
    assert cluster_ip is not None
    assert [str(r.rdata) for r in cluster_ip.records] == ["0 100 6379 redis.default.svc.cluster.local."]
    assert [str(r.rdata) for r in cluster_ip.additional] == ["10.89.0.10"]
    assert world.ask("_gcs._tcp.head.default.svc.cluster.local", "SRV") == [
        "0 50 6380 head-0.head.default.svc.cluster.local.",
        "0 50 6380 10-88-0-6.head.default.svc.cluster.local.",
    ]


def test_an_external_name_is_a_cname(world: World) -> None:
    assert world.ask("elsewhere.default.svc.cluster.local") == ["example.org."]
    assert world.ask("elsewhere.default.svc.cluster.local", "AAAA") == ["example.org."]


def test_addresses_lead_back_to_names(world: World) -> None:
    assert world.ask("10.0.89.10.in-addr.arpa", "PTR") == ["redis.default.svc.cluster.local."]
    assert world.ask("5.0.88.10.in-addr.arpa", "PTR") == ["head-0.head.default.svc.cluster.local."]
    assert world.ask("6.0.88.10.in-addr.arpa", "PTR") == ["10-88-0-6.head.default.svc.cluster.local."]


def test_an_address_of_ours_without_a_name_is_nxdomain_and_others_are_not_ours(world: World) -> None:
    assert world.ask("9.9.88.10.in-addr.arpa", "PTR") == "NXDOMAIN"
    assert world.ask("1.1.1.1.in-addr.arpa", "PTR") == "not ours"
    assert world.ask("example.org") == "not ours"
    assert world.ask("cluster.local.example.org") == "not ours"


def test_the_zone_says_which_schema_it_follows(world: World) -> None:
    assert world.ask("dns-version.cluster.local", "TXT") == ['"1.1.0"']
    assert world.ask("ns.dns.cluster.local") == ["10.88.0.1"]
