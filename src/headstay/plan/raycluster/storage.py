"""Where the keys of a RayCluster are in Redis, and what it takes to reach them: all but the password itself.

It is what a debt holds when the RayCluster is gone, and what the RayCluster remembers in annotations (see `places`):
the spec may say something else by the time it is deleted, and the keys are still where they were.
"""

import hashlib
from typing import Literal, NamedTuple

import msgspec

from headstay.model.objects import Obj, dig
from headstay.model.ray import (
    ENV_REDIS_ADDRESS,
    ENV_REDIS_CA_PATH,
    ENV_REDIS_PASSWORD,
    ENV_REDIS_SERVER_NAME,
    ENV_REDIS_USERNAME,
    ENV_STORAGE_NAMESPACE,
    REDIS_TLS_FILES,
    RayCluster,
    env_entry,
    ray_container,
    start_params,
    template_of,
)
from headstay.plan.raycluster.identity import (
    CLUSTER_DOMAIN,
    StorageIdentity,
    address_identity,
    storage_namespace_env,
    uses_redis,
)
from headstay.plan.raycluster.mounted_files import ObjectRef, mounted_file

STORAGE = "headstay.io/redis-storage"
"""Annotation of a RayCluster: the `Storage` of its heads, as JSON."""


class SecretRef(msgspec.Struct, frozen=True):
    """In the RayCluster's namespace."""

    name: str
    key: str

    def __str__(self) -> str:
        return f"{self.name}/{self.key}"


class TlsFile(msgspec.Struct, frozen=True):
    """`variable` names the file to Ray; its content is read from `source` when it is needed, and kept nowhere."""

    variable: str
    source: ObjectRef


Credentials = Literal["none", "secret", "lost"]


class Place(NamedTuple):
    """What tells one set of keys from another, as far as it is known."""

    host: str
    port: int
    namespace: str
    address_from: ObjectRef | None


