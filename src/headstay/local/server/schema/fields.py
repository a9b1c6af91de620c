"""Field errors in Kubernetes' own words (k8s.io/apimachinery's `field.Error`), as causes of a `Status`."""

import json
from collections.abc import Iterable
from typing import Any

from headstay.model.errors import Cause

NO_FIELD = "<nil>"
"""The path of what Kubernetes finds wrong without saying where."""


def child(path: str, name: str) -> str:
    """The path of a field below `path`."""
    return f"{path}.{name}" if path else name


def quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def shown(value: Any) -> str:
    """A value as Go prints it in a field error."""
    match value:
        case None:
            return '"null"'
        case bool():
            return "true" if value else "false"
        case str():
            return quoted(value)
        case dict():
            entries = ", ".join(f"{quoted(key)}:{_literal(value[key])}" for key in sorted(value))
            return f"map[string]interface {{}}{{{entries}}}"
        case list():
            return f"[]interface {{}}{{{', '.join(_literal(item) for item in value)}}}"
    return str(value)


def _literal(value: Any) -> str:
    return "interface {}(nil)" if value is None else shown(value)


def _bounded(detail: str) -> str:
    return f": {detail}" if detail else ""


def required(path: str, detail: str = "") -> Cause:
    return Cause("FieldValueRequired", f"Required value{_bounded(detail)}", path)


def invalid(path: str, value: Any, detail: str) -> Cause:
    return Cause("FieldValueInvalid", f"Invalid value: {shown(value)}{_bounded(detail)}", path)


def type_invalid(path: str, value: Any, detail: str) -> Cause:
    return Cause("FieldValueTypeInvalid", f"Invalid value: {shown(value)}{_bounded(detail)}", path)


def not_supported(path: str, value: Any, allowed: Iterable[Any]) -> Cause:
    values = ", ".join(quoted(choice if isinstance(choice, str) else json.dumps(choice)) for choice in allowed)
    return Cause("FieldValueNotSupported", f"Unsupported value: {shown(value)}: supported values: {values}", path)


def duplicate(path: str, value: Any) -> Cause:
    return Cause("FieldValueDuplicate", f"Duplicate value: {shown(value)}", path)


def forbidden(path: str, detail: str) -> Cause:
    return Cause("FieldValueForbidden", f"Forbidden{_bounded(detail)}", path)


def too_long(path: str, maximum: int) -> Cause:
    return Cause("FieldValueTooLong", f"Too long: may not be more than {maximum} bytes", path)


def too_many(path: str, actual: int, maximum: int) -> Cause:
    return Cause("FieldValueTooMany", f"Too many: {actual}: must have at most {maximum} items", path)
