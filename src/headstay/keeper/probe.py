"""Asks a GCS whether it serves: a TCP connect, and one call that its own event loop has to answer.

The call is `ray.rpc.NodeInfoGcsService/CheckAlive` with an empty message (there since Ray 2.0), spoken in the few
frames of HTTP/2 that one gRPC call needs. A stopped or wedged process still accepts connections: the kernel does that.
"""

import os
import select
import socket
import struct
import time
from typing import TYPE_CHECKING, Callable, Dict, Mapping, Optional, Tuple

if TYPE_CHECKING:
    import ssl

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _PING, _GOAWAY, _WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
_ACK, _END_STREAM, _END_HEADERS = 1, 1, 4
_PATH = "/ray.rpc.NodeInfoGcsService/CheckAlive"
_LARGEST_FRAME = 1 << 24


class Endpoint:
    """Where the GCS listens. `environ` says whether it speaks TLS, in Ray's own variables."""

    def __init__(self, host: str, port: int, environ: Mapping[str, str]) -> None:
        self.host = host
        self.port = port
        self._tls = _tls_context(environ)

    def open(self, timeout: float) -> "Conversation":
        """Raises OSError: ConnectionRefusedError where nothing listens, socket.timeout where nobody accepts."""
        connection = socket.create_connection((self.host, self.port), timeout=timeout)
        try:
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_hostname=self.host)
            return Conversation(connection, self.host)
        except BaseException:
            connection.close()
            raise

    def answers(self, timeout: float) -> bool:
        """Whether the GCS answers one call."""
        try:
            with self.open(timeout) as conversation:
                return conversation.call(timeout)
        except (OSError, ValueError):
            return False


class Conversation:
    """One HTTP/2 connection on which the call is made again and again. Raises OSError and ValueError."""

    def __init__(self, connection: socket.socket, authority: str) -> None:
        self._connection = connection
        self._stream = -1
        self._ended = False
        self._pending: Optional[Callable[[], int]] = getattr(connection, "pending", None)  # what TLS has read already
        headers: Dict[str, str] = {
            ":method": "POST",
            ":scheme": "http",
            ":path": _PATH,
            ":authority": authority,
            "content-type": "application/grpc",
            "te": "trailers",
        }
        self._block = b"".join(_literal(name, value) for name, value in headers.items())
        connection.sendall(_PREFACE + _frame(_SETTINGS, 0, 0, b""))

    def __enter__(self) -> "Conversation":  # noqa: PYI034 Self came after Python 3.8
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def shutdown(self) -> None:
        """From another thread: whoever waits here is woken."""
        self._connection.shutdown(socket.SHUT_RDWR)

    def call(self, timeout: float) -> bool:
        """Whether the GCS answers, in whatever way: an error is an answer too. Not so when it says goodbye."""
        self._stream += 2
        self._connection.settimeout(timeout)
        self._connection.sendall(
            _frame(_HEADERS, _END_HEADERS, self._stream, self._block)
            + _frame(_DATA, _END_STREAM, self._stream, b"\0" * 5)
        )
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline and not self._ended:
            kind, stream = self._next()
            if stream == self._stream and kind in (_HEADERS, _DATA, _RST_STREAM):
                return True
        return False

    def ends_within(self, seconds: float) -> bool:
        """Waits, and says whether the GCS said goodbye meanwhile. Raises OSError where it closed."""
        deadline = time.monotonic() + seconds
        while not self._ended:
            left = deadline - time.monotonic()
            if left <= 0 or not self._readable(left):
                return False
            self._next()
        return True

    def _readable(self, seconds: float) -> bool:
        if self._pending is not None and self._pending():
            return True
        return bool(select.select([self._connection], [], [], seconds)[0])

    def _next(self) -> Tuple[int, int]:
        """(type, stream) of the next frame. What HTTP/2 wants an answer to gets it."""
        head = self._exactly(9)
        length = int.from_bytes(head[:3], "big")
        if length >= _LARGEST_FRAME:
            raise ValueError("not HTTP/2")
        payload = self._exactly(length)
        kind, flags, stream = head[3], head[4], int.from_bytes(head[5:], "big") & 0x7FFFFFFF
        if kind == _DATA and length:
            # Unless what was read is granted anew, the GCS may send no more after 64 KiB.
            self._connection.sendall(_frame(_WINDOW_UPDATE, 0, 0, struct.pack(">I", length)))
        elif kind == _SETTINGS and not flags & _ACK:
            self._connection.sendall(_frame(_SETTINGS, _ACK, 0, b""))
        elif kind == _PING and not flags & _ACK:
            self._connection.sendall(_frame(_PING, _ACK, 0, payload))
        elif kind == _GOAWAY:
            self._ended = True
        return kind, stream

    def _exactly(self, count: int) -> bytes:
        found = b""
        while len(found) < count:
            part = self._connection.recv(count - len(found))
            if not part:
                raise ConnectionResetError("closed by the GCS")
            found += part
        return found


def _tls_context(environ: Mapping[str, str]) -> "Optional[ssl.SSLContext]":
    """As Ray does it: certificates of one's own CA, shown by both sides; names in them are not looked at."""
    if environ.get("RAY_USE_TLS", "0").lower() not in ("1", "true"):
        return None
    import ssl  # 4 MB that most keepers do without

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(environ.get("RAY_TLS_CA_CERT") or None)
    context.load_cert_chain(environ["RAY_TLS_SERVER_CERT"], environ["RAY_TLS_SERVER_KEY"])
    context.set_alpn_protocols(["h2"])
    return context


def _literal(name: str, value: str) -> bytes:
    """A header field in HPACK's plainest form: literal, not indexed, no Huffman code. Both under 127 bytes."""
    return bytes([0, len(name)]) + name.encode() + bytes([len(value)]) + value.encode()


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def endpoint_of(arguments: "list[str]", environ: Optional[Mapping[str, str]] = None) -> Endpoint:
    """The endpoint that a gcs_server with these arguments will have. Raises ValueError where they name no port."""
    options = dict(argument.lstrip("-").split("=", 1) for argument in arguments if "=" in argument)
    port = options.get("gcs_server_port", "")
    if not port.isdigit() or port == "0":
        raise ValueError("gcs_server was given no --gcs_server_port")
    host = options.get("node-ip-address") or options.get("node_ip_address") or "127.0.0.1"
    return Endpoint(host, int(port), os.environ if environ is None else environ)
