"""What GCS fault tolerance adds to Pods.

The head learns where its tables are; a worker learns to wait for a new head. `RAY_external_storage_namespace` goes
into every Ray Pod with the head's effective value, as the guide says (KubeRay 1.7 sets it on the head alone).
The head gets no `RAY_gcs_rpc_server_reconnect_timeout_s` here: Ray's own 60 s must stay below the workers' 600 s.
"""

from typing import Any

from headstay.model.objects import Obj
from headstay.model.ray import (
    ENV_RECONNECT_TIMEOUT,
    ENV_REDIS_ADDRESS,
    ENV_REDIS_PASSWORD,
    ENV_REDIS_USERNAME,
    ENV_STORAGE_NAMESPACE,
    EXTERNAL_STORAGE_NAMESPACE,
    FT_ENABLED,
    RayCluster,
    env_entry,
)
from headstay.plan.raycluster.containers import add_env, add_env_entry, add_missing_env
from headstay.plan.raycluster.identity import ft_enabled, storage_namespace, storage_namespace_env, uses_redis

WORKER_RECONNECT_SECONDS = "600"


def protect_head(cluster: RayCluster, annotations: dict[str, str], container: Obj, params: dict[str, str]) -> None:
    """Edits the head Pod's annotations, its Ray container and the start parameters in place."""
    annotations[FT_ENABLED] = "true" if ft_enabled(cluster) else "false"
    if not uses_redis(cluster):
        return
    annotations[EXTERNAL_STORAGE_NAMESPACE] = storage_namespace(cluster)
    if env_entry(container, ENV_STORAGE_NAMESPACE) is None:
        add_env_entry(container, storage_namespace_env(cluster))
    options = cluster.ft_options
    if options is None:
        # A password given as a plain start parameter must reach the cleanup Job, which has no `ray start`.
        if env_entry(container, ENV_REDIS_PASSWORD) is None and "redis-password" in params:
            add_env(container, ENV_REDIS_PASSWORD, params["redis-password"])
        return
    add_env(container, ENV_REDIS_ADDRESS, str(options.get("redisAddress") or ""))
    for field, variable, flag in (
        ("redisUsername", ENV_REDIS_USERNAME, "redis-username"),
        ("redisPassword", ENV_REDIS_PASSWORD, "redis-password"),
    ):
        credential: dict[str, Any] | None = options.get(field)
        if credential is not None:
            params[flag] = f"${variable}"
            source = {key: credential[key] for key in ("value", "valueFrom") if credential.get(key) is not None}
            add_env_entry(container, {"name": variable} | source)


def protect_worker(cluster: RayCluster, container: Obj) -> None:
    if not ft_enabled(cluster):
        return
    add_missing_env(container, ENV_RECONNECT_TIMEOUT, WORKER_RECONNECT_SECONDS)
    if uses_redis(cluster) and env_entry(container, ENV_STORAGE_NAMESPACE) is None:
        add_env_entry(container, storage_namespace_env(cluster))
