"""Kubernetes' own types, read as Go's JSON decoder reads them.

A value of the wrong type is a decoding error in Go's words; null is the same as absent, and so is an empty list or
map; quantities, times and base64 come out in their canonical form. Unknown fields are dropped
(`prune.unknown_fields` reports them).
"""

import re
from collections.abc import Collection
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from headstay.local.server.schema.fields import child, quoted
from headstay.local.server.schema.formats import decode_bytes, is_date_time
from headstay.local.server.schema.node import Node
from headstay.local.server.schema.quantities import canonical
from headstay.model.objects import Obj
from headstay.model.timestamps import rfc3339, rfc3339_micro

_RANGES = {"int32": (-(2**31), 2**31 - 1)}
_INT64 = (-(2**63), 2**63 - 1)
_SECONDS = re.compile(r"[^tz]+", re.ASCII)
_MICRO = re.compile(r"[^tz.]+\.\d{6}[^tz\d].*", re.ASCII)
_CANONICAL_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.ASCII)
_MICRO_TIME = "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime"
_SCHEMA_OR_BOOL = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrBool"
_ZEROES: dict[str, Any] = {"string": "", "integer": 0, "number": 0, "boolean": False}


class DecodeError(ValueError):
    """The document is not of its kind; the text is what Go's decoder would say."""


def decode(node: Node, obj: Any, path: str = "", settled: Collection[str] = ()) -> None:
    """Checks and tidies an object of a native type, in place. Fields that are `settled` are taken as they are."""
    if not isinstance(obj, dict):
        raise _unmarshal(obj, _go_type(node), path, node)
    kept = {name: obj.pop(name) for name in settled}
    try:
        _struct(node, obj, path)
    finally:
        obj |= kept  # also for who says which object could not be decoded


def decode_metadata(node: Node, obj: Any, path: str = "") -> None:
    """The same for the metadata of a custom resource, and of the objects embedded in it."""
    if isinstance(obj, list) and node.items is not None and node.items.has_embedded:
        for index, item in enumerate(obj):
            decode_metadata(node.items, item, f"{path}[{index}]")
    if not isinstance(obj, dict):
        return
    for name, value in obj.items():
        known = node.properties.get(name) or node.additional
        if known is None or value is None:
            continue
        if known.native:
            decode(known, value, child(path, name))
        elif known.has_embedded:
            decode_metadata(known, value, child(path, name))


def _struct(node: Node, obj: Obj, path: str) -> None:
    dropped: list[str] = []
    for name, value in obj.items():
        known = node.properties.get(name)
        if known is None or value is None:
            dropped.append(name)
        elif type(value) is not str or known.type != "string" or known.format:  # else it is what it should be
            obj[name] = found = _value(known, value, child(path, name), node)
            if name not in node.required and _is_omitted(known, found):
                dropped.append(name)
    for name in dropped:
        del obj[name]


def _is_omitted(node: Node, value: Any) -> bool:
    """Go writes no empty list and no empty map (`omitempty`); an empty struct it does."""
    return value == [] or (value == {} and node.additional is not None)


def _value(node: Node, value: Any, path: str, owner: Node) -> Any:
    match node.type:
        case "object":
            return _object(node, value, path, owner)
        case "array":
            return _list(node, value, path, owner)
        case "string":
            if not isinstance(value, str) and node.format != "quantity":
                raise _unmarshal(value, _go_type(node), path, owner)
            return _string(node, value) if node.format else value
        case "integer" | "number" | "boolean":
            _scalar(node, value, path, owner)
            return value
    if node.int_or_string:
        _int_or_string(value)
    elif node.definition == _SCHEMA_OR_BOOL and not isinstance(value, dict | bool):
        raise DecodeError("boolean or JSON schema expected")
    elif isinstance(value, dict) and node.properties:
        _struct(node, value, path)
    elif isinstance(value, list) and node.items is not None:
        return _list(node, value, path, owner)
    return value


def _object(node: Node, value: Any, path: str, owner: Node) -> Any:
    if not isinstance(value, dict):
        raise _unmarshal(value, _go_type(node), path, owner)
    if node.additional is not None:
        for key, item in value.items():
            value[key] = _zero(node.additional) if item is None else _value(node.additional, item, path, owner)
    elif not node.preserve_unknown_fields:
        _struct(node, value, path)
    return value


