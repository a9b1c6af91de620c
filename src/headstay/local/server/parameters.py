"""Query parameters and request bodies, as the core's options. Raises StatusError for what cannot be read."""

from collections.abc import Mapping
from typing import Any

import msgspec
import yaml

from headstay.local.seams import User
from headstay.local.server import codec, errors
from headstay.local.server.negotiation import JSON, PROTOBUF, YAML, body_type
from headstay.local.server.patching import CONTENT_TYPES, Patch
from headstay.local.server.protobuf import decode as protobuf
from headstay.local.server.protobuf.wire import ProtobufError
from headstay.local.server.requests import Call, DeleteOptions, Target
from headstay.local.server.watch import WatchOptions
from headstay.model.errors import Cause, StatusError
from headstay.model.objects import Obj

_TRUE = {"1", "true", "True", "t", "T", "TRUE"}
_FALSE = {"0", "false", "False", "f", "F", "FALSE", ""}
BODY_TYPES = (JSON, YAML, PROTOBUF)
_YAML_TYPES = {YAML, "application/x-yaml", "text/yaml"}
_LONGEST_MANAGER = 128
_VALIDATIONS = {"", "Ignore", "Warn", "Strict"}


def flag(query: Mapping[str, str], name: str) -> bool:
    value = query.get(name, "")
    if value not in _TRUE | _FALSE:
        raise errors.bad_request(f"{name}: {value!r} is not a boolean")
    return value in _TRUE


def number(query: Mapping[str, str], name: str) -> int | None:
    value = query.get(name, "")
    if not value:
        return None
    try:
        return int(value)
    except ValueError as error:
        raise errors.bad_request(f'strconv.ParseInt: parsing "{value}": invalid syntax') from error


def resource_version(query: Mapping[str, str]) -> int:
    text = query.get("resourceVersion", "")
    if text and not text.isdecimal():
        raise errors.invalid_resource_version(text)
    return int(text or 0)


def exact_revision(query: Mapping[str, str]) -> int:
    """The revision that a list must show exactly; 0 where any recent one will do."""
    match = query.get("resourceVersionMatch", "")
    revision = resource_version(query)
    if match not in {"", "Exact", "NotOlderThan"}:
        cause = errors.unsupported_value("resourceVersionMatch", f'"{match}"', ("Exact", "NotOlderThan"))
        raise errors.invalid_options("ListOptions", cause)
    if match and not query.get("resourceVersion"):
        text = "Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided"
        raise errors.invalid_options("ListOptions", Cause("FieldValueForbidden", text, "resourceVersionMatch"))
    return revision if match == "Exact" else 0


def call_of(query: Mapping[str, str], user: User, user_agent: str, kind: str) -> Call:
    """Write options of a `kind` such as CreateOptions.

    Without `fieldManager` the first word of the user agent names the writer, as in Kubernetes.
    """
    dry_run = query.get("dryRun", "")
    if dry_run not in {"", "All"}:
        cause = errors.unsupported_value("dryRun", f'[]string{{"{dry_run}"}}', ("All",))
        raise errors.invalid_options(kind, cause)
    validation = query.get("fieldValidation", "")
    if validation not in _VALIDATIONS:
        cause = errors.unsupported_value("fieldValidation", f'"{validation}"', ("", "Ignore", "Strict", "Warn"))
        raise errors.invalid_options(kind, cause)
    manager = query.get("fieldManager") or user_agent.partition("/")[0]
    if len(manager) > _LONGEST_MANAGER:
        cause = Cause("FieldValueTooLong", f"Too long: may not be more than {_LONGEST_MANAGER} bytes", "fieldManager")
        raise errors.invalid_options(kind, cause)
    return Call(user, bool(dry_run), manager, validation or "Warn", flag(query, "force"))  # type: ignore[arg-type]


def delete_options(query: Mapping[str, str], body: Obj | None) -> DeleteOptions:
    """From the body where there is one; query parameters fill in."""
    document: Obj = {key: query[key] for key in ("propagationPolicy",) if query.get(key)}
    if (grace := number(query, "gracePeriodSeconds")) is not None:
        document["gracePeriodSeconds"] = grace
    if "orphanDependents" in query:
        document["orphanDependents"] = flag(query, "orphanDependents")
    return DeleteOptions.from_document(document | (body or {}))


def watch_options(query: Mapping[str, str], *, timeout_seconds: float, bookmark_seconds: float) -> WatchOptions:
    """`timeout_seconds` is for clients that do not ask for a time themselves."""
    asked = number(query, "timeoutSeconds")
    initial = flag(query, "sendInitialEvents") if "sendInitialEvents" in query else None
    if initial is not None and query.get("resourceVersionMatch") != "NotOlderThan":
        message = (
            'ListOptions.meta.k8s.io "" is invalid: resourceVersionMatch: Forbidden: sendInitialEvents requires '
            "setting resourceVersionMatch to NotOlderThan"
        )
        raise StatusError(422, "Invalid", message)
    return WatchOptions(
        query.get("resourceVersion", ""),
        float(asked) if asked else timeout_seconds,
        flag(query, "allowWatchBookmarks"),
        initial,
        bookmark_seconds,
    )


def decode_body(data: bytes, content_type: str, kind: str) -> Any:
    """A JSON, YAML or protobuf document of a `kind`. Raises 400 where it is none, 415 for another type."""
    media = body_type(content_type)
    if media in _YAML_TYPES:
        return decode_yaml(data)
    if media == PROTOBUF:
        return decode_protobuf(data)
    if media != JSON:
        raise errors.unsupported_media_type(BODY_TYPES)
    return decode_json(data, kind)


def decode_protobuf(data: bytes) -> Any:
    try:
        return protobuf.decode_body(data)
    except ProtobufError as error:
        raise errors.bad_request(f"protobuf body: {error}") from error


def decode_json(data: bytes, kind: str) -> Any:
    try:
        return codec.decode(data)
    except msgspec.DecodeError as error:
        text = f"couldn't get version/kind; json parse error: {error}"
        raise errors.bad_request(f"the object provided is unrecognized (must be of type {kind}): {text}") from error


def decode_yaml(data: bytes) -> Any:
    try:
        return yaml.load(data, Loader=_Loader)  # noqa: S506 - derived from the safe loader
    except yaml.YAMLError as error:
        raise errors.bad_request(f"error converting YAML to JSON: {error}") from error


class _Loader(yaml.CSafeLoader):
    """YAML as JSON sees it: a date stays the text that was written."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}


def patch_of(data: bytes, content_type: str, target: Target, accepted: tuple[str, ...]) -> Patch:
    kind = CONTENT_TYPES.get(body_type(content_type))
    if kind is None:
        raise errors.unsupported_media_type(accepted)
    if target.subresource == "" and not target.name:
        raise errors.method_not_allowed()
    return Patch(kind, decode_yaml(data) if kind == "apply" else decode_json(data, target.resource.kind))
