"""The names of `cluster.local` and of the reverse zones, answered straight from the caches.

Nothing is precomputed, so an answer is never older than the caches: when a head Pod is replaced, the very next query
gets the new address. The rules are those of https://github.com/kubernetes/dns/blob/master/docs/specification.md.
A name exists (NODATA instead of NXDOMAIN) when it, or anything below it, has a record of some type.
"""

from collections.abc import Iterable, Iterator
from ipaddress import AddressValueError, IPv4Address
from typing import NamedTuple

from dnslib import CNAME, NS, PTR, QTYPE, RCODE, RR, SOA, SRV, TXT, A

from headstay.local.config import CLUSTER_DOMAIN, LocalConfig
from headstay.local.network.views import Endpoint, EndpointSlice, Service
from headstay.model.meta import Named
from headstay.model.objects import ObjectKey
from headstay.runtime.cache import Cache

TTL = 5
SCHEMA_VERSION = "1.1.0"
BY_SERVICE = "service"
BY_ADDRESS = "address"
BY_CLUSTER_IP = "clusterIP"
_APEX = tuple(CLUSTER_DOMAIN.split("."))
_REVERSE = ("in-addr", "arpa")
_PROTOCOLS = {"_tcp": "TCP", "_udp": "UDP", "_sctp": "SCTP"}

Labels = tuple[str, ...]


def slice_indexes_by_service(found: EndpointSlice) -> Iterable[str]:
    return (f"{found.metadata.namespace}/{found.service_name}",) if found.service_name else ()


def slice_indexes_by_address(found: EndpointSlice) -> Iterable[str]:
    return {address for endpoint in found.endpoints or () for address in endpoint.addresses}


def service_indexes_by_cluster_ip(found: Service) -> Iterable[str]:
    return (found.spec.cluster_ip,) if found.spec.cluster_ip else ()


class Found(NamedTuple):
    """`exists` with no records is NODATA. A lone CNAME is to be followed by the asker."""

    exists: bool
    records: list[RR]
    additional: list[RR]


NXDOMAIN = Found(exists=False, records=[], additional=[])
NODATA = Found(exists=True, records=[], additional=[])


def _answer(records: list[RR], additional: Iterable[RR] = ()) -> Found:
    return Found(True, records, list(additional))


class _Place(NamedTuple):
    """One ready address of a Service, and the ports of the slice it stands in."""

    address: str
    host: str
    ports: dict[tuple[str, str], int]


