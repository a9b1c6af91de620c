"""A CRD's `openAPIV3Schema`, turned into nodes.

Equal schemas become one node: the Pod template that KubeRay's CRDs repeat in every kind and version is held once.
Objects' own apiVersion, kind and metadata are always Kubernetes', whatever the CRD says of them.
"""

import copy
import hashlib
from typing import Any
from weakref import WeakValueDictionary

import msgspec

from headstay.local.server.schema.builtin import OBJECT_META, Definitions
from headstay.local.server.schema.checks import checks_of
from headstay.local.server.schema.node import ANYTHING, Combination, JsonType, ListType, Node
from headstay.local.server.schema.rules import compile_rules
from headstay.model.objects import Obj

_ENCODER = msgspec.json.Encoder(order="deterministic")
_TYPES: dict[str, JsonType] = {
    "object": "object",
    "array": "array",
    "string": "string",
    "integer": "integer",
    "number": "number",
    "boolean": "boolean",
}
_LIST_TYPES: dict[str, ListType] = {"atomic": "atomic", "set": "set", "map": "map"}
_TEXTS = ("description", "title", "example", "externalDocs")


class Structural:
    """Builds nodes; keeps those in use, so that equal schemas share them."""

    def __init__(self, definitions: Definitions) -> None:
        self._definitions = definitions
        self._known: WeakValueDictionary[bytes, Node] = WeakValueDictionary()

    def root(self, schema: Obj) -> Node:
        """The node of a whole custom resource."""
        node = copy.copy(self._of(without_texts(schema)))
        self._embed(node)
        return node

    def node(self, schema: Obj) -> Node:
        """The node of any part of a schema. Raises ValueError for a pattern or rule that cannot be compiled."""
        return self._of(without_texts(schema))

    def _embed(self, node: Node) -> None:
        """Makes the node a Kubernetes object; what the CRD demands of metadata still holds."""
        stated: dict[str, Node] = {
            name: node.properties[name] for name in ("apiVersion", "kind", "metadata") if name in node.properties
        }
        node.properties = {
            "apiVersion": self._of({"type": "string"}),
            "kind": self._of({"type": "string"}),
            "metadata": self._definitions.node(OBJECT_META),
        } | {name: child for name, child in node.properties.items() if name not in stated}
        if stated:
            extra = Node()
            extra.properties = stated
            before = node.combination or Combination()
            node.combination = Combination((*before.all_of, extra), before.any_of, before.one_of, before.not_)

    def _of(self, schema: Obj) -> Node:
        digest = hashlib.blake2b(_ENCODER.encode(schema), digest_size=16).digest()
        found = self._known.get(digest)
        if found is None:
            found = self._known[digest] = self._build(schema)
        return found

    def _build(self, schema: Obj) -> Node:
        node = Node(_TYPES.get(schema.get("type") or "", ""))
        node.format = schema.get("format") or ""
        node.nullable = bool(schema.get("nullable"))
        node.required = tuple(schema.get("required") or ())
        node.properties = {name: self._of(child) for name, child in (schema.get("properties") or {}).items()}
        if isinstance(items := schema.get("items"), dict):
            node.items = self._of(items)
        additional = schema.get("additionalProperties")
        if isinstance(additional, dict):
            node.additional = self._of(additional)
        elif additional:
            node.additional = ANYTHING
        node.list_type = _LIST_TYPES.get(schema.get("x-kubernetes-list-type") or "", "atomic")
        node.list_map_keys = tuple(schema.get("x-kubernetes-list-map-keys") or ())
        node.atomic_map = schema.get("x-kubernetes-map-type") == "atomic"
        node.preserve_unknown_fields = bool(schema.get("x-kubernetes-preserve-unknown-fields"))
        node.int_or_string = bool(schema.get("x-kubernetes-int-or-string"))
        node.checks = checks_of(schema)
        node.combination = self._combination(schema)
        node.default = copy.deepcopy(schema.get("default"))
        if schema.get("x-kubernetes-embedded-resource"):
            node.embedded = True
            self._embed(node)
        node.rules = compile_rules(schema, node)
        below = [*node.properties.values(), node.items, node.additional]
        node.has_defaults = node.default is not None or any(child.has_defaults for child in below if child)
        node.has_embedded = node.embedded or any(child.has_embedded for child in below if child)
        node.has_rules = bool(node.rules) or any(child.has_rules for child in below if child)
        return node

    def _combination(self, schema: Obj) -> Combination | None:
        all_of, any_of, one_of = (
            tuple(self._of(child) for child in schema.get(name) or ()) for name in ("allOf", "anyOf", "oneOf")
        )
        not_ = self._of(schema["not"]) if schema.get("not") else None
        if not (all_of or any_of or one_of or not_):
            return None
        return Combination(all_of, any_of, one_of, not_)


def without_texts(schema: Any) -> Any:
    """The schema without what is written for people, at every level."""
    if not isinstance(schema, dict):
        return schema
    found: Obj = {}
    for key, value in schema.items():
        if key in _TEXTS:
            continue
        if key == "properties" and isinstance(value, dict):
            found[key] = {name: without_texts(child) for name, child in value.items()}
        elif key in ("items", "additionalProperties", "not"):
            found[key] = without_texts(value)
        elif key in ("allOf", "anyOf", "oneOf") and isinstance(value, list):
            found[key] = [without_texts(child) for child in value]
        else:
            found[key] = value
    return found
