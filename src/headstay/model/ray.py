"""A RayCluster as the operator reads it, and the words of KubeRay's contract.

The spec stays a raw document: Pod templates in it are copied and edited, so what the user wrote survives.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import msgspec

from headstay.model.meta import Condition, ObjectMeta, View
from headstay.model.objects import Obj, ObjectKey, dig
from headstay.model.resource import Resource

GROUP = "ray.io"
API_VERSION = "ray.io/v1"
RAYCLUSTERS = Resource(GROUP, "v1", "rayclusters", "RayCluster")

MANAGED_BY_US = "ray.io/kuberay-operator"

# Annotations
FT_ENABLED = "ray.io/ft-enabled"
EXTERNAL_STORAGE_NAMESPACE = "ray.io/external-storage-namespace"
DELETION_TIMEOUT = "ray.io/gcs-ft-deletion-timeout"
OVERWRITE_CONTAINER_CMD = "ray.io/overwrite-container-cmd"
ENABLE_SERVE_SERVICE = "ray.io/enable-serve-service"
RECREATE_HASH = "ray.io/upgrade-strategy-recreate-hash"
OPERATOR_VERSION = "ray.io/kuberay-version"
NO_HEAD_RESTART = "ray.io/disable-provisioned-head-restart"
INGRESS_CLASS = "kubernetes.io/ingress.class"

# Labels
IS_RAY_NODE = "ray.io/is-ray-node"
CLUSTER = "ray.io/cluster"
NODE_TYPE = "ray.io/node-type"
GROUP_NAME = "ray.io/group"
IDENTIFIER = "ray.io/identifier"
SERVE = "ray.io/serve"
HEADLESS_WORKER_SERVICE = "ray.io/headless-worker-svc"
ORIGINATED_FROM_CRD = "ray.io/originated-from-crd"
ORIGINATED_FROM_NAME = "ray.io/originated-from-cr-name"
JOB_SUBMISSION_MODE = "ray.io/job-submission-mode"
REPLICA_INDEX = "ray.io/worker-group-replica-index"
REPLICA_NAME = "ray.io/worker-group-replica-name"
HOST_INDEX = "ray.io/replica-host-index"
APP_NAME = "app.kubernetes.io/name"
CREATED_BY = "app.kubernetes.io/created-by"

HEAD = "head"
WORKER = "worker"
REDIS_CLEANUP = "redis-cleanup"
REDIS_CHECK = "redis-check"
HEAD_GROUP = "headgroup"
APPLICATION = "kuberay"
COMPONENT = "kuberay-operator"

REDIS_CLEANUP_FINALIZER = "ray.io/gcs-ft-redis-cleanup-finalizer"

# Environment of Ray containers
ENV_STORAGE_NAMESPACE = "RAY_external_storage_namespace"
ENV_REDIS_ADDRESS = "RAY_REDIS_ADDRESS"
ENV_REDIS_USERNAME = "REDIS_USERNAME"
ENV_REDIS_PASSWORD = "REDIS_PASSWORD"  # noqa: S105 - the name of a variable
ENV_REDIS_CA_PATH = "RAY_REDIS_CA_PATH"
ENV_REDIS_SERVER_NAME = "RAY_REDIS_SERVER_NAME"
REDIS_TLS_FILES = ("RAY_REDIS_CA_CERT", "RAY_REDIS_CLIENT_CERT", "RAY_REDIS_CLIENT_KEY")
ENV_RECONNECT_TIMEOUT = "RAY_gcs_rpc_server_reconnect_timeout_s"
ENV_AUTOSCALER_V2 = "RAY_enable_autoscaler_v2"

# Ports
GCS_PORT = 6379
DASHBOARD_PORT = 8265
CLIENT_PORT = 10001
METRICS_PORT = 8080
SERVE_PORT = 8000
AGENT_PORT = 52365


class RayObject(View):
    """What RayClusters and RayServices have in common: the spec and the status stay raw documents."""

    KIND: ClassVar[str]

    metadata: ObjectMeta = msgspec.field(default_factory=ObjectMeta)
    spec: dict[str, Any] = msgspec.field(default_factory=dict)
    status: dict[str, Any] = msgspec.field(default_factory=dict)

    @property
    def key(self) -> ObjectKey:
        return ObjectKey(self.metadata.namespace, self.metadata.name)

    @property
    def name(self) -> str:
        return self.metadata.name

    @property
    def namespace(self) -> str:
        return self.metadata.namespace

    @property
    def annotations(self) -> dict[str, str]:
        return self.metadata.annotations

    @property
    def deleting(self) -> bool:
        return self.metadata.deletion_timestamp is not None

    @property
    def managed_by_us(self) -> bool:
        return self.spec.get("managedBy") in {None, "", MANAGED_BY_US}

    def condition(self, kind: str) -> Condition | None:
        for found in self.status.get("conditions") or []:
            if found.get("type") == kind:
                return msgspec.convert(found, Condition)
        return None

    def is_true(self, kind: str) -> bool:
        found = self.condition(kind)
        return found is not None and found.status == "True"

    def owner_reference(self) -> Obj:
        return {
            "apiVersion": API_VERSION,
            "kind": self.KIND,
            "name": self.metadata.name,
            "uid": self.metadata.uid,
            "controller": True,
            "blockOwnerDeletion": True,
        }


class RayCluster(RayObject):
    KIND = RAYCLUSTERS.kind

    @property
    def head_group(self) -> Obj:
        found: Obj = self.spec.get("headGroupSpec") or {}
        return found

    @property
    def worker_groups(self) -> list[Obj]:
        found: list[Obj] = self.spec.get("workerGroupSpecs") or []
        return found

    @property
    def ft_options(self) -> Obj | None:
        """None where the field is absent; an empty object switches GCS fault tolerance on."""
        found: Obj | None = self.spec.get("gcsFaultToleranceOptions")
        return found

    @property
    def autoscaling(self) -> bool:
        return bool(self.spec.get("enableInTreeAutoscaling"))

    @property
    def autoscaler_version(self) -> str:
        return str((self.spec.get("autoscalerOptions") or {}).get("version") or "")

    @property
    def ray_version(self) -> str:
        return str(self.spec.get("rayVersion") or "")

    @property
    def creator(self) -> str:
        """The kind that made this cluster: RayCluster when a user did."""
        found = self.metadata.labels.get(ORIGINATED_FROM_CRD, "")
        return found if found in {"RayJob", "RayService"} else "RayCluster"


class ServicePort(View):
    name: str = ""
    port: int = 0
    target_port: int | str = 0
    node_port: int = 0


class ServiceSpec(View):
    cluster_ip: str = msgspec.field(default="", name="clusterIP")
    type: str = ""
    ports: list[ServicePort] = msgspec.field(default_factory=list)
    selector: dict[str, str] = msgspec.field(default_factory=dict)


class Service(View):
    metadata: ObjectMeta = msgspec.field(default_factory=ObjectMeta)
    spec: ServiceSpec = msgspec.field(default_factory=ServiceSpec)


class Ingress(View):
    metadata: ObjectMeta = msgspec.field(default_factory=ObjectMeta)
    spec: dict[str, Any] = msgspec.field(default_factory=dict)


class Route(View):
    """Of OpenShift; nothing of its spec is looked at again once it is made."""

    metadata: ObjectMeta = msgspec.field(default_factory=ObjectMeta)


class JobStatus(View):
    conditions: list[Condition] = msgspec.field(default_factory=list)
    active: int = 0
    failed: int = 0
    succeeded: int = 0


class Job(View):
    metadata: ObjectMeta = msgspec.field(default_factory=ObjectMeta)
    status: JobStatus = msgspec.field(default_factory=JobStatus)

    def outcome(self) -> Condition | None:
        """The condition that ended the Job: Complete, Failed, or FailureTarget (doomed, Pods still going)."""
        for kind in ("Complete", "Failed", "FailureTarget"):
            for found in self.status.conditions:
                if found.type == kind and found.status == "True":
                    return found
        return None


def start_params(group: Mapping[str, Any]) -> dict[str, str]:
    """A copy of the group's `rayStartParams`; absent means empty."""
    return dict(group.get("rayStartParams") or {})


def template_of(group: Mapping[str, Any]) -> Obj:
    """The Pod template, or an empty one; what is no mapping is for validation to name."""
    found = group.get("template")
    return found if isinstance(found, dict) else {}


def ray_container(group: Mapping[str, Any]) -> Obj:
    """The container that runs Ray: the first of the template, or an empty one where there is none."""
    found = dig(template_of(group), "spec", "containers", 0)
    return found if isinstance(found, dict) else {}


def env_entry(container: Mapping[str, Any], name: str) -> Obj | None:
    """The last entry of that name: the one that counts in a container."""
    entries = container.get("env")
    for entry in reversed(entries if isinstance(entries, list) else []):
        if isinstance(entry, dict) and entry.get("name") == name:
            return entry
    return None


def head_port(cluster: RayCluster) -> str:
    return start_params(cluster.head_group).get("port", str(GCS_PORT))
