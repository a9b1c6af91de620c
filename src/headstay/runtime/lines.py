"""Splits a watch's byte stream into its JSON lines, bounded: a server that never ends a line cannot fill our memory."""

from collections.abc import AsyncGenerator, AsyncIterable

from headstay.runtime.client import TransportError

MAX_LINE = 32 * 1024 * 1024
"""Far above what an API server stores of one object (1.5 MiB in etcd)."""


async def split_lines(chunks: AsyncIterable[bytes], *, limit: int = MAX_LINE) -> AsyncGenerator[bytes, None]:
    """Non-empty lines without their ends. A rest without a line end is an error: it was cut."""
    parts: list[bytes] = []
    held = 0
    async for chunk in chunks:
        *ended, rest = chunk.split(b"\n")
        for piece in ended:
            line = b"".join((*parts, piece)) if parts else piece
            parts.clear()
            held = 0
            if line.strip():
                yield line
        if rest:
            parts.append(rest)
            held += len(rest)
            if held > limit:
                raise TransportError(f"a watch line longer than {limit} bytes")
    if held:
        raise TransportError(f"the watch ended within a line, after {held} bytes of it")
