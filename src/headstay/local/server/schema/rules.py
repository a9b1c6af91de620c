"""CEL rules of custom resources (`x-kubernetes-validations`): compiled once, judged after the schema is satisfied.

A rule that mentions `oldSelf` is a transition rule: it is judged on updates only, even where nothing changed. Other
rules are not judged again for what an update leaves alone. Rules are refused when the CRD is written, not when an
object is, if they use functions this server does not have; types are not checked before a rule meets a value.
"""

import re
from typing import Any, NamedTuple

from headstay.local.server.schema import fields
from headstay.local.server.schema.cel_functions import FUNCTIONS, NATIVE, SIZE
from headstay.local.server.schema.cel_values import is_plain, to_cel
from headstay.local.server.schema.engine import cel
from headstay.local.server.schema.fields import child
from headstay.local.server.schema.node import Node
from headstay.local.server.schema.validate import ABSENT, counterparts, same_document
from headstay.model.errors import Cause
from headstay.model.objects import Obj

BLOCKING = frozenset({"FieldValueRequired", "FieldValueTooLong", "FieldValueTooMany", "FieldValueTypeInvalid"})
"""With such a cause the rules are not judged: they may count on the schema."""
_LITERAL = re.compile(
    r"""[rRbB]{0,2}(?:\"\"\"(?:\\.|[^\\])*?\"\"\"|'''(?:\\.|[^\\])*?'''|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')""",
    re.DOTALL,
)
_BOUND = re.compile(r"\.\s*(?:all|exists|exists_one|map|filter)\s*\(\s*([A-Za-z_]\w*)\s*,")
_SIZE_CALL = re.compile(r"(?<!\w)size(?=\s*\()")
_TYPES = frozenset({"bool", "bytes", "double", "dyn", "int", "list", "map", "null_type", "string", "type", "uint"})
_NAMESPACES = frozenset({"sets", "optional"})
FAILURES = (RuntimeError, TypeError, ValueError, KeyError, IndexError, ArithmeticError)
"""What the engine raises where CEL has an error value."""


class RuleError(ValueError):
    """A rule that cannot be compiled, in the words of the refusal."""


class Rule(NamedTuple):
    source: str
    program: cel.Program
    plain: bool
    """Whether values need no conversion for CEL."""
    transition: bool
    optional_old_self: bool
    name: str
    """What refusals call the rule: its message, or its source."""
    message: str
    message_program: cel.Program | None
    reason: str
    field_path: str

    def applies(self, *, is_update: bool, unchanged: bool) -> bool:
        if self.transition:
            return is_update or self.optional_old_self
        return not unchanged


def compile_rules(schema: Obj, node: Node) -> tuple[Rule, ...]:
    """The rules of one schema node. Raises RuleError (a stored CRD has been checked, so not for those)."""
    return tuple(_compile_rule(rule, node) for rule in schema.get("x-kubernetes-validations") or ())


def _compile_rule(rule: Obj, node: Node) -> Rule:
    source = str(rule.get("rule") or "").strip()
    expression = rule.get("messageExpression") or ""
    message = str(rule.get("message") or "").strip()
    program = compile_expression(source)
    return Rule(
        source,
        program,
        is_plain(node),
        "oldSelf" in program.variables(),
        bool(rule.get("optionalOldSelf")),
        message or source,
        message or f"failed rule: {source}",
        compile_expression(expression) if expression else None,
        rule.get("reason") or "FieldValueInvalid",
        relative_path(rule.get("fieldPath") or ""),
    )


_OF_RULES = frozenset({"self", "oldSelf"})


def compile_expression(source: str, declared: frozenset[str] = _OF_RULES) -> cel.Program:
    """Raises RuleError: a syntax error, a variable or a function that is not there."""
    literals: list[str] = []

    def keep(found: re.Match[str]) -> str:
        literals.append(found[0])
        return f'"{len(literals) - 1}"'

    bare = _SIZE_CALL.sub(SIZE, _LITERAL.sub(keep, source))
    written = re.sub(r'"(\d+)"', lambda found: literals[int(found[1])], bare)
    try:
        program = cel.compile(written)
    except ValueError as error:
        lines = [line for line in str(error).splitlines() if "ERROR" in line] or [str(error)]
        raise RuleError(f"compilation failed: {lines[0].partition(': ')[2] or lines[0]}") from error
    _check_names(program, declared | set(_BOUND.findall(bare)))
    return program


