"""The `x-kubernetes-*` extensions of a CRD's schema: what they may stand beside."""

from collections.abc import Iterator
from typing import Any

from headstay.local.server.schema import fields
from headstay.model.errors import Cause
from headstay.model.objects import Obj


def check_extensions(schema: Obj, path: str) -> Iterator[Cause]:
    preserve = schema.get("x-kubernetes-preserve-unknown-fields")
    at = f"{path}.x-kubernetes-preserve-unknown-fields"
    if preserve is False:
        yield fields.invalid(at, preserve, "must be true or undefined")
    if schema.get("x-kubernetes-int-or-string"):
        detail = "must be false if x-kubernetes-int-or-string is true"
        if preserve:
            yield fields.invalid(at, preserve, detail)
        if schema.get("x-kubernetes-embedded-resource"):
            yield fields.invalid(f"{path}.x-kubernetes-embedded-resource", True, detail)
    if schema.get("x-kubernetes-embedded-resource"):
        if schema.get("additionalProperties") is not None:
            detail = "must not be used if x-kubernetes-embedded-resource is set"
            yield fields.forbidden(f"{path}.additionalProperties", detail)
        if not preserve and not schema.get("properties"):
            detail = (
                "must not be empty if x-kubernetes-embedded-resource is true without "
                "x-kubernetes-preserve-unknown-fields"
            )
            yield fields.required(f"{path}.properties", detail)
    map_type = schema.get("x-kubernetes-map-type")
    if map_type is not None:
        if schema.get("type") != "object":
            detail = "must be object if x-kubernetes-map-type is specified"
            yield _type_must_be(schema, path, detail)
        if map_type not in ("atomic", "granular"):
            yield fields.not_supported(f"{path}.x-kubernetes-map-type", map_type, ("atomic", "granular"))


def _type_must_be(schema: Obj, path: str, detail: str) -> Cause:
    found, at = schema.get("type") or "", f"{path}.type"
    return fields.invalid(at, found, detail) if found else fields.required(at, detail)


def check_list(schema: Obj, path: str) -> Iterator[Cause]:
    if schema.get("type") == "array" and not isinstance(schema.get("items"), dict | list):
        yield fields.required(f"{path}.items", "must be specified")
    list_type, keys = schema.get("x-kubernetes-list-type"), schema.get("x-kubernetes-list-map-keys") or []
    at = f"{path}.x-kubernetes-list-type"
    if list_type is not None:
        if schema.get("type") != "array":
            yield _type_must_be(schema, path, "must be array if x-kubernetes-list-type is specified")
        if list_type not in ("atomic", "set", "map"):
            yield fields.not_supported(at, list_type, ("atomic", "set", "map"))
    if keys and list_type != "map":
        detail = "must be map if x-kubernetes-list-map-keys is non-empty"
        yield fields.invalid(at, list_type, detail) if list_type else fields.required(at, detail)
    items = schema.get("items")
    if list_type in ("set", "map") and isinstance(items, dict) and items.get("nullable"):
        yield fields.forbidden(
            f"{path}.items.nullable", f"cannot be nullable when x-kubernetes-list-type is {list_type}"
        )
    if list_type == "map":
        yield from _check_keyed_list(items, keys, path)
    elif list_type == "set" and isinstance(items, dict):
        yield from _check_set(items, path)


def _check_keyed_list(items: Any, keys: list[str], path: str) -> Iterator[Cause]:
    at = f"{path}.x-kubernetes-list-map-keys"
    if not keys:
        yield fields.required(at, "must not be empty if x-kubernetes-list-type is map")
    if not isinstance(items, dict):
        yield fields.required(f"{path}.items", "must have a schema if x-kubernetes-list-type is map")
        return
    if items.get("type") != "object":
        detail = "must be object if parent array's x-kubernetes-list-type is map"
        yield fields.invalid(f"{path}.items.type", items.get("type") or "", detail)
    if len(set(keys)) != len(keys):
        yield fields.invalid(at, keys, "must not contain duplicate entries")
    properties = items.get("properties") or {}
    for key in keys:
        of_key = f"{path}.items.properties[{key}]"
        if key not in properties:
            yield fields.invalid(at, keys, "entries must all be names of item properties")
            continue
        declared = properties[key]
        if declared.get("type") in ("array", "object"):
            detail = "must be a scalar type if parent array's x-kubernetes-list-type is map"
            yield fields.invalid(f"{of_key}.type", declared["type"], detail)
        if declared.get("nullable"):
            detail = "this property is in x-kubernetes-list-map-keys, so it cannot be nullable"
            yield fields.forbidden(f"{of_key}.nullable", detail)
        if key not in (items.get("required") or []) and declared.get("default") is None:
            detail = (
                "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property"
            )
            yield fields.required(f"{of_key}.default", detail)


def _check_set(items: Obj, path: str) -> Iterator[Cause]:
    at = f"{path}.items"
    detail = "must be atomic as item of a list with x-kubernetes-list-type=set"
    if items.get("type") == "array" and items.get("x-kubernetes-list-type", "atomic") != "atomic":
        yield fields.invalid(f"{at}.x-kubernetes-list-type", items["x-kubernetes-list-type"], detail)
    if items.get("type") == "object" and items.get("x-kubernetes-map-type") != "atomic":
        yield fields.invalid(f"{at}.x-kubernetes-map-type", items.get("x-kubernetes-map-type"), detail)