def _list(node: Node, value: Any, path: str, owner: Node) -> Any:
    if not isinstance(value, list):
        raise _unmarshal(value, _go_type(node), path, owner)
    items = node.items
    if items is not None:
        for index, item in enumerate(value):
            value[index] = _zero(items) if item is None else _value(items, item, path, owner)
    return value


def _zero(node: Node) -> Any:
    """What Go makes of a null in a list or map: the zero value of the element's type."""
    if node.type == "object":
        return {}
    return [] if node.type == "array" else _ZEROES.get(node.type)


def _string(node: Node, value: Any) -> str:
    match node.format:
        case "quantity":
            return canonical_quantity(value)
        case "date-time":
            return _time(value, micro=node.definition == _MICRO_TIME)
        case "byte":
            value = value.replace("\n", "").replace("\r", "")
            try:
                decode_bytes(value)
            except ValueError as error:
                raise DecodeError(f"illegal base64 data at input byte {_first_bad_byte(value)}") from error
    return str(value)


def canonical_quantity(value: Any) -> str:
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        try:
            return canonical(value)
        except ValueError:
            pass
    raise DecodeError("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")


@lru_cache(maxsize=512)
def _time(text: str, *, micro: bool) -> str:
    """Remembered: one write after another carries the times of the same few seconds."""
    if not micro and _CANONICAL_TIME.fullmatch(text) and is_date_time(text):
        return text
    if not is_date_time(text) or not (_MICRO if micro else _SECONDS).fullmatch(text):
        layout = "2006-01-02T15:04:05.000000Z07:00" if micro else "2006-01-02T15:04:05Z07:00"
        raise DecodeError(f'parsing time {quoted(text)} as {quoted(layout)}: cannot parse {quoted(text)} as "2006"')
    moment = datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text.upper())).astimezone(UTC)
    return rfc3339_micro(moment) if micro else rfc3339(moment)


def _first_bad_byte(text: str) -> int:
    """Where Go finds fault: the first byte that cannot be there, or the quartet that is cut short."""
    found = re.search(r"[^A-Za-z0-9+/]", text)
    return found.start() if found and text[found.start()] != "=" else len(text.rstrip("=")) // 4 * 4


def _scalar(node: Node, value: Any, path: str, owner: Node) -> None:
    if node.type == "boolean":
        if not isinstance(value, bool):
            raise _unmarshal(value, "bool", path, owner)
        return
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _unmarshal(value, _go_type(node), path, owner)
    if node.type == "integer":
        low, high = _RANGES.get(node.format, _INT64)
        if isinstance(value, float) or not low <= value <= high:
            raise _unmarshal(value, _go_type(node), path, owner, number=str(value))


def _int_or_string(value: Any) -> None:
    if isinstance(value, str):
        return
    if isinstance(value, bool) or not isinstance(value, int):
        number = f" {value}" if isinstance(value, float) else ""
        raise DecodeError(f"json: cannot unmarshal {_json_word(value)}{number} into Go value of type int32")


def _json_word(value: Any) -> str:
    match value:
        case bool():
            return "bool"
        case str():
            return "string"
        case dict():
            return "object"
        case list():
            return "array"
    return "number"


def _go_type(node: Node) -> str:
    """The Go type of a field, as far as the schema tells (named string types read as plain strings)."""
    if node.definition:
        return ".".join(node.definition.split(".")[-2:])
    match node.type:
        case "string":
            return "[]uint8" if node.format == "byte" else "string"
        case "integer":
            return node.format or "int64"
        case "number":
            return "float64"
        case "boolean":
            return "bool"
        case "array":
            return f"[]{_go_type(node.items)}" if node.items else "[]interface {}"
        case "object":
            return f"map[string]{_go_type(node.additional)}" if node.additional else "map[string]interface {}"
    return "interface {}"


def _unmarshal(value: Any, go_type: str, path: str, owner: Node, *, number: str = "") -> DecodeError:
    word = f"number {number}" if number else _json_word(value)
    struct = owner.definition.rsplit(".", 1)[-1]
    return DecodeError(f"json: cannot unmarshal {word} into Go struct field {struct}.{path} of type {go_type}")
