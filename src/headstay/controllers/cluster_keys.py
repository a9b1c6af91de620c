"""Which cluster an object belongs to."""

from collections.abc import Iterable

from headstay.model.meta import ObjectMeta, Pod
from headstay.model.objects import ObjectKey
from headstay.model.ray import (
    CLUSTER,
    GROUP_NAME,
    HEAD,
    HEADLESS_WORKER_SERVICE,
    NODE_TYPE,
    ORIGINATED_FROM_CRD,
    ORIGINATED_FROM_NAME,
    REDIS_CHECK,
)


def cluster_keys(metadata: ObjectMeta) -> Iterable[ObjectKey]:
    name = metadata.labels.get(CLUSTER)
    return [ObjectKey(metadata.namespace, name)] if name else []


def served_clusters(metadata: ObjectMeta) -> list[ObjectKey]:
    labels = metadata.labels
    made_for = labels.get(ORIGINATED_FROM_NAME) if labels.get(ORIGINATED_FROM_CRD) == "RayCluster" else None
    names = {labels.get(CLUSTER), labels.get(HEADLESS_WORKER_SERVICE), made_for}
    return [ObjectKey(metadata.namespace, name) for name in sorted(filter(None, names))]


def index_of(metadata: ObjectMeta) -> Iterable[str]:
    return [str(key) for key in cluster_keys(metadata)]


def is_check(metadata: ObjectMeta) -> bool:
    return metadata.labels.get(NODE_TYPE) == REDIS_CHECK


def group_of(pod: Pod) -> str:
    """The group as expectations name it: "" for the head."""
    labels = pod.metadata.labels
    return "" if labels.get(NODE_TYPE) == HEAD else labels.get(GROUP_NAME, "")


def by_age(pod: Pod) -> tuple[str, str]:
    return (pod.metadata.creation_timestamp or "", pod.metadata.name)
