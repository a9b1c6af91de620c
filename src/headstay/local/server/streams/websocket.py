"""Exec and attach over WebSocket: every message starts with the number of its channel.

v5.channel.k8s.io          kubectl since 1.30: channel 255 closes the channel it names (the end of stdin)
v4.channel.k8s.io          the Python client, browsers: no way to end stdin
v4.base64.channel.k8s.io   the same in text messages, the channel as a digit
"""

from base64 import b64decode, b64encode
from collections.abc import AsyncIterator

import msgspec
from aiohttp import WSMessage, WSMsgType, web

from headstay.local.server.streams.pipe import Pipe
from headstay.local.server.streams.remote import Channel, Resize, TerminalSize
from headstay.model.objects import Obj

V5 = "v5.channel.k8s.io"
V4 = "v4.channel.k8s.io"
V4_BASE64 = "v4.base64.channel.k8s.io"
PROTOCOLS = (V5, V4, V4_BASE64)

CLOSE_CHANNEL = 255
OVER = {WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR}


class WebSocketChannels:
    def __init__(self, socket: web.WebSocketResponse, protocol: str) -> None:
        self._socket = socket
        self._protocol = protocol
        self._stdin = Pipe()

    async def greet(self, channel: Channel) -> None:
        """An empty message, by which clients know that the command has started."""
        await self._send(channel, b"")

    async def run(self, resize: Resize) -> None:
        while True:
            message = await self._socket.receive()
            if message.type in OVER:
                self._stdin.fail(ConnectionResetError("the client has gone"))
                return
            frame = self._decoded(message)
            if frame:
                await self._dispatch(frame[0], frame[1:], resize)

    async def _dispatch(self, channel: int, data: bytes, resize: Resize) -> None:
        if channel == Channel.STDIN:
            await self._stdin.put(data, self._socket.ping)
        elif channel == Channel.RESIZE:
            apply_resize(data, resize)
        elif channel == CLOSE_CHANNEL and self._protocol == V5 and data[:1] == bytes([Channel.STDIN]):
            self._stdin.finish()

    async def stdin(self) -> AsyncIterator[bytes]:
        while data := await self._stdin.get():
            yield data

    async def output(self, channel: Channel, data: bytes) -> None:
        if data:
            await self._send(channel, data)

    async def finish(self, status: Obj) -> None:
        await self._send(Channel.ERROR, msgspec.json.encode(status))
        await self.close()

    async def close(self) -> None:
        self._stdin.discard()
        await self._socket.close()

    async def _send(self, channel: Channel, data: bytes) -> None:
        if self._protocol == V4_BASE64:
            await self._socket.send_str(f"{channel.value}{b64encode(data).decode()}")
        else:
            await self._socket.send_bytes(bytes([channel]) + data)

    def _decoded(self, message: WSMessage) -> bytes:
        """The channel's number and the data; b"" for a message that has neither.

        The Python client sends text it is given as a text message, channel number and all.
        """
        if message.type not in {WSMsgType.TEXT, WSMsgType.BINARY}:
            return b""
        data: bytes = message.data.encode() if message.type is WSMsgType.TEXT else message.data
        if self._protocol != V4_BASE64:
            return data
        if not data[:1].isdigit():
            return b""
        try:
            return bytes([int(data[:1])]) + b64decode(data[1:], validate=True)
        except ValueError:
            return b""


def apply_resize(data: bytes, resize: Resize) -> None:
    """A message that is not a size is ignored, as kubelets do: a terminal of the old size is still a terminal."""
    try:
        size = msgspec.json.decode(data, type=TerminalSize)
    except msgspec.DecodeError:
        return
    if 0 < size.width <= 0xFFFF and 0 < size.height <= 0xFFFF:
        resize(size.width, size.height)
