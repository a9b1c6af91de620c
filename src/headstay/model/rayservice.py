"""A RayService as the operator reads it, and the words of its contract. What it serves stays the user's own text."""

from typing import Any

import msgspec

from headstay.model.meta import Condition, ObjectMeta, View
from headstay.model.objects import Obj, ObjectKey
from headstay.model.ray import API_VERSION, GROUP, MANAGED_BY_US
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


class RayService(View):
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
            "kind": RAYSERVICES.kind,
            "name": self.metadata.name,
            "uid": self.metadata.uid,
            "controller": True,
            "blockOwnerDeletion": True,
        }


def _cluster_name(status: Obj, field: str) -> str:
    return str((status.get(field) or {}).get("rayClusterName") or "")
