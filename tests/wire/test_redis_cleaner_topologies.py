"""The cleaner where Redis is more than one plain server: TLS, a Sentinel with a failover, a cluster of one shard."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.wire.redis_servers import Server, redis_server, sentinel, until
from tests.wire.redis_tls import Tls

from headstay.gcs import cleaner
from headstay.gcs.cleaning import RedisRefusedError, RedisTarget, RedisUnreachableError


def remove(target: RedisTarget, *, patience: float = 1) -> int:
    return cleaner.clean(target, "ns", patience=patience, seconds=60)


def over_tls(server: Server, tls: Tls, **changed: str) -> RedisTarget:
    chosen = {
        "ca_file": tls.path("ca.crt"),
        "client_cert": tls.path("client.crt"),
        "client_key": tls.path("client.key"),
    }
    return RedisTarget(f"rediss://{server.address}", **(chosen | changed))


def test_a_private_ca_and_a_client_s_certificate(secured: Server, tls: Tls) -> None:
    secured.fill("RAYns@KV", 3)
    assert remove(over_tls(secured, tls)) == 1
    secured.fill("RAYns@KV", 3)
    assert remove(over_tls(secured, tls, server_name="redis.example")) == 1
    assert secured.names() == set()


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"ca_file": ""}, "is not trusted"),
        ({"server_name": "other.example"}, "is not trusted"),
        ({"ca_file": "/nowhere/ca.crt"}, "RAY_REDIS_CA_CERT"),
        ({"client_key": "/nowhere/client.key"}, "RAY_REDIS_CLIENT_KEY"),
    ],
)
def test_what_is_wrong_with_the_certificates_is_said_at_once(
    secured: Server, tls: Tls, changed: dict[str, str], says: str
) -> None:
    with pytest.raises(RedisRefusedError, match=says):
        remove(over_tls(secured, tls, **changed))


def test_a_missing_client_certificate_or_tls_is_said_too(secured: Server, tls: Tls) -> None:
    with pytest.raises(RedisUnreachableError, match=r"certificate required|client certificate"):
        remove(over_tls(secured, tls, client_cert="", client_key=""))
    with pytest.raises(RedisUnreachableError, match="does it want TLS"):
        remove(RedisTarget(secured.address))


def test_a_sentinel_names_the_primary_also_after_a_failover(tmp_path: Path) -> None:
    with (
        redis_server(tmp_path, password="pw") as first,
        redis_server(tmp_path, "--replicaof", f"127.0.0.1 {first.port}", "--masterauth", "pw", password="pw") as second,
        sentinel(tmp_path, first, password="pw") as watcher,
    ):
        # The list's later address is only for a Sentinel that is away.
        target = RedisTarget(f"{watcher.address},127.0.0.1:1", password="pw")
        first.fill("RAYns@KV", 3)
        first.fill("RAYother@KV", 3)
        assert remove(target, patience=20) == 1
        first.fill("RAYns@KV", 3)
        until(lambda: len(second.names()) == 2, "the replica did not follow")
        until(lambda: "slaves=1" in watcher.cli("INFO", "sentinel"), "the Sentinel did not find the replica")
        first.stop()
        assert remove(target, patience=40) == 1
        assert second.names() == {"RAYother@KV"}
        assert "role:master" in second.cli("INFO", "replication")


def test_an_account_of_few_rights_is_enough_behind_a_sentinel(tmp_path: Path) -> None:
    with redis_server(tmp_path) as primary, sentinel(tmp_path, primary) as watcher:
        primary.cli("ACL", "SETUSER", "ray", "on", ">pw", "~RAY*", "+scan", "+unlink")
        watcher.cli("ACL", "SETUSER", "ray", "on", ">pw", "+info", "+sentinel|masters")
        primary.fill("RAYns@KV", 3)
        assert remove(RedisTarget(watcher.address, username="ray", password="pw")) == 1
        assert primary.names() == set()


def test_a_sentinel_of_several_primaries_is_refused_as_ray_does(tmp_path: Path) -> None:
    with (
        redis_server(tmp_path) as first,
        redis_server(tmp_path) as second,
        sentinel(tmp_path, first, second) as watcher,
        pytest.raises(RedisRefusedError, match="exactly one primary"),
    ):
        remove(RedisTarget(watcher.address))


def _meet(one: Server, other: Server) -> None:
    one.cli("CLUSTER", "MEET", "127.0.0.1", str(other.port), other.cli("CONFIG", "GET", "cluster-port").split()[1])


@pytest.fixture
def shard(tmp_path: Path) -> Iterator[tuple[Server, Server]]:
    """A cluster of one shard: its primary and its replica."""
    folders = [tmp_path / "primary", tmp_path / "replica"]
    for folder in folders:
        folder.mkdir()
    with (
        redis_server(folders[0], "--cluster-enabled", "yes") as primary,
        redis_server(folders[1], "--cluster-enabled", "yes") as replica,
    ):
        primary.cli("CLUSTER", "ADDSLOTSRANGE", "0", "16383")
        _meet(replica, primary)
        until(lambda: "cluster_state:ok" in replica.cli("CLUSTER", "INFO"), "the nodes did not meet")
        identity = primary.cli("CLUSTER", "MYID")
        until(lambda: replica.cli("CLUSTER", "REPLICATE", identity) == "OK", "no replica")
        until(lambda: "master_link_status:up" in replica.cli("INFO", "replication"), "the replica did not follow")
        yield primary, replica


def test_a_cluster_s_replica_sends_us_to_its_primary(shard: tuple[Server, Server]) -> None:
    primary, replica = shard
    for _ in range(2):
        primary.fill("RAYns@KV", 3)
        primary.cli("HSET", "ns", "ns@KV:key", "value")
        primary.fill("RAYother@KV", 3)
        assert remove(RedisTarget(replica.address)) == 2
        assert primary.names() == {"RAYother@KV"}
        primary.cli("ACL", "SETUSER", "default", "-unlink")


def test_a_cluster_of_several_shards_is_refused_with_words(tmp_path: Path) -> None:
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        folder.mkdir()
    with (
        redis_server(folders[0], "--cluster-enabled", "yes") as one,
        redis_server(folders[1], "--cluster-enabled", "yes") as other,
    ):
        one.cli("CLUSTER", "ADDSLOTSRANGE", "0", "8191")
        other.cli("CLUSTER", "ADDSLOTSRANGE", "8192", "16383")
        _meet(one, other)
        for node in (one, other):
            until(lambda node=node: "cluster_state:ok" in node.cli("CLUSTER", "INFO"), "the nodes did not meet")
        with pytest.raises(RedisRefusedError, match="one shard"):
            remove(RedisTarget(one.address))
