"""Custom kinds: the columns that their CRD declares, or the age alone where it declares none."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from headstay.local.server import codec
from headstay.local.server.printing.ages import UNKNOWN, duration
from headstay.local.server.printing.jsonpath import JsonPath
from headstay.local.server.printing.table import AGE, NAME, Column, Printer
from headstay.local.server.printing.text import created, name
from headstay.model.objects import Obj
from headstay.model.timestamps import parse

Cell = Callable[[Obj, datetime], Any]


def custom_printer(declared: tuple[Obj, ...]) -> Printer:
    if not declared:
        return Printer((NAME, AGE), lambda obj, now: [name(obj), created(obj, now)])
    columns = tuple(_column(document) for document in declared)
    cells = [_cell(document) for document in declared]
    return Printer((NAME, *columns), lambda obj, now: [name(obj), *(cell(obj, now) for cell in cells)])


def _column(document: Obj) -> Column:
    return Column(
        document["name"],
        document["type"],
        document.get("description")
        or f"Custom resource definition column (in JSONPath format): {document['jsonPath']}",
        document.get("priority") or 0,
        document.get("format") or "",
    )


def _cell(document: Obj) -> Cell:
    try:
        path = JsonPath(document["jsonPath"])
    except ValueError:
        # The kind is served all the same; its table says which column cannot be shown.
        return lambda _obj, _now: "<unsupported JSONPath>"
    show = _SHOW.get(document["type"], _text)

    def cell(obj: Obj, now: datetime) -> Any:
        found = path.find(obj)
        return show(found, now) if found else None

    return cell


def _date(found: list[Any], now: datetime) -> Any:
    """How long ago. A time to come is `<invalid>` in tables as in kubectl, though one second of skew is not."""
    try:
        moment = parse(str(found[0]))
    except ValueError:
        return "<invalid>"
    seconds = (now - moment).total_seconds()
    return duration(seconds) if found[0] else UNKNOWN


def _integer(found: list[Any], now: datetime) -> Any:  # noqa: ARG001
    value = found[0]
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _number(found: list[Any], now: datetime) -> Any:  # noqa: ARG001
    value = found[0]
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _boolean(found: list[Any], now: datetime) -> Any:  # noqa: ARG001
    return found[0] if isinstance(found[0], bool) else None


def _text(found: list[Any], now: datetime) -> Any:  # noqa: ARG001
    """Several matches are shown one after another, as JSONPath templates print them."""
    return " ".join(_plain(value) for value in found)


def _plain(value: Any) -> str:
    if isinstance(value, str):
        return value
    return codec.encode(value).decode()


_SHOW: dict[str, Callable[[list[Any], datetime], Any]] = {
    "date": _date,
    "integer": _integer,
    "number": _number,
    "boolean": _boolean,
    "string": _text,
}
