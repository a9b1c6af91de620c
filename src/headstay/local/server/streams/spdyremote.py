"""Exec and attach over SPDY: every channel is a stream, named by its `streamType` header.

The client opens all the streams that its request calls for before anything happens; one that does not is given up
after a while.
"""

import asyncio
import logging
from collections.abc import AsyncIterator

import msgspec

from headstay.local.seams import ExecRequest
from headstay.local.server.streams.remote import Channel, Resize
from headstay.local.server.streams.session import Connection, SpdySession, SpdyStream, StreamRefusedError
from headstay.local.server.streams.spdy import SpdyError
from headstay.local.server.streams.websocket import apply_resize
from headstay.model.objects import Obj

PROTOCOLS = ("v4.channel.k8s.io", "v5.channel.k8s.io")
CREATION_SECONDS = 30.0
FAREWELL_SECONDS = 10.0

_LONGEST_SIZE = 4096
_NAMES = {channel.name.lower(): channel for channel in Channel}

_log = logging.getLogger(__name__)


class SpdyChannels:
    def __init__(self, connection: Connection, request: ExecRequest) -> None:
        self._connection = connection
        self._session = SpdySession(connection, self._accept)
        self._expected = _expected(request)
        self._streams: dict[Channel, SpdyStream] = {}
        self._complete = asyncio.Event()
        self._gone = asyncio.Event()

    def _accept(self, stream: SpdyStream) -> None:
        channel = _NAMES.get(stream.headers.get("streamtype", ""))
        if channel not in self._expected or channel in self._streams:
            raise StreamRefusedError(f"no need of a stream {stream.headers}")
        self._streams[channel] = stream
        if self._expected == self._streams.keys():
            self._complete.set()

    async def run(self, resize: Resize) -> None:
        reading = asyncio.create_task(self._session.run(), name="remote: spdy")
        sizes = asyncio.create_task(self._sizes(resize), name="remote: sizes")
        try:
            await asyncio.wait((reading,), timeout=CREATION_SECONDS)
            if self._complete.is_set():
                await asyncio.wait((reading,))
            elif not reading.done():
                missing = ", ".join(sorted(channel.name.lower() for channel in self._expected - self._streams.keys()))
                _log.info("gave up on a client that did not open its streams in %s s: %s", CREATION_SECONDS, missing)
        finally:
            self._gone.set()
            reading.cancel()
            sizes.cancel()
            results = await asyncio.gather(reading, sizes, return_exceptions=True)
        for result in results:
            if isinstance(result, SpdyError):
                _log.info("gave up on a client: %s", result)
            elif isinstance(result, Exception) and not isinstance(result, ConnectionError):
                raise result

    async def stdin(self) -> AsyncIterator[bytes]:
        stream = await self._stream(Channel.STDIN)
        while data := await stream.read():
            yield data

    async def output(self, channel: Channel, data: bytes) -> None:
        stream = await self._stream(channel)
        await stream.write(data)

    async def finish(self, status: Obj) -> None:
        error = await self._stream(Channel.ERROR)
        for channel in (Channel.STDOUT, Channel.STDERR):
            if channel in self._streams:
                await self._streams[channel].close()
        await error.write(msgspec.json.encode(status))
        for stream in self._streams.values():
            await stream.close()
        # Closing at once would make Go's client drop frames that it has read but not yet delivered.
        try:
            async with asyncio.timeout(FAREWELL_SECONDS):
                await self._gone.wait()
        except TimeoutError:
            _log.info("closed a connection that the client left open after its command had ended")

    async def close(self) -> None:
        for stream in self._streams.values():
            stream.incoming.discard()
        await self._connection.close()

    async def _stream(self, channel: Channel) -> SpdyStream:
        await self._complete.wait()
        return self._streams[channel]

    async def _sizes(self, resize: Resize) -> None:
        """Sizes are JSON documents, one a line; frames need not end where lines do."""
        if Channel.RESIZE not in self._expected:
            return
        stream = await self._stream(Channel.RESIZE)
        pending = b""
        while data := await stream.read():
            *lines, pending = (pending + data)[-_LONGEST_SIZE:].split(b"\n")
            for line in lines:
                apply_resize(line, resize)


def _expected(request: ExecRequest) -> frozenset[Channel]:
    wanted = {
        Channel.ERROR: True,
        Channel.STDIN: request.stdin,
        Channel.STDOUT: request.stdout,
        Channel.STDERR: request.stderr and not request.tty,
        Channel.RESIZE: request.tty,
    }
    return frozenset(channel for channel, needed in wanted.items() if needed)
