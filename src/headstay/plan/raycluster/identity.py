"""Which Redis, and which keys in it, belong to a RayCluster: said once, for Pods, cleanup, writers and reports.

The effective storage namespace is what the head's GCS really uses: the head container's own environment, before
`gcsFaultToleranceOptions`, before the annotation, before the UID. The address is meant as the head Pod resolves it.

What the object does not say, nobody can compare: values from elsewhere (`valueFrom`, `envFrom`, `$(NAME)`) have no
identity. Two names of one address (a CNAME, a Service and its ClusterIP) are two identities.
"""

import hashlib
from copy import deepcopy
from ipaddress import IPv4Address, IPv6Address, ip_address
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
CLUSTER_DOMAIN = "cluster.local"
STORAGE_LABEL = "headstay.io/storage-identity"
"""Label of head and cleanup Pods: `StorageIdentity.label` as of their making."""


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

    @property
    def address(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def text(self) -> str:
        """One line from which the identity can be told from every other: an address holds no slash."""
        return f"{self.address}/{self.namespace}"

    @property
    def label(self) -> str:
        """`text` where only a label value fits."""
        return hashlib.sha256(self.text.encode(errors="surrogatepass")).hexdigest()[:40]


def storage_identity(cluster: RayCluster, domain: str = CLUSTER_DOMAIN) -> StorageIdentity | None:
    """None where it cannot be told from the object alone: no Redis, or a value taken from elsewhere."""
    if not uses_redis(cluster):
        return None
    return address_identity(_redis_address(cluster), storage_namespace_env(cluster), cluster.namespace, domain)


def pod_identity(pod: Obj, namespace: str, domain: str = CLUSTER_DOMAIN) -> StorageIdentity | None:
    """The same, read off a head or cleanup Pod (or a Job's template): whatever its cluster says by now."""
    containers = (pod.get("spec") or {}).get("containers") or [{}]
    address = env_entry(containers[0], ENV_REDIS_ADDRESS) or {}
    entry = env_entry(containers[0], ENV_STORAGE_NAMESPACE)
    return address_identity(str(address.get("value") or ""), entry, namespace, domain) if entry else None


def address_identity(address: str, entry: Obj, pod_namespace: str, domain: str) -> StorageIdentity | None:
    """Of an address and the namespace's environment entry, as a Pod in `pod_namespace` understands them."""
    namespace = str(entry.get("value") or "")
    if not address or "valueFrom" in entry or "$(" in address or "$(" in namespace:
        return None
    try:
        host, port = _host_and_port(address.split(",", maxsplit=1)[0].strip())
    except ValueError:
        return None
    absolute = host.endswith(".")
    host = host.removesuffix(".")
    if not host:
        return None
    number = _ip(host)
    if number is not None:
        return StorageIdentity(str(number), port, namespace, number.is_loopback or number.is_unspecified)
    if host == "localhost" or host.endswith(".localhost"):
        return StorageIdentity(host, port, namespace, pod_private=True)
    return StorageIdentity(_qualified(host, pod_namespace, domain.lower(), absolute=absolute), port, namespace)


def address_from_afar(address: str, pod_namespace: str, domain: str) -> str | None:
    """The first of the list as any other Pod finds it, account and scheme included; None where it cannot."""
    first = address.split(",", maxsplit=1)[0].strip()
    identity = address_identity(first, {}, pod_namespace, domain)
    if identity is None or identity.pod_private:
        return None
    scheme, separator, rest = first.rpartition("://")
    account, at, _ = rest.rpartition("@")
    return f"{scheme if separator else 'redis'}://{account}{at}{identity.address}"


def _host_and_port(address: str) -> tuple[str, int]:
    """Raises ValueError for what no client could connect to."""
    rest = address.split("://", 1)[-1]
    host = rest.rsplit("@", 1)[-1].split("/")[0]
    if host.count(":") > 1 and not host.startswith("["):
        return host.lower(), REDIS_PORT  # an IPv6 address without brackets leaves no room for a port
    parts = urlsplit(f"redis://{rest}")
    return (parts.hostname or "").lower(), REDIS_PORT if parts.port is None else parts.port


def _redis_address(cluster: RayCluster) -> str:
    if cluster.ft_options is not None:
        return str(cluster.ft_options.get("redisAddress") or "")
    entry = env_entry(ray_container(cluster.head_group), ENV_REDIS_ADDRESS) or {}
    return "" if "valueFrom" in entry else str(entry.get("value") or "")


def _ip(host: str) -> IPv4Address | IPv6Address | None:
    try:
        found = ip_address(host)
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return mapped or found


def _qualified(host: str, namespace: str, domain: str, *, absolute: bool) -> str:
    """`redis` and `redis.other.svc.cluster.local` in one form: `redis.<namespace>`; other names as they are.

    `redis-0.redis` could be a Service in a namespace or a Pod behind a Service: it is taken for the former.
    """
    for suffix in (f".svc.{domain}", f".svc.{CLUSTER_DOMAIN}", ".svc"):
        if host.endswith(suffix):
            return host.removesuffix(suffix)
    return host if absolute or "." in host else f"{host}.{namespace}"
