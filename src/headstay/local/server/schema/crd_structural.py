"""Is a CRD's schema structural? The rules and the words of Kubernetes' apiextensions validation.

Structural means: the shape of a document (types, properties, items) is said outside of allOf, anyOf, oneOf and not,
which may only narrow values. Pruning, defaulting and server-side apply count on it.

Source: https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/
"""

import copy
from collections.abc import Callable, Iterator
from typing import Any, Literal

from headstay.local.server.schema import fields, prune
from headstay.local.server.schema.crd_cel import check_rules
from headstay.local.server.schema.crd_extensions import check_extensions, check_list
from headstay.local.server.schema.fields import child as child_of
from headstay.local.server.schema.node import Node
from headstay.local.server.schema.patterns import translate
from headstay.local.server.schema.validate import ABSENT, judge
from headstay.model.errors import Cause
from headstay.model.objects import Obj

Level = Literal["root", "field", "items"]
Build = Callable[[Obj], Node]

_TYPES = ("array", "boolean", "integer", "number", "object", "string")
_UNSUPPORTED = ("$ref", "$schema", "additionalItems", "definitions", "dependencies", "id", "patternProperties")
_NESTED = ("allOf", "anyOf", "oneOf")
_MISSING_TYPE = {
    "root": "must not be empty at the root",
    "field": "must not be empty for specified object fields",
    "items": "must not be empty for specified array items",
}
_ONLY_OUTSIDE: dict[str, str] = {
    "type": "must be empty to be structural",
    "title": "must be empty to be structural",
    "description": "must be empty to be structural",
    "default": "must be undefined to be structural",
    "additionalProperties": "must be undefined to be structural",
    "nullable": "must be false to be structural",
    "x-kubernetes-preserve-unknown-fields": "must be false to be structural",
    "x-kubernetes-embedded-resource": "must be false to be structural",
    "x-kubernetes-int-or-string": "must be false to be structural",
    "x-kubernetes-list-type": "must be undefined to be structural",
    "x-kubernetes-list-map-keys": "must be empty to be structural",
    "x-kubernetes-map-type": "must be undefined to be structural",
    "x-kubernetes-validations": "must be empty to be structural",
}
_ANY_OF_INT_OR_STRING = [{"type": "integer"}, {"type": "string"}]


def check_schema(schema: Obj, path: str, build: Build) -> list[Cause]:
    """What is wrong with a version's `openAPIV3Schema`. `build` makes nodes of schemas, for their defaults."""
    causes = list(_Structure(build).check(schema, "root", path, uncorrelatable=""))
    causes = causes or list(_check_combined(schema, path, schema, path))
    return sorted(causes, key=lambda cause: (cause.field, cause.message))


class _Structure:
    def __init__(self, build: Build) -> None:
        self._build = build

    def check(self, schema: Any, level: Level, path: str, *, uncorrelatable: str) -> Iterator[Cause]:
        """`uncorrelatable`: the path of the schema below which no old value can be found for a new one, or ""."""
        if not isinstance(schema, dict):
            yield fields.invalid(path, schema, "must be a schema object")
            return
        yield from _check_supported(schema, path)
        yield from _check_type(schema, level, path)
        yield from check_extensions(schema, path)
        yield from check_list(schema, path)
        yield from _check_values(schema, path)
        yield from check_rules(schema, path, uncorrelatable)
        yield from self._check_default(schema, path)
        within = uncorrelatable or (path if schema.get("x-kubernetes-map-type") == "atomic" else "")
        for name, child in (schema.get("properties") or {}).items():
            yield from self.check(child, "field", f"{path}.properties[{name}]", uncorrelatable=within)
        if level == "root" or schema.get("x-kubernetes-embedded-resource"):
            yield from _check_object_fields(schema, path, is_root=level == "root")
        if isinstance(schema.get("additionalProperties"), dict):
            below = f"{path}.additionalProperties"
            yield from self.check(schema["additionalProperties"], "field", below, uncorrelatable=within)
        if isinstance(schema.get("items"), dict):
            keyed = schema.get("x-kubernetes-list-type") == "map"
            within = uncorrelatable or ("" if keyed else path)
            yield from self.check(schema["items"], "items", f"{path}.items", uncorrelatable=within)

    def _check_default(self, schema: Obj, path: str) -> Iterator[Cause]:
        """A default must be a value that the schema itself would take, whole."""
        value = schema.get("default")
        if value is None:
            return
        try:
            node = self._build(schema)
        except ValueError:
            return  # a pattern or rule below is wrong, and is reported where it stands
        holder, at = {"value": copy.deepcopy(value)}, f"{path}.default"
        wrapper = Node("object")
        wrapper.properties = {"value": node}
        if prune.unknown_fields(wrapper, holder):
            yield fields.invalid(at, value, "must not have unknown fields")
        causes: list[Cause] = []
        judge(node, holder["value"], ABSENT, "", causes)
        for cause in causes:
            yield cause._replace(field=child_of(at, cause.field) if cause.field else at)


def _check_supported(schema: Obj, path: str) -> Iterator[Cause]:
    for name in _UNSUPPORTED:
        if schema.get(name):
            yield fields.forbidden(f"{path}.{name}", f"{name} is not supported")
    if schema.get("uniqueItems"):
        detail = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
        yield fields.forbidden(f"{path}.uniqueItems", detail)
    additional = schema.get("additionalProperties")
    if additional is not None and additional is not True and schema.get("properties"):
        detail = "additionalProperties and properties are mutual exclusive"
        yield fields.forbidden(f"{path}.additionalProperties", detail)
    if isinstance(schema.get("items"), list):
        yield fields.forbidden(f"{path}.items", "items must be a schema object and not an array")


