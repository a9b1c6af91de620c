"""Ports for servers that a test starts.

They lie below those that the kernel gives to connections: between the choice and a server's start it would give one of
those away.
"""

import random
import socket
from contextlib import suppress


def free_port() -> int:
    return free_ports(1)[0]


def free_ports(count: int) -> list[int]:
    """All of them different."""
    ports: list[int] = []
    while len(ports) < count:
        port = random.randrange(20000, 32000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            ports += [port] if port not in ports else []
    return ports
