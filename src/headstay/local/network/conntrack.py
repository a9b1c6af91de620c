"""Makes the kernel forget UDP flows to endpoints that a Service no longer has.

A NAT decision is made once for each flow and kept as long as datagrams come, so a client that never changes its port
would talk to a Pod that is gone for ever. (A TCP connection to a Pod that is gone is over anyway.) Spoken over netlink
directly: the `conntrack` tool is rarely installed.
"""

import asyncio
import os
import socket
import struct
from collections.abc import Callable, Iterator
from typing import NamedTuple

from headstay.local.network.commands import NetworkError

_NETLINK_NETFILTER = 12
_CT_NEW, _CT_GET, _CT_DELETE = 0x100, 0x101, 0x102
_REQUEST, _ACK, _DUMP = 0x1, 0x4, 0x300
_ERROR, _DONE = 2, 3
_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_TYPE_MASK = 0x3FFF
_TUPLE_ORIG, _TUPLE_REPLY = 1, 2
_TUPLE_IP, _TUPLE_PROTO = 1, 2
_IP_SRC, _IP_DST = 1, 2
_PROTO_NUM, _PROTO_SRC_PORT, _PROTO_DST_PORT = 1, 2, 3
_BUFFER = 1 << 16
_SECONDS = 5.0


class Flow(NamedTuple):
    """A UDP flow: where the client sent it, and who answers it. `original` is its name to the kernel."""

    sent_to: tuple[str, int]
    answered_by: tuple[str, int]
    original: bytes


async def forget_udp(stale: Callable[[Flow], bool]) -> int:
    """Deletes the UDP flows that are `stale`; how many. Raises NetworkError."""
    return await asyncio.to_thread(_forget, stale)


def _forget(stale: Callable[[Flow], bool]) -> int:
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER) as kernel:
            kernel.settimeout(_SECONDS)
            kernel.bind((0, 0))
            _send(kernel, _CT_GET, _REQUEST | _DUMP)
            # The dump is read to its end before the first deletion: both would answer on the same socket.
            flows = [flow for flow in _dump(kernel) if stale(flow)]
            for flow in flows:
                _send(kernel, _CT_DELETE, _REQUEST | _ACK, flow.original)
                for _ in _messages(kernel.recv(_BUFFER)):
                    pass  # an acknowledgement, or that the flow has ended by itself in the meantime
            return len(flows)
    except OSError as error:
        raise NetworkError(f"cannot clear old UDP flows: {error}") from error


def _send(kernel: socket.socket, kind: int, flags: int, attributes: bytes = b"") -> None:
    family = bytes([socket.AF_INET, 0, 0, 0])
    length = _HEADER.size + len(family) + len(attributes)
    kernel.send(_HEADER.pack(length, kind, flags, 1, 0) + family + attributes)


def _dump(kernel: socket.socket) -> Iterator[Flow]:
    while True:
        for kind, body in _messages(kernel.recv(_BUFFER)):
            if kind == _DONE:
                return
            if kind == _ERROR:
                code = -int(struct.unpack_from("=i", body)[0])
                raise OSError(code, os.strerror(code))
            if kind == _CT_NEW and (flow := _flow(body[4:])) is not None:
                yield flow


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    while len(data) >= _HEADER.size:
        length, kind, *_ = _HEADER.unpack_from(data)
        yield kind, data[_HEADER.size : length]
        data = data[(length + 3) & ~3 :]


def _attributes(data: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """(type, value, the whole attribute as it came)."""
    while len(data) >= _ATTRIBUTE.size:
        length, kind = _ATTRIBUTE.unpack_from(data)
        if length < _ATTRIBUTE.size:
            return
        padded = (length + 3) & ~3
        yield kind & _TYPE_MASK, data[_ATTRIBUTE.size : length], data[:padded]
        data = data[padded:]


def _flow(data: bytes) -> Flow | None:
    found = {kind: (value, whole) for kind, value, whole in _attributes(data)}
    if _TUPLE_ORIG not in found or _TUPLE_REPLY not in found:
        return None
    original, reply = _ends(found[_TUPLE_ORIG][0]), _ends(found[_TUPLE_REPLY][0])
    if original is None or reply is None:
        return None
    return Flow(original[1], reply[0], found[_TUPLE_ORIG][1])


def _ends(data: bytes) -> tuple[tuple[str, int], tuple[str, int]] | None:
    """(source, destination) of one direction of a UDP flow over IPv4."""
    parts = {kind: value for kind, value, _ in _attributes(data)}
    address = {kind: value for kind, value, _ in _attributes(parts.get(_TUPLE_IP, b""))}
    proto = {kind: value for kind, value, _ in _attributes(parts.get(_TUPLE_PROTO, b""))}
    if proto.get(_PROTO_NUM) != bytes([socket.IPPROTO_UDP]) or _IP_SRC not in address or _IP_DST not in address:
        return None
    ports = [int.from_bytes(proto.get(kind, b""), "big") for kind in (_PROTO_SRC_PORT, _PROTO_DST_PORT)]
    return (socket.inet_ntoa(address[_IP_SRC]), ports[0]), (socket.inet_ntoa(address[_IP_DST]), ports[1])
