"""Everything that is not about objects: discovery, health, version, OpenAPI, metrics."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from aiohttp import web

from headstay.local.server import codec, discovery, errors, responses
from headstay.local.server.kinds import Kinds
from headstay.local.server.negotiation import negotiate_discovery
from headstay.model.objects import Obj

VERSION: Obj = {
    "major": "1",
    "minor": "32",
    "gitVersion": "v1.32.0",
    "gitCommit": "",
    "gitTreeState": "clean",
    "buildDate": "2024-12-11T17:59:15Z",
    "goVersion": "",
    "compiler": "",
    "platform": "linux/amd64",
}
_HEALTH = {"healthz", "livez", "readyz"}


class Document(NamedTuple):
    content_type: str
    body: bytes


OpenApi = Callable[[str, str], Document | None]
"""(path, Accept header) -> the document at `/openapi/...`, or None where there is none."""
Checks = Callable[[], Mapping[str, bool]]


@dataclass(frozen=True)
class About:
    kinds: Kinds
    address: str = ""
    openapi: OpenApi | None = None
    checks: Checks = field(default=dict)
    metrics: Callable[[], bytes] | None = None
    documents: Mapping[str, Callable[[], Document]] = field(default_factory=dict)
    """What other parts publish at a path of their own."""

    def answer(self, request: web.Request) -> web.Response:
        if request.method not in {"GET", "HEAD"}:
            raise errors.no_such_path()
        if publish := self.documents.get(request.path.rstrip("/")):
            document = publish()
            return web.Response(body=document.body, headers={"Content-Type": document.content_type})
        parts = tuple(part for part in request.path.split("/") if part)
        match parts:
            case ():
                return responses.document({"paths": self._paths()})
            case ("version",):
                return responses.document(VERSION)
            case ("api",) | ("apis",):
                return self._root(request, parts[0])
            case ("api", version):
                return _found(discovery.resource_list(self.kinds, "", version))
            case ("apis", group):
                return _found(discovery.group(self.kinds, group))
            case ("apis", group, version):
                return _found(discovery.resource_list(self.kinds, group, version))
            case ("openapi", *_) if self.openapi:
                return self._openapi(request, self.openapi)
            case ("metrics",) if self.metrics:
                return web.Response(body=self.metrics(), headers={"Content-Type": "text/plain; version=0.0.4"})
            case (health, *rest) if health in _HEALTH and len(rest) < 2:
                return self._health(request, health, rest[0] if rest else "")
        raise errors.no_such_path()

    def _paths(self) -> list[str]:
        groups = self.kinds.groups()
        found = {"/api", "/apis", "/healthz", "/livez", "/metrics", "/openapi/v2", "/openapi/v3", "/readyz", "/version"}
        found |= set(self.documents)
        for name, versions in groups.items():
            if name:
                found |= {f"/apis/{name}"} | {f"/apis/{name}/{version}" for version in versions}
            else:
                found |= {f"/api/{version}" for version in versions}
        return sorted(found)

    def _root(self, request: web.Request, root: str) -> web.Response:
        wanted = negotiate_discovery(request.headers.get("Accept", ""))
        if wanted.shape:
            document = discovery.aggregated(self.kinds, wanted.version, core=root == "api")
            content_type = f"application/json;g=apidiscovery.k8s.io;v={wanted.version};as=APIGroupDiscoveryList"
        else:
            plain = discovery.api_versions(self.address) if root == "api" else None
            document = plain or discovery.group_list(self.kinds)
            content_type = "application/json"
        body = codec.encode(document)
        tag = discovery.etag(body)
        headers = {"ETag": tag, "Vary": "Accept", "Cache-Control": "public", "Content-Type": content_type}
        if request.headers.get("If-None-Match") == tag:
            return web.Response(status=304, headers=headers)
        return web.Response(body=body, headers=headers)

    def _openapi(self, request: web.Request, openapi: OpenApi) -> web.Response:
        found = openapi(request.path, request.headers.get("Accept", ""))
        if found is None:
            raise errors.no_such_path()
        tag = discovery.etag(found.body)
        headers = {"ETag": tag, "Vary": "Accept", "Content-Type": found.content_type}
        if request.headers.get("If-None-Match") == tag:
            return web.Response(status=304, headers=headers)
        return web.Response(body=found.body, headers=headers)

    def _health(self, request: web.Request, endpoint: str, only: str) -> web.Response:
        """`ok`, or 500 with the checks that failed. `?verbose` shows them all, `?exclude=x` leaves one out."""
        checks: dict[str, bool] = {"ping": True}
        if endpoint == "readyz":
            checks |= self.checks()
        if only:
            if only not in checks:
                raise errors.no_such_path()
            checks = {only: checks[only]}
        excluded = set(request.query.getall("exclude", []))
        checks = {name: passed for name, passed in checks.items() if name not in excluded}
        passed = all(checks.values())
        lines = [f"[{'+' if ok else '-'}]{name} {'ok' if ok else 'failed: not ready'}" for name, ok in checks.items()]
        verdict = f"{endpoint} check {'passed' if passed else 'failed'}"
        if passed and "verbose" not in request.query:
            return web.Response(text="ok")
        return web.Response(text="\n".join([*lines, verdict, ""]), status=200 if passed else 500)


def _found(document: Obj | None) -> web.Response:
    if document is None:
        raise errors.no_such_path()
    return responses.document(document)
