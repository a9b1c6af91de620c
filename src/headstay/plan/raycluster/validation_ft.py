"""The rules of GCS fault tolerance: one switch, one place for each setting.

A setting in two places would be two truths: the operator would clean one Redis while the GCS writes into another.
"""

from collections.abc import Iterator

from headstay.model.ray import (
    ENV_REDIS_ADDRESS,
    ENV_REDIS_PASSWORD,
    ENV_REDIS_USERNAME,
    EXTERNAL_STORAGE_NAMESPACE,
    FT_ENABLED,
    RayCluster,
    env_entry,
    ray_container,
    start_params,
)
from headstay.plan.raycluster.identity import ft_enabled


def ft_rules(cluster: RayCluster) -> Iterator[str]:
    container = ray_container(cluster.head_group)
    params = start_params(cluster.head_group)
    options = cluster.ft_options
    if cluster.annotations.get(FT_ENABLED) and options is not None:
        yield f"annotation {FT_ENABLED} and gcsFaultToleranceOptions are both set; remove the annotation"
    if not ft_enabled(cluster) and env_entry(container, ENV_REDIS_ADDRESS) is not None:
        yield (
            f"headGroupSpec: {ENV_REDIS_ADDRESS} is set, which makes Ray use Redis while GCS fault tolerance is off; "
            "use gcsFaultToleranceOptions.redisAddress instead, or remove it"
        )
    if options is not None:
        if params.get("redis-password"):
            yield 'headGroupSpec.rayStartParams["redis-password"]: use gcsFaultToleranceOptions.redisPassword instead'
        if env_entry(container, ENV_REDIS_PASSWORD) is not None:
            yield f"headGroupSpec: {ENV_REDIS_PASSWORD} is set; use gcsFaultToleranceOptions.redisPassword instead"
        if env_entry(container, ENV_REDIS_ADDRESS) is not None:
            yield f"headGroupSpec: {ENV_REDIS_ADDRESS} is set; use gcsFaultToleranceOptions.redisAddress instead"
        if cluster.annotations.get(EXTERNAL_STORAGE_NAMESPACE):
            yield (
                f"annotation {EXTERNAL_STORAGE_NAMESPACE} and gcsFaultToleranceOptions are both set; use "
                "gcsFaultToleranceOptions.externalStorageNamespace instead"
            )
        if options.get("backend") == "rocksdb":
            yield (
                "gcsFaultToleranceOptions.backend is rocksdb, which this operator does not support "
                "(KubeRay has it behind gate GCSFaultToleranceEmbeddedStorage, off by default); use redis"
            )
        elif options.get("storage") is not None:
            yield "gcsFaultToleranceOptions.storage belongs to backend rocksdb; remove it"
    if params.get("redis-username") or env_entry(container, ENV_REDIS_USERNAME) is not None:
        yield (
            f'headGroupSpec: rayStartParams["redis-username"] and {ENV_REDIS_USERNAME} are not supported; '
            "use gcsFaultToleranceOptions.redisUsername"
        )
