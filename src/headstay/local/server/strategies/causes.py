"""Reasons why an object is invalid, in the words of Kubernetes' field errors.

Each function makes one `Cause`; the server joins them into `Pod "x" is invalid: [...]`. A path is a string such as
`spec.containers[0].image`.
"""

import json
from collections.abc import Iterable
from typing import Any

from headstay.model.errors import Cause
from headstay.model.objects import Obj


def required(path: str, detail: str = "") -> Cause:
    return Cause("FieldValueRequired", f"Required value: {detail}" if detail else "Required value", path)


def invalid(path: str, value: Any, detail: str) -> Cause:
    return Cause("FieldValueInvalid", f"Invalid value: {shown(value)}: {detail}", path)


def duplicate(path: str, value: Any) -> Cause:
    return Cause("FieldValueDuplicate", f"Duplicate value: {shown(value)}", path)


def not_found(path: str, value: Any) -> Cause:
    return Cause("FieldValueNotFound", f"Not found: {shown(value)}", path)


def not_supported(path: str, value: Any, supported: Iterable[str]) -> Cause:
    return not_supported_go(path, shown(value or ""), supported)


def not_supported_go(path: str, printed: str, supported: Iterable[str]) -> Cause:
    """`not_supported` for a value that Go prints as a struct."""
    names = ", ".join(json.dumps(name) for name in supported)
    return Cause("FieldValueNotSupported", f"Unsupported value: {printed}: supported values: {names}", path)


def forbidden(path: str, detail: str) -> Cause:
    return Cause("FieldValueForbidden", f"Forbidden: {detail}", path)


def too_long(path: str, limit: int) -> Cause:
    return Cause("FieldValueTooLong", f"Too long: may not be more than {limit} bytes", path)


def shown(value: Any) -> str:
    """A value as field errors print it: text quoted, lists and maps of text as Go would, the rest as JSON."""
    if value is None:
        return '"null"'
    if value and isinstance(value, list) and all(isinstance(item, str) for item in value):
        return "[]string{" + ", ".join(json.dumps(item, ensure_ascii=False) for item in value) + "}"
    if value and isinstance(value, dict) and all(isinstance(item, str) for item in value.values()):
        return go_labels(value)
    return json.dumps(value, ensure_ascii=False, sort_keys=True)


def go_labels(labels: dict[str, str] | None) -> str:
    """Labels as Go prints a map: `map[string]string{"app":"x"}`."""
    if labels is None:
        return "map[string]string(nil)"
    return "map[string]string{" + ", ".join(f"{json.dumps(k)}:{json.dumps(labels[k])}" for k in sorted(labels)) + "}"


def go_selector(selector: Obj | None) -> str:
    """A LabelSelector as Go prints the struct."""
    selector = selector or {}
    found = selector.get("matchExpressions")
    expressions = "(nil)"
    if found is not None:
        expressions = "{" + ", ".join(_go_expression(expression) for expression in found) + "}"
    return (
        f"v1.LabelSelector{{MatchLabels:{go_labels(selector.get('matchLabels'))}, "
        f"MatchExpressions:[]v1.LabelSelectorRequirement{expressions}}}"
    )


def _go_expression(expression: Obj) -> str:
    values = expression.get("values")
    listed = "(nil)" if values is None else "{" + ", ".join(json.dumps(value) for value in values) + "}"
    return (
        f"v1.LabelSelectorRequirement{{Key:{json.dumps(expression.get('key', ''))}, "
        f"Operator:{json.dumps(expression.get('operator', ''))}, Values:[]string{listed}}}"
    )


def go_int_or_percent(value: Any) -> str:
    """An IntOrString as Go prints the struct."""
    if isinstance(value, str):
        return f"intstr.IntOrString{{Type:1, IntVal:0, StrVal:{json.dumps(value)}}}"
    return f'intstr.IntOrString{{Type:0, IntVal:{value}, StrVal:""}}'


def invalid_go(path: str, printed: str, detail: str) -> Cause:
    """`invalid` for a value that Go prints as a struct or a map."""
    return Cause("FieldValueInvalid", f"Invalid value: {printed}: {detail}", path)


def immutable(path: str, value: Any) -> Cause:
    return invalid(path, value, "field is immutable")
