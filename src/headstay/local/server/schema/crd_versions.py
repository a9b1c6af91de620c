"""The versions of a CRD, in the words of Kubernetes' apiextensions validation.

Kubernetes folds what all versions say alike into one before it looks at it, and names that place: `spec.validation`,
`spec.subresources`, `spec.additionalPrinterColumns`. So do we, though no v1 document has those fields.
"""

import re
from collections.abc import Iterator
from typing import Any

from headstay.local.server.schema import fields
from headstay.local.server.schema.crd_structural import Build, check_schema
from headstay.local.server.strategies.names import dns_1035_label
from headstay.model.errors import Cause
from headstay.model.objects import Obj, dig

_FIELD_PATH = re.compile(r"(\.[A-Za-z_$][\w$-]*)+", re.ASCII)
_LONGEST_WARNING = 256
_AT_ROOT_WITH_STATUS = frozenset({
    "description", "example", "exclusiveMaximum", "exclusiveMinimum", "externalDocs", "format", "items", "maxItems",
    "maxLength", "maximum", "minItems", "minLength", "minimum", "multipleOf", "pattern", "properties", "required",
    "title", "type", "uniqueItems", "x-kubernetes-preserve-unknown-fields", "x-kubernetes-validations",
})  # fmt: skip
_SIMPLE = "must be a simple json path starting with ."
_COLUMN_TYPES = ("boolean", "date", "integer", "number", "string")
_COLUMN_FORMATS = ("byte", "date", "date-time", "double", "float", "int32", "int64", "password")
_SCALE = {"specReplicasPath": (".spec",), "statusReplicasPath": (".status",), "labelSelectorPath": (".spec", ".status")}


def check_versions(spec: Obj) -> Iterator[Cause]:
    """Everything but the schemas."""
    versions = spec.get("versions") or []
    names = [version.get("name") or "" for version in versions]
    for index, version in enumerate(versions):
        path, name = f"spec.versions[{index}]", names[index]
        if name and (complaints := dns_1035_label(name)):
            yield fields.invalid(f"{path}.name", name, ",".join(complaints))
            if index == 0:
                yield fields.invalid("spec.version", name, ",".join(complaints))
        if dig(version, "schema", "openAPIV3Schema") is None:
            yield fields.required(f"{path}.schema.openAPIV3Schema", "schemas are required")
        yield from _check_deprecation(version, f"{path}.deprecationWarning")
    for path, subresources in _folded(versions, "subresources"):
        yield from _check_subresources(subresources, path)
    for path, columns in _folded(versions, "additionalPrinterColumns"):
        for position, column in enumerate(columns):
            yield from _check_column(column, f"{path}[{position}]")
    for index, version in enumerate(versions):
        for position, selectable in enumerate(version.get("selectableFields") or []):
            at = f"spec.versions[{index}].selectableFields[{position}].jsonPath"
            yield from _check_selectable(selectable.get("jsonPath") or "", version, at)
    if len(set(names)) != len(names):
        yield fields.invalid("spec.versions", names, "must contain unique version names")
    if sum(bool(version.get("storage")) for version in versions) != 1:
        yield fields.invalid("spec.versions", names, "must have exactly one version marked as storage version")


def _folded(versions: list[Obj], field: str) -> list[tuple[str, Any]]:
    """Each different value of a field of the versions, with the path that Kubernetes knows it by."""
    values = [version.get(field) for version in versions]
    if values and all(value == values[0] for value in values):
        return [(f"spec.{field}", values[0])] if values[0] else []
    return [(f"spec.versions[{index}].{field}", value) for index, value in enumerate(values) if value]


def _check_deprecation(version: Obj, path: str) -> Iterator[Cause]:
    warning = version.get("deprecationWarning")
    if warning is None:
        return
    if not version.get("deprecated"):
        yield fields.invalid(path, warning, "can only be set for deprecated versions")
    elif not warning:
        yield fields.invalid(path, warning, "must not be an empty string")
    elif len(warning.encode()) > _LONGEST_WARNING:
        yield fields.invalid(path, warning, f"must be <= {_LONGEST_WARNING} characters long")


