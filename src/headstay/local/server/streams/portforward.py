"""Port-forward: each connection that kubectl accepts becomes one to a port of the Pod.

Over SPDY (bare or in a WebSocket) a connection is a pair of streams, `data` and `error`, with one request id. Each
direction ends on its own; the error stream closes last, since clients take its end for the end of the connection.
Over the older WebSocket protocol, which the Python client still speaks, ports are fixed in the URL and get a pair of
channels each; there is no half-close.
"""

import asyncio
import logging
from collections.abc import Coroutine
from typing import NamedTuple, Protocol

from aiohttp import WSMsgType, web
from multidict import MultiMapping

from headstay.local.seams import PodStreams
from headstay.local.server.streams.pipe import Pipe
from headstay.local.server.streams.session import Connection, SpdySession, SpdyStream, StreamRefusedError
from headstay.local.server.streams.spdy import ResetCode, SpdyError
from headstay.local.server.streams.websocket import OVER
from headstay.model.errors import StatusError

PROTOCOL = "portforward.k8s.io"
TUNNELLED = "SPDY/3.1+portforward.k8s.io"
PAIR_SECONDS = 30.0
MOST_PORTS = 100
_READ = 64 << 10

_log = logging.getLogger(__name__)


class Target(NamedTuple):
    """The Pod whose ports are forwarded."""

    streams: PodStreams
    namespace: str
    name: str
    uid: str


class Duplex(Protocol):
    """One forwarded connection as the client sees it."""

    async def read(self) -> bytes:
        """b"" once the client has closed its side. Raises ConnectionError."""
        ...

    async def write(self, data: bytes) -> None: ...

    async def close(self) -> None:
        """No more data from the Pod."""
        ...


async def forward(target: Target, port: int, client: Duplex) -> str:
    """Connects and copies until both directions have ended; what went wrong, "" if nothing did.

    Raises ConnectionError where the client gave up.
    """
    try:
        reader, writer = await target.streams.port_forward(target.namespace, target.name, port)
    except (OSError, StatusError) as error:
        await client.close()
        return f"error forwarding port {port} to pod {target.name}, uid {target.uid}: {error}"
    up = asyncio.create_task(_up(client, writer), name=f"port-forward {port}: up")
    down = asyncio.create_task(_down(reader, client), name=f"port-forward {port}: down")
    completed = False
    try:
        await asyncio.gather(up, down)
        completed = True
    finally:
        up.cancel()
        down.cancel()
        await asyncio.gather(up, down, return_exceptions=True)
        if completed:
            writer.close()
        else:
            writer.transport.abort()
    return ""


async def _up(client: Duplex, writer: asyncio.StreamWriter) -> None:
    while data := await client.read():
        if writer.is_closing():
            continue  # The Pod has closed; what the client still sends has nowhere to go.
        writer.write(data)
        try:
            await writer.drain()
        except ConnectionError:
            continue
    if writer.can_write_eof() and not writer.is_closing():
        writer.write_eof()


async def _down(reader: asyncio.StreamReader, client: Duplex) -> None:
    while data := await _read(reader):
        await client.write(data)
    await client.close()


