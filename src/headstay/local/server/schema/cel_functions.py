"""CEL functions that Kubernetes adds to the language and that we can offer; all others are refused by name.

The engine knows the language's own functions and macros. What it cannot parse (`self.?field`, `cel.bind`, two-variable
macros) is refused as a syntax error. Source: https://kubernetes.io/docs/reference/using-api/cel/
"""

import ipaddress
import itertools
from collections.abc import Callable
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

from headstay.local.server.schema.quantities import canonical
from headstay.model.quantity import parse_quantity

NATIVE = frozenset({
    "bool", "bytes", "contains", "double", "duration", "dyn", "endsWith", "getDate", "getDayOfMonth", "getDayOfWeek",
    "getDayOfYear", "getFullYear", "getHours", "getMilliseconds", "getMinutes", "getMonth", "getSeconds", "hasValue",
    "int", "matches", "none", "of", "ofNonZeroValue", "or", "orValue", "startsWith", "string", "timestamp", "type",
    "uint", "value",
})  # fmt: skip
"""Functions of the engine itself. `size` is ours: the engine counts bytes of strings, CEL counts code points."""
SIZE = "sizeInCodePoints"


def _size(value: Any) -> int:
    return len(value)


def _char_at(text: str, index: int) -> str:
    if not 0 <= index <= len(text):
        raise ValueError(f"index out of range: {index}")
    return text[index : index + 1]


def _index_of(value: Any, part: Any, offset: int = 0) -> int:
    if isinstance(value, str):
        return value.find(part, offset)
    return next((index for index, item in enumerate(value) if item == part), -1)


def _last_index_of(value: Any, part: Any) -> int:
    if isinstance(value, str):
        return value.rfind(part)
    return next((index for index in range(len(value) - 1, -1, -1) if value[index] == part), -1)


def _replace(text: str, old: str, new: str, limit: int = -1) -> str:
    return text.replace(old, new, limit)


def _split(text: str, separator: str, limit: int = -1) -> list[str]:
    if limit == 0:
        return []
    return list(text) if not separator else text.split(separator, limit - 1 if limit > 0 else -1)


def _substring(text: str, start: int, end: int | None = None) -> str:
    stop = len(text) if end is None else end
    if not 0 <= start <= stop <= len(text):
        raise ValueError(f"index out of range: {start}, {stop}")
    return text[start:stop]


def _is_sorted(values: list[Any]) -> bool:
    return all(one <= other for one, other in itertools.pairwise(values))


def _is_quantity(text: str) -> bool:
    return _accepts(lambda: parse_quantity(text))


def _accepts(parse: Callable[[], object]) -> bool:
    try:
        parse()
    except ValueError:
        return False
    return True


def _compare(one: str, other: str) -> int:
    left, right = parse_quantity(one), parse_quantity(other)
    return (left > right) - (left < right)


def _amount(value: str | int) -> Decimal:
    return Decimal(value) if isinstance(value, int) else parse_quantity(value)


def _is_integer(value: str) -> bool:
    amount = parse_quantity(value)
    return amount == amount.to_integral_value() and abs(amount) < 2**63


def _as_integer(value: str) -> int:
    if not _is_integer(value):
        raise ValueError("cannot convert value to integer")
    return int(parse_quantity(value))


def _is_url(text: str) -> bool:
    return _accepts(lambda: _absolute(text))


def _absolute(text: str) -> None:
    parts = urlsplit(text)
    if not (parts.scheme and parts.netloc) and not text.startswith("/"):
        raise ValueError(f"URL parse error during conversion from string: parse {text!r}: invalid URI for request")


def _contains_all(one: list[Any], other: list[Any]) -> bool:
    return all(item in one for item in other)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    SIZE: _size,
    # strings
    "charAt": _char_at,
    "indexOf": _index_of,
    "join": lambda values, separator="": separator.join(values),
    "lastIndexOf": _last_index_of,
    "lowerAscii": lambda text: "".join(letter.lower() if letter.isascii() else letter for letter in text),
    "replace": _replace,
    "split": _split,
    "substring": _substring,
    "trim": lambda text: text.strip(),
    "upperAscii": lambda text: "".join(letter.upper() if letter.isascii() else letter for letter in text),
    # lists
    "isSorted": _is_sorted,
    "max": max,
    "min": min,
    "sum": sum,
    # sets
    "sets.contains": _contains_all,
    "sets.equivalent": lambda one, other: _contains_all(one, other) and _contains_all(other, one),
    "sets.intersects": lambda one, other: any(item in one for item in other),
    # quantities travel as their canonical text
    "quantity": canonical,
    "isQuantity": _is_quantity,
    "isGreaterThan": lambda one, other: _compare(one, other) > 0,
    "isLessThan": lambda one, other: _compare(one, other) < 0,
    "compareTo": _compare,
    "add": lambda one, other: canonical(str(_amount(one) + _amount(other))),
    "sub": lambda one, other: canonical(str(_amount(one) - _amount(other))),
    "isInteger": _is_integer,
    "asInteger": _as_integer,
    "asApproximateFloat": lambda value: float(parse_quantity(value)),
    "sign": lambda value: _compare(value, "0"),
    # addresses
    "isURL": _is_url,
    "isIP": lambda text: _accepts(lambda: ipaddress.ip_address(text)),
    "isCIDR": lambda text: _accepts(lambda: ipaddress.ip_network(text, strict=False)),
}
