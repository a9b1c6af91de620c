"""RayServices and what is seen of their RayClusters, for tests: as small as they can be, everything overridable."""

from copy import deepcopy
from datetime import datetime, timedelta
from typing import Any, TypeVar

import msgspec
from tests.unit.plan.clusters import NOW, group, head_template, pod

from headstay.model.meta import Pod
from headstay.model.objects import Obj
from headstay.model.ray import RayCluster, Service
from headstay.model.rayservice import RAYSERVICE_FINALIZER, RayService
from headstay.model.timestamps import rfc3339
from headstay.plan.raycluster.settings import Settings
from headstay.plan.rayservice.decide import plan_rayservice
from headstay.plan.rayservice.deployment import remembered
from headstay.plan.rayservice.generations import DEPLOYED, DEPLOYED_CONFIG, Generation, child
from headstay.plan.rayservice.plan import Names, Observed, Plan, Seen
from headstay.plan.rayservice.serve_config import serve_config, serve_config_hash
from headstay.plan.rayservice.serving import Applications
from headstay.plan.rayservice.status import next_status

SETTINGS = Settings()
UID = "5d1e0000-6305-42e3-ac46-adfa8eb6f752"
CONFIG = "applications:\n- name: app\n  import_path: fruit:app\n"
FT = {"redisAddress": "redis:6379"}
PORTS = [{"name": "serve", "containerPort": 8000}, {"name": "dashboard", "containerPort": 8265}]


def cluster_spec(**fields: Any) -> Obj:
    head = {"rayStartParams": {}, "template": head_template(ports=PORTS)}
    return {"rayVersion": "2.60.0", "headGroupSpec": head, "workerGroupSpecs": [group()]} | fields


def service(
    *,
    name: str = "svc",
    annotations: dict[str, str] | None = None,
    labels: dict[str, str] | None = None,
    finalizers: tuple[str, ...] = (RAYSERVICE_FINALIZER,),
    deleting: bool = False,
    active: str = "",
    pending: str = "",
    conditions: list[Obj] | None = None,
    cluster: Obj | None = None,
    generation: int = 1,
    **spec: Any,
) -> RayService:
    status: Obj = {"conditions": conditions or []}
    status |= {"activeServiceStatus": {"rayClusterName": active}} if active else {}
    status |= {"pendingServiceStatus": {"rayClusterName": pending}} if pending else {}
    metadata: Obj = {
        "name": name,
        "namespace": "default",
        "uid": UID,
        "resourceVersion": "7",
        "generation": generation,
        "annotations": annotations or {},
        "labels": labels or {},
        "finalizers": list(finalizers),
    }
    metadata |= {"deletionTimestamp": rfc3339(NOW)} if deleting else {}
    document = {
        "metadata": metadata,
        "spec": {"serveConfigV2": CONFIG, "rayClusterConfig": cluster_spec() if cluster is None else cluster} | spec,
        "status": status,
    }
    return msgspec.convert(deepcopy(document), RayService)


def made_for(
    owner: RayService,
    name: str,
    *,
    chosen: str = "",
    deleting: bool = False,
    annotations: dict[str, str] | None = None,
) -> RayCluster:
    """The RayCluster as this operator makes it of what the RayService says."""
    document = child(owner, Generation(name, chosen), SETTINGS)
    document["metadata"] |= {"uid": f"uid-{name}", "resourceVersion": "3"}
    document["metadata"]["annotations"] |= annotations or {}
    if deleting:
        document["metadata"]["deletionTimestamp"] = rfc3339(NOW)
    return msgspec.convert(document, RayCluster)


def deployed(owner: RayService, name: str, config: str = CONFIG) -> RayCluster:
    """It has accepted that configuration."""
    cluster, accepted = made_for(owner, name), serve_config(config)
    cluster.annotations[DEPLOYED] = serve_config_hash(accepted)
    cluster.annotations[DEPLOYED_CONFIG] = remembered(cluster, accepted) or ""
    return cluster


def pods_of(
    name: str, *, head_serves: bool = True, workers_ready: bool = True, head_ready: bool = True
) -> tuple[Pod, ...]:
    label = {"ray.io/serve": "true" if head_serves else "false"}
    return (
        pod(f"{name}-head", "head", of=name, ip="10.0.0.1", labels=label, ready=head_ready),
        pod(f"{name}-worker", of=name, ip="10.0.0.2", labels={"ray.io/serve": "true"}, ready=workers_ready),
    )


def seen(cluster: RayCluster, *, status: str = "RUNNING", **more: Any) -> Seen:
    """A cluster that serves, unless told otherwise; `status` "" is a Serve that runs nothing."""
    applications = Applications({"app": {"status": status}} if status else {}, frozenset({"10.0.0.1", "10.0.0.2"}))
    fields: Obj = {"pods": pods_of(cluster.name), "applications": applications, "head_serves": True}
    return Seen(cluster, **(fields | more))


def svc(name: str, cluster: str) -> Service:
    document = {
        "metadata": {"name": name, "namespace": "default", "resourceVersion": "5"},
        "spec": {"selector": {"ray.io/cluster": cluster}},
    }
    return msgspec.convert(document, Service)


def both(cluster: str) -> tuple[Service, ...]:
    return (svc("svc-head-svc", cluster), svc("svc-serve-svc", cluster))


def observed(owner: RayService, *clusters: Seen, points_at: str = "", **more: Any) -> Observed:
    services = both(points_at) if points_at else ()
    return Observed(owner, clusters, services, fresh=more.pop("fresh", "svc-fresh"), **more)


def plan(found: Observed, settings: Settings = SETTINGS, now: datetime = NOW, **more: Any) -> Plan:
    return plan_rayservice(found, settings, now, **more)


def status(found: Observed, made: Plan | None = None, now: datetime = NOW) -> Obj:
    made = made or plan(found, now=now)
    return next_status(found, made, made.names or Names(), now)


def condition(told: Obj, kind: str) -> tuple[str, str] | None:
    return next(((c["status"], c["reason"]) for c in told["conditions"] if c["type"] == kind), None)


A = TypeVar("A")


def actions(made: Plan, kind: type[A]) -> list[A]:
    return [action for action in made.actions if isinstance(action, kind)]


def ago(seconds: float) -> str:
    return rfc3339(NOW - timedelta(seconds=seconds))
