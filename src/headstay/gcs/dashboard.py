"""Ray's own HTTP interface on a head: what Serve runs, what it is to run, and whether its proxy answers.

Every call is bounded. No answer is not an answer: `DashboardError` says why there is none, and nobody concludes more
from it.
"""

import asyncio
from types import TracebackType
from typing import Protocol, Self

import aiohttp
import msgspec

from headstay.model.objects import Obj

ASK_SECONDS = 2.0
DEPLOY_SECONDS = 30.0
"""The first configuration starts Serve itself, which takes seconds on a busy machine."""
HEALTH_SECONDS = 1.0
_MOST_BYTES = 8 << 20
_APPLICATIONS = "api/serve/applications/"


class DashboardError(Exception):
    """There is no answer, or none that can be used."""


class RefusedError(DashboardError):
    """Serve understood the configuration and does not take it: only another one can help."""


class Dashboard(Protocol):
    async def applications(self, base: str) -> Obj:
        """What Serve says of all its applications. `base` is `http://host:port`."""
        ...

    async def deploy(self, base: str, config: Obj) -> None: ...

    async def proxy_answers(self, base: str) -> bool:
        """Whether the Serve proxy there is healthy. Raises DashboardError where only time may tell."""
        ...


class HttpDashboard:
    """Used as an async context manager. The heads are in the cluster: no proxy of the environment is asked."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, force_close=True),
            headers={"User-Agent": "headstay"},
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def applications(self, base: str) -> Obj:
        status, body = await self._call("GET", f"{base}/{_APPLICATIONS}", None, ASK_SECONDS)
        if status != 200:
            raise DashboardError(f"the dashboard at {base} answers {status}: {_words(body)}")
        return _document(base, body)

    async def deploy(self, base: str, config: Obj) -> None:
        status, body = await self._call("PUT", f"{base}/{_APPLICATIONS}", config, DEPLOY_SECONDS)
        if 400 <= status < 500:
            raise RefusedError(_words(body) or f"status {status}")
        if status != 200:
            raise DashboardError(f"the dashboard at {base} answers {status}: {_words(body)}")

    async def proxy_answers(self, base: str) -> bool:
        try:
            status, _ = await self._call("GET", f"{base}/-/healthz", None, HEALTH_SECONDS)
        except DashboardError as error:
            if isinstance(error.__cause__, aiohttp.ClientConnectorError):
                return False  # nobody listens there
            raise
        return status == 200

    async def _call(self, method: str, url: str, document: Obj | None, seconds: float) -> tuple[int, bytes]:
        if self._session is None:
            raise DashboardError("the client is closed")
        try:
            async with (
                asyncio.timeout(seconds),
                self._session.request(method, url, json=document, allow_redirects=False) as answer,
            ):
                body = bytearray()
                async for chunk in answer.content.iter_any():
                    body += chunk
                    if len(body) > _MOST_BYTES:
                        raise DashboardError(f"{url}: the answer is longer than {_MOST_BYTES >> 20} MB")
                return answer.status, bytes(body)
        except TimeoutError as error:
            raise DashboardError(f"{url}: no answer within {seconds:g} s") from error
        except aiohttp.ClientError as error:
            raise DashboardError(f"{url}: {error}") from error


def _document(base: str, body: bytes) -> Obj:
    try:
        found = msgspec.json.decode(body)
    except msgspec.DecodeError as error:
        raise DashboardError(f"the dashboard at {base} does not answer with JSON: {error}") from error
    if not isinstance(found, dict):
        raise DashboardError(f"the dashboard at {base} does not answer with a document")
    return found


def _words(body: bytes) -> str:
    return " ".join(body.decode(errors="replace").split())[:500]
