"""`Client` over HTTP: any Kubernetes API server, through aiohttp.

Invariants: every call has a bound; only what is safe to repeat is repeated (429 always: the server did nothing; 5xx
with Retry-After for verbs that can run twice); a 401 refreshes the credentials once; bodies that are not a `Status`
never reach a log or a message.
"""

import asyncio
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from ipaddress import ip_address
from types import TracebackType
from typing import Any, NamedTuple, Self
from urllib.parse import urlsplit

import aiohttp
import msgspec

from headstay import __version__
from headstay.model.errors import StatusError
from headstay.model.objects import Obj
from headstay.model.resource import Resource
from headstay.runtime.answers import read_page, read_refusal, read_watch_line
from headstay.runtime.client import Page, PatchType, Propagation, TransportError, WatchEvent
from headstay.runtime.credentials import Credentials, CredentialsError
from headstay.runtime.kubeconfig import ClusterConfig, ConfigError
from headstay.runtime.lines import MAX_LINE, split_lines
from headstay.runtime.metrics import Metrics
from headstay.runtime.tls import client_context

_PATCH_TYPES: dict[PatchType, str] = {
    "json": "application/json-patch+json",
    "merge": "application/merge-patch+json",
    "strategic": "application/strategic-merge-patch+json",
}
_APPLY_TYPE = "application/apply-patch+yaml"  # JSON is YAML
_OBJECT = msgspec.json.Decoder(dict)
_ENCODER = msgspec.json.Encoder()


class Bounds(NamedTuple):
    """In seconds where not said otherwise."""

    call: float = 30.0
    connect: float = 10.0
    retries: int = 3
    retry_after_cap: float = 10.0
    """A server that asks for more than this gets its answer from the caller's back-off instead."""
    watch_grace: float = 30.0
    """How much longer than its own timeoutSeconds a watch may last."""
    max_line: int = MAX_LINE
    connections: int = 128


class _Request(NamedTuple):
    method: str
    path: str
    params: Mapping[str, str] = {}
    body: bytes | None = None
    content_type: str = "application/json"
    repeatable: bool = False


