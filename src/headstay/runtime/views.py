"""From bytes to what a cache holds, never holding `managedFields`.

A msgspec View takes only its own fields, so it costs a few KB an object. Where a whole document is needed (to edit it
and write it back, or because it is the user's), `Document` holds it as encoded bytes and decodes on demand: five times
smaller than dicts, and nobody can change the cache by accident.
"""

from collections.abc import Callable
from typing import TypeVar

import msgspec

from headstay.model.meta import ObjectMeta, View
from headstay.model.objects import Obj

T = TypeVar("T")

_OBJECT = msgspec.json.Decoder(dict)
_ENCODER = msgspec.json.Encoder()


class _Head(View):
    metadata: ObjectMeta = msgspec.field(default_factory=ObjectMeta)


_HEAD = msgspec.json.Decoder(_Head)


class Document:
    """A whole object: its metadata as a view, the rest behind `obj()`."""

    __slots__ = ("_encoded", "metadata")

    def __init__(self, metadata: ObjectMeta, encoded: bytes) -> None:
        self.metadata = metadata
        self._encoded = encoded

    @classmethod
    def from_json(cls, encoded: bytes) -> "Document":
        metadata = _HEAD.decode(encoded).metadata
        if b'"managedFields"' in encoded:
            obj = _OBJECT.decode(encoded)
            (obj.get("metadata") or {}).pop("managedFields", None)
            encoded = _ENCODER.encode(obj)
        return cls(metadata, encoded)

    def obj(self) -> Obj:
        """A fresh copy of the document (without managedFields), the caller's to change."""
        found: Obj = _OBJECT.decode(self._encoded)
        return found


def decoder_of(view: type[T]) -> Callable[[bytes], T]:
    """How `view` is made from an encoded object: its `from_json` if it has one, else msgspec."""
    own: Callable[[bytes], T] | None = getattr(view, "from_json", None)
    if own is not None:
        return own
    decode = msgspec.json.Decoder(view).decode
    raw_fields = [field.name for field in msgspec.structs.fields(view) if field.type is msgspec.Raw]  # type: ignore[arg-type]
    if not raw_fields:
        return decode

    def detached(encoded: bytes) -> T:
        # A Raw is a window on the message it came from and would keep all of it, managedFields included, in memory.
        item = decode(encoded)
        for name in raw_fields:
            setattr(item, name, getattr(item, name).copy())
        return item

    return detached
