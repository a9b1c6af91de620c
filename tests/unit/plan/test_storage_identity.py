"""One identity for one set of keys, however it is written down."""

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.plan.clusters import SETTINGS, UID, cluster, ft_cluster, head_template

from headstay.model.ray import RayCluster
from headstay.plan.raycluster.cleanup_job import cleanup_job
from headstay.plan.raycluster.identity import (
    STORAGE_LABEL,
    StorageIdentity,
    pod_identity,
    storage_identity,
    storage_namespace,
)
from headstay.plan.raycluster.pods import head_pod


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


LABEL = st.from_regex(r"[a-z]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True)
PORT = st.integers(1, 65535)


@st.composite
def spellings(draw: st.DrawFn, name: str, port: int) -> str:
    """One of the ways to write the Redis `name`:`port`, the Service of that name in namespace default."""
    forms = ["", ".default", ".default.svc", ".default.svc.cluster.local", ".default.svc.cluster.local."]
    host = name + draw(st.sampled_from(forms))
    host = host.upper() if draw(st.booleans()) else host
    number = "" if port == 6379 and draw(st.booleans()) else f":{port}"
    scheme = draw(st.sampled_from(["", "redis://", "rediss://", "REDIS://"]))
    user = draw(st.sampled_from(["", "user:pw@", ":p@ss@", "user@"]))
    more = draw(st.sampled_from(["", ",other:1", "/0"]))
    return f"{draw(st.sampled_from(['', ' ']))}{scheme}{user}{host}{number}{more}"


@given(st.data(), LABEL.filter(lambda name: name != "localhost"), PORT | st.just(6379))
def test_every_spelling_of_one_place_is_one_identity(data: st.DataObject, name: str, port: int) -> None:
    first, second = data.draw(spellings(name, port)), data.draw(spellings(name, port))
    assert storage_identity(at(first)) == storage_identity(at(second)) == StorageIdentity(f"{name}.default", port, UID)


@given(st.tuples(LABEL, LABEL, PORT, LABEL), st.tuples(LABEL, LABEL, PORT, LABEL))
def test_two_places_or_namespaces_are_never_one_text(
    one: tuple[str, str, int, str], two: tuple[str, str, int, str]
) -> None:
    texts, labels = set(), set()
    for host, namespace, port, storage in (one, two):
        options = {"redisAddress": f"{host}.{namespace}:{port}", "externalStorageNamespace": storage}
        identity = storage_identity(cluster(gcsFaultToleranceOptions=options))
        assert identity is not None
        texts.add(identity.text)
        labels.add(identity.label)
        assert len(identity.label) <= 63
    assert len(texts) == len(labels) == len({one, two})


@given(st.text())
def test_no_address_breaks_it(address: str) -> None:
    identity = storage_identity(at(address))
    assert identity is None or (identity.host and identity.text.endswith(f"/{UID}"))


@given(st.ip_addresses())
def test_addresses_by_number(address: IPv4Address | IPv6Address) -> None:
    bracketed = f"[{address}]" if address.version == 6 else str(address)
    one, two = storage_identity(at(f"{bracketed}:6379")), storage_identity(at(str(address)))
    assert one == two
    assert one is not None
    assert one.pod_private == (address.is_loopback or address.is_unspecified) or one.host != str(address)


def test_ipv6_is_compared_by_value() -> None:
    wanted = StorageIdentity("fd00::1", 6380, UID)
    assert storage_identity(at("[fd00::1]:6380")) == storage_identity(at("rediss://[FD00:0:0::0001]:6380")) == wanted
    assert wanted.text == f"[fd00::1]:6380/{UID}"
    assert storage_identity(at("::ffff:10.0.0.1")) == storage_identity(at("10.0.0.1"))


@pytest.mark.parametrize("address", ["[::1]:6379", "::1", "127.0.0.9", "LOCALHOST.", "db.localhost", "0.0.0.0"])
def test_every_loopback_is_private(address: str) -> None:
    identity = storage_identity(at(address))
    assert identity is not None
    assert identity.pod_private


@pytest.mark.parametrize("address", ["$(REDIS_HOST):6379", "redis://[fd00", "redis:99999", ":6379", "redis://", ","])
def test_what_names_no_place_has_no_identity(address: str) -> None:
    assert storage_identity(at(address)) is None


def test_another_cluster_domain_is_the_same_service() -> None:
    found = storage_identity(at("redis.default.svc.example.org"), "example.org")
    assert found == storage_identity(at("redis"), "example.org")


@pytest.mark.parametrize("source", ["options", "annotation", "env"])
def test_the_pod_says_the_same_as_its_cluster(source: str) -> None:
    """Also of an environment that the template set itself: what counts is what the GCS gets to see."""
    options = {"redisAddress": "Redis:6379", "externalStorageNamespace": "chosen"}
    env = [{"name": "RAY_external_storage_namespace", "value": "env"}]
    found = {
        "options": cluster(gcsFaultToleranceOptions=options),
        "annotation": ft_cluster(annotations={"ray.io/external-storage-namespace": "annotated"}),
        "env": cluster(gcsFaultToleranceOptions=options, head={"template": head_template(env=env)}),
    }[source]
    pod = head_pod(found, SETTINGS)
    identity = storage_identity(found)
    assert identity is not None
    assert pod_identity(pod, "default") == identity
    assert pod["metadata"]["labels"][STORAGE_LABEL] == identity.label
    job = cleanup_job(found, SETTINGS)
    assert pod_identity(job["spec"]["template"], "default") == identity
    assert job["metadata"]["labels"][STORAGE_LABEL] == job["spec"]["template"]["metadata"]["labels"][STORAGE_LABEL]
