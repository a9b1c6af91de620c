"""The API over HTTP: one catch-all handler, from a request to the core's verbs and back.

Every request is authenticated and authorized before anything else is looked at; every refusal is a Status document.
Nothing is decided here that the core could decide.
"""

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from multidict import MultiMapping

from headstay.local.seams import Authorizer, User
from headstay.local.server import errors, parameters, responses, subresources
from headstay.local.server.about import About
from headstay.local.server.auth.rbac import forbidden
from headstay.local.server.kinds import Served
from headstay.local.server.negotiation import negotiate_object
from headstay.local.server.patching import accepted_types
from headstay.local.server.paths import RequestInfo, parse_path
from headstay.local.server.requests import Call, Target
from headstay.local.server.rest import Api
from headstay.local.server.shapes import Shaper, include_of
from headstay.local.server.watchstream import stream_watch
from headstay.model.errors import Cause, StatusError
from headstay.model.objects import Obj
from headstay.model.resource import Resource

BODY_LIMIT = 3 * 1024 * 1024
WATCH_SECONDS = 1800.0
BOOKMARK_SECONDS = 45.0

Authenticate = Callable[[web.Request], User]
Impersonate = Callable[[MultiMapping[str], User, Authorizer], User]
Connect = Callable[[web.Request, str, str], Awaitable[web.StreamResponse]]
"""(request, namespace, name): answers a streaming subresource (log, exec, ...) of an existing Pod."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Surroundings:
    """What the wire needs beside the core. `connect` is keyed by subresource."""

    authenticate: Authenticate
    authorizer: Authorizer
    impersonate: Impersonate | None = None
    connect: Mapping[str, Connect] = field(default_factory=dict)
    observed: Callable[[str, str, int], None] = lambda _verb, _resource, _code: None
    """Told of each answer to a request about objects: verb, resource, HTTP code."""
    watch_seconds: float = WATCH_SECONDS
    bookmark_seconds: float = BOOKMARK_SECONDS


@dataclass(frozen=True)
class Asked:
    """One authenticated and authorized request about objects."""

    request: web.Request
    info: RequestInfo
    user: User
    target: Target

    @property
    def query(self) -> Mapping[str, str]:
        return self.request.query


def create_app(api: Api, around: Surroundings, about: About) -> web.Application:
    app = web.Application(client_max_size=BODY_LIMIT)
    app.router.add_route("*", "/{path:.*}", _Handler(api, around, about).handle)
    return app


async def start(app: web.Application, address: str, port: int, tls: ssl.SSLContext | None = None) -> web.AppRunner:
    """Serves until `runner.cleanup()`. A client that goes away ends its watch at once (handler cancellation)."""
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, keepalive_timeout=90, shutdown_timeout=2.0)
    await runner.setup()
    await web.TCPSite(runner, address, port, ssl_context=tls, backlog=256).start()
    return runner


class _Handler:
    def __init__(self, api: Api, around: Surroundings, about: About) -> None:
        self._api = api
        self._around = around
        self._about = about

    async def handle(self, request: web.Request) -> web.StreamResponse:
        try:
            return await self._answer(request)
        except StatusError as error:
            return responses.failure(error)
        except web.HTTPRequestEntityTooLarge:
            return responses.failure(errors.too_large(BODY_LIMIT))
        except (ConnectionError, asyncio.CancelledError, web.HTTPException):
            raise
        except Exception:  # noqa: BLE001 - a bug in one request is loud, and still gets its answer
            _log.exception("%s %s failed", request.method, request.path)
            return responses.failure(StatusError(500, "InternalError", "Internal error occurred: see the server's log"))

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        user = self._around.authenticate(request)
        if self._around.impersonate:
            user = self._around.impersonate(request.headers, user, self._around.authorizer)
        elif any(name.lower().startswith("impersonate-") for name in request.headers):
            raise errors.unsupported("impersonation")
        info = parse_path(request.method, request.path, watch=parameters.flag(request.query, "watch"))
        self._authorize(user, _with_selected_name(info, request.query))
        if not info.resource:
            return self._about.answer(request)
        served = self._api.served(Resource(info.group, info.version, info.resource, ""))
        asked = Asked(request, info, user, _target(served, info))
        try:
            response = await self._about_objects(asked)
        except StatusError as error:
            self._around.observed(info.verb, info.resource, error.code)
            raise
        self._around.observed(info.verb, info.resource, response.status)
        return response

    def _authorize(self, user: User, info: RequestInfo) -> None:
        decision = self._around.authorizer.authorize(user, info.attributes)
        if not decision.allowed:
            raise forbidden(user, info.attributes, decision.reason)

    async def _about_objects(self, asked: Asked) -> web.StreamResponse:
        if connect := self._around.connect.get(asked.target.subresource):
            subresources.check(asked.target)
            self._api.get(asked.target._replace(subresource=""))
            return await connect(asked.request, asked.target.namespace, asked.target.name)
        match asked.info.verb:
            case "get":
                return self._get(asked)
            case "list":
                return self._list(asked)
            case "watch":
                return await self._watch(asked)
            case "create" | "update":
                return await self._write(asked)
            case "patch":
                return await self._patch(asked)
            case "delete" | "deletecollection":
                return await self._delete(asked)
        raise errors.method_not_allowed()

    # --- reading -------------------------------------------------------------------------------------------

    def _shaper(self, asked: Asked) -> Shaper:
        wanted = negotiate_object(asked.request.headers.get("Accept", ""))
        return Shaper(asked.target, wanted, include_of(asked.query.get("includeObject", "")), self._api.clock)

    def _get(self, asked: Asked) -> web.Response:
        shaper = self._shaper(asked)
        self._check_known(asked)
        body = subresources.get(self._api, asked.target)
        return responses.encoded(shaper.one(body), wanted=shaper.wanted, warnings=_deprecation(asked))

    def _list(self, asked: Asked) -> web.Response:
        shaper, query = self._shaper(asked), asked.query
        self._check_known(asked)
        answer = self._api.list(
            asked.target,
            label_selector=query.get("labelSelector", ""),
            field_selector=query.get("fieldSelector", ""),
            limit=parameters.number(query, "limit") or 0,
            continue_token=query.get("continue", ""),
            exact_revision=parameters.exact_revision(query),
        )
        return responses.encoded(shaper.listed(answer), wanted=shaper.wanted, warnings=_deprecation(asked))

    def _check_known(self, asked: Asked) -> None:
        """A client that has seen a later revision than ours must not be answered with older news."""
        revision = parameters.resource_version(asked.query)
        if revision > self._api.store.revision:
            raise errors.too_new(revision, self._api.store.revision)

    async def _watch(self, asked: Asked) -> web.StreamResponse:
        shaper, query = self._shaper(asked), asked.query
        options = parameters.watch_options(
            query,
            timeout_seconds=self._around.watch_seconds,
            bookmark_seconds=self._around.bookmark_seconds,
        )
        watch = self._api.watch(
            asked.target,
            options,
            label_selector=query.get("labelSelector", ""),
            field_selector=f"metadata.name={asked.info.name}" if asked.info.name else query.get("fieldSelector", ""),
        )
        try:
            return await stream_watch(asked.request, watch, shaper, options.timeout_seconds)
        finally:
            watch.close()

    # --- writing -------------------------------------------------------------------------------------------

    async def _write(self, asked: Asked) -> web.Response:
        shaper = self._shaper(asked)
        body = await _body(asked.request, asked.target.resource.kind)
        creates = asked.info.verb == "create"
        call = _call(asked, "CreateOptions" if creates else "UpdateOptions")
        if creates:
            if asked.target.name and not asked.target.subresource:
                raise errors.method_not_allowed()
            answer = subresources.create(self._api, asked.target, body, call)
        else:
            _require_name(asked)
            answer = subresources.update(self._api, asked.target, body, call)
        return _written(shaper, answer.body, 201 if answer.created else 200, answer.warnings, asked)

    async def _patch(self, asked: Asked) -> web.Response:
        shaper, request = self._shaper(asked), asked.request
        _require_name(asked)
        data = await request.read()
        content_type = request.headers.get("Content-Type", "")
        patch = parameters.patch_of(data, content_type, asked.target, accepted_types(asked.target.served))
        call = _call(asked, "PatchOptions")
        if patch.type == "apply" and not asked.query.get("fieldManager"):
            cause = Cause("FieldValueRequired", "Required value: is required for apply patch", "fieldManager")
            raise errors.invalid_options("PatchOptions", cause)
        answer = subresources.patch(self._api, asked.target, patch, call)
        return _written(shaper, answer.body, 201 if answer.created else 200, answer.warnings, asked)

    async def _delete(self, asked: Asked) -> web.Response:
        shaper = self._shaper(asked)
        document = await _body(asked.request, "DeleteOptions") if asked.request.can_read_body else None
        options = parameters.delete_options(asked.query, document)
        call = parameters.call_of(_dry_run(asked.query, document), asked.user, "", "DeleteOptions")
        if asked.info.verb == "delete":
            if asked.target.subresource:
                raise errors.method_not_allowed()
            answer = self._api.delete(asked.target, options, call)
            body = answer.body if answer.body.startswith(b'{"kind":"Status"') else shaper.one(answer.body)
            return responses.encoded(body, wanted=shaper.wanted)
        listed = self._api.delete_collection(
            asked.target,
            options,
            call,
            label_selector=asked.query.get("labelSelector", ""),
            field_selector=asked.query.get("fieldSelector", ""),
        )
        return responses.encoded(shaper.listed(listed), wanted=shaper.wanted)


def _written(shaper: Shaper, body: bytes, status: int, warnings: tuple[str, ...], asked: Asked) -> web.Response:
    shaped = body if body.startswith(b'{"kind":"Status"') else shaper.one(body)
    every = (*_deprecation(asked), *warnings)
    return responses.encoded(shaped, status=status, wanted=shaper.wanted, warnings=every)


def _deprecation(asked: Asked) -> tuple[str, ...]:
    text = asked.target.served.deprecation
    return (text,) if text else ()


def _call(asked: Asked, kind: str) -> Call:
    return parameters.call_of(asked.query, asked.user, asked.request.headers.get("User-Agent", ""), kind)


async def _body(request: web.Request, kind: str) -> Any:
    return parameters.decode_body(await request.read(), request.headers.get("Content-Type", ""), kind)


def _dry_run(query: Mapping[str, str], document: Obj | None) -> Mapping[str, str]:
    """DeleteOptions carry `dryRun` as a list."""
    given = (document or {}).get("dryRun") or []
    return {"dryRun": query.get("dryRun", "") or "".join(given)}


def _require_name(asked: Asked) -> None:
    if not asked.target.name:
        raise errors.method_not_allowed()


def _target(served: Served, info: RequestInfo) -> Target:
    """Cluster-scoped objects have no namespace, whatever the request's attributes say (`namespaces/x`)."""
    resource = served.kind.resource
    if not resource.namespaced:
        return Target(served, "", info.name, info.subresource)
    if info.namespace == "" and info.name:
        raise errors.no_such_path()
    if info.namespace == "" and info.verb in {"create", "deletecollection"}:
        raise errors.method_not_allowed()
    return Target(served, info.namespace, info.name, info.subresource)


def _with_selected_name(info: RequestInfo, query: Mapping[str, str]) -> RequestInfo:
    """A list or watch of `metadata.name=x` asks for rights on x alone, as in Kubernetes."""
    if info.verb not in {"list", "watch", "deletecollection"}:
        return info
    names = [part[14:] for part in query.get("fieldSelector", "").split(",") if part.startswith("metadata.name=")]
    return info._replace(name=names[0].lstrip("=")) if len(names) == 1 else info
