"""Which object a file of the head comes from: only that can be read without the head."""

from typing import Any

import pytest
from tests.unit.plan.clusters import NOW, ft_cluster

from headstay.model.objects import Obj
from headstay.plan.debts import Debt, Facts, Pay, Unpayable, next_step
from headstay.plan.raycluster.mounted_files import ObjectRef, mounted_file
from headstay.plan.raycluster.storage import TlsFile, storage_of

SECRET = {"name": "tls", "secret": {"secretName": "redis-tls"}}
ITEMS = {"name": "tls", "secret": {"secretName": "redis-tls", "items": [{"key": "authority", "path": "in/ca.crt"}]}}
CONFIG = {"name": "tls", "configMap": {"name": "ca-bundle"}}
PROJECTED = {
    "name": "tls",
    "projected": {
        "sources": [
            {"secret": {"name": "first", "items": [{"key": "a", "path": "ca.crt"}]}},
            {"configMap": {"name": "second", "items": [{"key": "b", "path": "other.crt"}]}},
        ]
    },
}


@pytest.mark.parametrize(
    ("volume", "mount", "path", "found"),
    [
        (SECRET, {"mountPath": "/tls"}, "/tls/ca.crt", ObjectRef("Secret", "redis-tls", "ca.crt")),
        (SECRET, {"mountPath": "/tls/"}, "/tls/ca.crt", ObjectRef("Secret", "redis-tls", "ca.crt")),
        (CONFIG, {"mountPath": "/tls"}, "/tls/ca.crt", ObjectRef("ConfigMap", "ca-bundle", "ca.crt")),
        (ITEMS, {"mountPath": "/tls"}, "/tls/in/ca.crt", ObjectRef("Secret", "redis-tls", "authority")),
        (ITEMS, {"mountPath": "/tls", "subPath": "in"}, "/tls/ca.crt", ObjectRef("Secret", "redis-tls", "authority")),
        (ITEMS, {"mountPath": "/tls"}, "/tls/ca.crt", None),
        (SECRET, {"mountPath": "/a.crt", "subPath": "ca.crt"}, "/a.crt", ObjectRef("Secret", "redis-tls", "ca.crt")),
        (SECRET, {"mountPath": "/tls", "subPathExpr": "$(NAME)"}, "/tls/ca.crt", None),
        (SECRET, {"mountPath": "/tls"}, "/tls-other/ca.crt", None),
        (SECRET, {"mountPath": "/tls"}, "/tls/deep/ca.crt", None),
        (SECRET, {"mountPath": "/"}, "/ca.crt", ObjectRef("Secret", "redis-tls", "ca.crt")),
        (PROJECTED, {"mountPath": "/tls"}, "/tls/ca.crt", ObjectRef("Secret", "first", "a")),
        (PROJECTED, {"mountPath": "/tls"}, "/tls/other.crt", ObjectRef("ConfigMap", "second", "b")),
        ({"name": "tls", "emptyDir": {}}, {"mountPath": "/tls"}, "/tls/ca.crt", None),
        ({"name": "tls", "hostPath": {"path": "/x"}}, {"mountPath": "/tls"}, "/tls/ca.crt", None),
    ],
)
def test_a_file_is_followed_to_the_object_it_is_from(
    volume: Obj, mount: Obj, path: str, found: ObjectRef | None
) -> None:
    container = {"volumeMounts": [{"name": "tls"} | mount]}
    assert mounted_file({"volumes": [volume]}, container, path) == found


def test_the_innermost_mount_is_the_one_that_shows() -> None:
    spec = {"volumes": [SECRET, {"name": "inner", "configMap": {"name": "inner"}}]}
    mounts = [{"name": "tls", "mountPath": "/tls"}, {"name": "inner", "mountPath": "/tls/in"}]
    found = mounted_file(spec, {"volumeMounts": mounts}, "/tls/in/ca.crt")
    assert found == ObjectRef("ConfigMap", "inner", "ca.crt")


def tls_cluster(*env: Obj, **spec: Any) -> Any:
    address = {"name": "RAY_REDIS_ADDRESS", "value": "rediss://redis:6380"}
    container = {"name": "ray", "image": "ray:1", "env": [address, *env]}
    container["volumeMounts"] = [{"name": "tls", "mountPath": "/tls"}]
    return ft_cluster(head={"template": {"spec": {"containers": [container], "volumes": [SECRET], **spec}}})


def test_a_debt_names_the_authority_s_object_and_is_paid_with_it() -> None:
    storage = storage_of(
        tls_cluster(
            {"name": "RAY_REDIS_CA_CERT", "value": "/tls/ca.crt"},
            {"name": "RAY_REDIS_SERVER_NAME", "value": "redis.internal"},
        )
    )
    assert storage is not None
    assert storage.tls_files == (TlsFile("RAY_REDIS_CA_CERT", ObjectRef("Secret", "redis-tls", "ca.crt")),)
    assert storage.server_name == "redis.internal"
    debt = Debt("default", "raycluster", "uid", storage, "why", NOW)
    assert isinstance(next_step(debt, Facts(redis_access=True), NOW), Pay)


@pytest.mark.parametrize(
    ("name", "value"),
    [("RAY_REDIS_CA_CERT", "/etc/ssl/own.crt"), ("RAY_REDIS_CA_PATH", "/tls"), ("RAY_REDIS_CLIENT_KEY", "/k")],
)
def test_a_file_that_only_the_head_had_makes_a_debt_unpayable_and_is_named(name: str, value: str) -> None:
    storage = storage_of(tls_cluster({"name": name, "value": value}))
    assert storage is not None
    step = next_step(Debt("default", "raycluster", "uid", storage, "why", NOW), Facts(redis_access=True), NOW)
    assert isinstance(step, Unpayable)
    assert name in step.why
