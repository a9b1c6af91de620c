"""All kinds the server knows, behind the `Schemas` seam.

Every document goes the same way: `unknown_fields` (to warn or refuse), `prune` (which also decodes Kubernetes' own
types), `default`, `validate`.
"""

from collections.abc import Collection

from headstay.local.server.schema import defaults, prune, validate
from headstay.local.server.schema.builtin import Definitions
from headstay.local.server.schema.decode import DecodeError, decode, decode_metadata
from headstay.local.server.schema.node import Node
from headstay.local.server.schema.rules import BLOCKING, judge_rules
from headstay.local.server.schema.structural import Structural
from headstay.local.server.seams import Schema
from headstay.model.errors import Cause, StatusError
from headstay.model.objects import Obj, dig


class KindSchemas:
    """Built-in kinds and custom ones; custom ones come and go as their CRDs do."""

    def __init__(self, definitions: Definitions | None = None) -> None:
        self.definitions = definitions or Definitions()
        self.structural = Structural(self.definitions)
        self._custom: dict[str, dict[tuple[str, str, str], Node]] = {}

    def of(self, group: str, version: str, kind: str) -> Node | None:
        for served in self._custom.values():
            if found := served.get((group, version, kind)):
                return found
        return self.definitions.of(group, version, kind)

    def put_crd(self, crd: Obj) -> None:
        """Serves the schemas of a stored (hence valid) CRD, in place of those it had before."""
        spec = crd["spec"]
        self._custom[crd["metadata"]["name"]] = {
            (spec["group"], version["name"], spec["names"]["kind"]): self.structural.root(
                dig(version, "schema", "openAPIV3Schema") or {"type": "object"}
            )
            for version in spec["versions"]
        }

    def remove_crd(self, name: str) -> None:
        self._custom.pop(name, None)

    def unknown_fields(self, schema: Schema, obj: Obj) -> list[str]:
        return prune.unknown_fields(_node(schema), obj)

    def prune(self, schema: Schema, obj: Obj, settled: Collection[str] = ()) -> None:
        """Raises StatusError (BadRequest) where Kubernetes could not decode the document."""
        node = _node(schema)
        try:
            if node.native:
                decode(node, obj, settled=settled)
            else:
                prune.prune(node, obj)
                decode_metadata(node, obj)
        except DecodeError as error:
            kind, version = obj.get("kind"), str(obj.get("apiVersion") or "").rpartition("/")[2]
            message = f'{kind} in version "{version}" cannot be handled as a {kind}: {error}'
            raise StatusError(400, "BadRequest", message) from error

    def default(self, schema: Schema, obj: Obj) -> None:
        defaults.default(_node(schema), obj)

    def validate(self, schema: Schema, obj: Obj, old: Obj | None) -> list[Cause]:
        node = _node(schema)
        causes = validate.validate(node, obj, old)
        if node.has_rules and not any(cause.reason in BLOCKING for cause in causes):
            judge_rules(node, obj, validate.ABSENT if old is None else old, "", causes)
        return causes


def _node(schema: Schema) -> Node:
    """Schemas come from `of`; anything else is a mistake in the caller."""
    if not isinstance(schema, Node):
        raise TypeError(f"{schema!r} did not come from KindSchemas.of")
    return schema
