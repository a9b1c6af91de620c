"""The CEL rules of a CRD's schema, judged before any object is."""

import re
from collections.abc import Iterator
from typing import Any

from headstay.local.server.schema import fields
from headstay.local.server.schema.rules import RuleError, compile_expression
from headstay.model.errors import Cause
from headstay.model.objects import Obj

_REASONS = ("FieldValueRequired", "FieldValueInvalid", "FieldValueForbidden", "FieldValueDuplicate")
_STEP = re.compile(r"\.([A-Za-z_]\w*)|\['((?:\\.|[^'\\])*)'\]", re.ASCII)


def check_rules(schema: Obj, path: str, uncorrelatable: str) -> Iterator[Cause]:
    for index, rule in enumerate(schema.get("x-kubernetes-validations") or []):
        at = f"{path}.x-kubernetes-validations[{index}]"
        source = str(rule.get("rule") or "").strip()
        if not source:
            yield fields.required(f"{at}.rule", "rule is not specified")
            continue
        try:
            transition = "oldSelf" in compile_expression(source).variables()
            if transition and uncorrelatable:
                detail = f"oldSelf cannot be used on the uncorrelatable portion of the schema within {uncorrelatable}"
                yield fields.invalid(f"{at}.rule", source, detail)
            elif not transition and (optional := rule.get("optionalOldSelf")) is not None:
                detail = "may not be set if oldSelf is not used in rule"
                yield fields.invalid(f"{at}.optionalOldSelf", optional, detail)
        except RuleError as error:
            yield fields.invalid(f"{at}.rule", source, str(error))
        message = rule.get("message")
        if message is not None and not message.strip():
            yield fields.invalid(f"{at}.message", message, "message must be non-empty if specified")
        elif message and "\n" in message.strip():
            yield fields.invalid(f"{at}.message", message, "message must not contain line breaks")
        elif not message and "\n" in source:
            yield fields.required(f"{at}.message", "message must be specified if rule contains line breaks")
        if expression := rule.get("messageExpression"):
            try:
                compile_expression(expression)
            except RuleError as error:
                yield fields.invalid(f"{at}.messageExpression", expression, str(error))
        if (field_path := rule.get("fieldPath")) and not _leads_somewhere(schema, field_path):
            yield fields.invalid(f"{at}.fieldPath", field_path, "fieldPath must be a valid path")
        if (reason := rule.get("reason")) and reason not in _REASONS:
            yield fields.not_supported(f"{at}.reason", reason, _REASONS)


def _leads_somewhere(schema: Obj, field_path: str) -> bool:
    """Whether a rule's fieldPath (`.spec.x['y-z']`) is the path of a declared field below `schema`."""
    at = 0
    found: Any = schema
    while at < len(field_path):
        step = _STEP.match(field_path, at)
        if step is None or not isinstance(found, dict):
            return False
        name, at = step[1] or re.sub(r"\\(.)", r"\1", step[2]), step.end()
        additional = found.get("additionalProperties")
        found = (found.get("properties") or {}).get(name) or (additional if isinstance(additional, dict) else None)
    return isinstance(found, dict)
