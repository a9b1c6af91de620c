"""The operator's own way to Redis: real servers, and credentials from the API's Secrets and ConfigMaps."""

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.wire.redis_servers import Server, redis_server
from tests.wire.redis_tls import Tls

from headstay.controllers.redis_access import CleaningError, CredentialsGoneError, RedisAccess
from headstay.gcs import measuring
from headstay.gcs.measuring import Size
from headstay.local.server.assembly import build_api
from headstay.local.server.inprocess import InProcessClient
from headstay.model.objects import Obj
from headstay.model.resource import CONFIGMAPS, SECRETS
from headstay.plan.raycluster.mounted_files import ObjectRef
from headstay.plan.raycluster.storage import SecretRef, Storage, storage_of_pod

PASSWORD = "5241590000000000"


@pytest.fixture
def plain(tmp_path: Path) -> Iterator[Server]:
    with redis_server(tmp_path, password=PASSWORD) as server:
        yield server


async def client_with(*objects: tuple[str, str, dict[str, str]]) -> InProcessClient:
    """Objects as kind, name and content."""
    client = InProcessClient(build_api())
    for kind, name, texts in objects:
        content = texts
        document: Obj = {"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "namespace": "default"}}
        if kind == "Secret":
            content = {key: base64.b64encode(text.encode()).decode() for key, text in texts.items()}
        await client.create(SECRETS if kind == "Secret" else CONFIGMAPS, document | {"data": content})
    return client


def head_over_tls(server: Server, **env: str) -> Storage:
    """What a head tells that has its authority from a ConfigMap and its own certificate from a Secret."""
    names = {
        "RAY_REDIS_ADDRESS": f"rediss://127.1:{server.port}",
        "RAY_external_storage_namespace": "ns",
        "RAY_REDIS_CA_CERT": "/ca/ca.crt",
        "RAY_REDIS_CLIENT_CERT": "/mine/tls.crt",
        "RAY_REDIS_CLIENT_KEY": "/mine/tls.key",
        "RAY_REDIS_SERVER_NAME": "redis.example",
    } | env
    container = {
        "env": [{"name": name, "value": value} for name, value in names.items()],
        "volumeMounts": [{"name": "ca", "mountPath": "/ca"}, {"name": "mine", "mountPath": "/mine"}],
    }
    volumes = [{"name": "ca", "configMap": {"name": "authority"}}, {"name": "mine", "secret": {"secretName": "mine"}}]
    found = storage_of_pod({"spec": {"containers": [container], "volumes": volumes}}, "default")
    assert found is not None
    return found


async def test_a_debt_over_tls_is_paid_with_the_authority_that_the_head_mounts(secured: Server, tls: Tls) -> None:
    text = {name: Path(tls.path(name)).read_text() for name in ("ca.crt", "client.crt", "client.key")}
    client = await client_with(
        ("ConfigMap", "authority", {"ca.crt": text["ca.crt"]}),
        ("Secret", "mine", {"tls.crt": text["client.crt"], "tls.key": text["client.key"]}),
    )
    secured.fill("RAYns@KV", 3)
    storage = head_over_tls(secured)
    assert "BEGIN" not in storage.to_json(), "the reference, never the content"
    assert await RedisAccess(client).clean(storage, "default", seconds=20) == 1
    assert secured.names() == set()


async def test_an_authority_that_is_gone_is_named(secured: Server) -> None:
    with pytest.raises(CredentialsGoneError, match="ConfigMap default/authority is gone"):
        await RedisAccess(await client_with()).clean(head_over_tls(secured), "default", seconds=5)


async def test_the_wrong_authority_is_refused_and_never_overlooked(secured: Server, tmp_path: Path) -> None:
    other = Tls(tmp_path)
    text = {name: Path(other.path(name)).read_text() for name in ("ca.crt", "client.crt", "client.key")}
    client = await client_with(
        ("ConfigMap", "authority", {"ca.crt": text["ca.crt"]}),
        ("Secret", "mine", {"tls.crt": text["client.crt"], "tls.key": text["client.key"]}),
    )
    with pytest.raises(CleaningError, match="is not trusted"):
        await RedisAccess(client).clean(head_over_tls(secured), "default", seconds=5)


async def test_an_address_with_an_account_in_a_secret_is_followed(plain: Server) -> None:
    plain.fill("RAYns@KV", 3)
    address = f"redis://:{PASSWORD}@127.1:{plain.port},other:1"
    client = await client_with(("Secret", "redis", {"url": address}))
    storage = Storage(namespace="ns", address_from=ObjectRef("Secret", "redis", "url"))
    assert await RedisAccess(client).clean(storage, "default", seconds=5) == 1


@pytest.mark.parametrize("text", ["localhost:6379", "", "redis:port"])
async def test_an_address_that_leads_nowhere_is_said_without_being_shown(text: str) -> None:
    client = await client_with(("ConfigMap", "redis", {"url": text}))
    storage = Storage(namespace="ns", address_from=ObjectRef("ConfigMap", "redis", "url"))
    with pytest.raises(CredentialsGoneError, match="ConfigMap default/redis/url holds no Redis address"):
        await RedisAccess(client).clean(storage, "default", seconds=5)


async def measured(server: Server, namespace: str = "ns", *, username: str = "", password: str = PASSWORD) -> Size:
    client = await client_with(("Secret", "redis", {"password": password}))
    storage = Storage(
        namespace=namespace,
        host="127.1",
        port=server.port,
        credentials="secret",
        password_from=SecretRef("redis", "password"),
        username=username,
    )
    return await RedisAccess(client).measure(storage, "default", seconds=20)


async def test_a_namespace_is_measured_key_by_key_and_nobody_else_s(plain: Server) -> None:
    assert await measured(plain) == Size(0, 0)
    plain.fill("RAYns@KV", 2000, 100)
    plain.fill("RAYns@NODE", 3)
    plain.fill("RAYns2@KV", 10)
    plain.cli("SET", "RAYns", "x")
    found = await measured(plain)
    wanted = sum(int(plain.cli("MEMORY", "USAGE", f"RAYns@{table}")) for table in ("KV", "NODE"))
    assert found == Size(2, wanted)
    assert found.bytes > 200_000
    plain.cli("HSET", "old*", "old*@ACTOR:1", "x", "JobCounter", "1")
    assert (await measured(plain, "old*")).keys == 1, "the one hash of a Ray before 2.38"


async def test_a_redis_too_large_to_look_through_is_left_alone(plain: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    plain.cli("EVAL", "for i=1,5000 do redis.call('SET','k'..i,'x') end", "0")
    monkeypatch.setattr(measuring, "MOST_STEPS", 3)
    with pytest.raises(CleaningError, match="too many to look through"):
        await measured(plain)


async def test_an_account_that_may_not_measure_is_told_the_rule(plain: Server) -> None:
    plain.cli("ACL", "SETUSER", "ray", "on", ">sesame", "~RAY*", "+scan", "+unlink")
    plain.fill("RAYns@KV", 3)
    with pytest.raises(CleaningError, match=r"ACL SETUSER ray \+scan \+memory") as error:
        await measured(plain, username="ray", password="sesame")
    assert "sesame" not in str(error.value)
    plain.cli("ACL", "SETUSER", "ray", "+memory")
    assert (await measured(plain, username="ray", password="sesame")).keys == 1


def test_files_are_listed_for_redis_over_tls_alone() -> None:
    env = [
        {"name": "RAY_REDIS_ADDRESS", "value": "redis:6379"},
        {"name": "RAY_external_storage_namespace", "value": "n"},
    ]
    container = {"env": [*env, {"name": "RAY_REDIS_CA_CERT", "value": "/x"}]}
    assert storage_of_pod({"spec": {"containers": [container]}}, "default") == Storage("n", "redis.default")
