"""SPDY/3.1 on the wire: frames to bytes and back. No I/O.

Kubernetes never left this protocol: port-forward speaks it, inside a WebSocket or bare, and so does the exec of
clients before 1.30. The draft: https://www.chromium.org/spdy/spdy-protocol/spdy-protocol-draft3-1/

Header blocks are compressed with one zlib context per direction for the whole connection, so frames must be decoded
in the order they came and encoded in the order they go.
"""

import struct
import zlib
from collections.abc import Iterator
from enum import IntEnum
from typing import NamedTuple, TypeAlias

VERSION = 3
LARGEST_FRAME = 1 << 20
"""Go's clients write at most 64 KiB in a frame. More than this is an error, not a reason to allocate it."""
LARGEST_HEADERS = 64 << 10

FIN = 0x01
UNIDIRECTIONAL = 0x02


class FrameType(IntEnum):
    SYN_STREAM = 1
    SYN_REPLY = 2
    RST_STREAM = 3
    SETTINGS = 4
    PING = 6
    GOAWAY = 7
    HEADERS = 8
    WINDOW_UPDATE = 9


class ResetCode(IntEnum):
    PROTOCOL_ERROR = 1
    INVALID_STREAM = 2
    REFUSED_STREAM = 3
    CANCEL = 5
    INTERNAL_ERROR = 6


class SpdyError(Exception):
    """The peer does not speak SPDY/3.1. The connection cannot go on."""


Headers: TypeAlias = dict[str, str]
"""Names in lower case. A name that came with several values keeps them joined by NUL, as on the wire."""


class Data(NamedTuple):
    stream: int
    data: bytes
    fin: bool = False


class SynStream(NamedTuple):
    stream: int
    headers: Headers
    fin: bool = False
    unidirectional: bool = False


class SynReply(NamedTuple):
    stream: int
    headers: Headers
    fin: bool = False


class RstStream(NamedTuple):
    stream: int
    code: int


class Ping(NamedTuple):
    id: int


class GoAway(NamedTuple):
    last_stream: int
    code: int = 0


class Trailers(NamedTuple):
    """A HEADERS frame."""

    stream: int
    headers: Headers
    fin: bool = False


class Ignored(NamedTuple):
    """A frame that asks nothing of us: SETTINGS, WINDOW_UPDATE, and types that the draft says to skip."""

    type: int


Frame: TypeAlias = Data | SynStream | SynReply | RstStream | Ping | GoAway | Trailers | Ignored


class Encoder:
    def __init__(self) -> None:
        self._compressor = zlib.compressobj(zdict=DICTIONARY)

    def encode(self, frame: Frame) -> bytes:
        match frame:
            case Data(stream, data, fin):
                return struct.pack("!II", stream, (FIN if fin else 0) << 24 | len(data)) + data
            case SynStream(stream, headers, fin, unidirectional):
                flags = (FIN if fin else 0) | (UNIDIRECTIONAL if unidirectional else 0)
                body = struct.pack("!IIH", stream, 0, 0) + self._block(headers)
                return _control(FrameType.SYN_STREAM, body, flags)
            case SynReply(stream, headers, fin):
                body = struct.pack("!I", stream) + self._block(headers)
                return _control(FrameType.SYN_REPLY, body, FIN if fin else 0)
            case Trailers(stream, headers, fin):
                body = struct.pack("!I", stream) + self._block(headers)
                return _control(FrameType.HEADERS, body, FIN if fin else 0)
            case RstStream(stream, code):
                return _control(FrameType.RST_STREAM, struct.pack("!II", stream, code))
            case Ping(number):
                return _control(FrameType.PING, struct.pack("!I", number))
            case GoAway(last_stream, code):
                return _control(FrameType.GOAWAY, struct.pack("!II", last_stream, code))
            case Ignored():
                raise ValueError("frames of this type are only read")

    def _block(self, headers: Headers) -> bytes:
        parts = [struct.pack("!I", len(headers))]
        for name, value in headers.items():
            for text in (name.lower().encode(), value.encode()):
                parts += [struct.pack("!I", len(text)), text]
        return self._compressor.compress(b"".join(parts)) + self._compressor.flush(zlib.Z_SYNC_FLUSH)


