"""A RayService as the operator reads it, and the words of its contract. What it serves stays the user's own text."""

from headstay.model.objects import Obj
from headstay.model.ray import GROUP, RayObject
from headstay.model.resource import Resource

RAYSERVICES = Resource(GROUP, "v1", "rayservices", "RayService")

RAYSERVICE_FINALIZER = "ray.io/rayservice-finalizer"

# Annotations
INITIALIZING_TIMEOUT = "ray.io/initializing-timeout"
CLUSTER_HASH = "ray.io/hash-without-replicas-and-workers-to-delete"
WORKER_GROUPS = "ray.io/num-worker-groups"

# Conditions
READY = "Ready"
UPGRADE_IN_PROGRESS = "UpgradeInProgress"
SUSPENDING = "Suspending"
SUSPENDED = "Suspended"

NEW_CLUSTER = "NewCluster"
INCREMENTAL = "NewClusterWithIncrementalUpgrade"


class RayService(RayObject):
    KIND = RAYSERVICES.kind

    @property
    def cluster_spec(self) -> Obj:
        found: Obj = self.spec.get("rayClusterConfig") or {}
        return found

    @property
    def upgrade_type(self) -> str:
        """Empty where the user leaves it to the operator."""
        return str((self.spec.get("upgradeStrategy") or {}).get("type") or "")

    @property
    def suspend(self) -> bool:
        return bool(self.spec.get("suspend"))

    @property
    def head_outside(self) -> bool:
        return bool(self.spec.get("excludeHeadPodFromServeSvc"))

    @property
    def active(self) -> str:
        return _cluster_name(self.status, "activeServiceStatus")

    @property
    def pending(self) -> str:
        return _cluster_name(self.status, "pendingServiceStatus")


def _cluster_name(status: Obj, field: str) -> str:
    return str((status.get(field) or {}).get("rayClusterName") or "")
