"""The rules of a schema that look at one value: enum, bounds, lengths, patterns, formats. One closure for each.

Messages are those of Kubernetes' validation (k8s.io/kube-openapi), to the letter where users see them.
"""

import math
from collections.abc import Iterator
from typing import Any

from headstay.local.server.schema import fields
from headstay.local.server.schema.formats import FORMATS
from headstay.local.server.schema.node import Check
from headstay.local.server.schema.patterns import matches, translate
from headstay.model.errors import Cause
from headstay.model.objects import Obj


def checks_of(schema: Obj) -> tuple[Check, ...]:
    """The checks that a (structural) schema asks for. Raises ValueError when its pattern is not one."""
    return tuple(_checks(schema))


def _checks(schema: Obj) -> Iterator[Check]:
    if (length := schema.get("maxLength")) is not None:
        yield _max_length(length)
    if (length := schema.get("minLength")) is not None:
        yield _min_length(length)
    if pattern := schema.get("pattern"):
        translate(pattern)
        yield _pattern(pattern)
    if (name := schema.get("format")) in FORMATS:
        yield _format(name)
    if (bound := schema.get("maximum")) is not None:
        yield _maximum(bound, exclusive=bool(schema.get("exclusiveMaximum")))
    if (bound := schema.get("minimum")) is not None:
        yield _minimum(bound, exclusive=bool(schema.get("exclusiveMinimum")))
    if factor := schema.get("multipleOf"):
        yield _multiple_of(factor)
    if (count := schema.get("maxItems")) is not None:
        yield _max_count(list, count)
    if (count := schema.get("minItems")) is not None:
        yield _min_count(list, count, "items")
    if (count := schema.get("maxProperties")) is not None:
        yield _max_count(dict, count)
    if (count := schema.get("minProperties")) is not None:
        yield _min_count(dict, count, "properties")
    if schema.get("enum"):
        yield _enum(schema["enum"])


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def same(one: Any, other: Any) -> bool:
    """JSON equality: Python's, but true is not 1."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    return bool(one == other)


def _number(value: float) -> str:
    """As Go prints a float64: no trailing `.0`."""
    return str(int(value)) if isinstance(value, float) and math.isfinite(value) and value == int(value) else str(value)


def _enum(allowed: list[Any]) -> Check:
    def check(value: Any, path: str, causes: list[Cause]) -> None:
        if not any(same(value, choice) for choice in allowed):
            causes.append(fields.not_supported(path, value, allowed))

    return check


def _pattern(pattern: str) -> Check:
    def check(value: Any, path: str, causes: list[Cause]) -> None:
        if isinstance(value, str) and not matches(pattern, value):
            causes.append(fields.invalid(path, value, f"{path} in body should match '{pattern}'"))

    return check


def _format(name: str) -> Check:
    accepts = FORMATS[name]

    def check(value: Any, path: str, causes: list[Cause]) -> None:
        if isinstance(value, str) and not accepts(value):
            detail = f"{path} in body must be of type {name}: {fields.quoted(value)}"
            causes.append(fields.type_invalid(path, value, detail))

    return check


def _max_length(length: int) -> Check:
    def check(value: Any, path: str, causes: list[Cause]) -> None:
        if isinstance(value, str) and len(value) > length:
            causes.append(fields.too_long(path, length))

    return check


def _min_length(length: int) -> Check:
    def check(value: Any, path: str, causes: list[Cause]) -> None:
        if isinstance(value, str) and len(value) < length:
            detail = f"{path} in body should be at least {length} chars long"
            causes.append(fields.invalid(path, value, detail))

    return check


def _maximum(bound: float, *, exclusive: bool) -> Check:
    words = "less than" if exclusive else "less than or equal to"

    def check(value: Any, path: str, causes: list[Cause]) -> None:
        if is_number(value) and (value > bound or (exclusive and value == bound)):
            causes.append(fields.invalid(path, value, f"{path} in body should be {words} {_number(bound)}"))

    return check


def _minimum(bound: float, *, exclusive: bool) -> Check:
    words = "greater than" if exclusive else "greater than or equal to"

    def check(value: Any, path: str, causes: list[Cause]) -> None:
        if is_number(value) and (value < bound or (exclusive and value == bound)):
            causes.append(fields.invalid(path, value, f"{path} in body should be {words} {_number(bound)}"))

    return check


def _multiple_of(factor: float) -> Check:
    def check(value: Any, path: str, causes: list[Cause]) -> None:
        if not is_number(value):
            return
        quotient = value / factor
        if not math.isclose(quotient, round(quotient), rel_tol=1e-12, abs_tol=1e-12):
            causes.append(fields.invalid(path, value, f"{path} in body should be a multiple of {_number(factor)}"))

    return check


def _max_count(of: type[list[Any]] | type[dict[str, Any]], count: int) -> Check:
    def check(value: Any, path: str, causes: list[Cause]) -> None:
        if isinstance(value, of) and len(value) > count:
            causes.append(fields.too_many(path, len(value), count))

    return check


def _min_count(of: type[list[Any]] | type[dict[str, Any]], count: int, words: str) -> Check:
    def check(value: Any, path: str, causes: list[Cause]) -> None:
        if isinstance(value, of) and len(value) < count:
            detail = f"{path} in body should have at least {count} {words}"
            causes.append(fields.invalid(path, len(value), detail))

    return check
