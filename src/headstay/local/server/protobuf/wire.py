"""The protobuf wire format, as far as Kubernetes uses it. Pure.

Raises ProtobufError for bytes that are not a message.
"""

from collections.abc import Iterator
from typing import NamedTuple

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
_MAX_VARINT = 10


class ProtobufError(ValueError):
    """Not the encoding, or not of a message we know."""


class Field(NamedTuple):
    """`value` is a number for VARINT, bytes for the others."""

    number: int
    type: int
    value: int | bytes


def fields(data: bytes) -> Iterator[Field]:
    position = 0
    while position < len(data):
        tag, position = _varint(data, position)
        number, kind = tag >> 3, tag & 7
        if kind == VARINT:
            found, position = _varint(data, position)
            yield Field(number, kind, found)
            continue
        if kind == BYTES:
            size, position = _varint(data, position)
        elif kind in {FIXED64, FIXED32}:
            size = 8 if kind == FIXED64 else 4
        else:
            raise ProtobufError(f"wire type {kind} is not used by Kubernetes")
        if position + size > len(data):
            raise ProtobufError("unexpected end of a protobuf message")
        yield Field(number, kind, data[position : position + size])
        position += size


def varints(data: bytes) -> Iterator[int]:
    """The numbers of a packed list."""
    position = 0
    while position < len(data):
        found, position = _varint(data, position)
        yield found


def signed(value: int) -> int:
    """A varint as the int64 that it stands for."""
    return value - (1 << 64) if value >= 1 << 63 else value


def _varint(data: bytes, position: int) -> tuple[int, int]:
    result = 0
    for shift in range(_MAX_VARINT):
        if position >= len(data):
            raise ProtobufError("unexpected end of a protobuf message")
        byte = data[position]
        position += 1
        result |= (byte & 0x7F) << (7 * shift)
        if byte < 0x80:
            return result & ((1 << 64) - 1), position
    raise ProtobufError("a protobuf number is too long")
