"""A machine of its own for network tests: a network namespace with one uplink to an "outside" host.

The tests' process moves into it, so nothing they do can meet the developer's own bridges, routes or firewall.
"""

import asyncio
import ctypes
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import msgspec

from headstay.local.config import LocalConfig
from headstay.local.network.views import EndpointSlice, Service

CONFIG = LocalConfig(
    instance="nettest",
    pod_network=IPv4Network("10.88.0.0/16"),
    service_network=IPv4Network("10.89.0.0/16"),
    api_port=6499,
)
OUTSIDE = "networklab-outside"
OUTSIDE_ADDRESS = "192.0.2.2"
MACHINE_ADDRESS = "192.0.2.1"

_LIBC = ctypes.CDLL(None, use_errno=True)
_CLONE_NEWNET = 0x40000000

SERVER = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = f"{sys.argv[2]} saw {self.client_address[0]}".encode()
        self.send_response(200); self.send_header("Content-Length", str(len(body))); self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args): pass
server = http.server.ThreadingHTTPServer(("0.0.0.0", int(sys.argv[1])), Handler)
print("listening", flush=True)
server.serve_forever()
"""


def sh(*argv: str, stdin: str = "") -> str:
    return subprocess.run(argv, input=stdin, check=True, capture_output=True, text=True, timeout=20).stdout


@contextmanager
def private_machine(*, bridged_frames_pass_rules: bool = True) -> Iterator[None]:
    """Moves this thread, and what it starts, into a fresh network namespace with an uplink and a default route."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    if _LIBC.unshare(_CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    try:
        sh("ip", "link", "set", "dev", "lo", "up")
        sh("ip", "netns", "add", OUTSIDE)
        sh("ip", "link", "add", "uplink", "type", "veth", "peer", "name", "eth0", "netns", OUTSIDE)
        sh("ip", "addr", "add", f"{MACHINE_ADDRESS}/24", "dev", "uplink")
        sh("ip", "link", "set", "dev", "uplink", "up")
        sh("ip", "route", "add", "default", "via", OUTSIDE_ADDRESS)
        outside = ["link set dev lo up", f"addr add {OUTSIDE_ADDRESS}/24 dev eth0", "link set dev eth0 up"]
        sh("ip", "-n", OUTSIDE, "-batch", "-", stdin="\n".join(outside) + "\n")
        bridge_nf = Path("/proc/sys/net/bridge/bridge-nf-call-iptables")
        # The strictest setting that machines use: an answer's source must be reached by the way it came.
        Path("/proc/sys/net/ipv4/conf/all/rp_filter").write_text("1")
        if bridge_nf.exists():
            bridge_nf.write_text("1" if bridged_frames_pass_rules else "0")
        yield
    finally:
        _LIBC.setns(home, _CLONE_NEWNET)
        os.close(home)
        subprocess.run(["ip", "netns", "del", OUTSIDE], check=False, capture_output=True)


class Host:
    """Somewhere to run things: a Pod's namespace, the outside's, or (no path) the machine itself."""

    def __init__(self, path: Path | None = None, address: str = "") -> None:
        self.path = path
        self.address = address

    def _argv(self, *argv: str) -> list[str]:
        return ["nsenter", f"--net={self.path}", "--", *argv] if self.path else list(argv)

    async def run(self, *argv: str, timeout: float = 10) -> tuple[int, str]:
        process = await asyncio.create_subprocess_exec(
            *self._argv(*argv), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        try:
            output, _ = await asyncio.wait_for(process.communicate(), timeout)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        return process.returncode or 0, output.decode().strip()

    async def get(self, target: str) -> str:
        """What a web server says; "exit N" with curl's code where none answers (7: refused, 28: silence)."""
        code, output = await self.run("curl", "-sS", "--max-time", "2", "--connect-timeout", "1", f"http://{target}/")
        return output if code == 0 else f"exit {code}"

    async def serve(self, port: int, name: str) -> asyncio.subprocess.Process:
        """A web server that says its own name and the client's address."""
        process = await asyncio.create_subprocess_exec(
            *self._argv(sys.executable, "-c", SERVER, str(port), name), stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout is not None
        await asyncio.wait_for(process.stdout.readline(), 10)
        return process

    async def serve_datagrams(self, port: int, name: str) -> asyncio.subprocess.Process:
        """Answers every datagram with its own name."""
        code = (
            "import socket, sys; s = socket.socket(type=socket.SOCK_DGRAM); s.bind(('0.0.0.0', int(sys.argv[1])))\n"
            "print('listening', flush=True)\n"
            "while True: s.sendto(sys.argv[2].encode(), s.recvfrom(99)[1])"
        )
        process = await asyncio.create_subprocess_exec(
            *self._argv(sys.executable, "-c", code, str(port), name), stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout is not None
        await asyncio.wait_for(process.stdout.readline(), 10)
        return process

    async def ask_datagram(self, address: str, port: int, *, source_port: int) -> str:
        code = (
            f"import socket; s = socket.socket(type=socket.SOCK_DGRAM); s.bind(('0.0.0.0', {source_port})); "
            f"s.settimeout(2); s.sendto(b'x', ('{address}', {port})); print(s.recv(99).decode())"
        )
        return (await self.run(sys.executable, "-c", code))[1].splitlines()[-1]


def service(name: str, **spec: Any) -> Service:
    namespace = spec.pop("namespace", "default")
    document = {"metadata": {"name": name, "namespace": namespace, "uid": f"uid-{name}"}, "spec": spec}
    return msgspec.convert(document, Service)


def endpoint_slice(name: str, endpoints: list[dict[str, Any]], *, protocol: str = "TCP", **ports: int) -> EndpointSlice:
    """A slice of Service `name`; `ports` by name."""
    document = {
        "metadata": {
            "name": f"{name}-slice",
            "namespace": "default",
            "uid": f"uid-{name}-slice",
            "labels": {"kubernetes.io/service-name": name},
        },
        "addressType": "IPv4",
        "endpoints": endpoints,
        "ports": [{"name": port, "port": number, "protocol": protocol} for port, number in ports.items()],
    }
    return msgspec.convert(document, EndpointSlice)


def at(*addresses: str, **more: Any) -> dict[str, Any]:
    return {"addresses": list(addresses), "conditions": more.pop("conditions", {"ready": True}), **more}
