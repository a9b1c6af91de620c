"""What the outside asks of an operator: /metrics for Prometheus, /healthz and /readyz for probes.

A check returns "" when all is well, else the reason, which is what the probe's log then shows.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

Check = Callable[[], str]
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def serving(
    registry: CollectorRegistry,
    *,
    host: str = "",
    port: int = 8080,
    healthy: Mapping[str, Check] | None = None,
    ready: Mapping[str, Check] | None = None,
) -> AsyncIterator[int]:
    """Serves until the context ends; gives the port (the one chosen, for `port=0`). OSError when it is taken."""
    app = web.Application()
    app.router.add_get("/metrics", _metrics(registry))
    app.router.add_get("/healthz", _checks(healthy or {}))
    app.router.add_get("/readyz", _checks(ready or {}))
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host or None, port)
        await site.start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


def _metrics(registry: CollectorRegistry) -> _Handler:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    return answer


def _checks(checks: Mapping[str, Check]) -> _Handler:
    async def answer(_: web.Request) -> web.StreamResponse:
        failed = {name: reason for name, check in checks.items() if (reason := check())}
        if failed:
            lines = [f"[-]{name} failed: {failed[name]}" if name in failed else f"[+]{name} ok" for name in checks]
            return web.Response(status=500, text="\n".join(lines) + "\n")
        return web.Response(text="ok")

    return answer
