"""The cleaner against real Redis: exactly the namespace goes, however often it is cut short, and what fails is said."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.ports import free_port
from tests.wire.redis_servers import Server, redis_server, until

from headstay.gcs import cleaner
from headstay.gcs.cleaning import RedisRefusedError, RedisTarget, RedisUnreachableError, clean, cleaner_source
from headstay.local.node.pythons import find as pythons_here

# What the documentation promises to be enough, with and without UNLINK.
ENOUGH = ["~RAY*", "+scan", "+unlink"]
ENOUGH_BEFORE_2_38 = [*ENOUGH, "~ns", "+hscan"]
ENOUGH_WITHOUT_UNLINK = ["~RAY*", "+scan", "+type", "+hscan", "+hdel", "+del"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with redis_server(tmp_path_factory.mktemp("redis")) as found:
        yield found


@pytest.fixture
def redis(server: Server) -> Server:
    server.cli("FLUSHALL")
    server.cli("CONFIG", "RESETSTAT")
    return server


def remove(server: Server, namespace: str = "ns", *, address: str = "", **account: str) -> int:
    return cleaner.clean(RedisTarget(address or server.address, **account), namespace, patience=1, seconds=60)


def account(server: Server, name: str, *rules: str) -> dict[str, str]:
    server.cli("ACL", "SETUSER", name, "reset", "on", ">secret", *rules)
    return {"username": name, "password": "secret"}


def namespace_of_ray(server: Server, name: str = "ns") -> None:
    for table in ("KV", "NODE", "ACTOR"):
        server.fill(f"RAY{name}@{table}", 3)
    server.cli("INCR", f"RAY{name}@JobCounter")


@pytest.mark.parametrize("name", ["a*", "a?", "[ab]", "a", "a\\", "^a", "[^a]", "a-z"])
def test_only_the_namespace_s_own_keys_go(redis: Server, name: str) -> None:
    names = ["a*", "a?", "[ab]", "a", "ab", "b", "a\\", "^a", "[^a]", "a-z", "ac"]
    for each in names:
        redis.fill(f"RAY{each}@KV", 2)
        redis.cli("HSET", each, f"{each}@KV:key", "value")
    assert remove(redis, name) == 2
    left = {key for each in names if each != name for key in (f"RAY{each}@KV", each)}
    assert redis.names() == left


@pytest.mark.parametrize("rules", [["~*", "+@all"], ENOUGH, ENOUGH_WITHOUT_UNLINK, ["~*", "+@all", "-unlink"]])
def test_these_rights_are_enough(redis: Server, rules: list[str]) -> None:
    namespace_of_ray(redis)
    redis.fill("RAYns@BIG", 2000, 100)
    redis.fill("RAYother@KV", 3)
    assert remove(redis, **account(redis, "ray", *rules)) == 5
    assert redis.names() == {"RAYother@KV"}


def test_a_big_hash_is_emptied_in_small_pieces_where_unlink_is_refused(redis: Server) -> None:
    redis.fill("RAYns@BIG", 20_000, 100)
    assert remove(redis, **account(redis, "ray", *ENOUGH_WITHOUT_UNLINK)) == 1
    assert redis.names() == set()
    assert redis.calls("del") == 0
    assert redis.calls("hdel") >= 100


@pytest.mark.parametrize(
    ("rules", "missing"),
    [
        (["~*", "+@all", "-scan"], "SCAN"),
        (["~*", "+@all", "-unlink", "-hscan"], "HSCAN"),
        (["~*", "+@all", "-unlink", "-type"], "TYPE"),
        (["~RAY*", "+scan", "+type", "+hscan", "+hdel"], "DEL"),
    ],
)
def test_the_command_that_an_account_may_not_use_is_named(redis: Server, rules: list[str], missing: str) -> None:
    namespace_of_ray(redis)
    with pytest.raises(RedisRefusedError) as refused:
        remove(redis, **account(redis, "ray", *rules))
    assert f"the command {missing}," in str(refused.value)
    assert f"ACL SETUSER ray +{missing.lower()}" in str(refused.value)
    assert "secret" not in str(refused.value)


def test_an_account_of_other_keys_is_told_which_keys(redis: Server) -> None:
    with pytest.raises(RedisRefusedError, match="ACL SETUSER ray ~RAY"):
        remove(redis, **account(redis, "ray", "~other*", "+@all"))


def test_a_small_hash_may_be_deleted_whole_where_neither_unlink_nor_hdel_is_allowed(redis: Server) -> None:
    redis.fill("RAYns@KV", 10)
    rights = account(redis, "ray", "~*", "+@all", "-unlink", "-hdel")
    assert remove(redis, **rights) == 1
    redis.fill("RAYns@KV", 2000)
    with pytest.raises(RedisRefusedError, match="HDEL"):
        remove(redis, **rights)


def test_commands_that_a_server_lacks_or_renames_are_like_forbidden_ones(tmp_path: Path) -> None:
    with redis_server(tmp_path, "--rename-command", "UNLINK", "") as old:
        namespace_of_ray(old)
        assert remove(old) == 4
        assert old.names() == set()
    with (
        redis_server(tmp_path, "--rename-command", "AUTH", "") as odd,
        pytest.raises(RedisRefusedError, match="unknown command") as refused,
    ):
        remove(odd, password="sesame")
    assert "sesame" not in str(refused.value)


@pytest.mark.parametrize("rules", [["~*", "+@all"], ["~*", "+@all", "-unlink"], ENOUGH_BEFORE_2_38])
def test_the_single_hash_of_ray_before_2_38_goes_too(redis: Server, rules: list[str]) -> None:
    for index in range(300):
        redis.cli("HSET", "ns", f"ns@KV:key{index}", "x" * 100)
    redis.cli("HINCRBY", "ns", "JobCounter", "1")
    assert remove(redis, **account(redis, "ray", *rules)) == 1
    assert redis.names() == set()


def test_somebody_s_own_key_of_that_name_stays(redis: Server) -> None:
    redis.cli("HSET", "ns", "ns@KV:key", "value", "colour", "red")
    redis.cli("SET", "text", "value")
    assert remove(redis, "ns") == 0
    assert remove(redis, "text") == 0
    assert redis.names() == {"ns", "text"}


def test_a_missing_namespace_is_success_again_and_again(redis: Server) -> None:
    namespace_of_ray(redis)
    assert [remove(redis), remove(redis), remove(redis)] == [4, 0, 0]


def test_a_namespace_among_many_keys_of_others_is_found_whole(redis: Server) -> None:
    redis.cli("EVAL", "for i=1,30000 do redis.call('SET','other'..i,'x') end", "0")
    for index in range(200):
        redis.cli("SET", f"RAYns@T{index}", "x")
    assert remove(redis) == 200
    assert redis.cli("DBSIZE") == "30000"


@pytest.mark.parametrize("rules", [["~*", "+@all"], ["~*", "+@all", "-unlink"]])
def test_killed_at_any_point_and_run_again_it_ends_the_same(redis: Server, rules: list[str]) -> None:
    """A proxy for the kill: the process dies after its n-th command, for each n until it gets through."""
    rights = account(redis, "ray", *rules)
    for limit in range(1, 200):
        namespace_of_ray(redis)
        redis.fill("RAYns@BIG", 600, 100)
        redis.fill("RAYother@KV", 3)
        finished = _dies_after(limit, redis, rights)
        assert redis.cli("EXISTS", "RAYother@KV") == "1"
        remove(redis, **rights)
        assert redis.names() == {"RAYother@KV"}
        if finished:
            break
    assert finished
    assert limit > 5


class _KilledError(BaseException):
    pass


def _dies_after(limit: int, server: Server, rights: dict[str, str]) -> bool:
    asked = 0
    real = cleaner.Redis.ask

    def ask(self: cleaner.Redis, *words: str | bytes | int) -> object:
        nonlocal asked
        asked += 1
        if asked > limit:
            raise _KilledError
        return real(self, *words)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cleaner.Redis, "ask", ask)
        try:
            remove(server, **rights)
        except _KilledError:
            return False
    return True


def test_a_redis_that_goes_away_in_between_is_waited_for(tmp_path: Path) -> None:
    port = free_port()
    durable = ("--appendonly", "yes", "--appendfsync", "always")
    with redis_server(tmp_path, *durable, port=port) as first:
        for index in range(200):
            first.cli("SET", f"RAYns@T{index}", "x")
        with _cleaning(first.address) as job:
            until(lambda: len(first.names()) < 190, "nothing was removed")
            first.stop()
            with redis_server(tmp_path, *durable, port=port) as second:
                output, _ = job.communicate(timeout=60)
                assert job.returncode == 0, output
                assert second.names() == set()
                assert f"Redis at 127.0.0.1:{port} cannot be reached" in output


def test_a_job_killed_with_sigkill_is_finished_by_the_next(redis: Server) -> None:
    for index in range(300):
        redis.cli("SET", f"RAYns@T{index}", "x")
    with _cleaning(redis.address) as job:
        until(lambda: len(redis.names()) < 290, "nothing was removed")
        job.kill()
        job.communicate()
    assert 0 < len(redis.names()) < 290
    assert remove(redis) > 0
    assert redis.names() == set()


def _cleaning(address: str) -> subprocess.Popen[str]:
    environment = {"PATH": os.environ["PATH"], "RAY_REDIS_ADDRESS": address, "RAY_external_storage_namespace": "ns"}
    return subprocess.Popen(
        [sys.executable, "-c", cleaner_source()],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_a_server_that_speaks_something_else_is_no_redis(redis: Server) -> None:
    with pytest.raises(RedisUnreachableError, match="does it want redis://"):
        remove(redis, address=f"rediss://{redis.address}")


def test_the_next_address_is_taken_where_the_first_is_away(redis: Server) -> None:
    namespace_of_ray(redis)
    both = f"127.0.0.1:{free_port()},{redis.address}"
    assert remove(redis, address=both) == 4
    with pytest.raises(RedisUnreachableError, match="there may be some at the first"):
        remove(redis, address=both)


def test_a_replica_refuses_until_it_is_a_primary(redis: Server, tmp_path: Path) -> None:
    namespace_of_ray(redis)
    with redis_server(tmp_path, "--replicaof", f"127.0.0.1 {redis.port}") as replica:
        until(lambda: len(replica.names()) == 4, "the replica did not follow")
        with pytest.raises(RedisUnreachableError, match="READONLY"):
            remove(replica)
        assert len(redis.names()) == 4


async def test_the_operator_cleans_in_a_thread_and_stops_when_it_is_told(redis: Server) -> None:
    namespace_of_ray(redis)
    assert (await clean(RedisTarget(redis.address), "ns", seconds=20)).removed == 4
    away = RedisTarget(f"127.0.0.1:{free_port()}", password="sesame")
    with pytest.raises(RedisUnreachableError, match="cannot be reached") as unreachable:
        await clean(away, "ns", seconds=0.5)
    assert "sesame" not in str(unreachable.value)
    work = asyncio.create_task(clean(away, "ns", seconds=60))
    await asyncio.sleep(0.2)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work


def test_time_runs_out_with_words(redis: Server) -> None:
    for index in range(300):
        redis.cli("SET", f"RAYns@T{index}", "x")
    with pytest.raises(RedisUnreachableError, match="ran out of time"):
        cleaner.clean(RedisTarget(redis.address), "ns", patience=1, seconds=0.1)
    assert remove(redis) > 0


async def test_every_python_of_this_machine_runs_it(redis: Server) -> None:
    """Only the one we run on is sure to be here; that the text is of Python 3.8 is checked without it too."""
    pythons = [python for python in await pythons_here() if python.version >= (3, 8)]
    environment = {"RAY_REDIS_ADDRESS": redis.address, "RAY_external_storage_namespace": "ns"}
    assert pythons
    for python in pythons:
        namespace_of_ray(redis)
        command = [str(python.executable), "-c", cleaner_source()]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, f"Python {python.dotted}: {done.stderr}"
        assert redis.names() == set()
