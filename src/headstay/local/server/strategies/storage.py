"""PersistentVolumes, claims and storage classes: defaults, and what binding may still change."""

from decimal import Decimal

from headstay.local.server.seams import WriteContext
from headstay.local.server.strategies import causes
from headstay.local.server.strategies.base import Base, put
from headstay.model.errors import Cause
from headstay.model.objects import Obj, annotations, dig
from headstay.model.quantity import parse_quantity
from headstay.model.resource import Resource

ACCESS_MODES = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
STORAGE_CLASSES = Resource("storage.k8s.io", "v1", "storageclasses", "StorageClass", namespaced=False)
IS_DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"
_PLAIN_VOLUME_FIELDS = {
    "accessModes",
    "capacity",
    "claimRef",
    "mountOptions",
    "nodeAffinity",
    "persistentVolumeReclaimPolicy",
    "storageClassName",
    "volumeAttributesClassName",
    "volumeMode",
}


class PersistentVolumeClaims(Base):
    def default(self, new: Obj) -> None:
        put(new.setdefault("spec", {}), volumeMode="Filesystem")

    def prepare_create(self, new: Obj, context: WriteContext) -> None:
        self.default(new)
        new["status"] = {"phase": "Pending"}
        if new["spec"].get("storageClassName") is None:
            default = _default_class(context)
            if default is not None:
                new["spec"]["storageClassName"] = default["metadata"]["name"]

    def validate(self, new: Obj, old: Obj | None, context: WriteContext) -> list[Cause]:
        if context.subresource == "status":
            return []
        spec = new["spec"]
        found = _access_modes(spec, "spec.accessModes")
        asked = dig(spec, "resources", "requests", "storage")
        if asked is None:
            found.append(causes.required("spec.resources[storage]"))
        elif parse_quantity(asked) <= 0:
            found.append(causes.invalid("spec.resources[storage]", str(asked), "must be greater than zero"))
        if spec["volumeMode"] not in {"Block", "Filesystem"}:
            found.append(causes.not_supported("spec.volumeMode", spec["volumeMode"], ("Block", "Filesystem")))
        return found + (_claim_update(new, old) if old else [])


def _default_class(context: WriteContext) -> Obj | None:
    """The newest of the classes that are marked as the default."""
    marked = [c for c in context.reader.list(STORAGE_CLASSES) if annotations(c).get(IS_DEFAULT_CLASS) == "true"]
    return max(
        marked, key=lambda c: (c["metadata"].get("creationTimestamp") or "", c["metadata"]["name"]), default=None
    )


def _claim_update(new: Obj, old: Obj) -> list[Cause]:
    """A claim is bound once; it may grow, and never shrink below what it has."""
    kept, before = dict(new["spec"]), dict(old["spec"])
    if not before.get("volumeName"):
        kept.pop("volumeName", None)
        before.pop("volumeName", None)
    if before.get("storageClassName") is None:
        kept.pop("storageClassName", None)
    for field in ("resources", "volumeAttributesClassName"):
        kept.pop(field, None)
        before.pop(field, None)
    if kept != before:
        detail = (
            "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"
        )
        return [causes.forbidden("spec", detail)]
    if _storage(new) < _storage(old):
        return [causes.forbidden("spec.resources.requests.storage", "field can not be less than previous value")]
    return []


def _storage(claim: Obj) -> Decimal:
    return parse_quantity(dig(claim, "spec", "resources", "requests", "storage") or "0")


def _access_modes(spec: Obj, path: str) -> list[Cause]:
    modes = spec.get("accessModes") or []
    if not modes:
        return [causes.required(path, "at least 1 access mode is required")]
    found = [causes.not_supported(path, mode, ACCESS_MODES) for mode in modes if mode not in ACCESS_MODES]
    if "ReadWriteOncePod" in modes and len(modes) > 1:
        found.append(causes.forbidden(path, "may not use ReadWriteOncePod with other access modes"))
    return found


class PersistentVolumes(Base):
    def default(self, new: Obj) -> None:
        spec = new.setdefault("spec", {})
        put(spec, persistentVolumeReclaimPolicy="Retain", volumeMode="Filesystem")
        if spec.get("hostPath") is not None:
            put(spec["hostPath"], type="")

    def prepare_create(self, new: Obj, context: WriteContext) -> None:
        self.default(new)
        new["status"] = {"phase": "Pending"}

    def validate(self, new: Obj, old: Obj | None, context: WriteContext) -> list[Cause]:
        if context.subresource == "status":
            return []
        spec = new["spec"]
        found = _access_modes(spec, "spec.accessModes")
        if not spec.get("capacity"):
            found.append(causes.required("spec.capacity"))
        elif set(spec["capacity"]) != {"storage"}:
            found.append(causes.not_supported("spec.capacity", min(spec["capacity"]), ("storage",)))
        policies = ("Delete", "Recycle", "Retain")
        if spec["persistentVolumeReclaimPolicy"] not in policies:
            found.append(
                causes.not_supported(
                    "spec.persistentVolumeReclaimPolicy", spec["persistentVolumeReclaimPolicy"], policies
                )
            )
        sources = _sources(spec)
        if not sources:
            found.append(causes.required("spec", "must specify a volume type"))
        for source in sorted(sources)[1:]:
            found.append(causes.forbidden(f"spec.{source}", "may not specify more than 1 volume type"))
        if old is not None and sources != _sources(old["spec"]):
            detail = "spec.persistentvolumesource is immutable after creation"
            found.append(causes.forbidden("spec.persistentvolumesource", detail))
        return found


def _sources(spec: Obj) -> Obj:
    return {field: value for field, value in spec.items() if field not in _PLAIN_VOLUME_FIELDS and value is not None}


class StorageClasses(Base):
    def default(self, new: Obj) -> None:
        put(new, reclaimPolicy="Delete", volumeBindingMode="Immediate")

    def validate(self, new: Obj, old: Obj | None, context: WriteContext) -> list[Cause]:
        found = [] if new.get("provisioner") else [causes.required("provisioner")]
        for field, supported in (
            ("reclaimPolicy", ("Delete", "Retain")),
            ("volumeBindingMode", ("Immediate", "WaitForFirstConsumer")),
        ):
            if new[field] not in supported:
                found.append(causes.not_supported(field, new[field], supported))
        if old is not None:
            found += [
                causes.forbidden(field, f"updates to {field} are forbidden.")
                for field in ("parameters", "provisioner", "reclaimPolicy", "volumeBindingMode")
                if new.get(field) != old.get(field)
            ]
        return found
