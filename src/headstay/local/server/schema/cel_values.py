"""Values as CEL sees them: typed by the schema (a `number` is a double even when it is written `1`)."""

from datetime import datetime, timedelta
from typing import Any

from headstay.local.server.schema.formats import decode_bytes, go_duration
from headstay.local.server.schema.node import Node

_RESERVED = frozenset({
    "as", "break", "const", "continue", "else", "false", "for", "function", "if", "import", "in", "let", "loop",
    "namespace", "null", "package", "return", "true", "var", "void", "while",
})  # fmt: skip
_TYPED_FORMATS = frozenset({"byte", "date", "date-time", "duration"})


def escaped(name: str) -> str:
    """A property's name as a rule writes it: `x-y` is `x__dash__y`, `namespace` is `__namespace__`."""
    if name in _RESERVED:
        return f"__{name}__"
    return (
        name.replace("__", "__underscores__").replace(".", "__dot__").replace("-", "__dash__").replace("/", "__slash__")
    )


def is_plain(node: Node, seen: dict[int, bool] | None = None) -> bool:
    """Whether values of this schema mean the same to CEL as they do in JSON."""
    seen = {} if seen is None else seen
    known = seen.get(id(node))
    if known is None:
        seen[id(node)] = True
        below = [*node.properties.values(), node.items, node.additional]
        known = seen[id(node)] = (
            node.type != "number"
            and node.format not in _TYPED_FORMATS
            and all(escaped(name) == name for name in node.properties)
            and all(is_plain(child, seen) for child in below if child is not None)
        )
    return known


def to_cel(node: Node, value: Any) -> Any:
    match value:
        case dict():
            found = {}
            for name, item in value.items():
                known = node.properties.get(name)
                if known is not None:
                    found[escaped(name)] = to_cel(known, item)
                else:
                    found[name] = to_cel(node.additional, item) if node.additional is not None else item
            return found
        case list():
            return [to_cel(node.items, item) for item in value] if node.items is not None else value
        case bool() | None:
            return value
        case int() if node.type == "number":
            return float(value)
        case str() if node.format in _TYPED_FORMATS and not node.native:
            return _typed(node.format, value)
    return value


def _typed(name: str, value: str) -> bytes | datetime | timedelta | str:
    try:
        match name:
            case "byte":
                return decode_bytes(value)
            case "duration":
                return go_duration(value)
        return datetime.fromisoformat(value if "T" in value.upper() else f"{value}T00:00:00Z")
    except ValueError:
        return value  # validation has already said that it is not of its format
