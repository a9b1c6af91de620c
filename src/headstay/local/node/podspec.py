"""Reading a Pod's document, and refusing by name what this node does not do. Pure."""

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from headstay.model.meta import ObjectMeta, View
from headstay.model.objects import Obj, ObjectKey, dig
from headstay.model.quantity import ceil_int, parse_quantity

DEFAULT_GRACE_SECONDS = 30
_REFUSED_SPEC = ("hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace", "setHostnameAsFQDN")
_REFUSED_SECURITY = ("seLinuxOptions", "windowsOptions", "appArmorProfile", "sysctls")
_REFUSED_CONTAINER = ("volumeDevices",)
_VOLUMES = (
    "emptyDir",
    "configMap",
    "secret",
    "projected",
    "downwardAPI",
    "hostPath",
    "persistentVolumeClaim",
)


class PodDocument(View):
    """A Pod as the node agent reads it: metadata typed, the rest whole."""

    metadata: ObjectMeta = msgspec.field(default_factory=ObjectMeta)
    spec: dict[str, Any] = msgspec.field(default_factory=dict)
    status: dict[str, Any] = msgspec.field(default_factory=dict)

    @property
    def key(self) -> ObjectKey:
        return ObjectKey(self.metadata.namespace, self.metadata.name)

    @property
    def containers(self) -> list[Obj]:
        found: list[Obj] = self.spec.get("containers") or []
        return found

    @property
    def init_containers(self) -> list[Obj]:
        found: list[Obj] = self.spec.get("initContainers") or []
        return found

    @property
    def all_containers(self) -> list[Obj]:
        return self.init_containers + self.containers

    @property
    def restart_policy(self) -> str:
        return self.spec.get("restartPolicy") or "Always"

    @property
    def grace_seconds(self) -> int:
        """How long its containers get to end by themselves."""
        if self.metadata.deletion_grace_period_seconds is not None:
            return self.metadata.deletion_grace_period_seconds
        wanted = self.spec.get("terminationGracePeriodSeconds")
        return DEFAULT_GRACE_SECONDS if wanted is None else int(wanted)

    @property
    def hostname(self) -> str:
        """At most 63 characters, as the kernel and DNS have it."""
        return (self.spec.get("hostname") or self.metadata.name)[:63].rstrip("-.")


def is_sidecar(container: Obj) -> bool:
    """An init container that keeps running beside the main ones."""
    return container.get("restartPolicy") == "Always"


def resource_amount(container: Obj, kind: str, name: str) -> float | None:
    """`kind` is limits or requests. Base units: cores, bytes."""
    value = dig(container, "resources", kind, name)
    return None if value is None else float(parse_quantity(value))


def memory_bytes(container: Obj, kind: str) -> int | None:
    value = dig(container, "resources", kind, "memory")
    return None if value is None else ceil_int(parse_quantity(value))


def quality_of_service(pod: PodDocument) -> str:
    """Guaranteed, Burstable or BestEffort, from cpu and memory of every container."""
    any_set, guaranteed = False, True
    for container in pod.all_containers:
        for name in ("cpu", "memory"):
            limit, request = (resource_amount(container, kind, name) for kind in ("limits", "requests"))
            any_set = any_set or bool(limit) or bool(request)
            guaranteed = guaranteed and bool(limit) and request in (None, limit)
    return "BestEffort" if not any_set else "Guaranteed" if guaranteed else "Burstable"


def refusals(pod: PodDocument) -> list[str]:
    """Every field of the Pod that would have to be ignored, by its path. Empty: this node can run it."""
    return [
        *(f"spec.{name}" for name in _REFUSED_SPEC if pod.spec.get(name)),
        *(["spec.os.name=windows"] if dig(pod.spec, "os", "name") == "windows" else []),
        *(["spec.hostUsers=false"] if pod.spec.get("hostUsers") is False else []),
        *(["spec.ephemeralContainers"] if pod.spec.get("ephemeralContainers") else []),
        *(["spec.resourceClaims"] if pod.spec.get("resourceClaims") else []),
        *_security_refusals("spec.securityContext", pod.spec.get("securityContext") or {}),
        *_volume_refusals(pod.spec.get("volumes") or []),
        *_container_refusals("spec.initContainers", pod.init_containers),
        *_container_refusals("spec.containers", pod.containers),
    ]


def _security_refusals(path: str, context: Obj) -> Iterator[str]:
    if context.get("privileged"):
        yield f"{path}.privileged"
    yield from (f"{path}.{name}" for name in _REFUSED_SECURITY if context.get(name))
    if dig(context, "seccompProfile", "type") == "Localhost":
        yield f"{path}.seccompProfile.type=Localhost"
    if context.get("procMount") not in (None, "Default"):
        yield f"{path}.procMount={context['procMount']}"


def _volume_refusals(volumes: Iterable[Obj]) -> Iterator[str]:
    for volume in volumes:
        kinds = [key for key in volume if key != "name"]
        unknown = [kind for kind in kinds if kind not in _VOLUMES]
        yield from (f"spec.volumes[{volume.get('name')}].{kind}" for kind in unknown)
        if dig(volume, "emptyDir", "medium") not in (None, "", "Memory"):
            yield f"spec.volumes[{volume.get('name')}].emptyDir.medium={volume['emptyDir']['medium']}"


def _container_refusals(path: str, containers: Iterable[Obj]) -> Iterator[str]:
    for container in containers:
        here = f"{path}[{container.get('name')}]"
        yield from (f"{here}.{name}" for name in _REFUSED_CONTAINER if container.get(name))
        yield from _security_refusals(f"{here}.securityContext", container.get("securityContext") or {})
        for mount in container.get("volumeMounts") or []:
            if mount.get("mountPropagation") not in (None, "None"):
                yield f"{here}.volumeMounts[{mount.get('mountPath')}].mountPropagation"
            if mount.get("recursiveReadOnly") not in (None, "Disabled"):
                yield f"{here}.volumeMounts[{mount.get('mountPath')}].recursiveReadOnly"
        for extended in dig(container, "resources", "limits") or {}:
            if extended not in {"cpu", "memory", "ephemeral-storage"}:
                yield f"{here}.resources.limits.{extended}"
