"""Admission policies and bindings. What is not built (parameters, audit annotations, CONNECT) is refused by name."""

import re

from headstay.local.server import errors
from headstay.local.server.admission.policy import problems
from headstay.local.server.seams import WriteContext
from headstay.local.server.strategies import causes
from headstay.local.server.strategies.base import Base, put
from headstay.model.errors import Cause
from headstay.model.objects import Obj

_IDENTIFIER = re.compile(r"^[A-Za-z_][A-Za-z0-9_]*$")
_ACTIONS = ("Audit", "Deny", "Warn")
_REASONS = ("Forbidden", "Invalid", "RequestEntityTooLarge", "Unauthorized")
_OPERATIONS = ("*", "CREATE", "DELETE", "UPDATE")
_LISTS = ("operations", "apiGroups", "apiVersions", "resources")


class Policies(Base):
    def default(self, new: Obj) -> None:
        spec = new.get("spec") or {}
        put(spec, failurePolicy="Fail")
        _default_match(spec.get("matchConstraints"))

    def validate(self, new: Obj, old: Obj | None, context: WriteContext) -> list[Cause]:
        spec = new.get("spec") or {}
        for field in ("paramKind", "auditAnnotations"):
            if spec.get(field):
                raise errors.unsupported(f"ValidatingAdmissionPolicy spec.{field}")
        found: list[Cause] = []
        if spec["failurePolicy"] not in {"Fail", "Ignore"}:
            found.append(causes.not_supported("spec.failurePolicy", spec["failurePolicy"], ("Fail", "Ignore")))
        if not spec.get("validations"):
            why = "validations or auditAnnotations must contain at least one item"
            found.append(causes.required("spec.validations", why))
        found += _names(spec)
        found += _match_causes(spec.get("matchConstraints"), "spec.matchConstraints", rules=True)
        for index, validation in enumerate(spec.get("validations") or []):
            path = f"spec.validations[{index}]"
            if not str(validation.get("expression") or "").strip():
                found.append(causes.required(f"{path}.expression", "expression is not specified"))
            if (reason := validation.get("reason")) is not None and reason not in _REASONS:
                found.append(causes.not_supported(f"{path}.reason", reason, _REASONS))
        found += [causes.invalid(path, source, why) for path, source, why in problems(spec)]
        return found


class Bindings(Base):
    def default(self, new: Obj) -> None:
        _default_match((new.get("spec") or {}).get("matchResources"))

    def validate(self, new: Obj, old: Obj | None, context: WriteContext) -> list[Cause]:
        spec = new.get("spec") or {}
        if spec.get("paramRef"):
            raise errors.unsupported("ValidatingAdmissionPolicyBinding spec.paramRef")
        found: list[Cause] = []
        if not spec.get("policyName"):
            found.append(causes.required("spec.policyName"))
        actions = spec.get("validationActions") or []
        if not actions:
            found.append(causes.required("spec.validationActions", "at least one validation action is required"))
        found += [
            causes.not_supported(f"spec.validationActions[{index}]", action, _ACTIONS)
            for index, action in enumerate(actions)
            if action not in _ACTIONS
        ]
        if {"Deny", "Warn"} <= set(actions):
            why = (
                "must not contain both Deny and Warn (repeating the same validation failure information in the API "
                "response and headers serves no purpose)"
            )
            found.append(causes.invalid("spec.validationActions", actions, why))
        return found + _match_causes(spec.get("matchResources"), "spec.matchResources", rules=False)


def _default_match(match: Obj | None) -> None:
    if match is None:
        return
    put(match, matchPolicy="Equivalent", namespaceSelector={}, objectSelector={})
    for rule in (*(match.get("resourceRules") or []), *(match.get("excludeResourceRules") or [])):
        put(rule, scope="*")


def _names(spec: Obj) -> list[Cause]:
    found: list[Cause] = []
    for field in ("variables", "matchConditions"):
        seen: set[str] = set()
        for index, entry in enumerate(spec.get(field) or []):
            path, name = f"spec.{field}[{index}].name", str(entry.get("name") or "")
            if not name:
                found.append(causes.required(path))
            elif name in seen:
                found.append(causes.duplicate(path, name))
            elif field == "variables" and not _IDENTIFIER.match(name):
                found.append(causes.invalid(path, name, "name is not a valid CEL identifier"))
            seen.add(name)
    return found


def _match_causes(match: Obj | None, path: str, *, rules: bool) -> list[Cause]:
    if match is None:
        return [causes.required(path)] if rules else []
    found: list[Cause] = []
    if rules and not match.get("resourceRules"):
        found.append(causes.required(f"{path}.resourceRules"))
    for field in ("resourceRules", "excludeResourceRules"):
        for index, rule in enumerate(match.get(field) or []):
            at = f"{path}.{field}[{index}]"
            if "CONNECT" in (rule.get("operations") or []):
                raise errors.unsupported("operation CONNECT in an admission policy")
            found += [causes.required(f"{at}.{name}") for name in _LISTS if not rule.get(name)]
            found += [
                causes.not_supported(f"{at}.operations[{number}]", operation, _OPERATIONS)
                for number, operation in enumerate(rule.get("operations") or [])
                if operation not in _OPERATIONS
            ]
    return found
