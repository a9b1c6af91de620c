"""ClusterIPs and node ports: which are free follows from the Services that are stored, whenever one is asked for.

There is no allocator state, so nothing can leak or go stale: a Service that is gone holds nothing, a write that failed
took nothing. The server decides one write at a time, so two Services cannot be given the same address.
"""

from collections.abc import Callable, Iterable
from hashlib import sha256
from ipaddress import IPv4Address, IPv4Network

from headstay.model.objects import Obj

NODE_PORTS = range(30000, 32768)
_STATIC_NODE_PORTS = 86


Taken = Callable[[object], bool]
"""Whether another Service holds this address or port."""


def addresses_of(service: Obj) -> set[object]:
    spec = service.get("spec") or {}
    found = spec.get("clusterIPs") or [spec.get("clusterIP")]
    return {address for address in found if address and address != "None"}


def free_address(network: IPv4Network, taken: Taken, seed: str) -> str | None:
    """A free address, picked by `seed`, from the upper band: the lower one is left to those who ask by number."""
    static = min(max(16, network.num_addresses // 16), 256)
    first, last = 1, network.num_addresses - 2
    upper = _probe(first + static, last, seed) if first + static <= last else iter(())
    for offset in (*upper, *range(first + 1, min(first + static, last + 1))):
        address = str(network.network_address + offset)
        if not taken(address):
            return address
    return None


def is_in_range(network: IPv4Network, address: str) -> bool:
    """Whether a Service may have this address: in the network, and neither its first nor its last one."""
    try:
        parsed = IPv4Address(address)
    except ValueError:
        return False
    return parsed in network and parsed not in {network.network_address, network.broadcast_address}


def node_ports_of(service: Obj) -> set[object]:
    """Numbers, and numbers with their protocols: TCP and UDP may share a number that was asked for."""
    spec = service.get("spec") or {}
    found: set[object] = set()
    for port in spec.get("ports") or []:
        if number := port.get("nodePort"):
            found |= {number, (number, port.get("protocol") or "TCP")}
    if number := spec.get("healthCheckNodePort"):
        found |= {number, (number, "TCP")}
    return found


def free_node_port(taken: Taken, seed: str) -> int | None:
    candidates = _probe(NODE_PORTS.start + _STATIC_NODE_PORTS, NODE_PORTS.stop - 1, seed)
    return next((port for port in (*candidates, *NODE_PORTS[:_STATIC_NODE_PORTS]) if not taken(port)), None)


def _probe(first: int, last: int, seed: str) -> Iterable[int]:
    """Every number from `first` to `last` once, from a place that the seed says: an address is not reused at once."""
    start = int.from_bytes(sha256(seed.encode()).digest()[:8]) % (last - first + 1)
    yield from range(first + start, last + 1)
    yield from range(first, first + start)
