"""What is different about namespaces: `spec.finalizers`, and some that nobody may delete."""

from headstay.local.server import errors
from headstay.local.server.seams import WriteContext
from headstay.local.server.strategies.base import Base
from headstay.model.objects import Obj, metadata
from headstay.model.resource import NAMESPACES

KUBERNETES = "kubernetes"
IMMORTAL = frozenset({"default", "kube-system", "kube-public"})
NAME_LABEL = "kubernetes.io/metadata.name"


class NamespaceStrategy(Base):
    """`spec.finalizers` is the server's own: set at creation, changed through `finalize` alone."""

    def default(self, new: Obj) -> None:
        self._label(new)

    def prepare_create(self, new: Obj, context: WriteContext) -> None:  # noqa: ARG002
        finalizers = (new.get("spec") or {}).get("finalizers") or []
        new["spec"] = {"finalizers": [*finalizers, *([] if KUBERNETES in finalizers else [KUBERNETES])]}
        new["status"] = {"phase": "Active"}

    def prepare_update(self, new: Obj, old: Obj, context: WriteContext) -> None:
        if context.subresource != "finalize":
            new["spec"] = old.get("spec") or {}

    def _label(self, new: Obj) -> None:
        meta = metadata(new)
        meta["labels"] = (meta.get("labels") or {}) | {NAME_LABEL: meta.get("name") or ""}


def check_deletable(name: str) -> None:
    if name in IMMORTAL:
        raise errors.forbidden(NAMESPACES, name, "this namespace may not be deleted")
