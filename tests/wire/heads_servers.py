"""Real servers that speak as a head does: a keeper's long poll, a GCS's port, a dashboard's state API."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import msgspec
from aiohttp import web

from headstay.model.keeper_state import GcsNow, KeeperState

GREETING = bytes(3) + b"\x04" + bytes(5)
"""An empty HTTP/2 SETTINGS frame, as a gRPC server sends it to whoever connects."""


class KeeperServer:
    def __init__(self) -> None:
        self.state = KeeperState("life-1", 1, 1000.0, GcsNow("Serving", 1000.0))
        self.polls: list[dict[str, str]] = []
        self.answer: bytes | None = None
        self.port = 0
        self._changed = asyncio.Condition()
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        app = web.Application()
        app.router.add_get("/v1/state", self._state)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def tell(self, **change: Any) -> None:
        async with self._changed:
            self.state = msgspec.structs.replace(self.state, sequence=self.state.sequence + 1, **change)
            self._changed.notify_all()

    async def _state(self, request: web.Request) -> web.Response:
        self.polls.append(dict(request.query))
        if self.answer is not None:
            return web.Response(body=self.answer)
        after = request.query.get("after")
        if after is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(float(request.query["wait"])), self._changed:
                    await self._changed.wait_for(lambda: str(self.state.sequence) != after)
        return web.Response(body=msgspec.json.encode(self.state))


class GcsPort:
    """Greets and then holds its connections, as long as it is up."""

    def __init__(self, *, greets: bool = True) -> None:
        self.port = 0
        self.connections = 0
        self._greets = greets
        self._server: asyncio.Server | None = None
        self._held: list[asyncio.StreamWriter] = []

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    def hang_up(self) -> None:
        for writer in self._held:
            writer.close()
        self._held.clear()

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            self.hang_up()
            await self._server.wait_closed()
            self._server = None

    async def _accept(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._held.append(writer)
        if self._greets:
            writer.write(GREETING)
            await writer.drain()


@asynccontextmanager
async def dashboard(answer: Callable[[], web.Response]) -> AsyncIterator[int]:
    async def nodes(_: web.Request) -> web.Response:
        return answer()

    app = web.Application()
    app.router.add_get("/api/v0/nodes", nodes)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()
