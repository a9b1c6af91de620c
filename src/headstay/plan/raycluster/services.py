"""The Services of a RayCluster: the head's, and where hosts of one replica must find each other, the workers'.

The head Service is headless and publishes addresses that are not ready, so that workers reach a head that is still
starting, and follow a replaced head at once. It is created once and then left to the user.
"""

from copy import deepcopy

from headstay.model.objects import Obj
from headstay.model.ray import (
    APP_NAME,
    APPLICATION,
    CLIENT_PORT,
    CLUSTER,
    COMPONENT,
    CREATED_BY,
    DASHBOARD_PORT,
    ENABLE_SERVE_SERVICE,
    GCS_PORT,
    HEAD,
    HEADLESS_WORKER_SERVICE,
    IDENTIFIER,
    METRICS_PORT,
    NODE_TYPE,
    ORIGINATED_FROM_CRD,
    ORIGINATED_FROM_NAME,
    SERVE,
    SERVE_PORT,
    WORKER,
    RayCluster,
    head_port,
    ray_container,
)
from headstay.model.ray_names import gcs_service as gcs_service_name
from headstay.model.ray_names import head_service as head_service_name
from headstay.model.ray_names import headless_worker_service, identifier, serve_service
from headstay.plan.raycluster.settings import Settings

_DEFAULT_PORTS = {
    "client": CLIENT_PORT,
    "gcs-server": GCS_PORT,
    "dashboard": DASHBOARD_PORT,
    "metrics": METRICS_PORT,
    "serve": SERVE_PORT,
}


def head_service_labels(cluster: RayCluster) -> dict[str, str]:
    """Labels of the head Service, which are its selector too."""
    return {
        CLUSTER: cluster.name,
        NODE_TYPE: HEAD,
        IDENTIFIER: identifier(cluster.name, HEAD),
        APP_NAME: APPLICATION,
        CREATED_BY: COMPONENT,
    }


def head_service(cluster: RayCluster, settings: Settings) -> Obj:
    group = cluster.head_group
    service_type = group.get("serviceType")
    selector = _head_selector(cluster)
    ports = [{"name": name, "port": port, "appProtocol": "tcp"} for name, port in sorted(head_ports(cluster).items())]
    written = group.get("headService")
    if written:
        service = deepcopy(written)
        service |= {"apiVersion": "v1", "kind": "Service"}
        service.pop("status", None)
        metadata = service.setdefault("metadata", {})
        spec = service.setdefault("spec", {})
        metadata["labels"] = (metadata.get("labels") or {}) | selector
        metadata["annotations"] = (metadata.get("annotations") or {}) | (
            cluster.spec.get("headServiceAnnotations") or {}
        )
        spec["ports"] = _merge_ports(spec.get("ports") or [], ports)
        if not spec.get("type") and service_type:
            spec["type"] = service_type
    else:
        metadata = {"labels": dict(selector), "annotations": dict(cluster.spec.get("headServiceAnnotations") or {})}
        spec = {"ports": ports}
        if service_type:
            spec["type"] = service_type
        if not settings.head_cluster_ip_service and service_type in {None, "", "ClusterIP"}:
            spec |= {"clusterIP": "None", "publishNotReadyAddresses": True}
        service = {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}
    spec["selector"] = selector
    return _owned(cluster, service, head_service_name(cluster))


def _head_selector(cluster: RayCluster) -> dict[str, str]:
    """The labels as the head Pod really carries them: its template may override the application's."""
    written = (cluster.head_group.get("template") or {}).get("metadata") or {}
    chosen = (written.get("labels") or {}) | (cluster.head_group.get("labels") or {})
    labels = head_service_labels(cluster)
    return labels | {key: chosen[key] for key in (IDENTIFIER, APP_NAME, CREATED_BY) if key in chosen}


def gcs_service(cluster: RayCluster) -> Obj:
    """The GCS under an address that outlives every head Pod.

    A name that leads to another address is looked up again by gRPC once in 30 s at most.
    """
    port = int(head_port(cluster))
    service: Obj = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"labels": {CLUSTER: cluster.name, APP_NAME: APPLICATION, CREATED_BY: COMPONENT}},
        "spec": {
            "type": "ClusterIP",
            "selector": _head_selector(cluster),
            "publishNotReadyAddresses": True,
            "ports": [{"name": "gcs-server", "port": port, "appProtocol": "tcp"}],
        },
    }
    return _owned(cluster, service, gcs_service_name(cluster.name))


def needs_headless_worker_service(cluster: RayCluster) -> bool:
    return any((group.get("numOfHosts") or 1) > 1 for group in cluster.worker_groups)


def headless_service(cluster: RayCluster) -> Obj:
    service: Obj = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"labels": {HEADLESS_WORKER_SERVICE: cluster.name, CLUSTER: cluster.name}},
        "spec": {
            "type": "ClusterIP",
            "clusterIP": "None",
            "selector": {CLUSTER: cluster.name, NODE_TYPE: WORKER},
            "publishNotReadyAddresses": True,
        },
    }
    return _owned(cluster, service, headless_worker_service(cluster.name))


def wants_serve_service(cluster: RayCluster) -> bool:
    return cluster.annotations.get(ENABLE_SERVE_SERVICE, "").lower() == "true" and cluster.creator == "RayCluster"


def serve_ports(cluster: RayCluster) -> dict[str, int]:
    return {name: port for name, port in head_ports(cluster).items() if name == "serve" or name.startswith("serve-")}


def serve_service_for(cluster: RayCluster) -> Obj:
    ports = serve_ports(cluster)
    service: Obj = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "labels": {
                CLUSTER: cluster.name,
                ORIGINATED_FROM_NAME: cluster.name,
                ORIGINATED_FROM_CRD: "RayCluster",
                SERVE: f"{cluster.name}-serve",
            }
        },
        "spec": {
            "selector": {CLUSTER: cluster.name},
            "ports": [{"name": name, "port": port} for name, port in sorted(ports.items())],
        },
    }
    if service_type := cluster.head_group.get("serviceType"):
        service["spec"]["type"] = service_type
    return _owned(cluster, service, serve_service(cluster.name))


def _owned(cluster: RayCluster, service: Obj, name: str) -> Obj:
    metadata = service["metadata"]
    metadata["name"] = metadata.get("name") or name
    metadata["namespace"] = cluster.namespace
    metadata["ownerReferences"] = [cluster.owner_reference()]
    return service


def head_ports(cluster: RayCluster) -> dict[str, int]:
    """The head container's ports by name, or the defaults where it declares none; metrics always."""
    ports = {
        str(port.get("name") or f"{port['containerPort']}-port"): int(port["containerPort"])
        for port in ray_container(cluster.head_group).get("ports") or []
    }
    ports = ports or dict(_DEFAULT_PORTS)
    if METRICS_PORT not in ports.values():
        ports.setdefault("metrics", METRICS_PORT)
    return ports


def _merge_ports(written: list[Obj], ours: list[Obj]) -> list[Obj]:
    """Ours win over written ones of the same name; the rest of what was written stays."""
    by_name = {port["name"]: port for port in written if port.get("name")} | {port["name"]: port for port in ours}
    unnamed = [port for port in written if not port.get("name")]
    return [by_name[name] for name in sorted(by_name)] + unnamed
