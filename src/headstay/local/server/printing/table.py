"""Tables and metadata-only objects (meta.k8s.io/v1), the shapes that a client may ask for in place of objects."""

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, Literal, NamedTuple

from headstay.local.server import codec
from headstay.model.objects import Obj

IncludeObject = Literal["None", "Metadata", "Object"]


class Column(NamedTuple):
    """`priority` above 0 is shown with `-o wide` only."""

    name: str
    type: str = "string"
    description: str = ""
    priority: int = 0
    format: str = ""

    def document(self) -> Obj:
        return {
            "name": self.name,
            "type": self.type,
            "format": self.format,
            "description": self.description,
            "priority": self.priority,
        }


class Printer(NamedTuple):
    """The columns of a kind, and the cells of one of its objects at a moment, in the same order."""

    columns: tuple[Column, ...]
    cells: Callable[[Obj, datetime], list[Any]]
    conditions: Callable[[Obj], list[Obj]] | None = None
    """Row conditions; `kubectl get --watch-only` users see Completed ones greyed."""


NAME = Column("Name", description="Name must be unique within a namespace.", format="name")
AGE = Column("Age", description="CreationTimestamp is a timestamp representing the server time when it was created.")


def table(
    printer: Printer,
    objects: Iterable[bytes],
    now: datetime,
    *,
    meta: Obj,
    version: str = "v1",
    include: IncludeObject = "Metadata",
    with_columns: bool = True,
) -> Obj:
    return {
        "kind": "Table",
        "apiVersion": f"meta.k8s.io/{version}",
        "metadata": meta,
        "columnDefinitions": [column.document() for column in printer.columns] if with_columns else [],
        "rows": [_row(printer, data, now, version, include) for data in objects],
    }


def _row(printer: Printer, data: bytes, now: datetime, version: str, include: IncludeObject) -> Obj:
    obj = codec.decode_object(data)
    row: Obj = {"cells": printer.cells(obj, now)}
    if printer.conditions and (conditions := printer.conditions(obj)):
        row["conditions"] = conditions
    match include:
        case "Object":
            row["object"] = obj
        case "Metadata":
            row["object"] = partial_metadata(obj, version)
        case "None":
            row["object"] = None
    return row


def partial_metadata(obj: Obj, version: str = "v1") -> Obj:
    return {
        "kind": "PartialObjectMetadata",
        "apiVersion": f"meta.k8s.io/{version}",
        "metadata": obj["metadata"],
    }
