"""An address and a network namespace for each Pod.

Invariant: a Pod's uid leads to one address from its first `attach` to its `detach`, across restarts of the
daemon, because the mapping lives in the kernel (see `links`). Each step may be cut short at any point: `attach` of
a known Pod runs the idempotent half again, and a port without an owner is removed at the next start.
"""

import asyncio
from ipaddress import IPv4Address
from pathlib import Path

from headstay.local.config import LocalConfig
from headstay.local.network import links
from headstay.local.network.addresses import next_address
from headstay.local.network.commands import ip_batch, run
from headstay.local.seams import PodAttachment

POD_INTERFACE = "eth0"
POD_SYSCTLS = {
    # As containerd sets them: no Pod needs a capability to listen on port 80 or to ping.
    "net/ipv4/ip_unprivileged_port_start": "0",
    "net/ipv4/ping_group_range": "0 2147483647",
    "net/ipv4/conf/all/accept_redirects": "0",
    "net/ipv4/conf/eth0/accept_redirects": "0",
    # A port reflects its own frames (needed for a Pod's connection to itself where bridged frames pass the IP
    # rules), which IPv6 takes for a duplicate address. Pods have no IPv6 but ::1.
    "net/ipv6/conf/eth0/disable_ipv6": "1",
}


def namespace_path(config: LocalConfig, pod_uid: str) -> Path:
    return links.NETNS_DIR / f"{config.instance}-{pod_uid}"


class BridgeNetwork:
    """Implements `PodNetwork`. `start` first; then attach and detach in any order, from any task."""

    def __init__(self, config: LocalConfig) -> None:
        self._config = config
        self._addresses: dict[str, IPv4Address] = {}
        self._last: IPv4Address | None = None
        self._lock = asyncio.Lock()

    async def start(self) -> None:
        """The bridge, and what earlier runs left: known Pods are taken over, unfinished ports are removed."""
        links.check(self._config)
        found = await links.inventory(self._config)
        if not found.bridge:
            await links.refuse_overlap(self._config)
        await links.ensure_bridge(self._config, exists=found.bridge)
        await ip_batch(f"link del dev {port.name}" for port in found.ports if not port.pod_uid)
        self._addresses = {port.pod_uid: port.address for port in found.ports if port.pod_uid}
        self._last = found.last_address

    def attached(self) -> dict[str, IPv4Address]:
        """Every Pod that has an address, by uid: for the node agent to detach those that are gone."""
        return dict(self._addresses)

    async def attach(self, pod_uid: str, hostname: str) -> PodAttachment:
        async with self._lock:
            path = namespace_path(self._config, pod_uid)
            address = self._addresses.get(pod_uid)
            if address is None or not await self._intact(pod_uid, address, path):
                await self._remove(pod_uid, address, keep_namespace=True)
                address = address or next_address(self._config.pod_network, self._taken(), self._last)
                self._last = address
                self._addresses[pod_uid] = address
                await self._create(pod_uid, hostname, address, path)
            await self._configure(address, path)
            return PodAttachment(address, path)

    async def detach(self, pod_uid: str) -> None:
        async with self._lock:
            await self._remove(pod_uid, self._addresses.get(pod_uid))
            self._addresses.pop(pod_uid, None)

    def _taken(self) -> frozenset[IPv4Address]:
        return frozenset(self._addresses.values())

    async def _intact(self, pod_uid: str, address: IPv4Address, path: Path) -> bool:
        """Whether `_create` ran to its end, which is the alias."""
        port = links.port_name(self._config, address)
        if not links.is_namespace(path) or not links.exists(port):
            return False
        found = await links.inventory(self._config)
        return any(one.name == port and one.pod_uid == pod_uid for one in found.ports)

    async def _create(self, pod_uid: str, hostname: str, address: IPv4Address, path: Path) -> None:
        port, mac, bridge = links.port_name(self._config, address), links.mac_of(address), self._config.bridge
        lines = [f"link set dev {bridge} alias {address}"]
        if not links.is_namespace(path):
            # After a reboot the file may be there without the namespace that was mounted on it.
            links.unlink(path)
            lines.append(f"netns add {path.name}")
        lines += [
            f"link add name {port} type veth peer name {POD_INTERFACE} address {mac} netns {path.name}",
            f"link set dev {port} addrgenmode none master {bridge}",
            f"link set dev {port} type bridge_slave hairpin on",
            f"link set dev {port} up",
            f'link set dev {port} alias "{f"{pod_uid} {hostname}".strip()}"',
        ]
        await ip_batch(lines)

    async def _configure(self, address: IPv4Address, path: Path) -> None:
        """The Pod's side; safe to repeat while the Pod runs."""
        gateway = self._config.bridge_address
        settings = "; ".join(
            f'[ ! -e /proc/sys/{name} ] || echo "{value}" > /proc/sys/{name}' for name, value in POD_SYSCTLS.items()
        )
        batch = [
            "link set dev lo up",
            f"addr replace {address}/32 dev {POD_INTERFACE}",
            f"link set dev {POD_INTERFACE} up",
            f"route replace {gateway} dev {POD_INTERFACE} scope link",
            f"route replace default via {gateway} dev {POD_INTERFACE}",
        ]
        await run(
            "nsenter", f"--net={path}", "sh", "-ec", f"{settings}; exec ip -batch -", stdin="\n".join(batch) + "\n"
        )

    async def _remove(self, pod_uid: str, address: IPv4Address | None, *, keep_namespace: bool = False) -> None:
        if address is not None:
            port = links.port_name(self._config, address)
            if links.exists(port):
                await run("ip", "link", "del", "dev", port)
        path = namespace_path(self._config, pod_uid)
        if not keep_namespace:
            await links.remove_namespace(path)
