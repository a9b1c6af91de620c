"""Ray's HTTP interface over real sockets: what is an answer, what is a refusal, and what is neither."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from headstay.gcs import dashboard as module
from headstay.gcs.dashboard import DashboardError, HttpDashboard, RefusedError

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def head(handler: Handler) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield site.name
    finally:
        await runner.cleanup()


def answers(status: int, text: str) -> Handler:
    async def handler(_: web.Request) -> web.Response:
        return web.Response(status=status, text=text)

    return handler


async def never(_: web.Request) -> web.Response:
    await asyncio.sleep(60)
    return web.Response()


async def test_what_serve_runs_is_asked_and_told_at_its_rest_interface() -> None:
    asked: list[tuple[str, str, object]] = []

    async def handler(request: web.Request) -> web.Response:
        asked.append((request.method, request.path, await request.json() if request.body_exists else None))
        return web.json_response({"applications": {"a": {}}})

    async with head(handler) as base, HttpDashboard() as dashboard:
        assert await dashboard.applications(base) == {"applications": {"a": {}}}
        await dashboard.deploy(base, {"applications": []})
    path = "/api/serve/applications/"
    assert asked == [("GET", path, None), ("PUT", path, {"applications": []})]


@pytest.mark.parametrize(
    ("status", "text"), [(500, "boom"), (404, "Not Found"), (200, "no JSON"), (200, "[]"), (302, "")]
)
async def test_what_is_no_answer_is_an_error_that_says_so(status: int, text: str) -> None:
    async with head(answers(status, text)) as base, HttpDashboard() as dashboard:
        with pytest.raises(DashboardError, match=r"answer"):
            await dashboard.applications(base)


async def test_a_refused_configuration_is_told_from_a_failure() -> None:
    async with HttpDashboard() as dashboard:
        async with head(answers(400, "import_path  is\nwrong")) as base:
            with pytest.raises(RefusedError, match=r"^import_path is wrong$"):
                await dashboard.deploy(base, {})
        async with head(answers(503, "busy")) as base:
            with pytest.raises(DashboardError, match="503: busy") as error:
                await dashboard.deploy(base, {})
            assert not isinstance(error.value, RefusedError)


@pytest.mark.parametrize(("status", "healthy"), [(200, True), (503, False), (404, False)])
async def test_a_proxy_is_healthy_when_it_says_so(status: int, healthy: bool) -> None:
    async with head(answers(status, "success")) as base, HttpDashboard() as dashboard:
        assert await dashboard.proxy_answers(base) is healthy


async def test_a_refused_connection_is_a_proxy_that_is_gone_and_silence_is_unknown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "HEALTH_SECONDS", 0.2)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{closed.getsockname()[1]}"
        async with HttpDashboard() as dashboard, head(never) as base:
            assert await dashboard.proxy_answers(nobody) is False
            with pytest.raises(DashboardError, match=r"no answer within 0.2 s"):
                await dashboard.proxy_answers(base)


async def test_an_answer_without_end_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_BYTES", 1 << 20)
    async with head(answers(200, "x" * (2 << 20))) as base, HttpDashboard() as dashboard:
        with pytest.raises(DashboardError, match="longer than 1 MB"):
            await dashboard.applications(base)
