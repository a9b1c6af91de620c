"""Where the keys of a RayCluster are in Redis, and what it takes to reach them: all but the password itself.

It is what a debt holds when the RayCluster is gone, and what the RayCluster remembers in an annotation from the moment
it gets its finalizer: fault tolerance may be switched off in the spec afterwards, and the keys are still there then.
"""

from typing import Literal

import msgspec

from headstay.model.objects import Obj, dig
from headstay.model.ray import (
    ENV_REDIS_ADDRESS,
    ENV_REDIS_PASSWORD,
    ENV_REDIS_USERNAME,
    RayCluster,
    env_entry,
    ray_container,
    start_params,
)
from headstay.plan.raycluster.identity import (
    CLUSTER_DOMAIN,
    StorageIdentity,
    storage_identity,
    storage_namespace,
    storage_namespace_env,
    uses_redis,
)

STORAGE = "headstay.io/redis-storage"
"""Annotation of a RayCluster: a `Storage` as JSON."""


class SecretRef(msgspec.Struct, frozen=True):
    """In the RayCluster's namespace."""

    name: str
    key: str

    def __str__(self) -> str:
        return f"{self.name}/{self.key}"


Credentials = Literal["none", "secret", "lost"]


class Storage(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """`host` is "" where the address cannot be told, `namespace` where that cannot.

    `credentials` are `lost` where the password stood in the spec itself or comes from where we cannot follow.
    """

    namespace: str = ""
    host: str = ""
    port: int = 6379
    tls: bool = False
    username: str = ""
    credentials: Credentials = "none"
    password_from: SecretRef | None = None
    username_from: SecretRef | None = None

    @property
    def address(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'rediss' if self.tls else 'redis'}://{host}:{self.port}"

    @property
    def known(self) -> bool:
        return bool(self.host and self.namespace)

    def identity(self) -> StorageIdentity:
        return StorageIdentity(self.host, self.port, self.namespace)

    def to_json(self) -> str:
        return msgspec.json.encode(self).decode()


def storage_of(cluster: RayCluster, domain: str = CLUSTER_DOMAIN) -> Storage | None:
    """None where there is nothing to clean from outside: no Redis, none named, or one that lives in the head Pod."""
    container = ray_container(cluster.head_group)
    options = cluster.ft_options or {}
    named = options.get("redisAddress") or env_entry(container, ENV_REDIS_ADDRESS) or container.get("envFrom")
    if not uses_redis(cluster) or not named:
        return None
    identity = storage_identity(cluster, domain)
    if identity is not None and identity.pod_private:
        return None
    address = _address(cluster)
    password, password_from = _credential(cluster, "redisPassword", ENV_REDIS_PASSWORD)
    username, username_from = _credential(cluster, "redisUsername", ENV_REDIS_USERNAME)
    lost = password_from is None and (bool(password) or password is None or "@" in address)
    return Storage(
        namespace=str(storage_namespace_env(cluster).get("value") or ""),
        host=identity.host if identity else "",
        port=identity.port if identity else 6379,
        tls=address.startswith("rediss://"),
        username=username or "",
        credentials="lost" if lost else "secret" if password_from else "none",
        password_from=password_from,
        username_from=username_from,
    )


def storage_note(cluster: RayCluster, domain: str = CLUSTER_DOMAIN) -> dict[str, str]:
    """The annotation to remember it by."""
    storage = storage_of(cluster, domain)
    return {STORAGE: storage.to_json()} if storage else {}


def remembered_storage(cluster: RayCluster) -> Storage | None:
    """What the annotation says; None where there is none that can be read."""
    try:
        return msgspec.json.decode(cluster.annotations.get(STORAGE, ""), type=Storage)
    except msgspec.MsgspecError:
        return None


def owed_storage(cluster: RayCluster, domain: str = CLUSTER_DOMAIN) -> Storage | None:
    """Where keys may remain. None where there are none to remain."""
    if uses_redis(cluster):
        return storage_of(cluster, domain)
    return remembered_storage(cluster) or Storage(namespace=storage_namespace(cluster), credentials="lost")


def written_password(cluster: RayCluster) -> str:
    """The password that the spec holds in plain text, "" where it holds none."""
    return _credential(cluster, "redisPassword", ENV_REDIS_PASSWORD)[0] or ""


def _address(cluster: RayCluster) -> str:
    entry = env_entry(ray_container(cluster.head_group), ENV_REDIS_ADDRESS) or {}
    options = cluster.ft_options or {}
    return str(options.get("redisAddress") or entry.get("value") or "").split(",")[0].strip()


def _credential(cluster: RayCluster, field: str, variable: str) -> tuple[str | None, SecretRef | None]:
    """The value as written, or the Secret it comes from; (None, None) where it comes from elsewhere, "" for none."""
    container = ray_container(cluster.head_group)
    source: Obj | None = (cluster.ft_options or {}).get(field) or env_entry(container, variable)
    if source is None:
        given = start_params(cluster.head_group).get("redis-password", "") if field == "redisPassword" else ""
        return (None if container.get("envFrom") or given.startswith("$") else given), None
    reference = dig(source, "valueFrom", "secretKeyRef")
    if reference and reference.get("name") and reference.get("key"):
        return "", SecretRef(str(reference["name"]), str(reference["key"]))
    return (None if source.get("valueFrom") else str(source.get("value") or "")), None
