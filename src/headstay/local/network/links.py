"""The bridge, its ports and its neighbours' settings, found again by name alone.

Every Pod owns a /32 and sends everything to the bridge's address, so all its traffic is routed by the host, never
switched from port to port. The host therefore sees both directions of every connection, and Services work
whether or not the machine passes bridged frames to its IP rules (`bridge-nf-call-iptables`).

What must survive a crash is kept in the kernel, not in a file: a port is named after its Pod's address
(`<instance>-<host bits in hex>`) and carries the Pod's uid as its alias; the bridge's alias is the last address
given out. A port without an alias was never finished and is removed at the next start.
"""

import json
import socket
from collections.abc import Coroutine
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any, NamedTuple

from headstay.local.config import LocalConfig
from headstay.local.network import firewall, machine
from headstay.local.network.commands import NetworkError, ip_batch, run

NETNS_DIR = Path("/run/netns")
INTERFACE_NAME_LIMIT = 15


class Port(NamedTuple):
    """The host's end of a Pod's veth pair; `pod_uid` is "" where attaching was cut short."""

    name: str
    pod_uid: str
    address: IPv4Address


class Inventory(NamedTuple):
    bridge: bool
    last_address: IPv4Address | None
    ports: list[Port]


def port_name(config: LocalConfig, address: IPv4Address) -> str:
    return f"{config.instance}-{int(address) - int(config.pod_network.network_address):x}"


def exists(interface: str) -> bool:
    """Asked of the kernel and not of /sys, which shows the namespace it was mounted in."""
    try:
        socket.if_nametoindex(interface)
    except OSError:
        return False
    return True


def mac_of(address: IPv4Address) -> str:
    """A fixed hardware address per IP address, so that no neighbour cache can hold a stale one."""
    return "0a:58:" + ":".join(f"{octet:02x}" for octet in address.packed)


def check(config: LocalConfig) -> None:
    """Refuses networks that overlap each other, or one so wide that a port's name would not fit an interface name."""
    if config.pod_network.overlaps(config.service_network):
        raise NetworkError(
            f"the Pod network {config.pod_network} overlaps the Service network {config.service_network}"
        )
    longest = port_name(config, config.pod_network.broadcast_address)
    if len(longest) > INTERFACE_NAME_LIMIT:
        raise NetworkError(
            f"the Pod network {config.pod_network} is too wide for instance {config.instance!r}: "
            f"interface {longest!r} would exceed {INTERFACE_NAME_LIMIT} characters; use a longer prefix, such as /16"
        )


async def inventory(config: LocalConfig) -> Inventory:
    """What of this instance is on the machine now."""
    links: list[dict[str, Any]] = json.loads(await run("ip", "-json", "link", "show") or "[]")
    bridge = next((link for link in links if link.get("ifname") == config.bridge), None)
    ports = [port for link in links if (port := _port(config, link)) is not None]
    last = _address((bridge or {}).get("ifalias", ""))
    return Inventory(bridge is not None, last, ports)


def _port(config: LocalConfig, link: dict[str, Any]) -> Port | None:
    name = str(link.get("ifname", ""))
    prefix, _, suffix = name.rpartition("-")
    if prefix != config.instance or name == config.bridge:
        return None
    try:
        address = config.pod_network.network_address + int(suffix, 16)
    except ValueError:
        return None
    return Port(name, str(link.get("ifalias", "")).partition(" ")[0], address)


def _address(text: str) -> IPv4Address | None:
    try:
        return IPv4Address(text)
    except ValueError:
        return None


async def ensure_bridge(config: LocalConfig, *, exists: bool) -> None:
    """The bridge with its address, up, and the route that sends Service addresses into the machine's own rules."""
    address, bridge = config.bridge_address, config.bridge
    lines = [] if exists else [f"link add name {bridge} type bridge"]
    lines += [
        # Left alone, a bridge takes the lowest of its ports' hardware addresses, and changes it as Pods come and go.
        f"link set dev {bridge} address {mac_of(address)} type bridge stp_state 0 forward_delay 0",
        f"link set dev {bridge} addrgenmode none up",
        f"addr replace {address}/{config.pod_network.prefixlen} dev {bridge}",
        f"route replace {config.service_network} dev {bridge} src {address}",
    ]
    await ip_batch(lines)
    machine.write_sysctl(f"conf/{bridge}/forwarding", "1")
    # Pods' packets leave by the interface they came in by, which the kernel would answer with "go there directly":
    # past the rules, and counted against the rate of the ICMP errors that say a Service has no endpoint. The other
    # interfaces keep their own settings: the kernel asks for either, `all` or the interface's.
    machine.write_sysctl(f"conf/{bridge}/send_redirects", "0")
    machine.write_sysctl("conf/all/send_redirects", "0")
    # A connection to a node port on 127.0.0.1 leaves through the bridge; the raw chain keeps Pods away from 127/8.
    machine.write_sysctl(f"conf/{bridge}/route_localnet", "1")


def overlapping(network: IPv4Network, routes: list[dict[str, Any]], ours: str) -> str:
    """The first foreign route into a part of `network`, or "". A wider one only loses to ours where they meet."""
    for route in routes:
        if route.get("dev") == ours or route.get("dst") in {None, "default"}:
            continue
        found = IPv4Network(str(route["dst"]))
        if found.subnet_of(network):
            return f"{found} on {route.get('dev', 'this machine')}"
    return ""


async def refuse_overlap(config: LocalConfig) -> None:
    """Raises NetworkError where the machine already routes part of our networks elsewhere (a VPN, docker)."""
    routes: list[dict[str, Any]] = json.loads(await run("ip", "-json", "-4", "route", "show") or "[]")
    for what, network, variable in (
        ("Pod", config.pod_network, "HEADSTAY_POD_NETWORK"),
        ("Service", config.service_network, "HEADSTAY_SERVICE_NETWORK"),
    ):
        if found := overlapping(network, routes, config.bridge):
            raise NetworkError(
                f"the {what} network {network} overlaps the route {found}; choose another one with {variable}"
            )


def is_namespace(path: Path) -> bool:
    """Whether a namespace is mounted there; after a reboot the bare file may be left."""
    try:
        return path.stat().st_dev != path.parent.stat().st_dev
    except FileNotFoundError:
        return False


def unlink(path: Path) -> None:
    path.unlink(missing_ok=True)


async def remove_namespace(path: Path) -> None:
    """Takes the name away; the namespace itself ends with its last process."""
    if is_namespace(path):
        await run("ip", "netns", "del", path.name)
    unlink(path)


def namespaces(config: LocalConfig) -> list[Path]:
    return sorted(NETNS_DIR.glob(f"{config.instance}-*"))


async def remove_all(config: LocalConfig) -> list[str]:
    """Everything this instance made, found by name, whoever made it and however they ended.

    Goes on past what cannot be removed and returns it, each with the reason.
    """
    found = await inventory(config)
    steps: list[Coroutine[Any, Any, Any]] = [firewall.withdraw(config), firewall.remove_table(config)]
    steps += [run("ip", "link", "del", "dev", port.name) for port in found.ports]
    if found.bridge:
        steps.append(run("ip", "link", "del", "dev", config.bridge))
    steps += [remove_namespace(path) for path in namespaces(config)]
    left = []
    for step in steps:
        try:
            await step
        except NetworkError as error:
            left.append(str(error))
    return left
