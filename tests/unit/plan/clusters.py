"""RayClusters and Pods for tests, as small as they can be and with everything overridable."""

from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from headstay.model.meta import Pod
from headstay.model.objects import Obj
from headstay.model.ray import REDIS_CLEANUP_FINALIZER, Job, RayCluster, Service
from headstay.model.timestamps import rfc3339
from headstay.plan.raycluster.decide import plan_raycluster
from headstay.plan.raycluster.plan import Create, DeletePod, Observed, Plan, SetFinalizers
from headstay.plan.raycluster.settings import Settings
from headstay.plan.raycluster.storage import STORAGE, storage_of

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
UID = "864b004c-6305-42e3-ac46-adfa8eb6f752"
SETTINGS = Settings()
FT = {"ray.io/ft-enabled": "true"}


def head_template(**container: Any) -> Obj:
    return {"spec": {"containers": [{"name": "ray-head", "image": "ray:1", **container}]}}


def group(name: str = "small", **fields: Any) -> Obj:
    template = {"spec": {"containers": [{"name": "ray-worker", "image": "ray:1"}]}}
    return {"groupName": name, "replicas": 1, "minReplicas": 0, "maxReplicas": 10, "template": template} | fields


def cluster(
    *,
    name: str = "raycluster",
    annotations: dict[str, str] | None = None,
    labels: dict[str, str] | None = None,
    finalizers: tuple[str, ...] = (),
    deleted_for: float | None = None,
    head: Obj | None = None,
    groups: list[Obj] | None = None,
    status: Obj | None = None,
    noted: bool = True,
    **spec: Any,
) -> RayCluster:
    """`deleted_for` is the age of its deletionTimestamp in seconds. With our finalizer, its storage is noted."""
    metadata: Obj = {
        "name": name,
        "namespace": "default",
        "uid": UID,
        "resourceVersion": "7",
        "generation": 1,
        "annotations": annotations or {},
        "labels": labels or {},
        "finalizers": list(finalizers),
    }
    if deleted_for is not None:
        metadata["deletionTimestamp"] = rfc3339(NOW - timedelta(seconds=deleted_for))
    document = {
        "metadata": metadata,
        "spec": {
            "headGroupSpec": {"rayStartParams": {}, "template": head_template()} | (head or {}),
            "workerGroupSpecs": [group()] if groups is None else groups,
        }
        | spec,
        "status": status or {},
    }
    found = msgspec.convert(deepcopy(document), RayCluster)
    if noted and REDIS_CLEANUP_FINALIZER in finalizers and (storage := storage_of(found)) is not None:
        found.metadata.annotations.setdefault(STORAGE, storage.to_json())
    return found


def ft_cluster(**fields: Any) -> RayCluster:
    """With FT by annotation, a Redis, and the finalizer already on."""
    head = {"template": head_template(env=[{"name": "RAY_REDIS_ADDRESS", "value": "redis:6379"}])}
    chosen: Obj = {"annotations": dict(FT), "finalizers": (REDIS_CLEANUP_FINALIZER,), "head": head}
    chosen["annotations"] |= fields.pop("annotations", {})
    return cluster(**(chosen | fields))


def pod(
    name: str,
    node_type: str = "worker",
    *,
    of: str = "raycluster",
    group_name: str = "small",
    phase: str = "Running",
    ready: bool | None = True,
    deleting: bool = False,
    restart_policy: str = "Always",
    container_state: Obj | None = None,
    last_state: Obj | None = None,
    annotations: dict[str, str] | None = None,
    labels: dict[str, str] | None = None,
    ip: str = "",
    ready_condition: Obj | None = None,
) -> Pod:
    conditions = [] if ready is None else [{"type": "Ready", "status": "True" if ready else "False"}]
    if ready_condition is not None:
        conditions = [{"type": "Ready"} | ready_condition]
    container = f"ray-{node_type}"
    found: Obj = {
        "metadata": {
            "name": name,
            "namespace": "default",
            "uid": f"uid-{name}",
            "labels": {
                "ray.io/cluster": of,
                "ray.io/node-type": node_type,
                "ray.io/group": "headgroup" if node_type == "head" else group_name,
            }
            | (labels or {}),
            "annotations": annotations or {},
        },
        "spec": {"containers": [{"name": container}], "restartPolicy": restart_policy},
        "status": {"phase": phase, "podIP": ip, "conditions": conditions},
    }
    if container_state is not None:
        state = {"name": container, "state": container_state, "lastState": last_state or {}}
        found["status"]["containerStatuses"] = [state]
    if deleting:
        found["metadata"]["deletionTimestamp"] = rfc3339(NOW)
    return msgspec.convert(found, Pod)


def job(*conditions: Obj, owner: str = UID) -> Job:
    document = {
        "metadata": {"name": "raycluster-redis-cleanup", "ownerReferences": [{"uid": owner}]},
        "status": {"conditions": list(conditions)},
    }
    return msgspec.convert(document, Job)


def head_svc(*, cluster_ip: str = "None", ports: list[Obj] | None = None) -> Service:
    document = {
        "metadata": {
            "name": "raycluster-head-svc",
            "namespace": "default",
            "labels": {"ray.io/cluster": "raycluster", "ray.io/node-type": "head"},
        },
        "spec": {"clusterIP": cluster_ip, "ports": ports or []},
    }
    return msgspec.convert(document, Service)


def plan(observed: Observed, settings: Settings = SETTINGS) -> Plan:
    return plan_raycluster(observed, settings, NOW)


def created(found: Plan) -> list[str]:
    """Kinds, with the node type of Pods: `Service`, `Pod/head`, `Job`."""
    names = []
    for action in found.actions:
        if isinstance(action, Create):
            node_type = action.obj["metadata"]["labels"].get("ray.io/node-type")
            kind = action.obj["kind"]
            names.append(f"{kind}/{node_type}" if kind == "Pod" else str(kind))
    return names


def deleted(found: Plan) -> list[str]:
    return [action.pod.metadata.name for action in found.actions if isinstance(action, DeletePod)]


def finalizers(found: Plan) -> tuple[str, ...] | None:
    """What the finalizers are set to, or None where they are left alone."""
    return next((action.finalizers for action in found.actions if isinstance(action, SetFinalizers)), None)


def env_of(container: Obj) -> dict[str, Any]:
    """Name to value, or to valueFrom; of equal names the last, as in a container."""
    return {entry["name"]: entry.get("value", entry.get("valueFrom")) for entry in container.get("env") or []}
