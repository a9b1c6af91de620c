"""Schemas in the two dialects that Kubernetes publishes: OpenAPI v3, and v2 for older clients."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal

from headstay.local.server.schema.builtin import INT_OR_STRING, LIST_META, OBJECT_META, PREFIX, QUANTITY, Definitions
from headstay.model.objects import Obj
from headstay.model.resource import Resource

Dialect = Literal["v2", "v3"]

_PREFIXES: dict[Dialect, str] = {"v3": "#/components/schemas/", "v2": "#/definitions/"}
_UNIONS: dict[tuple[str, Dialect], Obj] = {
    (QUANTITY, "v3"): {"oneOf": [{"type": "string"}, {"type": "number"}]},
    (QUANTITY, "v2"): {"type": "string"},
    (INT_OR_STRING, "v3"): {"format": "int-or-string", "oneOf": [{"type": "integer"}, {"type": "string"}]},
    (INT_OR_STRING, "v2"): {"format": "int-or-string", "type": "string"},
}
_API_VERSION = (
    "APIVersion defines the versioned schema of this representation of an object. Servers should convert recognized "
    "schemas to the latest internal value, and may reject unrecognized values. More info: "
    "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#resources"
)
_KIND = (
    "Kind is a string value representing the REST resource this object represents. Servers may infer this from the "
    "endpoint the client submits requests to. Cannot be updated. In CamelCase. More info: "
    "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#types-kinds"
)
_METADATA = (
    "Standard object's metadata. More info: "
    "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata"
)
_NOT_IN_V2 = ("allOf", "anyOf", "default", "not", "nullable", "oneOf", "x-kubernetes-validations")


def reference(name: str, dialect: Dialect, **beside: Any) -> Obj:
    """A `$ref`. In v3 nothing may stand beside one, so that it is wrapped."""
    target = {"$ref": _PREFIXES[dialect] + name}
    if not beside:
        return target
    return {"allOf": [target]} | beside if dialect == "v3" else target | beside


def builtin_schema(definitions: Definitions, name: str, dialect: Dialect) -> Obj:
    found = definitions.published(name)
    union = _UNIONS.get((name, dialect))
    if union is not None:
        return {"description": found.get("description", "")} | union
    return _builtin(found, dialect)


def _builtin(source: Obj, dialect: Dialect) -> Obj:
    """Undoes what the data file changed for validators: null beside each type, enumerated apiVersion and kind."""
    if "$ref" in source:
        rest = {key: value for key, value in source.items() if key != "$ref"}
        return reference(source["$ref"].removeprefix(PREFIX), dialect, **rest)
    found: Obj = {key: value for key, value in source.items() if key != "enum"}
    if isinstance(source.get("type"), list):
        found["type"] = next(kind for kind in source["type"] if kind != "null")
    for key in ("items", "additionalProperties"):
        if isinstance(source.get(key), dict):
            found[key] = _builtin(source[key], dialect)
    if "properties" in source:
        found["properties"] = {name: _builtin(child, dialect) for name, child in source["properties"].items()}
    return found


def custom_name(resource: Resource, kind: str) -> str:
    """`io.ray.v1.RayCluster`."""
    return ".".join([*reversed(resource.group.split(".")), resource.version, kind])


def group_version_kind(resource: Resource, kind: str) -> Obj:
    return {"group": resource.group, "kind": kind, "version": resource.version}


def custom_schema(schema: Obj, resource: Resource, dialect: Dialect) -> Obj:
    """A CRD's schema of one version, as a definition."""
    found = _custom(schema, dialect)
    properties = _own_fields(OBJECT_META, dialect) | {
        name: child for name, child in (found.get("properties") or {}).items() if name not in _OWN
    }
    extra = {"x-kubernetes-group-version-kind": [group_version_kind(resource, resource.kind)]}
    return {"type": "object"} | found | {"properties": properties} | extra


_OWN = ("apiVersion", "kind", "metadata")


def custom_list_schema(resource: Resource, dialect: Dialect) -> Obj:
    kind = f"{resource.kind}List"
    items = {
        "description": f"List of {resource.plural}. More info: "
        "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md",
        "type": "array",
        "items": reference(custom_name(resource, resource.kind), dialect),
    }
    return {
        "description": f"{kind} is a list of {resource.kind}",
        "type": "object",
        "required": ["items"],
        "properties": _own_fields(LIST_META, dialect) | {"items": items},
        "x-kubernetes-group-version-kind": [group_version_kind(resource, kind)],
    }


def _own_fields(meta: str, dialect: Dialect) -> Obj:
    return {
        "apiVersion": {"description": _API_VERSION, "type": "string"},
        "kind": {"description": _KIND, "type": "string"},
        "metadata": reference(meta, dialect, description=_METADATA),
    }


def _custom(source: Obj, dialect: Dialect) -> Obj:
    """v2 cannot say all that a structural schema says; what it cannot is left out, as Kubernetes does."""
    found = dict(source)
    if dialect == "v2":
        for name in _NOT_IN_V2:
            found.pop(name, None)
        if source.get("nullable") or source.get("x-kubernetes-int-or-string"):
            for name in ("type", "items", "properties", "additionalProperties"):
                found.pop(name, None)
        elif source.get("x-kubernetes-preserve-unknown-fields"):
            found.pop("properties", None)
    for key in ("items", "additionalProperties"):
        if isinstance(found.get(key), dict):
            found[key] = _custom(found[key], dialect)
    if found.get("properties"):
        found["properties"] = {name: _custom(child, dialect) for name, child in found["properties"].items()}
    if source.get("x-kubernetes-embedded-resource") and "properties" in found:
        found["properties"] |= _own_fields(OBJECT_META, dialect)
    return found


def with_references(
    roots: Iterable[str], known: dict[str, Obj], load: Callable[[str], Obj], dialect: Dialect
) -> dict[str, Obj]:
    """`known` schemas, the `roots`, and everything they refer to, by name."""
    found = dict(known)
    waiting = [*roots, *(name for schema in known.values() for name in _references(schema, _PREFIXES[dialect]))]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name] = load(name)
            waiting.extend(_references(found[name], _PREFIXES[dialect]))
    return dict(sorted(found.items()))


def _references(value: Any, prefix: str) -> Iterator[str]:
    if isinstance(value, dict):
        target = value.get("$ref")
        if isinstance(target, str) and target.startswith(prefix):
            yield target.removeprefix(prefix)
        for child in value.values():
            yield from _references(child, prefix)
    elif isinstance(value, list):
        for child in value:
            yield from _references(child, prefix)
