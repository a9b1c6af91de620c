"""The authenticator behind a real TLS socket, asked by a real client."""

import ssl
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from tests.unit.auth.memory_reader import MemoryReader

from headstay.local.config import LocalConfig
from headstay.local.server.auth.authn import Authenticator, server_ssl_context
from headstay.local.server.auth.pki import Pki, ensure_pki
from headstay.local.server.auth.tokens import ServiceAccountTokens
from headstay.model.errors import StatusError
from headstay.model.resource import SERVICE_ACCOUNTS


class Api:
    """A server that answers who it takes the client for."""

    def __init__(self, config: LocalConfig) -> None:
        self.config = config
        self.pki: Pki = ensure_pki(config, datetime.now(UTC))
        reader = MemoryReader()
        reader.put(SERVICE_ACCOUNTS, {"metadata": {"name": "bot", "namespace": "apps", "uid": "1"}})
        self.tokens = ServiceAccountTokens(self.pki.service_account_key, reader, lambda: datetime.now(UTC))
        self.authenticator = Authenticator(self.tokens)
        self.url = ""

    async def handle(self, request: web.Request) -> web.Response:
        try:
            user = self.authenticator.authenticate(request)
        except StatusError as error:
            return web.json_response(error.to_status(), status=error.code)
        return web.json_response({"name": user.name, "groups": user.groups})

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[None]:
        app = web.Application()
        app.router.add_get("/", self.handle)
        runner = web.AppRunner(app)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=server_ssl_context(self.pki))
            await site.start()
            port: int = runner.addresses[0][1]
            self.url = f"https://127.0.0.1:{port}/"
            yield
        finally:
            await runner.cleanup()

    async def ask(self, *, certificate: Path | None = None, headers: dict[str, str] | None = None) -> tuple[int, Any]:
        context = ssl.create_default_context(cafile=str(self.pki.ca_certificate))
        if certificate is not None:
            context.load_cert_chain(certificate)
        async with (
            aiohttp.ClientSession() as session,
            session.get(self.url, ssl=context, headers=headers or {}) as response,
        ):
            return response.status, await response.json()


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    served = Api(LocalConfig(state_dir=tmp_path))
    async with served.serve():
        yield served


async def test_the_admin_certificate_is_a_member_of_system_masters(api: Api) -> None:
    status, user = await api.ask(certificate=api.pki.admin)
    assert status == 200
    assert user == {"name": "headstay-admin", "groups": ["system:masters", "system:authenticated"]}


async def test_a_service_account_token_logs_in(api: Api) -> None:
    token = api.tokens.issue("apps", "bot", {})["status"]["token"]
    for headers in (
        {"Authorization": f"Bearer {token}"},
        {"Authorization": f"bearer  {token}"},
        {"Sec-WebSocket-Protocol": f"v5.channel.k8s.io, base64url.bearer.authorization.k8s.io.{_b64(token)}"},
    ):
        status, user = await api.ask(headers=headers)
        assert (status, user["name"]) == (200, "system:serviceaccount:apps:bot")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": ""},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer nonsense"},
        {"Authorization": "Basic YTpi"},
        {"Sec-WebSocket-Protocol": "base64url.bearer.authorization.k8s.io.%%%"},
    ],
)
async def test_nobody_else_gets_in(api: Api, headers: dict[str, str]) -> None:
    status, answer = await api.ask(headers=headers)
    assert status == 401
    assert (answer["kind"], answer["reason"], answer["message"]) == ("Status", "Unauthorized", "Unauthorized")


async def test_a_certificate_of_another_ca_fails_the_handshake(api: Api, tmp_path: Path) -> None:
    stranger = ensure_pki(LocalConfig(state_dir=tmp_path / "other"), datetime.now(UTC))
    with pytest.raises(aiohttp.ClientError):
        await api.ask(certificate=stranger.admin)


async def test_the_serving_certificate_is_no_client_certificate(api: Api) -> None:
    with pytest.raises(aiohttp.ClientError):
        await api.ask(certificate=api.pki.serving)


def _b64(text: str) -> str:
    return urlsafe_b64encode(text.encode()).rstrip(b"=").decode()
