"""What an API server's answers mean: pages, watch lines and refusals, from their bytes."""

import aiohttp
import msgspec

from headstay.model.errors import StatusError
from headstay.model.meta import RawList, View
from headstay.model.resource import Resource
from headstay.runtime.client import Page, TransportError, WatchEvent

_REASONS = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    409: "Conflict",
    410: "Expired",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
    504: "Timeout",
}
_OBJECT = msgspec.json.Decoder(dict)


class _WatchLine(msgspec.Struct):
    type: str
    object: msgspec.Raw


class _Kind(View):
    kind: str = ""


def read_watch_line(line: bytes) -> WatchEvent:
    try:
        event = msgspec.json.decode(line, type=_WatchLine)
    except msgspec.DecodeError as error:
        raise TransportError(f"a watch line cannot be read: {error}") from error
    if event.type == "ERROR":
        raise StatusError.from_status(_OBJECT.decode(event.object), code=500)
    return WatchEvent(event.type, bytes(event.object))


def read_refusal(method: str, path: str, response: aiohttp.ClientResponse, body: bytes) -> StatusError:
    code = response.status
    asked = response.headers.get("Retry-After", "")
    retry_after = int(asked) if asked.isdigit() else None
    try:
        status = _OBJECT.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        status = {}
    if status.get("kind") != "Status":
        return StatusError(
            code,
            _REASONS.get(code, "Unknown"),
            f"{method} {path}: the server answered {code} without a Status",
            retry_after=retry_after,
        )
    error = StatusError.from_status(status, code=code)
    if error.retry_after is None:
        error.retry_after = retry_after
    return error


def _with_kind(resource: Resource, items: list[msgspec.Raw]) -> list[bytes]:
    """The items of a built-in list say neither apiVersion nor kind; everywhere else objects do, so they get them."""
    if not items or msgspec.json.decode(items[0], type=_Kind).kind:
        return [bytes(item) for item in items]
    head = b'{"apiVersion":"%s","kind":"%s",' % (resource.api_version.encode(), resource.kind.encode())
    return [head + bytes(item).lstrip()[1:] for item in items]


def read_page(resource: Resource, answer: bytes) -> Page:
    try:
        found = msgspec.json.decode(answer, type=RawList)
    except msgspec.DecodeError as error:
        raise TransportError(f"the list of {resource} cannot be read: {error}") from error
    return Page(_with_kind(resource, found.items), found.metadata.resource_version, found.metadata.continue_)
