"""Which address the next Pod gets: round-robin, so that an address freed now is the last to come back.

A client that still holds the address of a Pod that is gone must meet silence, not somebody else's Pod.
"""

from collections.abc import Container
from ipaddress import IPv4Address, IPv4Network

from headstay.local.network.commands import NetworkError

RESERVED = 2
"""The network's own address and the bridge's; the last address is the broadcast one."""


def next_address(network: IPv4Network, taken: Container[IPv4Address], last: IPv4Address | None) -> IPv4Address:
    """The first free address after `last`, wrapping round. Raises NetworkError when all are taken."""
    usable = network.num_addresses - RESERVED - 1
    start = 0 if last is None or last not in network else int(last) - int(network.network_address) - RESERVED + 1
    for step in range(usable):
        address = network.network_address + RESERVED + (start + step) % usable
        if address not in taken:
            return address
    raise NetworkError(f"all {usable} addresses of the Pod network {network} are taken")
