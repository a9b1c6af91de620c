"""Lists, objects and watch events in the shape a client asked for: as they are, as Tables, or as metadata alone."""

from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple, cast

from headstay.local.server import codec, errors
from headstay.local.server.negotiation import Wanted
from headstay.local.server.printing.printers import printer_of
from headstay.local.server.printing.table import IncludeObject, partial_metadata, table
from headstay.local.server.requests import ListAnswer, Target
from headstay.local.server.responses import list_body, list_meta
from headstay.local.server.watch import Frame
from headstay.model.objects import Obj

_INCLUDES = {"None", "Metadata", "Object"}


class Shaper(NamedTuple):
    target: Target
    wanted: Wanted
    include: IncludeObject
    clock: Callable[[], datetime]

    def listed(self, answer: ListAnswer) -> bytes:
        if self.wanted.shape == "Table":
            return codec.encode(self._table(answer.items, list_meta(answer)))
        if self.wanted.shape:
            version = self.wanted.version
            items = [partial_metadata(codec.decode_object(item), version) for item in answer.items]
            head = {"kind": "PartialObjectMetadataList", "apiVersion": f"meta.k8s.io/{version}"}
            return codec.encode(head | {"metadata": list_meta(answer), "items": items})
        return list_body(self.target.resource, answer)

    def one(self, body: bytes) -> bytes:
        if self.wanted.shape == "Table":
            meta = {"resourceVersion": codec.decode_object(body)["metadata"].get("resourceVersion", "")}
            return codec.encode(self._table([body], meta))
        if self.wanted.shape:
            return codec.encode(partial_metadata(codec.decode_object(body), self.wanted.version))
        return body

    def events(self) -> Callable[[Frame], bytes]:
        """Encodes the events of one watch. Column definitions travel with the first row only."""
        if self.wanted.shape == "Table":
            return self._table_events()
        if self.wanted.shape:
            return lambda frame: _line(frame.type, self.one(frame.object))
        return lambda frame: _line(frame.type, frame.object)

    def _table_events(self) -> Callable[[Frame], bytes]:
        first = True

        def encode(frame: Frame) -> bytes:
            nonlocal first
            version = codec.decode_object(frame.object)["metadata"].get("resourceVersion", "")
            rows = [] if frame.type == "BOOKMARK" else [frame.object]
            document = self._table(rows, {"resourceVersion": version}, with_columns=first)
            first = False
            return _line(frame.type, codec.encode(document))

        return encode

    def _table(self, items: list[bytes], meta: Obj, *, with_columns: bool = True) -> Obj:
        return table(
            printer_of(self.target.served),
            items,
            self.clock(),
            meta=meta,
            version=self.wanted.version,
            include=self.include,
            with_columns=with_columns,
        )


def _line(kind: str, body: bytes) -> bytes:
    return b'{"type":"%b","object":%b}\n' % (kind.encode(), body)


def include_of(text: str) -> IncludeObject:
    if text and text not in _INCLUDES:
        raise errors.bad_request(f"includeObject: Unsupported value: {text!r}")
    return cast("IncludeObject", text or "Metadata")
