"""A custom kind with a schema of the test's choice, and short ways through the engine."""

import copy
from typing import Any

from headstay.local.server.schema.builtin import Definitions
from headstay.local.server.schema.kinds import KindSchemas
from headstay.model.errors import Cause
from headstay.model.objects import Obj

DEFINITIONS = Definitions()


def crd_for(spec: Obj, **root: Any) -> Obj:
    """A CRD of kind Widget whose `spec` has the given schema; `root` adds to the schema's root."""
    properties = {"spec": spec, "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    schema = {"type": "object", "properties": properties | root.pop("properties", {})} | root
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.com"},
        "spec": {
            "group": "example.com",
            "names": {"plural": "widgets", "kind": "Widget"},
            "scope": "Namespaced",
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}],
        },
    }


class Widgets:
    def __init__(self, spec: Obj, **root: Any) -> None:
        self.schemas = KindSchemas(DEFINITIONS)
        self.schemas.put_crd(crd_for(spec, **root))
        node = self.schemas.of("example.com", "v1", "Widget")
        assert node is not None
        self.node = node

    @staticmethod
    def widget(spec: Any, **more: Any) -> Obj:
        return {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": spec} | more

    def unknown(self, spec: Any, **more: Any) -> list[str]:
        return self.schemas.unknown_fields(self.node, self.widget(spec, **more))

    def pruned(self, spec: Any, **more: Any) -> Any:
        obj = self.widget(copy.deepcopy(spec), **more)
        self.schemas.prune(self.node, obj)
        return obj.get("spec")

    def defaulted(self, spec: Any) -> Any:
        obj = self.widget(copy.deepcopy(spec))
        self.schemas.default(self.node, obj)
        return obj.get("spec")

    def causes(self, spec: Any, old: Any = None, **more: Any) -> list[Cause]:
        before = None if old is None else self.widget(old)
        return self.schemas.validate(self.node, self.widget(spec, **more), before)

    def errors(self, spec: Any, old: Any = None, **more: Any) -> list[str]:
        return [f"{cause.field}: {cause.message}" for cause in self.causes(spec, old, **more)]