class HttpClient:
    """Use as an async context manager, or call `close`. Made within a running loop.

    Raises ConfigError for a configuration that no call could succeed with.
    """

    def __init__(
        self,
        config: ClusterConfig,
        *,
        allow_insecure: bool = False,
        bounds: Bounds | None = None,
        metrics: Metrics | None = None,
    ) -> None:
        _refuse_plain_http(config)
        if config.server.startswith("https://"):
            client_context(config, Credentials(), allow_insecure=allow_insecure)  # refuses now, not at the first call
        self.config = config
        self._allow_insecure = allow_insecure
        self._bounds = bounds or Bounds()
        self._metrics = metrics
        self._host = urlsplit(config.server).netloc
        self._tls: tuple[Credentials, ssl.SSLContext] | None = None
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self._bounds.connections),
            headers={"User-Agent": f"headstay/{__version__}", "Accept": "application/json", **config.headers},
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._bounds.connect),
            read_bufsize=2**18,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        await self._session.close()

    async def get(self, resource: Resource, namespace: str, name: str, *, subresource: str = "") -> Obj:
        return await self._object(_Request("GET", resource.path(namespace, name, subresource), repeatable=True))

    async def list_page(
        self,
        resource: Resource,
        namespace: str = "",
        *,
        label_selector: str = "",
        field_selector: str = "",
        limit: int = 0,
        continue_token: str = "",
    ) -> Page:
        params = _selectors(label_selector, field_selector)
        if limit:
            params["limit"] = str(limit)
        if continue_token:
            params["continue"] = continue_token
        answer = await self._call(_Request("GET", resource.path(namespace), params, repeatable=True))
        return read_page(resource, answer)

    async def watch(
        self,
        resource: Resource,
        namespace: str = "",
        *,
        resource_version: str,
        label_selector: str = "",
        field_selector: str = "",
        timeout_seconds: int,
    ) -> AsyncIterator[WatchEvent]:
        params = _selectors(label_selector, field_selector) | {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": resource_version,
            "timeoutSeconds": str(timeout_seconds),
        }
        request = _Request("GET", resource.path(namespace), params, repeatable=True)
        response = await self._send(request)
        try:
            end = asyncio.get_running_loop().time() + timeout_seconds + self._bounds.watch_grace
            async with (
                aclosing(_chunks(response, end)) as chunks,
                aclosing(split_lines(chunks, limit=self._bounds.max_line)) as lines,
            ):
                async for line in lines:
                    yield read_watch_line(line)
        finally:
            response.close()

    async def create(self, resource: Resource, obj: Obj, *, subresource: str = "", name: str = "") -> Obj:
        path = resource.path(_namespace(obj), name if subresource else "", subresource)
        return await self._object(_Request("POST", path, body=_ENCODER.encode(obj)))

    async def update(self, resource: Resource, obj: Obj, *, subresource: str = "") -> Obj:
        path = resource.path(_namespace(obj), obj["metadata"]["name"], subresource)
        return await self._object(_Request("PUT", path, body=_ENCODER.encode(obj), repeatable=True))

    async def apply(
        self,
        resource: Resource,
        obj: Obj,
        *,
        field_manager: str,
        force: bool = True,
        subresource: str = "",
    ) -> Obj:
        path = resource.path(_namespace(obj), obj["metadata"]["name"], subresource)
        params = {"fieldManager": field_manager, "force": "true" if force else "false"}
        return await self._object(_Request("PATCH", path, params, _ENCODER.encode(obj), _APPLY_TYPE, repeatable=True))

    async def patch(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        patch: Obj | list[Obj],
        *,
        patch_type: PatchType = "merge",
        subresource: str = "",
    ) -> Obj:
        path = resource.path(namespace, name, subresource)
        body, content_type = _ENCODER.encode(patch), _PATCH_TYPES[patch_type]
        return await self._object(_Request("PATCH", path, body=body, content_type=content_type))

    async def delete(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        *,
        uid: str = "",
        resource_version: str = "",
        propagation: Propagation | None = None,
        grace_period_seconds: int | None = None,
    ) -> Obj:
        options = _delete_options(propagation)
        preconditions = {"uid": uid, "resourceVersion": resource_version}
        if found := {key: value for key, value in preconditions.items() if value}:
            options["preconditions"] = found
        if grace_period_seconds is not None:
            options["gracePeriodSeconds"] = grace_period_seconds
        path = resource.path(namespace, name)
        # With a uid a repeated DELETE cannot hit a successor of the same name.
        return await self._object(_Request("DELETE", path, body=_ENCODER.encode(options), repeatable=bool(uid)))

    async def delete_collection(
        self,
        resource: Resource,
        namespace: str,
        *,
        label_selector: str = "",
        propagation: Propagation | None = None,
    ) -> None:
        params = _selectors(label_selector, "")
        body = _ENCODER.encode(_delete_options(propagation))
        await self._call(_Request("DELETE", resource.path(namespace), params, body))

    async def get_raw(self, path: str) -> bytes:
        """GET of any path: `/version`, `/readyz`, discovery."""
        return await self._call(_Request("GET", path, repeatable=True))

    async def _object(self, request: _Request) -> Obj:
        answer = await self._call(request)
        try:
            found: Obj = _OBJECT.decode(answer)
        except msgspec.DecodeError as error:
            raise TransportError(f"the answer to {request.method} {request.path} cannot be read: {error}") from error
        return found

    async def _call(self, request: _Request) -> bytes:
        """The whole body of a successful answer, within one bound for all attempts."""
        bound = self._bounds.call
        try:
            async with asyncio.timeout(bound):
                response = await self._send(request)
                async with response, _transport_errors(request):
                    return await response.read()
        except TimeoutError as error:
            raise TransportError(f"{request.method} {request.path}: no answer within {bound:g} s") from error

    async def _send(self, request: _Request) -> aiohttp.ClientResponse:
        """The successful answer's head. Refreshes credentials after one 401 and repeats what may be repeated."""
        attempt = 0
        refresh, refreshed = False, False
        while True:
            response = await self._attempt(request, refresh=refresh)
            if response.ok:
                return response
            async with response, _transport_errors(request):
                error = read_refusal(request.method, request.path, response, await response.read())
            refresh = response.status == 401 and not refreshed
            if refresh:
                refreshed = True
                continue
            pause = self._pause(request, error)
            if pause is None or attempt >= self._bounds.retries:
                raise error
            attempt += 1
            await asyncio.sleep(pause)

    async def _attempt(self, request: _Request, *, refresh: bool) -> aiohttp.ClientResponse:
        try:
            async with asyncio.timeout(self._bounds.call), _transport_errors(request):
                held = await self.config.credentials.credentials(refresh=refresh)
                headers = {"Authorization": f"Bearer {held.token}"} if held.token else {}
                if request.body is not None:
                    headers["Content-Type"] = request.content_type
                response = await self._session.request(
                    request.method,
                    self.config.server + request.path,
                    params=request.params,
                    data=request.body,
                    headers=headers,
                    ssl=self._context(held),
                    server_hostname=self.config.server_name or None,
                    allow_redirects=False,
                )
        except (TransportError, TimeoutError) as error:
            self._count("<error>", request.method)
            if isinstance(error, TimeoutError):
                text = f"{request.method} {request.path}: no answer within {self._bounds.call:g} s"
                raise TransportError(text) from error
            raise
        self._count(str(response.status), request.method)
        return response

    def _pause(self, request: _Request, error: StatusError) -> float | None:
        """How long to wait before this request may be sent again; None where it may not."""
        safe = error.code == 429 or (error.code >= 500 and request.repeatable and error.retry_after is not None)
        asked = 1 if error.retry_after is None else error.retry_after
        return float(asked) if safe and asked <= self._bounds.retry_after_cap else None

    def _context(self, held: Credentials) -> ssl.SSLContext | bool:
        if self.config.server.startswith("http://"):
            return True
        pair = held._replace(token="")
        if self._tls is None or self._tls[0] != pair:
            self._tls = (pair, client_context(self.config, pair, allow_insecure=self._allow_insecure))
        return self._tls[1]

    def _count(self, code: str, method: str) -> None:
        if self._metrics:
            self._metrics.rest_client_requests.labels(code, method, self._host).inc()


