"""From a protobuf body to the document its JSON would have been. Pure, driven by messages.txt.

Go's encoder writes every field that is not a pointer, empty ones too; Go's JSON leaves the empty ones out. `^` in
the table says which are kept, so that a client's document is the same in both encodings. What the table does not
know is refused by name, never dropped.
"""

import re
import struct
from base64 import b64encode
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib import resources
from typing import Any, NamedTuple

import msgspec

from headstay.local.server.protobuf.wire import BYTES, FIXED64, Field, ProtobufError, fields, signed, varints
from headstay.model.objects import Obj

MAGIC = b"k8s\x00"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_OPTIONS = {"CreateOptions", "DeleteOptions", "PatchOptions", "UpdateOptions"}
_SPEC = re.compile(r"^(?P<name>\w+)(?P<keep>\^?)(?P<many>[*%]?)(?P<type>[#?!~]|=[\w.]+)?$")


class Spec(NamedTuple):
    """One field. `type` is "" for text, one of `#?!~`, or a message's name; an inline one has no `name`."""

    name: str
    type: str
    many: str
    keep: bool


@cache
def messages() -> dict[str, dict[int, Spec]]:
    text = resources.files(__package__).joinpath("messages.txt").read_text()
    lines = (line.partition(": ") for line in text.splitlines() if line and not line.startswith("#"))
    return {name.rstrip(":"): _numbered(specs.split()) for name, _, specs in lines}


def _numbered(specs: list[str]) -> dict[int, Spec]:
    return {number: _spec(text) for number, text in enumerate(specs, 1) if text != "-"}


def _spec(text: str) -> Spec:
    if text.startswith("<"):
        return Spec("", text[1:], "", keep=True)
    match = _SPEC.match(text)
    if match is None:
        raise ValueError(f"messages.txt: {text!r} is not a field")
    return Spec(match["name"], (match["type"] or "").lstrip("="), match["many"], bool(match["keep"]))


def decode_body(data: bytes) -> Obj:
    """The object in a body of type application/vnd.kubernetes.protobuf. Raises ProtobufError."""
    if not data.startswith(MAGIC):
        raise ProtobufError("the body does not start with the prefix of Kubernetes' protobuf encoding")
    api_version, kind, raw = "", "", b""
    for field in fields(data[len(MAGIC) :]):
        match field.number, field.value:
            case 1, bytes(value):
                api_version, kind = _type_meta(value)
            case 2, bytes(value):
                raw = value
    name = _message_name(api_version, kind)
    if name not in messages():
        raise ProtobufError(f"{kind} in {api_version} is not known in its protobuf encoding; send JSON")
    return {"apiVersion": api_version, "kind": kind} | _message(name, raw)


def _type_meta(data: bytes) -> tuple[str, str]:
    found = {field.number: field.value for field in fields(data) if isinstance(field.value, bytes)}
    return _text(found.get(1, b"")), _text(found.get(2, b""))


def _message_name(api_version: str, kind: str) -> str:
    if kind in _OPTIONS:
        return f"meta.v1.{kind}"
    group, _, version = api_version.rpartition("/")
    return f"{group.partition('.')[0] or 'core'}.{version}.{kind}"


def _message(name: str, data: bytes) -> Obj:
    specs = messages()[name]
    found: Obj = {}
    for field in fields(data):
        spec = specs.get(field.number)
        if spec is None:
            raise ProtobufError(f"unknown field number {field.number} in {name}")
        if not spec.name:
            found |= _message(spec.type, _bytes(field))
        elif spec.many == "*":
            found.setdefault(spec.name, []).extend(_items(spec, field))
        elif spec.many == "%":
            key, value = _entry(spec, _bytes(field))
            found.setdefault(spec.name, {})[key] = value
        else:
            value = _value(spec.type, field)
            if value is not None and (value or spec.keep or isinstance(value, dict)):
                found[spec.name] = value
    return found


def _items(spec: Spec, field: Field) -> list[Any]:
    if spec.type == "#" and field.type == BYTES:
        return [signed(value) for value in varints(_bytes(field))]
    return [_value(spec.type, field)]


def _entry(spec: Spec, data: bytes) -> tuple[str, Any]:
    key, value = "", Field(2, BYTES, b"")
    for field in fields(data):
        if field.number == 1:
            key = _text(_bytes(field))
        else:
            value = field
    return key, _value(spec.type, value)


def _value(kind: str, field: Field) -> Any:
    match kind:
        case "":
            return _text(_bytes(field))
        case "#":
            return signed(_number(field))
        case "?":
            return bool(_number(field))
        case "!":
            return b64encode(_bytes(field)).decode()
        case "~":
            return _double(field)
    if special := _SPECIAL.get(kind):
        return special(_bytes(field))
    return _message(kind, _bytes(field))


def _time(data: bytes) -> str | None:
    """Null for the zero time, which is what an unset timestamp is."""
    seconds, nanos = _seconds(data)
    if not data:
        return None
    moment = _EPOCH + timedelta(seconds=seconds, microseconds=nanos // 1000)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _micro_time(data: bytes) -> str | None:
    seconds, nanos = _seconds(data)
    if not data:
        return None
    moment = _EPOCH + timedelta(seconds=seconds, microseconds=nanos // 1000)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _seconds(data: bytes) -> tuple[int, int]:
    found = {field.number: signed(_number(field)) for field in fields(data)}
    return found.get(1, 0), found.get(2, 0)


def _quantity(data: bytes) -> str:
    return next((_text(_bytes(field)) for field in fields(data) if field.number == 1), "0")


def _int_or_string(data: bytes) -> int | str:
    is_text, number, text = False, 0, ""
    for field in fields(data):
        match field.number:
            case 1:
                is_text = _number(field) == 1
            case 2:
                number = signed(_number(field))
            case 3:
                text = _text(_bytes(field))
    return text if is_text else number


def _raw(data: bytes) -> Any:
    """JSON inside protobuf: managed fields, a ControllerRevision's data."""
    raw = next((_bytes(field) for field in fields(data) if field.number == 1), b"")
    try:
        return msgspec.json.decode(raw) if raw else None
    except msgspec.DecodeError as error:
        raise ProtobufError(f"not JSON where JSON is embedded: {error}") from error


def _texts(data: bytes) -> list[str]:
    return [_text(_bytes(field)) for field in fields(data)]


_SPECIAL: dict[str, Callable[[bytes], Any]] = {
    "Time": _time,
    "MicroTime": _micro_time,
    "Quantity": _quantity,
    "IntOrString": _int_or_string,
    "RawExtension": _raw,
    "ListOf": _texts,
}


def _bytes(field: Field) -> bytes:
    if not isinstance(field.value, bytes):
        raise ProtobufError(f"field {field.number} is a number where bytes are expected")
    return field.value


def _number(field: Field) -> int:
    if isinstance(field.value, bytes):
        raise ProtobufError(f"field {field.number} is bytes where a number is expected")
    return field.value


def _double(field: Field) -> float:
    if field.type != FIXED64:
        raise ProtobufError(f"field {field.number} is not a double")
    return float(struct.unpack("<d", _bytes(field))[0])


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise ProtobufError("text in a protobuf message is not UTF-8") from error
