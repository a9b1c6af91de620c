"""Bytes on their way from a connection to the one who consumes them, bounded.

Who reads the connection waits for room here, and so stops reading: that, and the kernel's buffers behind it, is all
the flow control there is. (SPDY has windows of its own, but no Kubernetes client has ever sent a WINDOW_UPDATE, so a
server that counted on them would stall after 64 KiB.)
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

LIMIT = 256 << 10
PROBE_SECONDS = 15.0


class Pipe:
    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._chunks: deque[bytes] = deque()
        self._size = 0
        self._ended = False
        self._error: ConnectionError | None = None
        self._discarding = False
        self._changed = asyncio.Event()

    async def put(self, data: bytes, probe: Callable[[], Awaitable[None]]) -> None:
        """Waits for room. A connection that is not being read cannot tell that its peer has gone, so `probe`
        writes to it now and then, and raises ConnectionError once that fails.
        """
        while self._size >= self._limit and not self._discarding:
            self._changed.clear()
            try:
                async with asyncio.timeout(PROBE_SECONDS):
                    await self._changed.wait()
            except TimeoutError:
                await probe()
        if data and not self._ended and not self._discarding:
            self._chunks.append(data)
            self._size += len(data)
            self._changed.set()

    def finish(self) -> None:
        """No more will come; what is there can still be read."""
        self._ended = True
        self._changed.set()

    def fail(self, error: ConnectionError) -> None:
        """Whoever reads learns of it at once; what is there is lost."""
        if not self._ended:
            self._error = error
            self.discard()

    def discard(self) -> None:
        """Nobody will read any more: what comes is dropped instead of holding up the connection."""
        self._discarding = True
        self._chunks.clear()
        self._size = 0
        self.finish()

    async def get(self) -> bytes:
        """What is there, at least a byte; b"" at the end. Raises the ConnectionError that ended it."""
        while not self._chunks and not self._ended:
            self._changed.clear()
            await self._changed.wait()
        if self._error is not None:
            raise self._error
        if not self._chunks:
            return b""
        data = self._chunks.popleft()
        self._size -= len(data)
        self._changed.set()
        return data
