"""Turns an HTTP request into the connection that a stream protocol runs over."""

import asyncio

from aiohttp import WSMsgType, web

from headstay.model.errors import StatusError

SPDY = "SPDY/3.1"
LARGEST_MESSAGE = 4 << 20
CLOSE_SECONDS = 5.0
READ_SIZE = 64 << 10

_PROTOCOL = "X-Stream-Protocol-Version"


def wants_websocket(request: web.Request) -> bool:
    return _asks_upgrade(request, "websocket")


def wants_spdy(request: web.Request) -> bool:
    return _asks_upgrade(request, SPDY.lower())


def _asks_upgrade(request: web.Request, protocol: str) -> bool:
    connection = ",".join(request.headers.getall("Connection", [])).lower()
    return "upgrade" in connection and request.headers.get("Upgrade", "").strip().lower() == protocol


def not_upgraded() -> StatusError:
    return StatusError(400, "BadRequest", "Upgrade request required")


def choose(offered: list[str], known: tuple[str, ...], what: str) -> str:
    """The first of the offered protocols that we know. Raises 403 naming both lists, as Kubernetes does."""
    names = [name.strip() for header in offered for name in header.split(",") if name.strip()]
    for name in names:
        if name in known:
            return name
    message = f"unable to upgrade: unsupported {what} {names}: this server speaks {', '.join(known)}"
    raise StatusError(403, "Forbidden", message)


def websocket_protocol(request: web.Request, known: tuple[str, ...]) -> str:
    return choose(request.headers.getall("Sec-WebSocket-Protocol", []), known, "WebSocket subprotocol")


def spdy_protocol(request: web.Request, known: tuple[str, ...]) -> str:
    return choose(request.headers.getall(_PROTOCOL, []), known, "stream protocol")


async def accept_websocket(request: web.Request, protocol: str) -> web.WebSocketResponse:
    """`protocol` is "" where the client named none. Its keep-alive pings are answered while somebody receives."""
    response = web.WebSocketResponse(
        protocols=(protocol,) if protocol else (), compress=False, max_msg_size=LARGEST_MESSAGE, timeout=CLOSE_SECONDS
    )
    await response.prepare(request)
    return response


class UpgradedConnection:
    """The TCP or TLS connection itself, taken from the HTTP server after it has answered 101."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def read(self) -> bytes:
        return await self._reader.read(READ_SIZE)

    async def write(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def close(self) -> None:
        self._writer.close()
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._writer.wait_closed()
        except (TimeoutError, ConnectionError):
            self._writer.transport.abort()


class _Handover(asyncio.StreamReaderProtocol):
    """Receives what the connection brings from now on, and tells the HTTP server when it is gone."""

    def __init__(self, reader: asyncio.StreamReader, server: asyncio.BaseProtocol) -> None:
        super().__init__(reader)
        self._server = server

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._server.connection_lost(exc)


async def accept_spdy(request: web.Request, protocol: str) -> tuple[web.StreamResponse, UpgradedConnection]:
    """The connection, and the response that the handler must return once it is done with the connection.

    A client sends nothing before it has our 101, so no byte of it can be with the HTTP parser.
    """
    headers = {"Connection": "Upgrade", "Upgrade": SPDY, _PROTOCOL: protocol}
    response = web.StreamResponse(status=101, headers=headers)
    response.force_close()
    transport = request.transport
    if transport is None:
        raise ConnectionResetError("the client has gone")
    await response.prepare(request)
    reader = asyncio.StreamReader()
    handover = _Handover(reader, transport.get_protocol())
    transport.set_protocol(handover)
    handover.connection_made(transport)
    # Reading may have been paused while the request was being handled.
    if isinstance(transport, asyncio.ReadTransport) and not transport.is_reading():
        transport.resume_reading()
    writer = asyncio.StreamWriter(transport, handover, reader, asyncio.get_running_loop())
    return response, UpgradedConnection(reader, writer)


class WebSocketConnection:
    """A WebSocket whose binary messages, put together, are the bytes of another protocol."""

    def __init__(self, socket: web.WebSocketResponse) -> None:
        self._socket = socket

    async def read(self) -> bytes:
        while True:
            message = await self._socket.receive()
            if message.type is WSMsgType.BINARY:
                if message.data:
                    data: bytes = message.data
                    return data
            elif message.type is WSMsgType.TEXT:
                raise ConnectionAbortedError("a text message in a tunnel of bytes")
            elif message.type in {WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR}:
                return b""

    async def write(self, data: bytes) -> None:
        await self._socket.send_bytes(data)

    async def close(self) -> None:
        await self._socket.close()