async def _read(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read(_READ)
    except ConnectionError as error:
        _log.debug("the Pod reset a forwarded connection: %s", error)
        return b""


class _Pair(NamedTuple):
    data: SpdyStream
    error: SpdyStream


class SpdyPortForward:
    def __init__(self, connection: Connection, target: Target) -> None:
        self._connection = connection
        self._target = target
        self._session = SpdySession(connection, self._accept)
        self._halves: dict[str, SpdyStream] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Until the client closes the connection."""
        try:
            await self._session.run()
        except SpdyError as error:
            _log.info("gave up on a client: %s", error)
        except ConnectionError:
            pass  # The client has gone.
        finally:
            for task in self._tasks:
                task.cancel()
            results = await asyncio.gather(*self._tasks, return_exceptions=True)
            await self._connection.close()
        for result in results:
            if isinstance(result, Exception):
                raise result

    def _accept(self, stream: SpdyStream) -> None:
        kind, request = stream.headers.get("streamtype", ""), stream.headers.get("requestid", "")
        port = stream.headers.get("port", "")
        if kind not in {"data", "error"} or not request or not (port.isdecimal() and 0 < int(port) < 65536):
            raise StreamRefusedError(f"not a stream of a forwarded port: {stream.headers}")
        other = self._halves.pop(request, None)
        if other is None:
            self._halves[request] = stream
            self._start(self._expire(request, stream))
        elif other.headers["streamtype"] == kind:
            self._halves[request] = other
            raise StreamRefusedError(f"a second {kind} stream for request {request}")
        else:
            pair = _Pair(stream, other) if kind == "data" else _Pair(other, stream)
            self._start(self._serve(pair, int(port)))

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, pair: _Pair, port: int) -> None:
        try:
            problem = await forward(self._target, port, pair.data)
            if problem:
                await pair.error.write(problem.encode())
        except ConnectionError as error:
            _log.debug("a client gave up a forwarded connection: %s", error)
        await _close(pair.error)

    async def _expire(self, request: str, stream: SpdyStream) -> None:
        await asyncio.sleep(PAIR_SECONDS)
        if self._halves.get(request) is stream:
            del self._halves[request]
            await stream.reset(ResetCode.CANCEL)


async def _close(stream: SpdyStream) -> None:
    try:
        await stream.close()
    except ConnectionError as error:
        _log.debug("the connection ended before its streams: %s", error)


class WebSocketPortForward:
    """v4.channel.k8s.io: channel 2i carries the data of the i-th port, 2i+1 its error."""

    def __init__(self, socket: web.WebSocketResponse, target: Target, ports: list[int]) -> None:
        self._socket = socket
        self._target = target
        self._ports = ports
        self._channels = [_Channel(socket, 2 * index) for index in range(len(ports))]

    async def run(self) -> None:
        """Until the client leaves or all ports have been closed by the Pod."""
        reading = asyncio.create_task(self._read(), name="port-forward: read")
        forwarding = asyncio.create_task(self._forward(), name="port-forward: ports")
        try:
            await asyncio.wait((reading, forwarding), return_when=asyncio.FIRST_COMPLETED)
        finally:
            reading.cancel()
            forwarding.cancel()
            results = await asyncio.gather(reading, forwarding, return_exceptions=True)
            await self._socket.close()
        for result in results:
            if isinstance(result, Exception) and not isinstance(result, ConnectionError):
                raise result

    async def _forward(self) -> None:
        await asyncio.gather(*(self._serve(*each) for each in zip(self._ports, self._channels, strict=True)))

    async def _serve(self, port: int, channel: "_Channel") -> None:
        for number in (channel.number, channel.number + 1):
            await self._socket.send_bytes(bytes([number]) + port.to_bytes(2, "little"))
        problem = await forward(self._target, port, channel)
        if problem:
            await self._socket.send_bytes(bytes([channel.number + 1]) + problem.encode())

    async def _read(self) -> None:
        while True:
            message = await self._socket.receive()
            if message.type in OVER:
                return
            if message.type is WSMsgType.BINARY and message.data:
                number: int = message.data[0]
                if number % 2 == 0 and number // 2 < len(self._channels):
                    await self._channels[number // 2].incoming.put(message.data[1:], self._socket.ping)


class _Channel:
    def __init__(self, socket: web.WebSocketResponse, number: int) -> None:
        self._socket = socket
        self.number = number
        self.incoming = Pipe()

    async def read(self) -> bytes:
        return await self.incoming.get()

    async def write(self, data: bytes) -> None:
        await self._socket.send_bytes(bytes([self.number]) + data)

    async def close(self) -> None:
        # Neither side can say "no more" on this protocol, so the Pod's end is the end of the connection.
        self.incoming.discard()


def ports_of(query: MultiMapping[str]) -> list[int]:
    """`ports=80&ports=81` or `ports=80,81`. Raises 400."""
    texts = [text for value in query.getall("ports", []) for text in value.split(",")]
    if not texts:
        raise StatusError(400, "BadRequest", "query parameter ports is required")
    if len(texts) > MOST_PORTS or not all(text.isdecimal() and 0 < int(text) < 65536 for text in texts):
        raise StatusError(400, "BadRequest", f"ports: {','.join(texts)!r}: up to {MOST_PORTS} numbers from 1 to 65535")
    return [int(text) for text in texts]