def _check_type(schema: Obj, level: Level, path: str) -> Iterator[Cause]:
    found, at = schema.get("type") or "", f"{path}.type"
    int_or_string = bool(schema.get("x-kubernetes-int-or-string"))
    embedded = bool(schema.get("x-kubernetes-embedded-resource"))
    if found and found not in _TYPES:
        yield fields.not_supported(at, found, _TYPES)
    if found == "null":
        yield fields.forbidden(at, "type cannot be set to null, use nullable as an alternative")
    if embedded and found != "object":
        detail = "must be object if x-kubernetes-embedded-resource is true"
        yield fields.invalid(at, found, detail) if found else fields.required(at, detail)
    elif not found and not int_or_string and not schema.get("x-kubernetes-preserve-unknown-fields"):
        yield fields.required(at, _MISSING_TYPE[level])
    if level == "root" and found and found != "object":
        yield fields.invalid(at, found, "must be object at the root")
    if level == "root" and schema.get("additionalProperties") is not None:
        yield fields.forbidden(f"{path}.additionalProperties", "must not be used at the root")


def _check_values(schema: Obj, path: str) -> Iterator[Cause]:
    """The rules on values, here and in allOf, anyOf, oneOf and not."""
    if pattern := schema.get("pattern"):
        try:
            translate(pattern)
        except ValueError as error:
            detail = f"must be a valid regular expression, but isn't: {error}"
            yield fields.invalid(f"{path}.pattern", pattern, detail)
    for name in _NESTED:
        for index in range(len(schema.get(name) or [])):
            yield from _check_nested(_less_types(schema, name, index), f"{path}.{name}[{index}]")
    if isinstance(schema.get("not"), dict):
        yield from _check_nested(schema["not"], f"{path}.not")


def _less_types(schema: Obj, name: str, index: int) -> Any:
    """A nested schema, without the types where they may stand: `anyOf: [{type: integer}, {type: string}]`.

    That is how int-or-string is said to those who do not know the extension; it may also stand in allOf[0].
    """
    child = schema[name][index]
    if name == "anyOf" and schema[name] == _ANY_OF_INT_OR_STRING:
        return {}
    if name == "allOf" and index == 0 and isinstance(child, dict) and child.get("anyOf") == _ANY_OF_INT_OR_STRING:
        return {key: value for key, value in child.items() if key != "anyOf"}
    return child


def _check_nested(schema: Any, path: str) -> Iterator[Cause]:
    if not isinstance(schema, dict):
        yield fields.invalid(path, schema, "must be a schema object")
        return
    for name, detail in _ONLY_OUTSIDE.items():
        if schema.get(name):
            yield fields.forbidden(f"{path}.{name}", detail)
    yield from _check_values(schema, path)
    for name, child in (schema.get("properties") or {}).items():
        if name == "metadata":
            yield fields.forbidden(f"{path}.properties[metadata]", "must not be specified in a nested context")
        yield from _check_nested(child, f"{path}.properties[{name}]")
    if isinstance(schema.get("items"), dict):
        yield from _check_nested(schema["items"], f"{path}.items")


def _check_object_fields(schema: Obj, path: str, *, is_root: bool) -> Iterator[Cause]:
    """apiVersion, kind and metadata are Kubernetes' own; a schema may say little of them."""
    properties = schema.get("properties") or {}
    for name in ("apiVersion", "kind"):
        if name in properties and properties[name].get("type") != "string":
            yield fields.invalid(f"{path}.properties[{name}].type", properties[name].get("type"), "must be string")
    metadata = properties.get("metadata")
    if metadata is None:
        return
    at = f"{path}.properties[metadata]"
    if metadata.get("type") != "object":
        yield fields.invalid(f"{at}.type", metadata.get("type"), "must be object")
    if is_root and set(metadata.get("properties") or {}) - {"name", "generateName"}:
        detail = "must not specify anything other than name and generateName, but metadata is implicitly specified"
        yield fields.forbidden(at, detail)


def _check_combined(narrow: Obj, at: str, shape: Obj, path: str) -> Iterator[Cause]:
    """Every field that allOf, anyOf, oneOf or not speaks of must be declared outside of them.

    Kubernetes looks at those of the root only, and so do we.
    """
    for name in _NESTED:
        for index, child in enumerate(narrow.get(name) or []):
            yield from _check_declared(child, f"{at}.{name}[{index}]", shape, path)
    if isinstance(narrow.get("not"), dict):
        yield from _check_declared(narrow["not"], f"{at}.not", shape, path)


def _check_declared(narrow: Obj, at: str, shape: Obj, path: str) -> Iterator[Cause]:
    """`narrow` stands inside a combination, `at` its path; `shape` is what the document there looks like."""
    declared = shape.get("properties") or {}
    for name, child in (narrow.get("properties") or {}).items():
        child_at, child_path = f"{at}.properties[{name}]", f"{path}.properties[{name}]"
        if name in declared:
            yield from _check_declared(child, child_at, declared[name], child_path)
        else:
            yield fields.required(child_path, f"because it is defined in {child_at}")
    if isinstance(narrow.get("items"), dict):
        if isinstance(shape.get("items"), dict):
            yield from _check_declared(narrow["items"], f"{at}.items", shape["items"], f"{path}.items")
        else:
            yield fields.required(f"{path}.items", f"because it is defined in {at}.items")
    yield from _check_combined(narrow, at, shape, path)
