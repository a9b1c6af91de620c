"""GET pods/NAME/log: a container's output as plain text, followed as it grows.

The answer's head goes out with the first bytes, so that what is wrong can still be said with a status code; a follower
of a silent container gets its head after a moment, as it may time out without. A follower that leaves is noticed by
its closed connection.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator

from aiohttp import web

from headstay.model.errors import StatusError

SILENCE_SECONDS = 1.0
LOOK_SECONDS = 2.0


async def respond(request: web.Request, lines: AsyncIterator[bytes], limit: int | None = None) -> web.StreamResponse:
    """Raises StatusError only before anything has been sent. `limit` is in bytes."""
    response = web.StreamResponse(headers={"Content-Type": "text/plain", "Cache-Control": "no-cache, private"})
    left = limit
    arriving = asyncio.ensure_future(_next(lines))
    try:
        await asyncio.wait((arriving,), timeout=SILENCE_SECONDS)
        if arriving.done():
            arriving.result()
        await response.prepare(request)
        while (data := await _or_gone(arriving, request)) is not None and left != 0:
            await response.write(data if left is None else data[:left])
            left = None if left is None else max(left - len(data), 0)
            arriving = asyncio.ensure_future(_next(lines))
        await response.write_eof()
    except ConnectionError:
        pass  # The reader has gone.
    except StatusError:
        if not response.prepared:
            raise
        # Too late for a status. An answer cut short is an error to every client; a complete one would be a lie.
        response.force_close()
        if request.transport is not None:
            request.transport.abort()
    finally:
        arriving.cancel()
        await asyncio.gather(arriving, return_exceptions=True)
        if isinstance(lines, AsyncGenerator):
            await lines.aclose()
    return response


async def _next(lines: AsyncIterator[bytes]) -> bytes | None:
    return await anext(lines, None)


async def _or_gone(arriving: "asyncio.Future[bytes | None]", request: web.Request) -> bytes | None:
    """What arrives. Raises ConnectionResetError within seconds of the client's leaving."""
    while True:
        await asyncio.wait((arriving,), timeout=LOOK_SECONDS)
        if arriving.done():
            return arriving.result()
        if request.transport is None or request.transport.is_closing():
            raise ConnectionResetError("the client has gone")
