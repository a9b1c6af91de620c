"""The nftables rules for Services and for the Pods' borders, as text: a pure function of what the API says.

The whole table is replaced in one transaction, so no packet ever meets half of it; connections already made are
the kernel's connection table's and survive. Session affinity is a hash of the client's address, so that it needs
no memory that a replacement would lose: a client stays with its endpoint while the set of endpoints does.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from ipaddress import AddressValueError, IPv4Address
from typing import NamedTuple

from headstay.local.config import LocalConfig
from headstay.local.network.views import Endpoint, EndpointSlice, PublishingPod, Service, ServicePort

PROTOCOLS = frozenset({"TCP", "UDP", "SCTP"})
AFFINITY_SEED = "0x68656164"
LENT_FORWARDING = "lent-forwarding"


class Target(NamedTuple):
    address: str
    port: int


class Forwarding(NamedTuple):
    """One port of one Service and where its connections go."""

    label: str
    protocol: str
    cluster_ip: str
    port: int
    node_port: int
    sticky: bool
    targets: tuple[Target, ...]

    @property
    def chain(self) -> str:
        return f"{self.protocol}-{self.cluster_ip}-{self.port}"


def forwardings(services: Iterable[Service], slices: Iterable[EndpointSlice]) -> list[Forwarding]:
    """Every Service port that has somewhere to go, in a stable order."""
    by_service: dict[tuple[str, str], list[EndpointSlice]] = {}
    for found in slices:
        if found.address_type == "IPv4" and found.service_name:
            by_service.setdefault((found.metadata.namespace, found.service_name), []).append(found)
    ports = sorted(
        forwarding
        for service in services
        if _forwarded(service)
        for port in service.spec.ports
        for forwarding in _forwarding(
            service, port, by_service.get((service.metadata.namespace, service.metadata.name), [])
        )
    )
    return list({f.chain: f for f in reversed(ports)}.values())[::-1]


def _forwarded(service: Service) -> bool:
    """Whether it has an address of its own that we can forward from."""
    return service.spec.type != "ExternalName" and not service.headless and _ipv4(service.spec.cluster_ip) is not None


def _forwarding(service: Service, port: ServicePort, slices: Sequence[EndpointSlice]) -> Iterator[Forwarding]:
    targets = targets_of(port, slices) if port.protocol in PROTOCOLS else ()
    if targets:
        yield Forwarding(
            label=f"{service.metadata.namespace}/{service.metadata.name}:{port.name or port.port}",
            protocol=port.protocol.lower(),
            cluster_ip=service.spec.cluster_ip,
            port=port.port,
            node_port=port.node_port,
            sticky=service.spec.session_affinity == "ClientIP",
            targets=targets,
        )


def targets_of(port: ServicePort, slices: Sequence[EndpointSlice]) -> tuple[Target, ...]:
    """The ready endpoints of one Service port; where there are none, those that still serve while terminating."""
    return _targets(port, slices, lambda e: e.ready) or _targets(port, slices, lambda e: e.serving_last)


def _targets(
    port: ServicePort, slices: Sequence[EndpointSlice], wanted: Callable[[Endpoint], bool]
) -> tuple[Target, ...]:
    found = {
        Target(address, number.port)
        for one in slices
        for number in one.ports or ()
        if number.name == port.name and number.protocol == port.protocol and number.port
        for endpoint in one.endpoints or ()
        if wanted(endpoint)
        for address in endpoint.addresses
        if _ipv4(address) is not None
    }
    return tuple(sorted(found))


class HostPort(NamedTuple):
    """A port of the node that leads to one Pod (`hostPort` of a container)."""

    protocol: str
    port: int
    target: Target
    label: str

    @property
    def chain(self) -> str:
        return f"host-{self.protocol}-{self.port}"


def host_ports(config: LocalConfig, pods: Iterable[PublishingPod]) -> list[HostPort]:
    """In a stable order, each port once; our own API and DNS keep theirs whatever a Pod asks for."""
    kept = {("tcp", config.api_port), ("tcp", 53), ("udp", 53)}
    found = sorted(
        HostPort(
            port.protocol.lower(),
            port.host_port,
            Target(pod.status.pod_ip, port.container_port),
            f"{pod.metadata.namespace}/{pod.metadata.name}",
        )
        for pod in pods
        if pod.status.phase == "Running" and not pod.spec.host_network and _ipv4(pod.status.pod_ip) is not None
        for container in pod.spec.containers
        for port in container.ports or ()
        if port.host_port and port.protocol in PROTOCOLS
    )
    return [one for one in {(h.protocol, h.port): h for h in reversed(found)}.values() if one[:2] not in kept][::-1]


class Wanted(NamedTuple):
    """All that the table depends on, besides the configuration.

    `lent_forwarding` are the uplinks whose `forwarding` this instance switched on; they are kept in the table so that
    a later run, or the removal after a crash, knows what to switch back.
    """

    services: Sequence[Forwarding] = ()
    host_ports: Sequence[HostPort] = ()
    lent_forwarding: Sequence[str] = ()


def udp_answerers(config: LocalConfig, wanted: Wanted) -> dict[tuple[str, int], frozenset[Target]]:
    """Who may answer datagrams sent to each address and port of ours."""
    found: dict[tuple[str, int], frozenset[Target]] = {}
    for host in wanted.host_ports:
        if host.protocol == "udp":
            found |= {(address, host.port): frozenset({host.target}) for address in _node_addresses(config)}
    for one in wanted.services:
        if one.protocol == "udp":
            targets = frozenset(one.targets)
            found[one.cluster_ip, one.port] = targets
            if one.node_port:
                found |= {(address, one.node_port): targets for address in _node_addresses(config)}
    return found


def _node_addresses(config: LocalConfig) -> tuple[str, str]:
    return "127.0.0.1", str(config.bridge_address)


def _ipv4(text: str) -> IPv4Address | None:
    try:
        return IPv4Address(text)
    except AddressValueError:
        return None


def render(config: LocalConfig, wanted: Wanted) -> str:
    """The transaction that makes the table what `wanted` says."""
    table = f"ip {config.nft_table}"
    node_ports = {f"{h.protocol} . {h.port}": h.chain for h in wanted.host_ports}
    node_ports |= {f"{f.protocol} . {f.node_port}": f.chain for f in wanted.services if f.node_port}
    targets = {t.address for f in wanted.services for t in f.targets} | {h.target.address for h in wanted.host_ports}
    parts = [
        f"add table {table}",
        f"delete table {table}",
        f"table {table} {{",
        _set(LENT_FORWARDING, "ifname", (f'"{name}"' for name in wanted.lent_forwarding)),
        _set("hairpin", "ipv4_addr . ipv4_addr", (f"{a} . {a}" for a in sorted(targets))),
        *(_chain(f.chain, f.protocol, _destination(f), f.label) for f in wanted.services),
        *(_chain(h.chain, h.protocol, f"{h.target.address}:{h.target.port}", h.label) for h in wanted.host_ports),
        _map(
            "services",
            "ipv4_addr . inet_proto . inet_service",
            (f"{f.cluster_ip} . {f.protocol} . {f.port} : goto {f.chain}" for f in wanted.services),
        ),
        _map(
            "node-ports",
            "inet_proto . inet_service",
            (f"{key} : goto {chain}" for key, chain in sorted(node_ports.items())),
        ),
        _base_chains(config),
        "}",
    ]
    return "\n".join(parts) + "\n"


def sample(config: LocalConfig) -> Wanted:
    """A bit of everything that may ever be asked of the kernel."""
    targets = (Target(str(config.bridge_address), 1), Target(str(config.bridge_address), 2))
    address = str(config.api_service_address)
    kinds = enumerate(((protocol, sticky) for protocol in ("tcp", "udp", "sctp") for sticky in (False, True)), 1)
    return Wanted([Forwarding("sample", p, address, n, n, sticky, targets) for n, (p, sticky) in kinds])


def _destination(forwarding: Forwarding) -> str:
    targets = forwarding.targets
    if len(targets) == 1:
        return f"{targets[0].address}:{targets[0].port}"
    way = f"jhash ip saddr mod {len(targets)} seed {AFFINITY_SEED}" if forwarding.sticky else ""
    way = way or f"numgen random mod {len(targets)}"
    pairs = ", ".join(f"{n} : {t.address} . {t.port}" for n, t in enumerate(targets))
    return f"{way} map {{ {pairs} }}"


def _chain(name: str, protocol: str, destination: str, label: str) -> str:
    rule = f'meta l4proto {protocol} dnat ip to {destination} comment "{label[:100]}"'
    return f"  chain {name} {{\n    {rule}\n  }}"


def _base_chains(config: LocalConfig) -> str:
    bridge, gateway = config.bridge, config.bridge_address
    node = ", ".join(_node_addresses(config))
    pods, services = config.pod_network, config.service_network
    dispatch = (
        "    ip daddr . meta l4proto . th dport vmap @services\n"
        f"    ip daddr {{ {node} }} meta l4proto . th dport vmap @node-ports"
    )
    return f"""\
  chain borders {{
    type filter hook prerouting priority raw; policy accept;
    iifname != {{ "lo", "{bridge}" }} ip daddr {{ {pods}, {services} }} drop
    iifname "{bridge}" ip daddr 127.0.0.0/8 drop
  }}
  chain prerouting {{
    type nat hook prerouting priority dstnat; policy accept;
{dispatch}
  }}
  chain output {{
    type nat hook output priority -100; policy accept;
{dispatch}
  }}
  chain postrouting {{
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr . ip daddr @hairpin snat ip to {gateway}
    ip saddr 127.0.0.0/8 oifname "{bridge}" snat ip to {gateway}
    ip saddr {pods} ip daddr != {pods} oifname != {{ "lo", "{bridge}" }} masquerade
  }}
  chain forward {{
    type filter hook forward priority filter; policy accept;
    ip daddr {services} meta l4proto tcp reject with tcp reset
    ip daddr {services} reject
  }}
  chain local-output {{
    type filter hook output priority filter; policy accept;
    ip daddr {services} meta l4proto tcp reject with tcp reset
    ip daddr {services} reject
  }}"""


def _set(name: str, kind: str, elements: Iterable[str]) -> str:
    return _collection("set", name, kind, elements)


def _map(name: str, kind: str, elements: Iterable[str]) -> str:
    return _collection("map", name, f"{kind} : verdict", elements)


def _collection(word: str, name: str, kind: str, elements: Iterable[str]) -> str:
    listed = ", ".join(elements)
    body = f"\n    elements = {{ {listed} }}" if listed else ""
    return f"  {word} {name} {{\n    type {kind};{body}\n  }}"
