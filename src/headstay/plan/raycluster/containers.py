"""Small edits of a raw container or Pod document. Each adds; none removes or rewrites what is there."""

from collections.abc import Iterable
from copy import deepcopy
from typing import Any

from headstay.model.objects import Obj
from headstay.model.ray import env_entry


def add_env(container: Obj, name: str, value: str) -> None:
    """Appended even where the user has one of that name: the later entry counts."""
    _env(container).append({"name": name, "value": value})


def add_env_entry(container: Obj, entry: Obj) -> None:
    _env(container).append(entry)


def add_missing_env(container: Obj, name: str, value: str) -> None:
    if env_entry(container, name) is None:
        add_env(container, name, value)


def add_env_from_field(container: Obj, name: str, field_path: str) -> None:
    _env(container).append({"name": name, "valueFrom": {"fieldRef": {"fieldPath": field_path}}})


def _env(container: Obj) -> list[Obj]:
    return _list(container, "env")


def add_missing_port(container: Obj, name: str, port: int) -> None:
    ports = _list(container, "ports")
    if not any(found.get("name") == name for found in ports):
        ports.append({"name": name, "containerPort": port})


def port_named(container: Obj, name: str, default: int) -> int:
    ports = container.get("ports") or []
    return next((int(found["containerPort"]) for found in ports if found.get("name") == name), default)


def quantity_of(container: Obj, resource: str, *kinds: str) -> str | int | None:
    """The first of `limits`, `requests` (as `kinds` orders them) that names the resource."""
    for kind in kinds:
        found = ((container.get("resources") or {}).get(kind) or {}).get(resource)
        if found is not None:
            amount: str | int = found
            return amount
    return None


def add_empty_dir(pod_spec: Obj, container: Obj, *, name: str, path: str, memory: bool) -> None:
    """Mounts an emptyDir at `path`, unless the user mounts something there already."""
    mounts = _list(container, "volumeMounts")
    if any(found.get("mountPath") == path for found in mounts):
        return
    volumes = _list(pod_spec, "volumes")
    if not any(found.get("name") == name for found in volumes):
        empty_dir: dict[str, Any] = {"medium": "Memory"} if memory else {}
        size = quantity_of(container, "memory", "limits", "requests") if memory else None
        if size is not None:
            empty_dir["sizeLimit"] = size
        volumes.append({"name": name, "emptyDir": empty_dir})
    mounts.append({"name": name, "mountPath": path})


def add_sidecars(pod_spec: Obj, sidecars: Iterable[Obj]) -> None:
    """After all others, since the first container is Ray's. One whose name is taken would make the Pod invalid."""
    containers = pod_spec["containers"]
    taken = {found.get("name") for found in [*containers, *(pod_spec.get("initContainers") or [])]}
    containers.extend(deepcopy(sidecar) for sidecar in sidecars if sidecar["name"] not in taken)


def _list(container: Obj, field: str) -> list[Obj]:
    """The list in that field, made where it is absent or null."""
    found: list[Obj] | None = container.get(field)
    if found is None:
        found = container[field] = []
    return found
