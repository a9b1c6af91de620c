"""A TCP connection made inside a Pod's network namespace, so that listeners on its 127.0.0.1 are reached.

A socket belongs to the namespace its maker was in. A thread enters the Pod's, makes the socket, and ends: it is never
used again, so nothing else can happen in the wrong namespace.
"""

import asyncio
import ctypes
import os
import socket
import threading
from pathlib import Path

_CLONE_NEWNET = 0x40000000
_CONNECT_SECONDS = 10.0


class NamespaceError(Exception):
    """The Pod's network namespace cannot be entered."""


def socket_in(namespace: Path) -> socket.socket:
    """A TCP socket of the namespace at `namespace`. Blocks for the moment that takes."""
    made: list[socket.socket | OSError] = []

    def make() -> None:
        try:
            handle = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
            try:
                libc = ctypes.CDLL(None, use_errno=True)
                if libc.setns(handle, _CLONE_NEWNET) != 0:
                    raise OSError(ctypes.get_errno(), "setns")
                made.append(socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK))
            finally:
                os.close(handle)
        except OSError as error:
            made.append(error)

    thread = threading.Thread(target=make, name="netns")
    thread.start()
    thread.join()
    found = made[0]
    if isinstance(found, OSError):
        raise NamespaceError(f"{namespace}: {found.strerror or found}") from found
    return found


async def connect(namespace: Path, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection to the Pod's own 127.0.0.1. OSError where nothing listens."""
    connection = await asyncio.to_thread(socket_in, namespace)
    try:
        async with asyncio.timeout(_CONNECT_SECONDS):
            await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", port))
        return await asyncio.open_connection(sock=connection)
    except BaseException:
        connection.close()
        raise
