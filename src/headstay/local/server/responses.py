"""Answers on the wire."""

from collections.abc import Iterable

import yaml
from aiohttp import web

from headstay.local.server import codec
from headstay.local.server.negotiation import JSON, YAML, Wanted
from headstay.local.server.requests import ListAnswer
from headstay.model.errors import StatusError
from headstay.model.objects import Obj
from headstay.model.resource import Resource

_HEADERS = {"Cache-Control": "no-cache, private"}
_PLAIN = Wanted()


def warning_headers(warnings: Iterable[str]) -> list[tuple[str, str]]:
    escaped = (text.replace("\\", "\\\\").replace('"', '\\"') for text in warnings)
    return [("Warning", f'299 - "{text}"') for text in escaped]


def encoded(body: bytes, *, status: int = 200, wanted: Wanted = _PLAIN, warnings: Iterable[str] = ()) -> web.Response:
    """Encoded JSON, sent as what the client wants."""
    headers = [*_HEADERS.items(), *warning_headers(warnings)]
    if wanted.type == YAML:
        text = yaml.safe_dump(codec.decode(body), sort_keys=False)
        return web.Response(body=text.encode(), status=status, headers=[*headers, ("Content-Type", YAML)])
    return web.Response(body=body, status=status, headers=[*headers, ("Content-Type", JSON)])


def document(obj: Obj, *, status: int = 200, wanted: Wanted = _PLAIN) -> web.Response:
    return encoded(codec.encode(obj), status=status, wanted=wanted)


def failure(error: StatusError) -> web.Response:
    response = document(error.to_status(), status=error.code)
    if error.retry_after is not None:
        response.headers["Retry-After"] = str(error.retry_after)
    return response


def list_meta(answer: ListAnswer) -> Obj:
    meta: Obj = {"resourceVersion": str(answer.revision)}
    if answer.continue_token:
        meta["continue"] = answer.continue_token
    if answer.remaining is not None:
        meta["remainingItemCount"] = answer.remaining
    return meta


def list_body(resource: Resource, answer: ListAnswer) -> bytes:
    """The list document around items that are encoded already."""
    head = codec.encode(
        {"kind": f"{resource.kind}List", "apiVersion": resource.api_version, "metadata": list_meta(answer)}
    )
    return b'%b,"items":[%b]}\n' % (head[:-1], b",".join(answer.items))
