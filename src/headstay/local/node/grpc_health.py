"""One call of gRPC's health service over plain HTTP/2, for the `grpc` probe.

Only what that one call needs: a request of a few literal header fields, and the answer's DATA frame. Response headers
are not decoded; an error answer has no DATA, which is enough to know. Protocols: RFC 9113, RFC 7541 section 6.2.2,
https://github.com/grpc/grpc/blob/master/doc/health-checking.md
"""

import asyncio
import struct

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RST, _SETTINGS, _PING, _GOAWAY = 0, 1, 3, 4, 6, 7
_END_STREAM, _END_HEADERS, _ACK = 0x1, 0x4, 0x1
_STREAM = 1
_MOST_FRAME = 1 << 20
_NAMES = {0: "UNKNOWN", 1: "SERVING", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}


async def check(host: str, port: int, service: str) -> tuple[bool, str]:
    """(serving, what it said). The caller sets the bound; connection failures are OSError."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(_PREFACE + _frame(_SETTINGS, 0, 0, b"") + request(f"{host}:{port}", service))
        await writer.drain()
        return await _answer(reader, writer)
    except asyncio.IncompleteReadError:
        return False, "the connection was closed before an answer"
    finally:
        writer.close()


def request(authority: str, service: str) -> bytes:
    headers = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/grpc.health.v1.Health/Check"),
        (":authority", authority),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
        ("user-agent", "kube-probe/1.32"),
    ]
    block = b"".join(b"\x00" + _text(name) + _text(value) for name, value in headers)
    name = service.encode()
    message = b"\x0a" + bytes([len(name)]) + name if name else b""
    body = struct.pack(">BI", 0, len(message)) + message
    return _frame(_HEADERS, _END_HEADERS, _STREAM, block) + _frame(_DATA, _END_STREAM, _STREAM, body)


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> tuple[bool, str]:
    body = b""
    while True:
        head = await reader.readexactly(9)
        length, kind, flags = int.from_bytes(head[:3], "big"), head[3], head[4]
        stream = int.from_bytes(head[5:], "big") & 0x7FFFFFFF
        if length > _MOST_FRAME:
            return False, "not a gRPC server"
        payload = await reader.readexactly(length)
        if kind == _SETTINGS and not flags & _ACK:
            writer.write(_frame(_SETTINGS, _ACK, 0, b""))
        elif kind == _PING and not flags & _ACK:
            writer.write(_frame(_PING, _ACK, 0, payload))
        elif kind in {_GOAWAY, _RST}:
            return False, "the server refused the call"
        elif stream == _STREAM and kind == _DATA:
            body += payload
            if len(body) >= 5 and len(body) >= 5 + int.from_bytes(body[1:5], "big"):
                return serving(body[5:])
        if stream == _STREAM and kind in {_DATA, _HEADERS} and flags & _END_STREAM:
            return False, "the service does not implement grpc.health.v1.Health or knows no such service"


def serving(message: bytes) -> tuple[bool, str]:
    """HealthCheckResponse: field 1, a number; absent means UNKNOWN."""
    status = message[1] if len(message) >= 2 and message[0] == 0x08 else 0
    return status == 1, f"service status: {_NAMES.get(status, str(status))}"


def _text(text: str) -> bytes:
    encoded = text.encode()
    if len(encoded) >= 127:
        raise ValueError(f"too long for a header of a probe: {text[:20]}...")
    return bytes([len(encoded)]) + encoded


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload
