"""Namespaces, nodes, configuration, volumes, identities, leases, events."""

from datetime import datetime
from typing import Any

from headstay.local.server.printing.ages import UNKNOWN, age
from headstay.local.server.printing.table import AGE, NAME, Column, Printer
from headstay.local.server.printing.text import created, joined, name, number, or_none, string
from headstay.model.objects import Obj, annotations, dig, labels

_UNSET = "<unset>"
_ACCESS_MODES = {
    "ReadWriteOnce": "RWO",
    "ReadOnlyMany": "ROX",
    "ReadWriteMany": "RWX",
    "ReadWriteOncePod": "RWOP",
}


def _status(obj: Obj) -> str:
    return "Terminating" if obj["metadata"].get("deletionTimestamp") else string(obj, "status", "phase")


def _namespace(obj: Obj, now: datetime) -> list[Any]:
    return [name(obj), string(obj, "status", "phase"), created(obj, now)]


def _node(obj: Obj, now: datetime) -> list[Any]:
    addresses = dig(obj, "status", "addresses") or []
    info = dig(obj, "status", "nodeInfo") or {}

    def address(kind: str) -> str:
        return or_none(next((a.get("address", "") for a in addresses if a.get("type") == kind), ""))

    return [
        name(obj),
        _node_status(obj),
        or_none(joined(_node_roles(obj))),
        created(obj, now),
        string(info, "kubeletVersion"),
        address("InternalIP"),
        address("ExternalIP"),
        string(info, "osImage") or UNKNOWN,
        string(info, "kernelVersion") or UNKNOWN,
        string(info, "containerRuntimeVersion") or UNKNOWN,
    ]


def _node_status(obj: Obj) -> str:
    conditions = dig(obj, "status", "conditions") or []
    ready = next((c.get("status") for c in conditions if c.get("type") == "Ready"), None)
    found = "Unknown" if ready is None else "Ready" if ready == "True" else "NotReady"
    return f"{found},SchedulingDisabled" if dig(obj, "spec", "unschedulable") else found


def _node_roles(obj: Obj) -> list[str]:
    prefix = "node-role.kubernetes.io/"
    roles = {key.removeprefix(prefix) for key in labels(obj) if key.startswith(prefix) and key != prefix}
    if role := labels(obj).get("kubernetes.io/role"):
        roles.add(role)
    return sorted(roles)


def _config_map(obj: Obj, now: datetime) -> list[Any]:
    return [name(obj), len(obj.get("data") or {}) + len(obj.get("binaryData") or {}), created(obj, now)]


def _secret(obj: Obj, now: datetime) -> list[Any]:
    return [name(obj), string(obj, "type"), len(obj.get("data") or {}), created(obj, now)]


def _service_account(obj: Obj, now: datetime) -> list[Any]:
    return [name(obj), len(obj.get("secrets") or []), created(obj, now)]


def _access_modes(modes: list[str] | None) -> str:
    given = modes or []
    return ",".join(short for mode, short in _ACCESS_MODES.items() if mode in given)


def _volume(obj: Obj, now: datetime) -> list[Any]:
    spec = obj.get("spec") or {}
    claim = spec.get("claimRef") or {}
    return [
        name(obj),
        string(spec, "capacity", "storage"),
        _access_modes(spec.get("accessModes")),
        string(spec, "persistentVolumeReclaimPolicy"),
        _status(obj),
        f"{claim.get('namespace', '')}/{claim.get('name', '')}" if claim else "",
        string(spec, "storageClassName"),
        string(spec, "volumeAttributesClassName") or _UNSET,
        string(obj, "status", "reason"),
        created(obj, now),
        string(spec, "volumeMode") or _UNSET,
    ]


def _claim(obj: Obj, now: datetime) -> list[Any]:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    bound = bool(spec.get("volumeName"))
    return [
        name(obj),
        _status(obj),
        string(spec, "volumeName"),
        string(status, "capacity", "storage") if bound else "",
        _access_modes(status.get("accessModes")) if bound else "",
        string(spec, "storageClassName"),
        string(spec, "volumeAttributesClassName") or _UNSET,
        created(obj, now),
        string(spec, "volumeMode") or _UNSET,
    ]


def _storage_class(obj: Obj, now: datetime) -> list[Any]:
    default = annotations(obj).get("storageclass.kubernetes.io/is-default-class") == "true"
    return [
        f"{name(obj)} (default)" if default else name(obj),
        string(obj, "provisioner"),
        string(obj, "reclaimPolicy") or "Delete",
        string(obj, "volumeBindingMode") or _UNSET,
        bool(obj.get("allowVolumeExpansion")),
        created(obj, now),
    ]


