"""What it takes to run the operator in a cluster: CRDs, permissions, a Deployment. `config/` holds the same as YAML.

Least privilege: the operator may make and delete Pods and make Services and Jobs, since that is its work; it may
read no Secret, and it changes nothing of a RayCluster but metadata and status.
"""

from collections.abc import Iterator
from typing import NamedTuple

from headstay import __version__
from headstay.model.objects import Obj
from headstay.model.ray_crds import crds
from headstay.model.resource import (
    CLUSTER_ROLE_BINDINGS,
    CLUSTER_ROLES,
    CUSTOM_RESOURCE_DEFINITIONS,
    DEPLOYMENTS,
    ROLE_BINDINGS,
    ROLES,
    SERVICE_ACCOUNTS,
    Resource,
)

DEPLOYMENT = "headstay-operator"
LEASE = "headstay-operator-leader"
IMAGE = f"headstay/operator:{__version__}"
METRICS_PORT = 8080
_LABELS = {"app.kubernetes.io/name": DEPLOYMENT, "app.kubernetes.io/component": "operator"}


class Manifest(NamedTuple):
    resource: Resource
    obj: Obj


def operator(namespace: str, *, image: str = IMAGE, restricted: bool = False) -> Iterator[Manifest]:
    """All objects, in the order in which to apply them.

    `restricted` adds what the Pod security standard of that name asks for; the image must then run as any user.
    """
    yield from definitions()
    yield from permissions(namespace)
    yield Manifest(DEPLOYMENTS, deployment(namespace, image=image, restricted=restricted))


def definitions() -> Iterator[Manifest]:
    for crd in crds():
        yield Manifest(CUSTOM_RESOURCE_DEFINITIONS, crd)


def permissions(namespace: str) -> Iterator[Manifest]:
    yield Manifest(SERVICE_ACCOUNTS, _object("v1", "ServiceAccount", DEPLOYMENT, namespace))
    rbac = "rbac.authorization.k8s.io/v1"
    cluster_role = _object(rbac, "ClusterRole", DEPLOYMENT)
    cluster_role["rules"] = [
        _rule("ray.io", ["rayclusters"], "get", "list", "watch", "patch"),
        _rule("ray.io", ["rayclusters/status"], "patch"),
        # Needed where admission enforces permissions on owner references that block deletion.
        _rule("ray.io", ["rayclusters/finalizers"], "update"),
        _rule("", ["pods"], "get", "list", "watch", "create", "patch", "delete"),
        _rule("", ["services"], "get", "list", "watch", "create"),
        # The keeper of heads whose GCS recovers in place; nobody's ConfigMaps are read.
        _rule("", ["configmaps"], "create"),
        _rule("networking.k8s.io", ["ingresses"], "get", "list", "watch", "create", "patch"),
        _rule("batch", ["jobs"], "get", "list", "watch", "create"),
        _rule("events.k8s.io", ["events"], "create", "patch"),
    ]
    yield Manifest(CLUSTER_ROLES, cluster_role)
    yield Manifest(CLUSTER_ROLE_BINDINGS, _binding("ClusterRole", DEPLOYMENT, namespace))
    role = _object(rbac, "Role", LEASE, namespace)
    role["rules"] = [
        _rule("coordination.k8s.io", ["leases"], "create"),
        _rule("coordination.k8s.io", ["leases"], "get", "update") | {"resourceNames": [LEASE]},
    ]
    yield Manifest(ROLES, role)
    yield Manifest(ROLE_BINDINGS, _binding("Role", LEASE, namespace))


def deployment(namespace: str, *, image: str = IMAGE, restricted: bool = False) -> Obj:
    found = _object("apps/v1", "Deployment", DEPLOYMENT, namespace)
    found["spec"] = {
        "replicas": 1,
        # The lease keeps two from acting at once; with Recreate the new one need not wait for it.
        "strategy": {"type": "Recreate"},
        "selector": {"matchLabels": dict(_LABELS)},
        "template": {
            "metadata": {"labels": dict(_LABELS)},
            "spec": {
                "serviceAccountName": DEPLOYMENT,
                "terminationGracePeriodSeconds": 15,
                "containers": [_container(image, restricted=restricted)],
            },
        },
    }
    if restricted:
        security = {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}}
        found["spec"]["template"]["spec"]["securityContext"] = security
    return found


def _container(image: str, *, restricted: bool) -> Obj:
    container: Obj = {
        "name": "operator",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python", "-m", "headstay.controllers"],
        "env": [
            {"name": "ENABLE_GCS_FT_REDIS_CLEANUP", "value": "true"},
            {"name": "GCS_FT_REDIS_CLEANUP_MODE", "value": "BestEffort"},
            _from_field("POD_NAME", "metadata.name"),
            _from_field("POD_UID", "metadata.uid"),
            _from_field("POD_NAMESPACE", "metadata.namespace"),
        ],
        "ports": [{"name": "metrics", "containerPort": METRICS_PORT}],
        # Ready the moment the caches are filled; after that there is no hurry.
        "startupProbe": _probe("/readyz", period=1, failures=120),
        "livenessProbe": _probe("/healthz", period=10, failures=3),
        "readinessProbe": _probe("/readyz", period=10, failures=2),
        "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "512Mi"}},
    }
    if restricted:
        container["securityContext"] = {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
    return container


def _probe(path: str, *, period: int, failures: int) -> Obj:
    return {
        "httpGet": {"path": path, "port": METRICS_PORT},
        "periodSeconds": period,
        "timeoutSeconds": 5,
        "failureThreshold": failures,
    }


def _from_field(name: str, path: str) -> Obj:
    return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}


def _object(api_version: str, kind: str, name: str, namespace: str = "") -> Obj:
    metadata: Obj = {"name": name} | ({"namespace": namespace} if namespace else {}) | {"labels": dict(_LABELS)}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata}


def _rule(group: str, resources: list[str], *verbs: str) -> Obj:
    return {"apiGroups": [group], "resources": resources, "verbs": list(verbs)}


def _binding(kind: str, name: str, namespace: str) -> Obj:
    """Binds the role of that name to the operator's service account."""
    cluster_wide = kind == "ClusterRole"
    binding = _object("rbac.authorization.k8s.io/v1", f"{kind}Binding", name, "" if cluster_wide else namespace)
    binding["roleRef"] = {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name}
    binding["subjects"] = [{"kind": "ServiceAccount", "name": DEPLOYMENT, "namespace": namespace}]
    return binding
