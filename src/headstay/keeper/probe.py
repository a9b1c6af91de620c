"""Asks a GCS whether it serves: a TCP connect, and one call that its own event loop has to answer.

The call is `ray.rpc.NodeInfoGcsService/CheckAlive` with an empty message (there since Ray 2.0), spoken in the few
frames of HTTP/2 that one gRPC call needs. A stopped or wedged process still accepts connections: the kernel does that.
"""

import os
import socket
import ssl
import struct
from typing import Dict, Iterator, Mapping, Optional, Tuple

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _GOAWAY = 0, 1, 3, 4, 7
_END_STREAM, _END_HEADERS = 1, 4
_STREAM = 1
_PATH = "/ray.rpc.NodeInfoGcsService/CheckAlive"
_LARGEST_FRAME = 1 << 24


class Endpoint:
    """Where the GCS listens. `environ` says whether it speaks TLS, in Ray's own variables."""

    def __init__(self, host: str, port: int, environ: Mapping[str, str]) -> None:
        self.host = host
        self.port = port
        self._tls = _tls_context(environ)

    def accepts(self, timeout: float) -> bool:
        """Whether something listens. A time-out counts as yes: the port is there, its queue is full."""
        try:
            socket.create_connection((self.host, self.port), timeout=timeout).close()
        except socket.timeout:
            return True
        except OSError:
            return False
        return True

    def answers(self, timeout: float) -> bool:
        """Whether the GCS answers the call, in whatever way: an error is an answer too."""
        try:
            with socket.create_connection((self.host, self.port), timeout=timeout) as connection:
                connection.settimeout(timeout)
                if self._tls is None:
                    return _call(connection, self.host)
                with self._tls.wrap_socket(connection, server_hostname=self.host) as secured:
                    return _call(secured, self.host)
        except (OSError, ValueError):
            return False


def _tls_context(environ: Mapping[str, str]) -> Optional[ssl.SSLContext]:
    """As Ray does it: certificates of one's own CA, shown by both sides; names in them are not looked at."""
    if environ.get("RAY_USE_TLS", "0").lower() not in ("1", "true"):
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(environ.get("RAY_TLS_CA_CERT") or None)
    context.load_cert_chain(environ["RAY_TLS_SERVER_CERT"], environ["RAY_TLS_SERVER_KEY"])
    context.set_alpn_protocols(["h2"])
    return context


def _call(connection: socket.socket, authority: str) -> bool:
    headers: Dict[str, str] = {
        ":method": "POST",
        ":scheme": "http",
        ":path": _PATH,
        ":authority": authority,
        "content-type": "application/grpc",
        "te": "trailers",
    }
    block = b"".join(_literal(name, value) for name, value in headers.items())
    connection.sendall(
        _PREFACE
        + _frame(_SETTINGS, 0, 0, b"")
        + _frame(_HEADERS, _END_HEADERS, _STREAM, block)
        + _frame(_DATA, _END_STREAM, _STREAM, b"\0" * 5)
    )
    for kind, stream in _frames(connection):
        if stream == _STREAM and kind in (_HEADERS, _DATA, _RST_STREAM):
            return True
        if kind == _GOAWAY:
            return False
    return False


def _literal(name: str, value: str) -> bytes:
    """A header field in HPACK's plainest form: literal, not indexed, no Huffman code. Both under 127 bytes."""
    return bytes([0, len(name)]) + name.encode() + bytes([len(value)]) + value.encode()


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def _frames(connection: socket.socket) -> Iterator[Tuple[int, int]]:
    """(type, stream) of each frame that comes, until the other side closes."""
    while True:
        head = _exactly(connection, 9)
        length = int.from_bytes(head[:3], "big")
        if length >= _LARGEST_FRAME:
            raise ValueError("not HTTP/2")
        _exactly(connection, length)
        yield head[3], int.from_bytes(head[5:], "big") & 0x7FFFFFFF


def _exactly(connection: socket.socket, count: int) -> bytes:
    found = b""
    while len(found) < count:
        part = connection.recv(count - len(found))
        if not part:
            raise ConnectionError("closed by the GCS")
        found += part
    return found


def endpoint_of(arguments: "list[str]", environ: Optional[Mapping[str, str]] = None) -> Endpoint:
    """The endpoint that a gcs_server with these arguments will have. Raises ValueError where they name no port."""
    options = dict(argument.lstrip("-").split("=", 1) for argument in arguments if "=" in argument)
    port = options.get("gcs_server_port", "")
    if not port.isdigit() or port == "0":
        raise ValueError("gcs_server was given no --gcs_server_port")
    host = options.get("node-ip-address") or options.get("node_ip_address") or "127.0.0.1"
    return Endpoint(host, int(port), os.environ if environ is None else environ)
