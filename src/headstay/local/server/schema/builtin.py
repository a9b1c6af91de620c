"""Kubernetes' own schemas, from the JSON schemas that the package kubernetes-validate carries.

That package has changed the published OpenAPI for validators: what is optional may also be null, Quantity and
IntOrString became unions, and apiVersion and kind are enumerations. Here it is turned back. What OpenAPI v2 lacks
(the defaults that list keys need) is added in `_DEFAULTS`.

The package is never imported (it would pull in a JSON schema library); its data file is found and read. Parsing
is lazy: one definition is decoded when a kind first needs it, and without its descriptions.
"""

import copy
import importlib.util
from pathlib import Path
from typing import Any

import msgspec

from headstay.local.server.schema.node import JsonType, ListType, Node
from headstay.model.objects import Obj

KUBERNETES_VERSION = "v1.32.0"
PREFIX = "#/$defs/"
OBJECT_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
LIST_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta"
QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity"
INT_OR_STRING = "io.k8s.apimachinery.pkg.util.intstr.IntOrString"
_CRD = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1."
_FREE_FORM: dict[str, JsonType] = {
    "io.k8s.apimachinery.pkg.runtime.RawExtension": "object",
    "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1": "object",
    "io.k8s.apimachinery.pkg.apis.meta.v1.Patch": "object",
    f"{_CRD}JSON": "",
    f"{_CRD}CustomResourceSubresourceStatus": "",
}
_SCHEMA_UNIONS = {f"{_CRD}JSONSchemaPropsOr{other}" for other in ("Array", "Bool", "StringArray")}
_DEFAULTS = {
    ("io.k8s.api.core.v1.ContainerPort", "protocol"): "TCP",
    ("io.k8s.api.core.v1.ServicePort", "protocol"): "TCP",
}
_NOT_REQUIRED = {
    ("io.k8s.api.apps.v1.DaemonSetSpec", "template"),
    ("io.k8s.api.apps.v1.DeploymentSpec", "template"),
    ("io.k8s.api.apps.v1.StatefulSetSpec", "template"),
    ("io.k8s.api.batch.v1.JobSpec", "template"),
    (f"{_CRD}CustomResourceColumnDefinition", "jsonPath"),
    (f"{_CRD}CustomResourceColumnDefinition", "name"),
    (f"{_CRD}CustomResourceColumnDefinition", "type"),
    (f"{_CRD}CustomResourceDefinitionSpec", "versions"),
    (f"{_CRD}CustomResourceSubresourceScale", "specReplicasPath"),
    (f"{_CRD}CustomResourceSubresourceScale", "statusReplicasPath"),
    (f"{_CRD}SelectableField", "jsonPath"),
    (f"{_CRD}ValidationRule", "rule"),
    ("io.k8s.api.apps.v1.StatefulSetSpec", "serviceName"),
    ("io.k8s.api.apps.v1.ControllerRevision", "revision"),
    ("io.k8s.api.core.v1.Event", "metadata"),
    ("io.k8s.api.core.v1.GRPCAction", "port"),
    ("io.k8s.api.core.v1.HTTPGetAction", "port"),
    ("io.k8s.api.core.v1.HTTPHeader", "value"),
    ("io.k8s.api.core.v1.LimitRangeSpec", "limits"),
    ("io.k8s.api.storage.v1.CSINodeSpec", "drivers"),
    ("io.k8s.api.core.v1.Sysctl", "value"),
    ("io.k8s.api.core.v1.TCPSocketAction", "port"),
    ("io.k8s.api.discovery.v1.EndpointSlice", "endpoints"),
    ("io.k8s.api.rbac.v1.RoleRef", "apiGroup"),
    ("io.k8s.api.scheduling.v1.PriorityClass", "value"),
    (f"{_CRD}CustomResourceDefinitionVersion", "served"),
    (f"{_CRD}CustomResourceDefinitionVersion", "storage"),
    ("io.k8s.api.authentication.v1.TokenRequestSpec", "audiences"),
    ("io.k8s.api.networking.v1.NetworkPolicySpec", "podSelector"),
    ("io.k8s.api.authorization.v1.SelfSubjectRulesReview", "spec"),
}
"""Fields that the schema calls required and the server takes without, or that a strategy judges in its own words."""


class _Property(msgspec.Struct, rename={"ref": "$ref"}):
    """A schema as the data file has it, less what we do not use (descriptions are skipped while decoding)."""

    ref: str = ""
    type: Any = ""
    format: str = ""
    properties: "dict[str, _Property]" = {}
    required: list[str] = []
    items: "_Property | None" = None
    additional: "_Property | None" = msgspec.field(default=None, name="additionalProperties")
    one_of: list[Any] = msgspec.field(default_factory=list, name="oneOf")
    list_type: str = msgspec.field(default="", name="x-kubernetes-list-type")
    list_map_keys: list[str] = msgspec.field(default_factory=list, name="x-kubernetes-list-map-keys")
    map_type: str = msgspec.field(default="", name="x-kubernetes-map-type")
    patch_strategy: str = msgspec.field(default="", name="x-kubernetes-patch-strategy")
    patch_merge_key: str = msgspec.field(default="", name="x-kubernetes-patch-merge-key")


