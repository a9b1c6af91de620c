"""A SPDY/3.1 connection, seen from the server: streams that the client opens.

`run` reads the connection and hands each frame to its stream. It ends with the connection, and then every stream has
ended too, so nobody waits for a byte that cannot come.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol

from headstay.local.server.streams.pipe import Pipe
from headstay.local.server.streams.spdy import (
    Data,
    Decoder,
    Encoder,
    Frame,
    GoAway,
    Headers,
    Ignored,
    Ping,
    ResetCode,
    RstStream,
    SynReply,
    SynStream,
    Trailers,
)

CHUNK = 32 << 10
MOST_STREAMS = 1000


class Connection(Protocol):
    """What SPDY runs over: an upgraded HTTP connection, or a WebSocket that carries its bytes."""

    async def read(self) -> bytes:
        """Some bytes, b"" once the peer has closed. Raises ConnectionError."""
        ...

    async def write(self, data: bytes) -> None:
        """Returns when there is room for more. Raises ConnectionError."""
        ...

    async def close(self) -> None: ...


class StreamResetError(ConnectionError):
    """The peer gave up on this stream, or the connection ended under it."""


class StreamRefusedError(Exception):
    """Raised by who accepts streams."""


class SpdyStream:
    def __init__(self, session: "SpdySession", number: int, headers: Headers) -> None:
        self._session = session
        self.number = number
        self.headers = headers
        self.incoming = Pipe()
        self._closed = False
        self.remote_closed = False

    async def read(self) -> bytes:
        """Some bytes, b"" once the peer has closed its side. Raises StreamResetError."""
        return await self.incoming.get()

    async def write(self, data: bytes) -> None:
        view = memoryview(data)
        for start in range(0, len(view), CHUNK):
            if self._closed:
                raise StreamResetError("the stream is closed")
            await self._session.send(Data(self.number, bytes(view[start : start + CHUNK])))

    async def close(self) -> None:
        """Closes our side; the peer may go on sending."""
        if not self._closed:
            self._closed = True
            await self._session.send(Data(self.number, b"", fin=True))
            self._session.forget_if_done(self)

    async def reset(self, code: ResetCode) -> None:
        if not self._closed:
            await self._session.send(RstStream(self.number, code))
        self.end(StreamResetError("reset by us"))

    def end(self, error: StreamResetError) -> None:
        """Both sides are gone."""
        self._closed = self.remote_closed = True
        self.incoming.fail(error)
        self._session.forget_if_done(self)

    @property
    def done(self) -> bool:
        return self._closed and self.remote_closed


class SpdySession:
    """`accept` is called for every stream the client opens, and raises StreamRefusedError to turn it away."""

    def __init__(self, connection: Connection, accept: Callable[[SpdyStream], None]) -> None:
        self._connection = connection
        self._accept = accept
        self._encoder = Encoder()
        self._writing = asyncio.Lock()
        self._streams: dict[int, SpdyStream] = {}
        self._last_stream = 0
        self._last_ping = 0

    async def run(self) -> None:
        """Until the client closes the connection or says that it will (GOAWAY). Raises SpdyError, ConnectionError."""
        decoder = Decoder()
        try:
            while data := await self._connection.read():
                for frame in decoder.feed(data):
                    await self._handle(frame)
        finally:
            for stream in list(self._streams.values()):
                stream.end(StreamResetError("the connection has ended"))

    async def send(self, frame: Frame) -> None:
        # Encoding happens under the lock: header compression depends on the order on the wire.
        async with self._writing:
            await self._connection.write(self._encoder.encode(frame))

    async def go_away(self) -> None:
        await self.send(GoAway(self._last_stream))

    async def ping(self) -> None:
        self._last_ping = (self._last_ping + 2) & 0x7FFFFFFF
        await self.send(Ping(self._last_ping))

    def forget_if_done(self, stream: SpdyStream) -> None:
        if stream.done:
            self._streams.pop(stream.number, None)

    async def _handle(self, frame: Frame) -> None:
        match frame:
            case SynStream():
                await self._open(frame)
            case Data(number, data, fin) if number in self._streams:
                stream = self._streams[number]
                await stream.incoming.put(data, self.ping)
                self._finish_if(stream, fin)
            case Data(number) if number > self._last_stream:
                await self.send(RstStream(number, ResetCode.INVALID_STREAM))
            case RstStream(number) if number in self._streams:
                self._streams[number].end(StreamResetError("reset by the client"))
            case Ping(number) if number % 2:
                await self.send(frame)
            case Trailers(number, _, fin) if number in self._streams:
                self._finish_if(self._streams[number], fin)
            case Data() | RstStream() | Ping() | Trailers() | SynReply() | GoAway() | Ignored():
                # Late frames for streams that are done, answers to our pings, and a GOAWAY: streams that are open
                # then go on, and the client closes the connection when they have ended.
                return

    async def _open(self, frame: SynStream) -> None:
        if frame.stream % 2 == 0 or frame.stream <= self._last_stream:
            await self.send(RstStream(frame.stream, ResetCode.PROTOCOL_ERROR))
            return
        self._last_stream = frame.stream
        stream = SpdyStream(self, frame.stream, frame.headers)
        if not self._accepts(stream):
            await self.send(RstStream(frame.stream, ResetCode.REFUSED_STREAM))
            return
        self._streams[frame.stream] = stream
        # A client drops data that comes before the reply, so it goes out before anybody has a chance to write.
        await self.send(SynReply(frame.stream, {}))
        self._finish_if(stream, frame.fin)

    def _accepts(self, stream: SpdyStream) -> bool:
        if len(self._streams) >= MOST_STREAMS:
            return False
        try:
            self._accept(stream)
        except StreamRefusedError:
            return False
        return True

    def _finish_if(self, stream: SpdyStream, fin: bool) -> None:
        if fin:
            stream.remote_closed = True
            stream.incoming.finish()
            self.forget_if_done(stream)
