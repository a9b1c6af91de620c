"""The RayClusters that a RayService makes: one generation after the other, and which storage namespace each gets.

Two generations run side by side during an upgrade. On the same keys the new one would wake up with the old one's
state, and the old one's cleanup would take the new one's keys. So a storage namespace that the user chose goes to the
first generation alone; each later one gets that name with the end of its cluster's own name behind it. The default,
the RayCluster's UID, is another one each time by itself.
"""

from copy import deepcopy
from typing import NamedTuple

from headstay.model.meta import ObjectMeta
from headstay.model.objects import LAST_APPLIED, Obj
from headstay.model.ray import (
    API_VERSION,
    DELETION_TIMEOUT,
    ENV_STORAGE_NAMESPACE,
    EXTERNAL_STORAGE_NAMESPACE,
    OPERATOR_VERSION,
    ORIGINATED_FROM_CRD,
    ORIGINATED_FROM_NAME,
    RAYCLUSTERS,
    RayCluster,
    env_entry,
    ray_container,
)
from headstay.model.rayservice import CLUSTER_HASH, WORKER_GROUPS, RayService
from headstay.plan.raycluster.cleanup_policy import CLEANUP_POLICY
from headstay.plan.raycluster.identity import storage_namespace, storage_namespace_env, uses_redis
from headstay.plan.raycluster.in_place import GCS_RECOVERY
from headstay.plan.raycluster.recreate import hash_of
from headstay.plan.raycluster.returns import REPLACE, RETURN_TIMEOUT
from headstay.plan.raycluster.settings import Settings

SCALE = "headstay.io/worker-replicas"
"""Annotation of a RayCluster: what its RayService last asked for, so that a change there can be told from one here."""
DEPLOYED = "headstay.io/serve-config-hash"
"""Annotation of a RayCluster: the Serve configuration that its dashboard accepted last."""
DEPLOYED_CONFIG = "headstay.io/serve-config"
"""Annotation of a RayCluster: that configuration as JSON, where there is room for it."""
RETIRED = "headstay.io/retired-at"
"""Annotation of a RayCluster: when its RayService stopped using it."""
INHERITED = "headstay.io/inherited-storage"
"""Annotation of a RayCluster: it was made on keys that its RayService had retained."""

LIVE_ANNOTATIONS = (CLEANUP_POLICY, DELETION_TIMEOUT, GCS_RECOVERY, RETURN_TIMEOUT, REPLACE)
"""What a RayCluster is asked while it runs must reach those that run already: how it ends, and how it recovers."""


class Generation(NamedTuple):
    """`chosen` is "" where the cluster keeps to what the spec says; `inherited` where its keys are there already."""

    name: str
    chosen: str = ""
    inherited: bool = False


def suffix_of(cluster: str) -> str:
    return cluster.rpartition("-")[2]


def pseudo_cluster(service: RayService) -> RayCluster:
    """The spec as a RayCluster of the RayService's own name, for what is decided on RayClusters."""
    labels = service.metadata.labels | _origin(service)
    metadata = ObjectMeta(
        name=service.name, namespace=service.namespace, labels=labels, annotations=dict(service.annotations)
    )
    return RayCluster(metadata=metadata, spec=service.cluster_spec)


def given_namespace(service: RayService) -> str:
    """The storage namespace that the user chose, or "" where there is none; the RayService's name where its value
    comes from elsewhere.
    """
    cluster = pseudo_cluster(service)
    if not uses_redis(cluster):
        return ""
    entry = env_entry(ray_container(cluster.head_group), ENV_STORAGE_NAMESPACE)
    if entry is None:
        return storage_namespace(cluster)  # its UID is empty: there is no such RayCluster
    value = str(entry.get("value") or "")
    return value if value and "$(" not in value and "valueFrom" not in entry else service.name


def effective_namespace(cluster: RayCluster) -> str:
    """What a RayCluster really uses; "" where it cannot be told, or where there is no Redis."""
    return str(storage_namespace_env(cluster).get("value") or "") if uses_redis(cluster) else ""


def later_namespace(given: str, cluster: str) -> str:
    return f"{given}-{suffix_of(cluster)}" if given else ""


def child(service: RayService, generation: Generation, settings: Settings) -> Obj:
    """The RayCluster to create."""
    spec = deepcopy(service.cluster_spec)
    annotations = {key: value for key, value in service.annotations.items() if key != LAST_APPLIED}
    annotations |= marks(service, settings)
    if generation.chosen:
        _put_namespace(spec, annotations, generation.chosen)
    if generation.inherited:
        annotations[INHERITED] = "true"
    return {
        "apiVersion": API_VERSION,
        "kind": RAYCLUSTERS.kind,
        "metadata": {
            "name": generation.name,
            "namespace": service.namespace,
            "labels": service.metadata.labels | _origin(service),
            "annotations": annotations,
            "ownerReferences": [service.owner_reference()],
        },
        "spec": spec,
    }


def marks(service: RayService, settings: Settings, groups: int | None = None) -> dict[str, str]:
    """What a cluster of this spec is known by; `groups` where it has only the first so many."""
    spec = service.cluster_spec
    count = len(_groups(spec)) if groups is None else groups
    return {
        CLUSTER_HASH: cluster_hash(service, count),
        WORKER_GROUPS: str(count),
        OPERATOR_VERSION: settings.version,
        SCALE: scale_of(_groups(spec)[:count]),
    }


def cluster_hash(service: RayService, groups: int) -> str:
    spec = service.cluster_spec
    return hash_of(spec | {"workerGroupSpecs": _groups(spec)[:groups]})


def scale_of(groups: list[Obj]) -> str:
    """Readable, and different for anything that scales differently."""
    return ",".join(
        f"{group.get('groupName')}={group.get('replicas')}:{group.get('minReplicas')}:{group.get('maxReplicas')}"
        for group in groups
    )


def _groups(spec: Obj) -> list[Obj]:
    found: list[Obj] = spec.get("workerGroupSpecs") or []
    return found


def _origin(service: RayService) -> dict[str, str]:
    return {ORIGINATED_FROM_NAME: service.name, ORIGINATED_FROM_CRD: "RayService"}


def _put_namespace(spec: Obj, annotations: dict[str, str], namespace: str) -> None:
    """Where the operator writes it, and in every environment that would win over that."""
    options = spec.get("gcsFaultToleranceOptions")
    if options is None:
        annotations[EXTERNAL_STORAGE_NAMESPACE] = namespace
    else:
        options["externalStorageNamespace"] = namespace
    for group in (spec.get("headGroupSpec") or {}, *_groups(spec)):
        container = ray_container(group)
        for index, entry in enumerate(container.get("env") or []):
            if entry.get("name") == ENV_STORAGE_NAMESPACE:
                container["env"][index] = {"name": ENV_STORAGE_NAMESPACE, "value": namespace}
