"""Kubernetes objects as they travel: plain documents, and the few things every room asks of them.

A document that a user wrote is carried whole (`Obj`) and edited in place of being rebuilt, so that fields this
version has never heard of survive. Typed views (`headstay.model.meta`) are for reading only.
"""

from typing import Any, NamedTuple, TypeAlias

Obj: TypeAlias = dict[str, Any]

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
"""kubectl's own note about an object; on another object it would make kubectl compute wrong patches."""


class ObjectKey(NamedTuple):
    """What names an object of a known resource. `namespace` is "" for cluster-scoped ones."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


def metadata(obj: Obj) -> Obj:
    """The object's metadata, made if it is missing."""
    found: Obj = obj.setdefault("metadata", {})
    return found


def key_of(obj: Obj) -> ObjectKey:
    meta = obj.get("metadata") or {}
    return ObjectKey(meta.get("namespace") or "", meta.get("name") or "")


def labels(obj: Obj) -> dict[str, str]:
    found: dict[str, str] = (obj.get("metadata") or {}).get("labels") or {}
    return found


def annotations(obj: Obj) -> dict[str, str]:
    found: dict[str, str] = (obj.get("metadata") or {}).get("annotations") or {}
    return found


def finalizers(obj: Obj) -> list[str]:
    found: list[str] = (obj.get("metadata") or {}).get("finalizers") or []
    return found


def controller_of(obj: Obj) -> Obj | None:
    """The owner reference that says `controller: true`, if any."""
    for reference in (obj.get("metadata") or {}).get("ownerReferences") or []:
        if reference.get("controller"):
            found: Obj = reference
            return found
    return None


def owner_reference(owner: Obj, *, controller: bool = True, block_owner_deletion: bool = True) -> Obj:
    """An owner reference to `owner`, which must have been read from the API (it needs its uid)."""
    meta = owner["metadata"]
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": meta["name"],
        "uid": meta["uid"],
        "controller": controller,
        "blockOwnerDeletion": block_owner_deletion,
    }


def dig(obj: Any, *path: str | int) -> Any:
    """The value at `path`, or None where any step of it is missing."""
    for step in path:
        if isinstance(step, int):
            if not isinstance(obj, list) or step >= len(obj):
                return None
            obj = obj[step]
        elif isinstance(obj, dict):
            obj = obj.get(step)
        else:
            return None
    return obj
