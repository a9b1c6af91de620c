"""A watch on the wire: one JSON line for each event, as they come.

A batch is one write, and after it the next one is given a moment to grow: of a burst, only the first event goes alone.
A reader that does not read is bounded twice: what it is behind by the subscription's buffer (410), how long a single
write may wait by the watch's own time.
"""

import asyncio
from contextlib import aclosing

from aiohttp import web

from headstay.local.server import codec
from headstay.local.server.shapes import Shaper
from headstay.local.server.watch import BATCH, Watch
from headstay.model.errors import StatusError

_GRACE = 30.0
_LINGER = 0.005
"""Seconds from one write to the next: as long as it takes to answer a handful of requests, each with its event."""


async def stream_watch(
    request: web.Request, watch: Watch, shaper: Shaper, timeout_seconds: float
) -> web.StreamResponse:
    headers = {"Content-Type": "application/json", "Cache-Control": "no-cache, private"}
    response = web.StreamResponse(headers=headers)
    response.enable_chunked_encoding()
    await response.prepare(request)
    encode = shaper.events()
    try:
        async with asyncio.timeout(timeout_seconds + _GRACE):
            try:
                async with aclosing(watch.batches()) as batches:
                    async for batch in batches:
                        if batch:
                            await response.write(b"".join(map(encode, batch)))
                            await asyncio.sleep(0 if len(batch) == BATCH else _LINGER)
            except StatusError as error:
                await response.write(b'{"type":"ERROR","object":%b}\n' % codec.encode(error.to_status()))
            await response.write_eof()
    except (TimeoutError, ConnectionError):
        # The reader is gone or has stopped reading; there is nobody to tell.
        if request.transport is not None:
            request.transport.abort()
    return response