def _check_names(program: cel.Program, declared: frozenset[str]) -> None:
    known = declared | _TYPES | _NAMESPACES
    for name in program.variables():
        if name not in known:
            raise RuleError(f"compilation failed: undeclared reference to '{name}'")
    offered = NATIVE | {name.rpartition(".")[2] for name in FUNCTIONS}
    for name in program.functions():
        if name[:1].isalpha() and name not in offered:
            raise RuleError(f"compilation failed: the CEL function '{name}' is not supported by this server")


def relative_path(field_path: str) -> str:
    """`.spec.x` or `.spec['x-y']` as the end of a field's path."""
    return re.sub(r"\['((?:\\.|[^'\\])*)'\]", r"[\1]", field_path).removeprefix(".")


class _Subject(NamedTuple):
    """A value under judgement, and what stood in its place before."""

    node: Node
    value: Any
    old: Any
    path: str


def judge_rules(node: Node, value: Any, old: Any, path: str, causes: list[Cause], *, unchanged: bool = False) -> None:
    """Adds what the rules of `node` and below have against `value`.

    `old` is ABSENT where there was nothing, or where nobody can tell which old item of a list it was; `unchanged`
    then says whether the whole list is as it was.
    """
    if not node.has_rules or value is None:
        return
    if old is not ABSENT:
        unchanged = same_document(value, old)
    if node.rules:
        subject = _Subject(node, value, old, path)
        causes.extend(
            cause
            for rule in node.rules
            if rule.applies(is_update=old is not ABSENT, unchanged=unchanged)
            for cause in _judge(rule, subject)
        )
    if isinstance(value, dict):
        before = old if isinstance(old, dict) else {}
        for name, item in value.items():
            known = node.properties.get(name) or node.additional
            if known is not None and known.has_rules:
                was = before.get(name, ABSENT)
                judge_rules(known, item, was, child(path, name), causes, unchanged=unchanged)
    elif isinstance(value, list) and node.items is not None:
        for index, (item, before) in enumerate(zip(value, counterparts(node, value, old), strict=True)):
            judge_rules(node.items, item, before, f"{path}[{index}]", causes, unchanged=unchanged)


def _judge(rule: Rule, subject: _Subject) -> list[Cause]:
    """What this rule has against the value: nothing, or one cause."""
    shown = subject.node.type
    context = cel.Context(variables=_variables(rule, subject), functions=FUNCTIONS)
    try:
        passed = rule.program.execute(context)
    except FAILURES as error:
        return [fields.invalid(subject.path, shown, _failure(error, rule))]
    if passed is True:
        return []
    path = subject.path
    if rule.field_path:
        path += rule.field_path if rule.field_path.startswith("[") or not path else f".{rule.field_path}"
    return [_cause(rule, path, shown, spoken(rule.message_program, context, rule.message))]


def _variables(rule: Rule, subject: _Subject) -> dict[str, Any]:
    found = {"self": subject.value if rule.plain else to_cel(subject.node, subject.value)}
    if rule.transition:
        absent = subject.old is ABSENT
        before = subject.old if rule.plain or absent else to_cel(subject.node, subject.old)
        if rule.optional_old_self:
            before = cel.OptionalValue.none() if absent else cel.OptionalValue.of(before)
        found["oldSelf"] = before
    return found


def spoken(program: cel.Program | None, context: cel.Context, otherwise: str) -> str:
    """What a message expression says; a failing, empty or many-lined one says nothing."""
    if program is None:
        return otherwise
    try:
        text = program.execute(context)
    except FAILURES:
        return otherwise
    return text.strip() if isinstance(text, str) and text.strip() and "\n" not in text else otherwise


def _cause(rule: Rule, path: str, value: Any, message: str) -> Cause:
    match rule.reason:
        case "FieldValueForbidden":
            return fields.forbidden(path, message)
        case "FieldValueRequired":
            return fields.required(path, message)
        case "FieldValueDuplicate":
            return fields.duplicate(path, value)
    return fields.invalid(path, value, message)


def _failure(error: Exception, rule: Rule) -> str:
    """What cel-go says where the engine raises."""
    match error:
        case TypeError():
            return (
                "'no such overload': call arguments did not match a supported operator, function or macro signature "
                f"for rule: {rule.name}"
            )
        case KeyError():
            reason = f"no such key: {error.args[0]}"
        case ZeroDivisionError():
            reason = "division by zero"
        case OverflowError():
            reason = "integer overflow"
        case _:
            reason = str(error).splitlines()[0]
    return f"{reason} evaluating rule: {rule.name}"
