"""One node of a schema: what may stand at one place of a document.

Nodes are built once and never change afterwards; they are shared between kinds (every Pod template is the same
node) and may be recursive. Descriptions are not kept: only OpenAPI documents need them, and those live on disk.
"""

from collections.abc import Callable
from typing import Any, Literal, TypeAlias

from headstay.model.errors import Cause

JsonType: TypeAlias = Literal["object", "array", "string", "integer", "number", "boolean", ""]
ListType: TypeAlias = Literal["atomic", "set", "map"]
Check: TypeAlias = Callable[[Any, str, list[Cause]], None]
"""One rule about one value: gets the value and its path, adds to the causes."""


class Combination:
    """allOf, anyOf, oneOf and not: they judge a value without saying which fields it may have."""

    __slots__ = ("all_of", "any_of", "not_", "one_of")

    def __init__(
        self,
        all_of: "tuple[Node, ...]" = (),
        any_of: "tuple[Node, ...]" = (),
        one_of: "tuple[Node, ...]" = (),
        not_: "Node | None" = None,
    ) -> None:
        self.all_of = all_of
        self.any_of = any_of
        self.one_of = one_of
        self.not_ = not_


class Node:
    """Implements `seams.Schema`.

    `native` nodes belong to Kubernetes' own types: they are decoded as Go decodes (null is absent, a wrong type is
    a decoding error), and `definition` is the published name of the type where the node stands for a named one.
    """

    __slots__ = (
        "__weakref__",
        "additional",
        "atomic_map",
        "checks",
        "combination",
        "default",
        "definition",
        "embedded",
        "format",
        "has_defaults",
        "has_embedded",
        "has_rules",
        "int_or_string",
        "items",
        "list_map_keys",
        "list_type",
        "native",
        "nullable",
        "patch_merge_key",
        "patch_strategy",
        "preserve_unknown_fields",
        "properties",
        "required",
        "rules",
        "type",
    )

    def __init__(self, type_: JsonType = "", *, native: bool = False, definition: str = "") -> None:
        self.type: JsonType = type_
        self.native = native
        self.definition = definition
        self.format = ""
        self.properties: dict[str, Node] = {}
        self.additional: Node | None = None
        self.items: Node | None = None
        self.required: tuple[str, ...] = ()
        self.nullable = False
        self.default: Any = None
        self.has_defaults = False
        """Whether `default` is set here or anywhere below."""
        self.list_type: ListType = "atomic"
        self.list_map_keys: tuple[str, ...] = ()
        self.atomic_map = False
        self.patch_strategy: frozenset[str] = frozenset()
        self.patch_merge_key = ""
        self.preserve_unknown_fields = False
        self.embedded = False
        self.int_or_string = False
        self.checks: tuple[Check, ...] = ()
        self.combination: Combination | None = None
        self.rules: tuple[Any, ...] = ()
        """CEL rules (`rules.Rule`)."""
        self.has_embedded = False
        """Whether a whole object stands here or anywhere below (`x-kubernetes-embedded-resource`)."""
        self.has_rules = False
        """Whether there are rules here or anywhere below."""

    def __repr__(self) -> str:
        return f"Node({self.definition or self.type or 'any'})"

    def __copy__(self) -> "Node":
        twin = Node.__new__(Node)
        for slot in Node.__slots__[1:]:
            setattr(twin, slot, getattr(self, slot))
        return twin

    def property(self, name: str) -> "Node | None":
        """The schema of a declared property, else of additionalProperties, else None."""
        return self.properties.get(name) or self.additional

    def default_of(self, path: tuple[str, ...]) -> object:
        """The default declared at `path` below this node, or None."""
        node: Node | None = self
        for step in path:
            node = node.property(step) if node is not None else None
        return None if node is None else node.default


ANYTHING = Node()
"""Says nothing about a value: below it every field is unknown."""