class ClusterZone:
    def __init__(
        self,
        config: LocalConfig,
        services: Cache[Service],
        slices: Cache[EndpointSlice],
        namespaces: Cache[Named],
    ) -> None:
        self._config = config
        self._services = services
        self._slices = slices
        self._namespaces = namespaces

    def lookup(self, name: str, kind: int) -> Found | None:
        """What the zone says of `name`; None where it is not ours to answer."""
        labels = tuple(name.lower().rstrip(".").split("."))
        if labels[-2:] == _APEX:
            return self._inside(labels[:-2], name, kind)
        if labels[-2:] == _REVERSE:
            return self._reverse(labels[:-2], name, kind)
        return None

    def authority(self) -> RR:
        """The SOA record that goes with NXDOMAIN and NODATA."""
        times = (1, 7200, 1800, 86400, TTL)
        soa = SOA(f"ns.dns.{CLUSTER_DOMAIN}", f"hostmaster.{CLUSTER_DOMAIN}", times)
        return RR(CLUSTER_DOMAIN, QTYPE.SOA, rdata=soa, ttl=TTL)

    def _inside(self, labels: Labels, name: str, kind: int) -> Found:
        match labels:
            case ():
                return self._apex(name, kind)
            case ("dns-version",):
                txt = [RR(name, QTYPE.TXT, rdata=TXT(SCHEMA_VERSION), ttl=TTL)]
                return _answer(txt if kind in {QTYPE.TXT, QTYPE.ANY} else [])
            case ("dns",) | ("svc",) | ("pod",):
                return NODATA
            case ("ns", "dns"):
                return _addresses(name, kind, [str(self._config.bridge_address)])
            case (*rest, "svc"):
                return self._below_svc(tuple(rest), name, kind)
            case (*rest, "pod"):
                return self._below_pod(tuple(rest), name, kind)
            case _:
                return NXDOMAIN

    def _apex(self, name: str, kind: int) -> Found:
        if kind == QTYPE.SOA:
            return _answer([self.authority()])
        if kind == QTYPE.NS:
            return _answer([RR(name, QTYPE.NS, rdata=NS(f"ns.dns.{CLUSTER_DOMAIN}"), ttl=TTL)])
        return NODATA

    def _below_pod(self, labels: Labels, name: str, kind: int) -> Found:
        """`a-b-c-d.<namespace>.pod`: any well-formed address, as `pods insecure` in CoreDNS."""
        if len(labels) > 2 or not self._has_namespace(labels[-1]):
            return NXDOMAIN
        if len(labels) == 1:
            return NODATA
        address = _ipv4(labels[0].replace("-", "."))
        return NXDOMAIN if address is None else _addresses(name, kind, [address])

    def _has_namespace(self, name: str) -> bool:
        return self._namespaces.get(ObjectKey("", name)) is not None

    def _below_svc(self, labels: Labels, name: str, kind: int) -> Found:
        if len(labels) == 1:
            return NODATA if self._has_namespace(labels[0]) else NXDOMAIN
        service = self._services.get(ObjectKey(labels[-1], labels[-2]))
        if service is None:
            return NXDOMAIN
        if service.spec.type == "ExternalName":
            return self._external(service, name) if len(labels) == 2 else NXDOMAIN
        match labels[:-2]:
            case ():
                return self._service(service, name, kind)
            case (protocol,) if protocol in _PROTOCOLS:
                known = any(p == _PROTOCOLS[protocol] for _, p in self._ports(service))
                return NODATA if known else NXDOMAIN
            case (host,):
                return _addresses_or_nxdomain(name, kind, [p.address for p in self._places(service) if p.host == host])
            case (port, protocol) if port.startswith("_") and protocol in _PROTOCOLS:
                found = self._srv(service, name, (port[1:], _PROTOCOLS[protocol]))
                return found if not found.exists or kind in {QTYPE.SRV, QTYPE.ANY} else NODATA
            case _:
                return NXDOMAIN

    def _external(self, service: Service, name: str) -> Found:
        target = service.spec.external_name
        return _answer([RR(name, QTYPE.CNAME, rdata=CNAME(target), ttl=TTL)]) if target else NODATA

    def _service(self, service: Service, name: str, kind: int) -> Found:
        if kind == QTYPE.SRV:
            found = [self._srv(service, name, port) for port in self._ports(service)]
            records = [record for one in found for record in one.records]
            return _answer(records, (extra for one in found for extra in one.additional))
        if service.headless:
            return _addresses_or_nxdomain(name, kind, [place.address for place in self._places(service)])
        return _addresses(name, kind, [service.spec.cluster_ip] if service.spec.cluster_ip else [])

    def _ports(self, service: Service) -> list[tuple[str, str]]:
        return [(port.name, port.protocol) for port in service.spec.ports]

    def _srv(self, service: Service, name: str, wanted: tuple[str, str]) -> Found:
        own = _service_name(service)
        if not service.headless:
            ports = [port.port for port in service.spec.ports if (port.name.lower(), port.protocol) == wanted]
            targets = [(own, port, service.spec.cluster_ip) for port in ports]
        else:
            targets = [
                (f"{place.host}.{own}", number, place.address)
                for place in self._places(service)
                for port, number in place.ports.items()
                if (port[0].lower(), port[1]) == wanted
            ]
        if not targets:
            return NXDOMAIN
        weight = max(1, 100 // len(targets))
        records = [RR(name, QTYPE.SRV, rdata=SRV(0, weight, port, target), ttl=TTL) for target, port, _ in targets]
        extra = {target: address for target, _, address in targets}
        return _answer(records, (RR(target, QTYPE.A, rdata=A(address), ttl=TTL) for target, address in extra.items()))

    def _places(self, service: Service) -> list[_Place]:
        """Ready endpoints, each address once; publishNotReadyAddresses has been seen to by who made the slices."""
        key = f"{service.metadata.namespace}/{service.metadata.name}"
        found: dict[tuple[str, str], _Place] = {}
        for one, endpoint, address in _ready(self._slices.by_index(BY_SERVICE, key)):
            place = _Place(address, _host(endpoint, address), {})
            place = found.setdefault((place.address, place.host), place)
            place.ports.update({(port.name, port.protocol): port.port for port in one.ports or () if port.port})
        return sorted(found.values(), key=lambda place: place.address)

    def _reverse(self, labels: Labels, name: str, kind: int) -> Found | None:
        address = _ipv4(".".join(reversed(labels)))
        if address is None:
            return None
        owners = [_service_name(service) for service in self._services.by_index(BY_CLUSTER_IP, address)]
        owners = owners or sorted(set(self._endpoint_names(address)))
        if owners:
            pointers = [RR(name, QTYPE.PTR, rdata=PTR(owner), ttl=TTL) for owner in owners]
            return _answer(pointers if kind in {QTYPE.PTR, QTYPE.ANY} else [])
        ours = (self._config.pod_network, self._config.service_network)
        return NXDOMAIN if any(IPv4Address(address) in network for network in ours) else None

    def _endpoint_names(self, address: str) -> Iterator[str]:
        for one, endpoint, found in _ready(self._slices.by_index(BY_ADDRESS, address)):
            if found == address and one.service_name:
                namespace = one.metadata.namespace
                yield f"{_host(endpoint, address)}.{one.service_name}.{namespace}.svc.{CLUSTER_DOMAIN}"


def _ready(slices: Iterable[EndpointSlice]) -> Iterator[tuple[EndpointSlice, Endpoint, str]]:
    for one in slices:
        for endpoint in one.endpoints or ():
            if endpoint.ready and one.address_type == "IPv4":
                for address in endpoint.addresses:
                    yield one, endpoint, address


def _host(endpoint: Endpoint, address: str) -> str:
    return endpoint.hostname.lower() or address.replace(".", "-")


def _service_name(service: Service) -> str:
    return f"{service.metadata.name}.{service.metadata.namespace}.svc.{CLUSTER_DOMAIN}"


def _ipv4(text: str) -> str | None:
    try:
        return str(IPv4Address(text))
    except AddressValueError:
        return None


def _addresses(name: str, kind: int, addresses: list[str]) -> Found:
    if kind not in {QTYPE.A, QTYPE.ANY}:
        return NODATA
    return _answer([RR(name, QTYPE.A, rdata=A(address), ttl=TTL) for address in addresses])


def _addresses_or_nxdomain(name: str, kind: int, addresses: list[str]) -> Found:
    return _addresses(name, kind, addresses) if addresses else NXDOMAIN


def rcode_of(found: Found) -> int:
    code: int = RCODE.NOERROR if found.exists else RCODE.NXDOMAIN
    return code
