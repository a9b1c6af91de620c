"""One policy, compiled once: what it has against a request."""

from typing import Any, NamedTuple

from headstay.local.server.admission.matching import Request
from headstay.local.server.schema.cel_functions import FUNCTIONS
from headstay.local.server.schema.engine import cel
from headstay.local.server.schema.rules import FAILURES, RuleError, compile_expression, spoken
from headstay.model.objects import Obj

_DECLARED = frozenset({"object", "oldObject", "request", "namespaceObject"})
_WITH_VARIABLES = _DECLARED | {"variables"}


class Denial(NamedTuple):
    """`failed` ones say that the policy itself could not be judged; `failurePolicy` decides about those."""

    message: str
    reason: str = "Invalid"
    failed: bool = False


class _Named(NamedTuple):
    name: str
    program: cel.Program


class _Validation(NamedTuple):
    source: str
    program: cel.Program
    message: str
    message_program: cel.Program | None
    reason: str


class Policy(NamedTuple):
    name: str
    constraints: Obj
    fails_closed: bool
    conditions: tuple[_Named, ...]
    variables: tuple[_Named, ...]
    validations: tuple[_Validation, ...]


def compile_policy(policy: Obj) -> Policy:
    """Raises RuleError; a stored policy has been checked by `problems`."""
    spec = policy.get("spec") or {}
    return Policy(
        policy["metadata"]["name"],
        spec.get("matchConstraints") or {},
        spec.get("failurePolicy") != "Ignore",
        tuple(_Named(found["name"], _compiled(found, _DECLARED)) for found in spec.get("matchConditions") or []),
        tuple(_Named(found["name"], _compiled(found, _WITH_VARIABLES)) for found in spec.get("variables") or []),
        tuple(_validation(found) for found in spec.get("validations") or []),
    )


def problems(spec: Obj) -> list[tuple[str, str, str]]:
    """Expressions that cannot be compiled: the field, the expression, and what is wrong with it."""
    found: list[tuple[str, str, str]] = []
    for field, names in (
        ("matchConditions", ("expression",)),
        ("variables", ("expression",)),
        ("validations", ("expression", "messageExpression")),
    ):
        for index, entry in enumerate(spec.get(field) or []):
            for name in names:
                source = str(entry.get(name) or "")
                try:
                    if source:
                        compile_expression(source, _DECLARED if field == "matchConditions" else _WITH_VARIABLES)
                except RuleError as error:
                    found.append((f"spec.{field}[{index}].{name}", source, str(error)))
    return found


def _compiled(found: Obj, declared: frozenset[str]) -> cel.Program:
    return compile_expression(str(found.get("expression") or ""), declared)


def _validation(found: Obj) -> _Validation:
    source = str(found.get("expression") or "").strip()
    expression = found.get("messageExpression")
    return _Validation(
        source,
        compile_expression(source, _WITH_VARIABLES),
        str(found.get("message") or "").strip() or f"failed expression: {source}",
        compile_expression(expression, _WITH_VARIABLES) if expression else None,
        str(found.get("reason") or "Invalid"),
    )


def judge(policy: Policy, request: Request) -> list[Denial]:
    """The constraints match already. One condition that does not hold means that the policy is not about this."""
    values = _values(request)
    context = cel.Context(variables=values, functions=FUNCTIONS)
    failures: list[Denial] = []
    for condition in policy.conditions:
        try:
            if condition.program.execute(context) is not True:
                return []
        except FAILURES as error:
            failures.append(_failure(f"matchConditions[{condition.name}]", error))
    if failures:
        return failures[:1]
    context = cel.Context(variables=values | {"variables": _variables(policy, values)}, functions=FUNCTIONS)
    return [denial for validation in policy.validations for denial in _judge(validation, context)]


def _judge(validation: _Validation, context: cel.Context) -> list[Denial]:
    try:
        if validation.program.execute(context) is True:
            return []
    except FAILURES as error:
        return [_failure(f"expression '{validation.source}'", error)]
    return [Denial(spoken(validation.message_program, context, validation.message), validation.reason)]


def _variables(policy: Policy, values: dict[str, Any]) -> dict[str, Any]:
    """In order, each sees those before it. One that fails is missing: only who uses it fails with it."""
    found: dict[str, Any] = {}
    for variable in policy.variables:
        context = cel.Context(variables=values | {"variables": dict(found)}, functions=FUNCTIONS)
        try:
            found[variable.name] = variable.program.execute(context)
        except FAILURES:
            continue
    return found


def _values(request: Request) -> dict[str, Any]:
    resource, metadata = request.resource, request.subject["metadata"]
    kind = {"group": resource.group, "version": resource.version, "kind": resource.kind}
    where = {"group": resource.group, "version": resource.version, "resource": resource.plural}
    user = request.user
    asked = {
        "operation": request.operation,
        "kind": kind,
        "resource": where,
        "subResource": request.subresource,
        "requestKind": kind,
        "requestResource": where,
        "requestSubResource": request.subresource,
        "name": metadata.get("name") or "",
        "namespace": metadata.get("namespace") or "",
        "dryRun": request.dry_run,
        "userInfo": {"username": user.name, "uid": user.uid, "groups": list(user.groups), "extra": dict(user.extra)},
    }
    return {
        "object": request.obj,
        "oldObject": request.old,
        "request": asked,
        "namespaceObject": request.namespace_obj,
    }


def _failure(where: str, error: Exception) -> Denial:
    missing = isinstance(error, KeyError)
    text = f"no such key: {error.args[0]}" if missing else (str(error).splitlines() or [type(error).__name__])[0]
    return Denial(f"{where} resulted in error: {text}", failed=True)
