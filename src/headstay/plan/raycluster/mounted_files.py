"""Which Secret or ConfigMap a file in a container comes from, told from the Pod's spec alone."""

from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

import msgspec

from headstay.model.objects import Obj


class ObjectRef(msgspec.Struct, frozen=True):
    """One key of an object in the RayCluster's namespace."""

    kind: Literal["Secret", "ConfigMap"]
    name: str
    key: str

    def __str__(self) -> str:
        return f"{self.name}/{self.key}"


class _Source(NamedTuple):
    kind: Literal["Secret", "ConfigMap"]
    name: str
    items: list[Obj] | None


def mounted_file(spec: Obj, container: Obj, path: str) -> ObjectRef | None:
    """None where the file is of another kind of volume, of the image, or cannot be told (`subPathExpr`)."""
    mounts = [mount for mount in container.get("volumeMounts") or [] if _below(path, str(mount.get("mountPath") or ""))]
    if not mounts:
        return None
    mount = max(mounts, key=lambda found: len(str(found["mountPath"]).rstrip("/")))
    if mount.get("subPathExpr"):
        return None
    inner = path.removeprefix(str(mount["mountPath"]).rstrip("/")).strip("/")
    inside = "/".join(filter(None, (str(mount.get("subPath") or "").strip("/"), inner)))
    volume: Obj = next((found for found in spec.get("volumes") or [] if found.get("name") == mount.get("name")), {})
    for source in _sources(volume):
        if key := _key_at(source, inside):
            return ObjectRef(source.kind, source.name, key)
    return None


def _below(path: str, folder: str) -> bool:
    bare = folder.rstrip("/")
    return bool(folder) and (path == bare or path.startswith(f"{bare}/"))


def _sources(volume: Obj) -> Iterator[_Source]:
    """The last of a projected volume first: of equal paths it is the one that shows."""
    projected = (volume.get("projected") or {}).get("sources") or []
    for found in (volume, *reversed(projected)):
        if secret := found.get("secret"):
            yield from _source("Secret", secret.get("secretName") or secret.get("name"), secret)
        if config := found.get("configMap"):
            yield from _source("ConfigMap", config.get("name"), config)


def _source(kind: Literal["Secret", "ConfigMap"], name: Any, found: Obj) -> Iterator[_Source]:
    if name:
        yield _Source(kind, str(name), found.get("items"))


def _key_at(source: _Source, path: str) -> str:
    """The key whose content is the file at `path` of the volume, or ""."""
    if source.items is None:
        return "" if "/" in path else path
    return next((str(item.get("key") or "") for item in source.items if item.get("path") == path), "")