@asynccontextmanager
async def _transport_errors(request: _Request) -> AsyncIterator[None]:
    try:
        yield
    except (aiohttp.ClientError, OSError, CredentialsError) as error:
        if isinstance(error, TimeoutError) and not isinstance(error, aiohttp.ClientError):
            raise
        raise TransportError(f"{request.method} {request.path}: {error or type(error).__name__}") from error


async def _chunks(response: aiohttp.ClientResponse, end: float) -> AsyncGenerator[bytes, None]:
    """Body bytes as they come, until `end` (loop time). The bound is the server's timeoutSeconds and some more."""
    while True:
        try:
            async with asyncio.timeout_at(end):
                chunk = await response.content.readany()
        except TimeoutError as error:
            raise TransportError("the server did not end the watch at its timeoutSeconds") from error
        except (aiohttp.ClientError, OSError) as error:
            raise TransportError(f"the watch broke off: {error or type(error).__name__}") from error
        if not chunk:
            return
        yield chunk


def _namespace(obj: Obj) -> str:
    return (obj.get("metadata") or {}).get("namespace") or ""


def _selectors(label_selector: str, field_selector: str) -> dict[str, str]:
    selectors = {"labelSelector": label_selector, "fieldSelector": field_selector}
    return {name: value for name, value in selectors.items() if value}


def _delete_options(propagation: Propagation | None) -> dict[str, Any]:
    options: dict[str, Any] = {"apiVersion": "v1", "kind": "DeleteOptions"}
    return options | ({"propagationPolicy": propagation} if propagation else {})


def _refuse_plain_http(config: ClusterConfig) -> None:
    url = urlsplit(config.server)
    if url.scheme == "https":
        return
    if url.scheme != "http":
        raise ConfigError(f"{config.context}: server {config.server!r} is not an https:// address")
    try:
        loopback = url.hostname == "localhost" or ip_address(url.hostname or "").is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise ConfigError(f"{config.context}: plain http to {url.hostname} would show our token to the network")