class _GroupVersionKind(msgspec.Struct):
    group: str = ""
    version: str = ""
    kind: str = ""


class _Head(msgspec.Struct):
    kinds: list[_GroupVersionKind] = msgspec.field(default_factory=list, name="x-kubernetes-group-version-kind")


class _File(msgspec.Struct):
    definitions: dict[str, msgspec.Raw] = msgspec.field(name="$defs")


def definitions_file() -> Path:
    """Where the data file is. Raises FileNotFoundError naming the package when it is not installed."""
    spec = importlib.util.find_spec("kubernetes_validate")
    for place in (spec.submodule_search_locations or []) if spec else []:
        found = Path(place) / "kubernetes-json-schema" / f"{KUBERNETES_VERSION}-local" / "_definitions.json"
        if found.exists():
            return found
    raise FileNotFoundError(
        f"the package kubernetes-validate with its schemas of {KUBERNETES_VERSION} is not installed"
    )


class Definitions:
    """The published definitions by name, decoded as they are asked for."""

    def __init__(self, path: Path | None = None) -> None:
        content = (path or definitions_file()).read_bytes()
        self._raw = msgspec.json.decode(content, type=_File).definitions
        self._nodes: dict[str, Node] = {}
        self._names: dict[tuple[str, str, str], str] = {}
        for name, raw in self._raw.items():
            for kind in msgspec.json.decode(raw, type=_Head).kinds:
                self._names[kind.group, kind.version, kind.kind] = name

    def name_of(self, group: str, version: str, kind: str) -> str | None:
        return self._names.get((group, version, kind))

    def of(self, group: str, version: str, kind: str) -> Node | None:
        name = self._names.get((group, version, kind))
        return None if name is None else self.node(name)

    def published(self, name: str) -> Obj:
        """A definition as the data file has it, descriptions included; read anew each time."""
        found: Obj = msgspec.json.decode(self._raw[name])
        return found

    def node(self, name: str) -> Node:
        """The node of a definition. It may still be incomplete while its own definition is being read."""
        found = self._nodes.get(name)
        if found is None:
            found = self._nodes[name] = Node(native=True, definition=name)
            self._fill(found, name)
        return found

    def _fill(self, node: Node, name: str) -> None:
        if name in _FREE_FORM:
            node.type = _FREE_FORM[name]
            node.preserve_unknown_fields = True
            return
        if name in _SCHEMA_UNIONS:
            # A schema, or a list of schemas, or something short: the schema's fields are known, the type is open.
            schema = self.node(f"{_CRD}JSONSchemaProps")
            node.properties = schema.properties
            node.items = schema if name.endswith("Array") and "String" not in name else None
            return
        if name == INT_OR_STRING:
            node.int_or_string = True
            return
        if name == QUANTITY:
            node.type, node.format = "string", "quantity"
            return
        self._read(node, msgspec.json.decode(self._raw[name], type=_Property))

    def _build(self, source: _Property) -> Node:
        if not source.ref:
            node = Node(native=True)
            self._read(node, source)
            return node
        node = self.node(source.ref.removeprefix(PREFIX))
        if source.map_type or source.patch_strategy:
            node = copy.copy(node)
            self._mark(node, source)
        return node

    def _read(self, node: Node, source: _Property) -> None:
        node.type = _type(source.type)
        node.format = source.format
        self._mark(node, source)
        node.required = tuple(name for name in source.required if (node.definition, name) not in _NOT_REQUIRED)
        if source.items is not None:
            node.items = self._build(source.items)
        if source.additional is not None:
            node.additional = self._build(source.additional)
        for name, child in source.properties.items():
            default = _DEFAULTS.get((node.definition, name))
            built = self._build(child)
            if default is not None:
                built.default = default
            node.properties[name] = built
        if node.type == "object" and not node.properties and node.additional is None and not node.definition:
            node.preserve_unknown_fields = True

    @staticmethod
    def _mark(node: Node, source: _Property) -> None:
        """How the value is merged: said beside a `$ref`, or where the value is declared."""
        if source.list_type:
            node.list_type = _list_type(source.list_type)
            node.list_map_keys = tuple(source.list_map_keys)
        if source.map_type:
            node.atomic_map = source.map_type == "atomic"
        if source.patch_strategy:
            node.patch_strategy = frozenset(source.patch_strategy.split(","))
            node.patch_merge_key = source.patch_merge_key


def _type(found: Any) -> JsonType:
    """`["string", "null"]` is how the data file says that a string is optional."""
    if isinstance(found, list):
        found = next(kind for kind in found if kind != "null")
    match found:
        case "object" | "array" | "string" | "integer" | "number" | "boolean" | "":
            return found  # type: ignore[no-any-return]
    raise ValueError(f"the schema data has an unknown type {found!r}")


def _list_type(found: str) -> ListType:
    match found:
        case "atomic" | "set" | "map":
            return found
    raise ValueError(f"the schema data has an unknown list type {found!r}")
