"""ClusterIPs and node ports: which are free is read from the Services that are stored, each time one is asked for.

There is no allocator state, so nothing can leak or go stale: a Service that is gone holds nothing, a write that failed
took nothing. The server decides one write at a time, so two Services cannot be given the same address.
"""

from collections.abc import Iterable
from hashlib import sha256
from ipaddress import IPv4Address, IPv4Network

from headstay.model.objects import Obj

NODE_PORTS = range(30000, 32768)
_STATIC_NODE_PORTS = 86


def used_addresses(services: Iterable[Obj]) -> set[str]:
    return {
        address
        for service in services
        for address in (service.get("spec") or {}).get("clusterIPs") or [(service.get("spec") or {}).get("clusterIP")]
        if address and address != "None"
    }


def free_address(network: IPv4Network, used: set[str], seed: str) -> str | None:
    """A free address, picked by `seed`, from the upper band: the lower one is left to those who ask by number."""
    static = min(max(16, network.num_addresses // 16), 256)
    first, last = 1, network.num_addresses - 2
    upper = _probe(first + static, last, seed) if first + static <= last else iter(())
    for offset in (*upper, *range(first + 1, min(first + static, last + 1))):
        address = str(network.network_address + offset)
        if address not in used:
            return address
    return None


def is_in_range(network: IPv4Network, address: str) -> bool:
    """Whether a Service may have this address: in the network, and neither its first nor its last one."""
    try:
        parsed = IPv4Address(address)
    except ValueError:
        return False
    return parsed in network and parsed not in {network.network_address, network.broadcast_address}


def used_node_ports(services: Iterable[Obj]) -> set[tuple[int, str]]:
    """Taken ports with their protocols: TCP and UDP may share a number."""
    found = set()
    for service in services:
        spec = service.get("spec") or {}
        for port in spec.get("ports") or []:
            if port.get("nodePort"):
                found.add((port["nodePort"], port.get("protocol") or "TCP"))
        if spec.get("healthCheckNodePort"):
            found.add((spec["healthCheckNodePort"], "TCP"))
    return found


def free_node_port(used: set[int], seed: str) -> int | None:
    candidates = _probe(NODE_PORTS.start + _STATIC_NODE_PORTS, NODE_PORTS.stop - 1, seed)
    return next((port for port in (*candidates, *NODE_PORTS[:_STATIC_NODE_PORTS]) if port not in used), None)


def _probe(first: int, last: int, seed: str) -> Iterable[int]:
    """Every number from `first` to `last` once, from a place that the seed says: an address is not reused at once."""
    start = int.from_bytes(sha256(seed.encode()).digest()[:8]) % (last - first + 1)
    yield from range(first + start, last + 1)
    yield from range(first, first + start)