class Storage(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """`host` is "" where the address cannot be told, `namespace` where that cannot.

    `credentials` are `lost` where the password stood in the spec itself or comes from where we cannot follow.
    `address_from` has the address where the head takes it from an object. `tls_lost` names a variable whose file only
    the head Pod has.
    """

    namespace: str = ""
    host: str = ""
    port: int = 6379
    tls: bool = False
    username: str = ""
    credentials: Credentials = "none"
    password_from: SecretRef | None = None
    username_from: SecretRef | None = None
    address_from: ObjectRef | None = None
    tls_files: tuple[TlsFile, ...] = ()
    tls_lost: str = ""
    server_name: str = ""

    @property
    def address(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'rediss' if self.tls else 'redis'}://{host}:{self.port}"

    @property
    def known(self) -> bool:
        return bool((self.host or self.address_from) and self.namespace)

    @property
    def place(self) -> Place:
        return Place(self.host, self.port, self.namespace, self.address_from)

    @property
    def mark(self) -> str:
        """A short name for the place."""
        return hashlib.sha256(msgspec.json.encode(self.place)).hexdigest()[:8]

    def identity(self) -> StorageIdentity:
        return StorageIdentity(self.host, self.port, self.namespace)

    def to_json(self) -> str:
        return msgspec.json.encode(self).decode()


class _Wiring(NamedTuple):
    """What a head is told of Redis: entries of its environment, with the Pod's spec that they stand in."""

    address: Obj
    namespace: Obj
    password: Obj | None
    username: Obj | None
    spec: Obj
    container: Obj


def storage_of(cluster: RayCluster, domain: str = CLUSTER_DOMAIN) -> Storage | None:
    """None where there is nothing to clean from outside: no Redis, none named, or one that lives in the head Pod."""
    container = ray_container(cluster.head_group)
    options = cluster.ft_options or {}
    if not uses_redis(cluster):
        return None
    address = env_entry(container, ENV_REDIS_ADDRESS)
    if options.get("redisAddress"):
        address = {"value": options["redisAddress"]}
    wiring = _Wiring(
        address or {},
        storage_namespace_env(cluster),
        _credential(cluster, "redisPassword", ENV_REDIS_PASSWORD),
        _credential(cluster, "redisUsername", ENV_REDIS_USERNAME),
        template_of(cluster.head_group).get("spec") or {},
        container,
    )
    return _storage(wiring, cluster.namespace, domain)


def storage_of_pod(pod: Obj, namespace: str, domain: str = CLUSTER_DOMAIN) -> Storage | None:
    """The same, read off a head Pod, or off the Pod template of a cleanup Job."""
    spec = pod.get("spec") or {}
    container: Obj = dig(spec, "containers", 0) or {}
    address, storage_namespace = env_entry(container, ENV_REDIS_ADDRESS), env_entry(container, ENV_STORAGE_NAMESPACE)
    if address is None or storage_namespace is None:
        return None
    password, username = env_entry(container, ENV_REDIS_PASSWORD), env_entry(container, ENV_REDIS_USERNAME)
    wiring = _Wiring(address, storage_namespace, password, username, spec, container)
    return _storage(wiring, namespace, domain)


def remembered_storage(cluster: RayCluster) -> Storage | None:
    """What the annotation says; None where there is none that can be read."""
    try:
        return msgspec.json.decode(cluster.annotations.get(STORAGE, ""), type=Storage)
    except msgspec.MsgspecError:
        return None


def written_password(cluster: RayCluster) -> str:
    """The password that the spec holds in plain text, "" where it holds none."""
    entry = _credential(cluster, "redisPassword", ENV_REDIS_PASSWORD)
    return _value(entry, ray_container(cluster.head_group))[0] or ""


def _storage(wiring: _Wiring, namespace: str, domain: str) -> Storage | None:
    if not wiring.address and not wiring.container.get("envFrom"):
        return None
    text = str(wiring.address.get("value") or "")
    identity = address_identity(text, wiring.namespace, namespace, domain)
    if identity is not None and identity.pod_private:
        return None
    address = text.split(",", maxsplit=1)[0].strip()
    address_from = _object_ref(wiring.address)
    tls = address.startswith("rediss://")
    password, password_from = _value(wiring.password, wiring.container)
    username, username_from = _value(wiring.username, wiring.container)
    lost = password_from is None and (bool(password) or password is None or "@" in address)
    files, tls_lost = _tls_files(wiring) if tls or address_from else ((), "")
    server_name = env_entry(wiring.container, ENV_REDIS_SERVER_NAME) or {}
    return Storage(
        namespace=str(wiring.namespace.get("value") or ""),
        host=identity.host if identity else "",
        port=identity.port if identity else 6379,
        tls=tls,
        username=username or "",
        credentials="lost" if lost else "secret" if password_from else "none",
        password_from=password_from,
        username_from=username_from,
        address_from=address_from,
        tls_files=files,
        tls_lost=tls_lost,
        server_name=str(server_name.get("value") or "") if tls or address_from else "",
    )


def _tls_files(wiring: _Wiring) -> tuple[tuple[TlsFile, ...], str]:
    """The files that TLS needs, and the variable of the first whose content only the Pod itself has."""
    found: list[TlsFile] = []
    lost = ENV_REDIS_CA_PATH if env_entry(wiring.container, ENV_REDIS_CA_PATH) else ""
    for variable in REDIS_TLS_FILES:
        entry = env_entry(wiring.container, variable)
        path = str((entry or {}).get("value") or "")
        if entry is None or not (path or entry.get("valueFrom")):
            continue
        source = mounted_file(wiring.spec, wiring.container, path) if path else None
        if source is None:
            lost = lost or variable
        else:
            found.append(TlsFile(variable, source))
    return tuple(found), lost


def _credential(cluster: RayCluster, field: str, variable: str) -> Obj | None:
    """As an environment entry, wherever the spec says it."""
    container = ray_container(cluster.head_group)
    found: Obj | None = (cluster.ft_options or {}).get(field) or env_entry(container, variable)
    given = start_params(cluster.head_group).get("redis-password", "") if field == "redisPassword" else ""
    if found is not None or not given:
        return found
    return {"valueFrom": {"shell": given}} if given.startswith("$") else {"value": given}


def _value(entry: Obj | None, container: Obj) -> tuple[str | None, SecretRef | None]:
    """The value as written, or the Secret it comes from; (None, None) where it comes from elsewhere, "" for none."""
    if entry is None:
        return (None if container.get("envFrom") else ""), None
    reference = _object_ref(entry)
    if reference is not None and reference.kind == "Secret":
        return "", SecretRef(reference.name, reference.key)
    return (None if entry.get("valueFrom") else str(entry.get("value") or "")), None


def _object_ref(entry: Obj) -> ObjectRef | None:
    source = entry.get("valueFrom")
    if not isinstance(source, dict):
        return None
    secret, config = source.get("secretKeyRef") or {}, source.get("configMapKeyRef") or {}
    if secret.get("name") and secret.get("key"):
        return ObjectRef("Secret", str(secret["name"]), str(secret["key"]))
    if config.get("name") and config.get("key"):
        return ObjectRef("ConfigMap", str(config["name"]), str(config["key"]))
    return None
