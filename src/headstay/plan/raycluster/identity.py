"""Which Redis, and which keys in it, belong to a RayCluster: said once, for Pods, cleanup, leases and reports.

The effective storage namespace is what the head's GCS really uses: the head container's own environment, before
`gcsFaultToleranceOptions`, before the annotation, before the UID.
"""

from copy import deepcopy
from typing import NamedTuple
from urllib.parse import urlsplit

from headstay.model.objects import Obj
from headstay.model.ray import (
    ENV_REDIS_ADDRESS,
    ENV_STORAGE_NAMESPACE,
    EXTERNAL_STORAGE_NAMESPACE,
    FT_ENABLED,
    RayCluster,
    env_entry,
    ray_container,
)

REDIS_PORT = 6379
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


def ft_enabled(cluster: RayCluster) -> bool:
    """On by annotation, or by the mere presence of the options."""
    return cluster.annotations.get(FT_ENABLED, "").lower() == "true" or cluster.ft_options is not None


def uses_redis(cluster: RayCluster) -> bool:
    """Whether the GCS keeps its tables in Redis; the annotation always means Redis."""
    return ft_enabled(cluster) and (cluster.ft_options or {}).get("backend") != "rocksdb"


def storage_namespace(cluster: RayCluster) -> str:
    """What the RayCluster asks for, before the head container's own environment has its say."""
    chosen = (cluster.ft_options or {}).get("externalStorageNamespace")
    return str(chosen or cluster.annotations.get(EXTERNAL_STORAGE_NAMESPACE, cluster.metadata.uid))


def storage_namespace_env(cluster: RayCluster) -> Obj:
    """The environment entry that every Ray Pod of the cluster carries, as a new document.

    The head template's own entry wins; it may take its value from elsewhere (`valueFrom`), so it is copied whole.
    """
    own = env_entry(ray_container(cluster.head_group), ENV_STORAGE_NAMESPACE)
    return deepcopy(own) if own else {"name": ENV_STORAGE_NAMESPACE, "value": storage_namespace(cluster)}


class StorageIdentity(NamedTuple):
    """Two clusters with equal identities share keys. `pod_private` addresses are never shared: loopback in a Pod."""

    host: str
    port: int
    namespace: str
    pod_private: bool = False


def storage_identity(cluster: RayCluster) -> StorageIdentity | None:
    """None where it cannot be told from the object alone: no Redis, or a value taken from elsewhere."""
    if not uses_redis(cluster):
        return None
    namespace = storage_namespace_env(cluster)
    address = _redis_address(cluster)
    if not address or "valueFrom" in namespace:
        return None
    first = address.split(",")[0].strip()
    parts = urlsplit(first if "://" in first else f"redis://{first}")
    try:
        host, port = (parts.hostname or "").lower(), parts.port or REDIS_PORT
    except ValueError:
        return None
    private = host in _LOOPBACK or host.startswith("127.")
    if not private:
        host = _qualified(host, cluster.namespace)
    return StorageIdentity(host, port, namespace.get("value") or "", private)


def _redis_address(cluster: RayCluster) -> str:
    if cluster.ft_options is not None:
        return str(cluster.ft_options.get("redisAddress") or "")
    entry = env_entry(ray_container(cluster.head_group), ENV_REDIS_ADDRESS) or {}
    return str(entry.get("value") or "")


def _qualified(host: str, namespace: str) -> str:
    """`redis` and `redis.other.svc.cluster.local` in one form: `redis.<namespace>`; other names as they are."""
    labels = host.rstrip(".").split(".")
    if ":" in host or labels[-1].isdigit():
        return host
    if len(labels) == 1:
        return f"{labels[0]}.{namespace}"
    return ".".join(labels[:2]) if len(labels) == 2 or labels[2] == "svc" else host.rstrip(".")
