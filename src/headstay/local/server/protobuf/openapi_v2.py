"""The OpenAPI v2 document in gnostic's protobuf encoding, which kubectl insists on when it checks a List itself.

Only the definitions are encoded: what a client looks up in the paths it finds in OpenAPI v3.
"""

import struct
from typing import Any

import msgspec

from headstay.local.server.protobuf.wire import BYTES, FIXED64, VARINT
from headstay.model.objects import Obj

CONTENT_TYPE = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
ACCEPTED_TYPES = (CONTENT_TYPE, "application/com.github.proto-openapi.spec.v2@v1.0+protobuf")
"""Clients ask with the second, which is no valid media type: Go cannot parse it in an answer."""
_TEXTS = {"$ref": 1, "format": 2, "title": 3, "description": 4, "pattern": 13}
_DOUBLES = {"multipleOf": 6, "maximum": 7, "minimum": 9}
_FLAGS = {"exclusiveMaximum": 8, "exclusiveMinimum": 10, "uniqueItems": 16}
_NUMBERS = {"maxLength": 11, "minLength": 12, "maxItems": 14, "minItems": 15, "maxProperties": 17, "minProperties": 18}
_DEFAULT, _REQUIRED, _ENUM, _ADDITIONAL, _TYPE, _ITEMS, _ALL_OF, _PROPERTIES, _EXTENSION = (
    5,
    19,
    20,
    21,
    22,
    23,
    24,
    25,
    31,
)


def encode_v2(document: Obj) -> bytes:
    info = document["info"]
    definitions = b"".join(_part(1, _named(name, _schema(schema))) for name, schema in document["definitions"].items())
    return b"".join(
        (
            _text(1, document["swagger"]),
            _part(2, _text(1, info["title"]) + _text(2, info["version"])),
            _part(8, b""),
            _part(9, definitions),
        )
    )


def _schema(schema: Obj) -> bytes:
    parts: list[bytes] = []
    for key, value in schema.items():
        if number := _TEXTS.get(key):
            parts.append(_text(number, value))
        elif number := _DOUBLES.get(key):
            parts.append(_varint(number << 3 | FIXED64) + struct.pack("<d", value))
        elif number := _FLAGS.get(key) or _NUMBERS.get(key):
            parts.append(_varint(number << 3 | VARINT) + _varint(int(value)))
        elif key.startswith("x-"):
            parts.append(_part(_EXTENSION, _named(key, _any(value))))
        else:
            parts.append(_nested(key, value))
    return b"".join(parts)


def _nested(key: str, value: Any) -> bytes:
    match key:
        case "type":
            types = value if isinstance(value, list) else [value]
            return _part(_TYPE, b"".join(_text(1, name) for name in types))
        case "properties":
            named = (_part(1, _named(name, _schema(schema))) for name, schema in value.items())
            return _part(_PROPERTIES, b"".join(named))
        case "items":
            return _part(_ITEMS, _part(1, _schema(value)))
        case "additionalProperties":
            if isinstance(value, bool):
                return _part(_ADDITIONAL, _varint(2 << 3 | VARINT) + _varint(int(value)))
            return _part(_ADDITIONAL, _part(1, _schema(value)))
        case "required":
            return b"".join(_text(_REQUIRED, name) for name in value)
        case "allOf":
            return b"".join(_part(_ALL_OF, _schema(schema)) for schema in value)
        case "enum":
            return b"".join(_part(_ENUM, _any(item)) for item in value)
        case "default":
            return _part(_DEFAULT, _any(value))
    return b""


def _any(value: Any) -> bytes:
    """Any value as YAML text; JSON is that too."""
    return _part(2, msgspec.json.encode(value))


def _named(name: str, value: bytes) -> bytes:
    return _text(1, name) + _part(2, value)


def _text(number: int, value: str) -> bytes:
    return _part(number, value.encode())


def _part(number: int, data: bytes) -> bytes:
    return _varint(number << 3 | BYTES) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
