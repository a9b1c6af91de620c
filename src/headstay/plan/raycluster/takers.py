"""Living RayClusters that use a storage namespace which another one left behind."""

from collections.abc import Iterable
from typing import NamedTuple

from headstay.model.ray import REDIS_CLEANUP_FINALIZER, RayCluster
from headstay.plan.raycluster.identity import CLUSTER_DOMAIN, storage_identity, storage_namespace_env, uses_redis
from headstay.plan.raycluster.storage import Storage
from headstay.plan.raycluster.writer import claim_of


class Takers(NamedTuple):
    """Their names with namespaces. Of `doubtful` ones the spec does not tell which Redis or namespace they use;

    `passing` ones are just being made or deleted.
    """

    certain: tuple[str, ...]
    doubtful: tuple[str, ...]
    passing: tuple[str, ...] = ()


def takers_of(storage: Storage, clusters: Iterable[RayCluster], domain: str = CLUSTER_DOMAIN) -> Takers:
    """A cluster that is being deleted cleans up after itself, and may still write. One that has not got its finalizer

    yet has taken nothing over: deleted now, it would go without cleaning what is left to it. What a cluster has claimed
    counts beside what it asks for: an edit changes that, and not where its head writes.
    """
    wanted = storage.identity()
    certain: list[str] = []
    doubtful: list[str] = []
    passing: list[str] = []
    for cluster in clusters:
        identity = storage_identity(cluster, domain)
        if claim_of(cluster) == wanted.text and not cluster.deleting:
            certain.append(str(cluster.key))
            continue
        if not uses_redis(cluster):
            continue
        if identity is not None and (identity.host, identity.port, identity.namespace) == wanted[:3]:
            stays = REDIS_CLEANUP_FINALIZER in cluster.metadata.finalizers and not cluster.deleting
            (certain if stays else passing).append(str(cluster.key))
        elif None in {identity, storage.host or None} and _names(cluster, storage.namespace):
            doubtful.append(str(cluster.key))
    return Takers(tuple(certain), tuple(doubtful), tuple(passing))


def _names(cluster: RayCluster, namespace: str) -> bool:
    """Also where the name comes from elsewhere, and may be any."""
    return bool(storage_namespace_env(cluster).get("value", namespace) == namespace)
