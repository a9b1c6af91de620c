"""One identity for one set of keys, however it is written down."""

import pytest
from tests.unit.plan.clusters import UID, cluster, ft_cluster, head_template

from headstay.model.ray import RayCluster
from headstay.plan.raycluster.identity import StorageIdentity, storage_identity, storage_namespace


def at(address: str) -> RayCluster:
    return cluster(gcsFaultToleranceOptions={"redisAddress": address})


@pytest.mark.parametrize(
    "address",
    [
        "redis:6379",
        "redis",
        "redis://redis:6379",
        "redis://user:pw@redis",
        "rediss://Redis.default:6379",
        "redis.default.svc:6379,other:1",
        " redis.default.svc.cluster.local. ",
    ],
)
def test_one_redis_written_in_many_ways(address: str) -> None:
    assert storage_identity(at(address)) == StorageIdentity("redis.default", 6379, UID)


def test_different_places_differ() -> None:
    assert storage_identity(at("redis:6380")) == StorageIdentity("redis.default", 6380, UID)
    assert storage_identity(at("redis.other")) == StorageIdentity("redis.other", 6379, UID)
    assert storage_identity(at("10.1.2.3")) == StorageIdentity("10.1.2.3", 6379, UID)
    assert storage_identity(at("my.cache.amazonaws.com:1")) == StorageIdentity("my.cache.amazonaws.com", 1, UID)


def test_loopback_is_private_to_its_pod() -> None:
    assert storage_identity(at("127.0.0.1:6380")) == StorageIdentity("127.0.0.1", 6380, UID, pod_private=True)
    assert storage_identity(at("localhost")) == StorageIdentity("localhost", 6379, UID, pod_private=True)


def test_namespace_precedence_is_env_options_annotation_uid() -> None:
    assert storage_namespace(ft_cluster()) == UID
    annotated = ft_cluster(annotations={"ray.io/external-storage-namespace": "annotated"})
    assert storage_namespace(annotated) == "annotated"
    options = {"redisAddress": "redis", "externalStorageNamespace": "chosen"}
    assert storage_namespace(cluster(gcsFaultToleranceOptions=options)) == "chosen"
    env = [{"name": "RAY_external_storage_namespace", "value": "env"}]
    identity = storage_identity(cluster(gcsFaultToleranceOptions=options, head={"template": head_template(env=env)}))
    assert identity is not None
    assert identity.namespace == "env"


def test_what_cannot_be_told_has_no_identity() -> None:
    assert storage_identity(cluster()) is None
    assert storage_identity(cluster(gcsFaultToleranceOptions={})) is None
    assert storage_identity(at("redis:port")) is None
    env = [{"name": "RAY_REDIS_ADDRESS", "valueFrom": {"configMapKeyRef": {}}}]
    assert storage_identity(ft_cluster(head={"template": head_template(env=env)})) is None