def _lease(obj: Obj, now: datetime) -> list[Any]:
    return [name(obj), string(obj, "spec", "holderIdentity"), created(obj, now)]


def _quota(obj: Obj, now: datetime) -> list[Any]:
    hard, used = dig(obj, "status", "hard") or {}, dig(obj, "status", "used") or {}
    limits = {key for key in hard if key.startswith("limits.")}

    def text(keys: set[str]) -> str:
        return ", ".join(f"{key}: {used.get(key, '0')}/{hard[key]}" for key in sorted(keys))

    return [name(obj), text(set(hard) - limits), text(limits), created(obj, now)]


def _priority_class(obj: Obj, now: datetime) -> list[Any]:
    policy = string(obj, "preemptionPolicy") or "PreemptLowerPriority"
    return [name(obj), number(obj, "value"), bool(obj.get("globalDefault")), created(obj, now), policy]


def _event(obj: Obj, now: datetime) -> list[Any]:
    first = string(obj, "firstTimestamp") or string(obj, "eventTime")
    last, count = string(obj, "lastTimestamp") or first, number(obj, "count") or 1
    if series := obj.get("series"):
        last, count = string(series, "lastObservedTime"), number(series, "count")
    about = obj.get("involvedObject") or {}
    target = about.get("kind", "").lower()
    return [
        age(last, now),
        string(obj, "type"),
        string(obj, "reason"),
        f"{target}/{about['name']}" if about.get("name") else target,
        string(about, "fieldPath"),
        _event_source(obj),
        string(obj, "message").strip(),
        age(first, now),
        count,
        name(obj),
    ]


def _event_source(obj: Obj) -> str:
    component = string(obj, "source", "component") or string(obj, "reportingComponent")
    host = string(obj, "source", "host") or string(obj, "reportingInstance")
    return f"{component}, {host}" if host else component


_VOLUME_MODE = Column("VolumeMode", priority=1)
_VOLUME_CLASS = Column("VolumeAttributesClass")
NAMESPACE = Printer((NAME, Column("Status", description="The status of the namespace"), AGE), _namespace)
NODE = Printer(
    (
        NAME,
        Column("Status"),
        Column("Roles"),
        AGE,
        Column("Version"),
        Column("Internal-IP", priority=1),
        Column("External-IP", priority=1),
        Column("OS-Image", priority=1),
        Column("Kernel-Version", priority=1),
        Column("Container-Runtime", priority=1),
    ),
    _node,
)
CONFIG_MAP = Printer((NAME, Column("Data"), AGE), _config_map)
SECRET = Printer((NAME, Column("Type"), Column("Data"), AGE), _secret)
SERVICE_ACCOUNT = Printer((NAME, Column("Secrets"), AGE), _service_account)
PERSISTENT_VOLUME = Printer(
    (
        NAME,
        Column("Capacity"),
        Column("Access Modes"),
        Column("Reclaim Policy"),
        Column("Status"),
        Column("Claim"),
        Column("StorageClass"),
        _VOLUME_CLASS,
        Column("Reason"),
        AGE,
        _VOLUME_MODE,
    ),
    _volume,
)
PERSISTENT_VOLUME_CLAIM = Printer(
    (
        NAME,
        Column("Status"),
        Column("Volume"),
        Column("Capacity"),
        Column("Access Modes"),
        Column("StorageClass"),
        _VOLUME_CLASS,
        AGE,
        _VOLUME_MODE,
    ),
    _claim,
)
STORAGE_CLASS = Printer(
    (
        NAME,
        Column("Provisioner"),
        Column("ReclaimPolicy"),
        Column("VolumeBindingMode"),
        Column("AllowVolumeExpansion"),
        AGE,
    ),
    _storage_class,
)
LEASE = Printer((NAME, Column("Holder"), AGE), _lease)
RESOURCE_QUOTA = Printer((NAME, Column("Request"), Column("Limit"), AGE), _quota)
PRIORITY_CLASS = Printer(
    (NAME, Column("Value", "integer"), Column("Global-Default", "boolean"), AGE, Column("PreemptionPolicy")),
    _priority_class,
)
EVENT = Printer(
    (
        Column("Last Seen"),
        Column("Type"),
        Column("Reason"),
        Column("Object"),
        Column("Subobject", priority=1),
        Column("Source", priority=1),
        Column("Message"),
        Column("First Seen", priority=1),
        Column("Count", priority=1),
        Column("Name", format="name", priority=1),
    ),
    _event,
)