class Decoder:
    def __init__(self) -> None:
        self._buffer = bytearray()
        self._inflater = zlib.decompressobj(zdict=DICTIONARY)

    def feed(self, data: bytes) -> Iterator[Frame]:
        """The frames that are complete with `data`. Raises SpdyError; nothing can be fed after that."""
        self._buffer += data
        while len(self._buffer) >= 8:
            head, rest = struct.unpack_from("!II", self._buffer)
            flags, length = rest >> 24, rest & 0xFFFFFF
            version = head >> 16 & 0x7FFF
            if head >> 31 and version != VERSION:
                raise SpdyError(f"SPDY version {version}")
            if length > LARGEST_FRAME:
                raise SpdyError(f"a frame of {length} bytes")
            if len(self._buffer) < 8 + length:
                return
            body = bytes(memoryview(self._buffer)[8 : 8 + length])
            del self._buffer[: 8 + length]
            if head >> 31:
                yield self._control(head, flags, body)
            else:
                yield Data(head, body, bool(flags & FIN))

    def _control(self, head: int, flags: int, body: bytes) -> Frame:
        kind = head & 0xFFFF
        fin = bool(flags & FIN)
        try:
            match kind:
                case FrameType.SYN_STREAM:
                    stream = _stream_of(body)
                    return SynStream(stream, self._headers(body[10:]), fin, bool(flags & UNIDIRECTIONAL))
                case FrameType.SYN_REPLY:
                    return SynReply(_stream_of(body), self._headers(body[4:]), fin)
                case FrameType.HEADERS:
                    return Trailers(_stream_of(body), self._headers(body[4:]), fin)
                case FrameType.RST_STREAM:
                    return RstStream(_stream_of(body), struct.unpack_from("!I", body, 4)[0])
                case FrameType.PING:
                    return Ping(struct.unpack_from("!I", body)[0])
                case FrameType.GOAWAY:
                    return GoAway(_stream_of(body), struct.unpack_from("!I", body, 4)[0])
                case _:
                    return Ignored(kind)
        except (struct.error, zlib.error, UnicodeDecodeError) as error:
            raise SpdyError(f"a frame of type {kind} that cannot be read: {error}") from error

    def _headers(self, block: bytes) -> Headers:
        plain = self._inflater.decompress(block, LARGEST_HEADERS)
        if self._inflater.unconsumed_tail:
            raise SpdyError(f"a header block of more than {LARGEST_HEADERS} bytes")
        (count,) = struct.unpack_from("!I", plain)
        position = 4
        texts: list[str] = []
        for _ in range(2 * count):
            (length,) = struct.unpack_from("!I", plain, position)
            position += 4 + length
            if position > len(plain):
                raise SpdyError("a header that is longer than its block")
            texts.append(plain[position - length : position].decode())
        return dict(zip((name.lower() for name in texts[::2]), texts[1::2], strict=True))


def _control(kind: FrameType, body: bytes, flags: int = 0) -> bytes:
    return struct.pack("!HHI", 0x8000 | VERSION, kind, flags << 24 | len(body)) + body


def _stream_of(body: bytes) -> int:
    number: int = struct.unpack_from("!I", body)[0]
    return number & 0x7FFFFFFF


_WORDS = """
options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges age allow
authorization cache-control connection content-base content-encoding content-language content-length content-location
content-md5 content-range content-type date etag expect expires from host if-match if-modified-since if-none-match
if-range if-unmodified-since last-modified location max-forwards pragma proxy-authenticate proxy-authorization range
referer retry-after server te trailer transfer-encoding upgrade user-agent vary via warning www-authenticate method get
status 200+OK version HTTP/1.1 url public set-cookie keep-alive origin
"""
_TAIL = (
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505"
    "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidden"
    "404 Not Found500 Internal Server Error501 Not Implemented503 Service Unavailable"
    "Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMT"
    "chunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,text/javascript,"
    "publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0."
)


def _dictionary() -> bytes:
    """The draft's section 2.6.10.1: words with their lengths, then text that headers were likely to hold."""
    words = [word.replace("+", " ").encode() for word in _WORDS.split()]
    return b"".join(struct.pack("!I", len(word)) + word for word in words) + _TAIL.encode()


DICTIONARY = _dictionary()