def _check_subresources(subresources: Obj, path: str) -> Iterator[Cause]:
    scale = subresources.get("scale")
    if scale is None:
        return
    for field, roots in _SCALE.items():
        value, at = scale.get(field) or "", f"{path}.scale.{field}"
        if not value:
            if field != "labelSelectorPath":
                yield fields.required(at)
        elif not value.startswith("."):
            yield fields.invalid(at, value, _SIMPLE)
        elif not any(value.startswith(f"{root}.") for root in roots):
            where = roots[0] if len(roots) == 1 else f"either {' or '.join(roots)}"
            yield fields.invalid(at, value, f"should be a json path under {where}")


def _check_column(column: Obj, path: str) -> Iterator[Cause]:
    if not column.get("name"):
        yield fields.required(f"{path}.name")
    one_of = f"must be one of {','.join(_COLUMN_TYPES)}"
    if not column.get("type"):
        yield fields.required(f"{path}.type", one_of)
    elif column["type"] not in _COLUMN_TYPES:
        yield fields.invalid(f"{path}.type", column["type"], one_of)
    if (form := column.get("format")) and form not in _COLUMN_FORMATS:
        yield fields.invalid(f"{path}.format", form, f"must be one of {','.join(_COLUMN_FORMATS)}")
    if not column.get("jsonPath"):
        yield fields.required(f"{path}.JSONPath")
    elif not column["jsonPath"].startswith("."):
        yield fields.invalid(f"{path}.JSONPath", column["jsonPath"], _SIMPLE)


def _check_selectable(json_path: str, version: Obj, path: str) -> Iterator[Cause]:
    if not json_path:
        yield fields.required(path)
        return
    steps = json_path.removeprefix(".").split(".")
    found: Any = dig(version, "schema", "openAPIV3Schema")
    for step in steps:
        found = dig(found, "properties", step)
    if _FIELD_PATH.fullmatch(json_path) is None or not isinstance(found, dict):
        yield fields.invalid(path, json_path, f"is an invalid path: does not refer to a valid field: {json_path}")
    elif steps[0] == "metadata":
        yield fields.invalid(path, json_path, "must not point to fields in metadata")
    elif found.get("type") not in ("string", "integer", "boolean"):
        detail = (
            "must point to a field of type string, boolean or integer. Enum string fields and strings with formats "
            "are allowed."
        )
        yield fields.invalid(path, json_path, detail)


def check_schemas(spec: Obj, build: Build) -> Iterator[Cause]:
    """The schemas of versions that `check_versions` has nothing against."""
    versions = spec["versions"]
    schemas = [version["schema"]["openAPIV3Schema"] for version in versions]
    if all(schema == schemas[0] for schema in schemas):
        yield from _check_schema(versions, schemas[0], "spec.validation.openAPIV3Schema", build)
        return
    for index, schema in enumerate(schemas):
        path = f"spec.versions[{index}].schema.openAPIV3Schema"
        yield from _check_schema([versions[index]], schema, path, build)


def _check_schema(versions: list[Obj], schema: Obj, path: str, build: Build) -> Iterator[Cause]:
    if any(dig(version, "subresources", "status") is not None for version in versions):
        outside = sorted(set(schema) - _AT_ROOT_WITH_STATUS)
        if outside:
            names = " ".join(sorted(_AT_ROOT_WITH_STATUS))
            detail = f"only [{names}] fields are allowed at the root of the schema if the status subresource is enabled"
            yield fields.invalid(path, outside, detail)
    if schema.get("nullable"):
        yield fields.forbidden(f"{path}.nullable", "nullable cannot be true at the root")
    yield from check_schema(schema, path, build)
