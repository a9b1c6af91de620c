"""The keeper over a real gcs_server of several Rays, and a real Redis."""

import os
import signal
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.wire.kept_gcs import KeptGcs, installed_ray, kept_gcs
from tests.wire.redis_servers import Server, redis_server, sentinel, until
from tests.wire.redis_tls import Tls, tls_redis_server

from headstay.gcs import cleaner

RAYS = ["2.9.3", "2.37.0", "2.53.0", "2.60.0"]
BOTH_SCHEMAS = ["2.9.3", "2.60.0"]
SAVED = ("--appendonly", "yes", "--appendfsync", "always")
REDIS_TLS = {"CA_CERT": "ca.crt", "CLIENT_CERT": "client.crt", "CLIENT_KEY": "client.key"}
GCS_TLS = {"CA_CERT": "ca.crt", "SERVER_CERT": "server.crt", "SERVER_KEY": "server.key"}
CLEANUP = """
import sys
from ray._private.gcs_utils import cleanup_redis_storage
place = {"host": "127.0.0.1", "port": int(sys.argv[1]), "password": "pw", "use_ssl": False}
done = cleanup_redis_storage(storage_namespace="ns", **place)
sys.exit(0 if done else 1)
"""


def epoch_of(kept: KeptGcs, redis: Server, ray: str = "2.60.0") -> str:
    """Once the cluster id is in the marker too."""
    kept.serving()
    until(lambda: marker(redis, ray, "cluster"), "the cluster id is not in the marker")
    return kept.state().storage.epoch


def marker(redis: Server, ray: str, field: str) -> str:
    if ray == "2.9.3":
        return redis.cli("HGET", "ns", f"ns@HEADSTAY:{field}")
    return redis.cli("HGET", "RAYns@HEADSTAY", field)


def ended(kept: KeptGcs, seconds: float = 90) -> int:
    return kept.process.wait(timeout=seconds)


@pytest.mark.parametrize("ray", RAYS)
def test_a_gcs_that_dies_comes_back_with_its_data(tmp_path: Path, ray: str) -> None:
    with redis_server(tmp_path) as redis, kept_gcs(tmp_path, redis, ray=ray) as kept:
        before = kept.serving()
        assert (before.storage.phase, before.storage.begun, before.redis.phase) == ("Marked", "New", "Answers")
        for number, fault in enumerate((signal.SIGTERM, signal.SIGKILL), start=1):
            kept.kill(fault)
            state = kept.serving(revivals=number)
            last = state.revivals[-1]
            assert last.verdict == "Gone"
            assert last.started is not None
            assert last.serving is not None
            assert last.lost <= last.detected <= last.started <= last.serving
        assert state.storage.epoch == before.storage.epoch
        assert state.incarnation == before.incarnation
        assert len(kept.children()) == 1, "a dead GCS was not reaped"
        assert kept.process.poll() is None


@pytest.mark.parametrize("ray", BOTH_SCHEMAS)
def test_a_new_keeper_finds_the_epoch_of_the_last_one(tmp_path: Path, ray: str) -> None:
    with redis_server(tmp_path) as redis:
        with kept_gcs(tmp_path, redis, ray=ray) as kept:
            first = epoch_of(kept, redis, ray)
        with kept_gcs(tmp_path, redis, ray=ray) as kept:
            state = kept.serving()
        assert (state.storage.epoch, state.storage.begun) == (first, "New")


@pytest.mark.parametrize("ray", BOTH_SCHEMAS)
def test_tables_without_a_marker_are_adopted(tmp_path: Path, ray: str) -> None:
    with redis_server(tmp_path) as redis:
        with kept_gcs(tmp_path, redis, ray=ray) as kept:
            epoch_of(kept, redis, ray)
        remove_marker(redis, ray)
        with kept_gcs(tmp_path, redis, ray=ray) as kept:
            assert kept.serving().storage.begun == "Adopted"


@pytest.mark.parametrize("ray", BOTH_SCHEMAS)
def test_a_marker_that_alone_is_missing_is_put_back(tmp_path: Path, ray: str) -> None:
    with redis_server(tmp_path) as redis, kept_gcs(tmp_path, redis, ray=ray) as kept:
        epoch = epoch_of(kept, redis, ray)
        remove_marker(redis, ray)
        kept.kill()
        assert kept.serving(revivals=1).storage.epoch == epoch
        assert marker(redis, ray, "epoch") == epoch


@pytest.mark.parametrize("ray", BOTH_SCHEMAS)
def test_lost_data_ends_a_living_gcs_and_begins_a_new_epoch(tmp_path: Path, ray: str) -> None:
    with redis_server(tmp_path) as redis, kept_gcs(tmp_path, redis, ray=ray) as kept:
        epoch = epoch_of(kept, redis, ray)
        redis.cli("FLUSHALL")
        left, others = ("RAYns@JOB", ["RAYns2@KV", "RAYn@KV"]) if ray == "2.60.0" else ("ns", ["ns2", "RAYns@KV"])
        for key in (left, *others):
            redis.cli("HSET", key, "ns@JOB:1" if key == "ns" else "field", "written by a GCS that lives")
        kept.until(lambda state: state.storage.phase == "Emptied", seconds=60)
        assert kept.process.poll() is None, "one look is not believed"
        assert ended(kept) == 70
        assert "a fresh start" in kept.log
        assert redis.names() == {*others, "RAYns@HEADSTAY" if ray == "2.60.0" else "ns"}
        with kept_gcs(tmp_path, redis, ray=ray) as again:
            storage = again.serving().storage
        assert storage.begun == "DataLost"
        assert storage.epoch != epoch


@pytest.mark.parametrize("ray", BOTH_SCHEMAS)
def test_data_that_is_put_back_before_the_second_look_ends_nothing(tmp_path: Path, ray: str) -> None:
    with redis_server(tmp_path) as redis, kept_gcs(tmp_path, redis, ray=ray) as kept:
        epoch = epoch_of(kept, redis, ray)
        gcs = kept.children()
        names = redis.names()
        for name in names:
            redis.cli("RENAME", name, f"aside {name}")
        kept.until(lambda state: state.storage.phase == "Emptied", seconds=30)
        for name in names:
            redis.cli("RENAME", f"aside {name}", name)
        kept.until(lambda state: state.storage.phase == "Marked", seconds=30)
        time.sleep(6)  # the time in which the second look would have ended it
        assert kept.children() == gcs
        assert kept.state().storage.epoch == epoch


def test_an_account_that_may_not_make_a_fresh_start_ends_no_living_gcs(tmp_path: Path) -> None:
    with redis_server(tmp_path) as redis:
        redis.cli("ACL", "SETUSER", "ray", "on", ">pw", "~*", "&*", "+@all", "-unlink")
        options = ("--redis_username=ray", "--redis_password=pw")
        with kept_gcs(tmp_path, redis, redis_options=options) as kept:
            epoch_of(kept, redis)
            gcs = kept.children()
            redis.cli("FLUSHALL")
            until(lambda: "the GCS works on" in kept.log, "the second look was not told of", seconds=30)
            assert kept.children() == gcs
            assert kept.state().storage.phase == "Emptied"


@pytest.mark.parametrize("ray", BOTH_SCHEMAS)
def test_ray_s_own_cleanup_and_ours_take_the_marker_along(tmp_path: Path, ray: str) -> None:
    with redis_server(tmp_path, password="pw") as redis:
        for clean in (clean_with_ray, clean_with_ours):
            with kept_gcs(tmp_path, redis, ray=ray, redis_options=("--redis_password=pw",)) as kept:
                epoch_of(kept, redis, ray)
            assert redis.names()
            clean(redis, ray)
            assert not redis.names()


def clean_with_ray(redis: Server, ray: str) -> None:
    package = installed_ray(ray)
    python = (package.parents[3] / "bin" / "python").resolve()
    environment = {"PYTHONPATH": str(package.parent), "PATH": os.environ["PATH"]}
    subprocess.run([str(python), "-c", CLEANUP, str(redis.port)], env=environment, check=True, timeout=120)


def clean_with_ours(redis: Server, ray: str) -> None:
    cleaner.clean(cleaner.RedisTarget(redis.address, password="pw"), "ns", patience=5)


def test_an_account_that_may_not_look_loses_the_marker_and_nothing_else(tmp_path: Path) -> None:
    with redis_server(tmp_path) as redis:
        redis.cli("ACL", "SETUSER", "ray", "on", ">pw", "~*", "&*", "+@all", "-exists")
        options = ("--redis_username=ray", "--redis_password=pw")
        with kept_gcs(tmp_path, redis, redis_options=options) as kept:
            state = kept.serving()
            assert (state.storage.phase, state.redis.phase) == ("Unknown", "Answers")
            assert "NOPERM" in state.storage.why
            redis.cli("FLUSHALL")
            kept.kill()
            assert kept.serving(revivals=1).storage.phase == "Unknown"
            assert "pw" not in kept.log + str(kept.state())


def test_a_fresh_start_that_may_not_be_made_in_full_is_not_made_at_all(tmp_path: Path) -> None:
    with redis_server(tmp_path) as redis:
        redis.cli("ACL", "SETUSER", "ray", "on", ">pw", "~*", "&*", "+@all", "-unlink")
        options = ("--redis_username=ray", "--redis_password=pw")
        with kept_gcs(tmp_path, redis, redis_options=options) as kept:
            epoch = epoch_of(kept, redis)
            redis.cli("FLUSHALL")
            redis.cli("HSET", "RAYns@KV", "field", "left")
            kept.kill()
            state = kept.serving(revivals=1)
        assert (state.storage.phase, state.storage.epoch) == ("Unknown", epoch)
        assert "unlink" in state.storage.why
        assert redis.cli("HGET", "RAYns@KV", "field") == "left"


def test_a_redis_that_is_away_for_a_while_costs_a_pause(tmp_path: Path) -> None:
    with redis_server(tmp_path, *SAVED) as redis, kept_gcs(tmp_path, redis) as kept:
        epoch = epoch_of(kept, redis)
        redis.stop()
        away = kept.until(lambda state: state.redis.phase == "Away", seconds=20)
        assert f"Redis at 127.0.0.1:{redis.port}" in away.redis.why
        kept.until(lambda state: state.gcs.phase == "WaitingForRedis", seconds=90)
        with redis_server(tmp_path, *SAVED, port=redis.port):
            back = kept.until(lambda state: state.gcs.phase == "Serving" and state.redis.phase == "Answers")
        assert back.storage.epoch == epoch
        assert len(back.revivals) == 1


def test_everything_goes_over_tls_where_ray_s_does(tmp_path: Path) -> None:
    tls = Tls(tmp_path)
    environ = {
        **{f"RAY_REDIS_{name}": tls.path(file) for name, file in REDIS_TLS.items()},
        **{f"RAY_TLS_{name}": tls.path(file) for name, file in GCS_TLS.items()},
        "RAY_USE_TLS": "1",
    }
    options = ("--redis_enable_ssl=true",)
    with tls_redis_server(tls) as redis, kept_gcs(tmp_path, redis, redis_options=options, environ=environ) as kept:
        kept.serving()
        kept.kill(signal.SIGTERM)
        state = kept.serving(revivals=1)
        assert (state.redis.phase, state.storage.phase) == ("Answers", "Marked")
        assert state.revivals[-1].verdict == "Gone"


def test_behind_a_sentinel_the_marker_is_at_the_primary_and_survives_a_failover(tmp_path: Path) -> None:
    replica_of = tmp_path / "replica"
    replica_of.mkdir()
    with (
        redis_server(tmp_path) as primary,
        redis_server(replica_of, "--replicaof", "127.0.0.1", str(primary.port)) as replica,
        sentinel(tmp_path, primary) as guard,
        kept_gcs(tmp_path, guard) as kept,
    ):
        epoch = epoch_of(kept, primary)
        until(lambda: marker(replica, "2.60.0", "cluster"), "the replica did not follow")
        primary.stop()
        kept.kill()
        back = kept.serving(revivals=1, seconds=60)
        assert (back.storage.phase, back.storage.epoch) == ("Marked", epoch)


def test_a_redis_that_drops_idle_connections_is_not_away(tmp_path: Path) -> None:
    with redis_server(tmp_path, "--timeout", "1") as redis, kept_gcs(tmp_path, redis) as kept:
        kept.serving()
        before = kept.state().redis
        time.sleep(6)
        assert kept.state().redis == before
        assert "waiting" not in kept.log


def test_a_redis_that_stays_away_ends_the_keeper_before_ray_s_patience(tmp_path: Path) -> None:
    environ = {"RAY_gcs_rpc_server_reconnect_timeout_s": "8"}
    with redis_server(tmp_path) as redis, kept_gcs(tmp_path, redis, environ=environ) as kept:
        epoch_of(kept, redis)
        redis.stop()
        kept.kill()
        assert ended(kept) == 70
        assert "ending, so that the head restarts" in kept.log


def test_a_redis_that_changes_its_password_ends_the_keeper_with_the_reason(tmp_path: Path) -> None:
    with (
        redis_server(tmp_path, password="old-secret") as redis,
        kept_gcs(tmp_path, redis, redis_options=("--redis_password=old-secret",)) as kept,
    ):
        epoch_of(kept, redis)
        redis.cli("CONFIG", "SET", "requirepass", "new-secret")
        kept.kill()
        assert ended(kept) == 70
        assert "WRONGPASS" in kept.log
        assert "old-secret" not in kept.log


def test_a_gcs_that_is_stopped_is_found_silent_within_its_bound(tmp_path: Path) -> None:
    environ = {"HEADSTAY_GCS_SILENCE_S": "4"}
    with redis_server(tmp_path) as redis, kept_gcs(tmp_path, redis, environ=environ) as kept:
        kept.serving()
        kept.kill(signal.SIGSTOP)
        last = kept.serving(revivals=1).revivals[-1]
        assert last.verdict == "Silent"
        assert 4 < last.detected - last.lost < 6
        assert last.serving is not None


def test_a_gcs_that_loads_for_long_is_left_alone(tmp_path: Path) -> None:
    package = installed_ray("2.60.0")
    slow = tmp_path / "slow_gcs_server"
    slow.write_text(f'#!/bin/sh\nsleep 8\nexec {package}/core/src/ray/gcs/gcs_server "$@"\n')
    slow.chmod(0o755)
    environ = {"HEADSTAY_GCS_SILENCE_S": "1"}
    with redis_server(tmp_path) as redis, kept_gcs(tmp_path, redis, program=slow, environ=environ) as kept:
        assert kept.until(lambda state: True).gcs.phase == "Loading"
        first = kept.children()
        kept.serving()
        assert kept.children() == first


def test_a_gcs_that_does_not_load_in_time_ends_the_keeper(tmp_path: Path) -> None:
    stuck = tmp_path / "stuck_gcs_server"
    stuck.write_text("#!/bin/sh\nexec sleep 600\n")
    stuck.chmod(0o755)
    environ = {"HEADSTAY_GCS_START_S": "2"}
    with redis_server(tmp_path) as redis, kept_gcs(tmp_path, redis, program=stuck, environ=environ) as kept:
        assert ended(kept) == 70
        assert "it has not answered in the 2 s since its start" in kept.log


def test_a_gcs_that_never_serves_is_started_a_few_times_and_then_the_head_restarts(tmp_path: Path) -> None:
    broken = tmp_path / "broken_gcs_server"
    broken.write_text("#!/bin/sh\necho started >> starts\nexit 3\n")
    broken.chmod(0o755)
    environ = {"HEADSTAY_GCS_FAILED_STARTS": "3"}
    with redis_server(tmp_path) as redis, kept_gcs(tmp_path, redis, program=broken, environ=environ) as kept:
        assert ended(kept) == 70
        (starts,) = tmp_path.glob("keeper-*/starts")
        assert starts.read_text().count("started") == 3
        assert "exit code 3" in kept.log


def test_starts_that_failed_because_redis_went_away_again_cost_no_head_restart(tmp_path: Path) -> None:
    """Three such, where two failures are allowed; the fourth finds a Redis that stays, and serves."""
    gcs_server = installed_ray("2.60.0") / "core" / "src" / "ray" / "gcs" / "gcs_server"
    starts, loading = tmp_path / "starts", tmp_path / "loading_gcs_server"
    with ExitStack() as stack:
        redis = stack.enter_context(redis_server(tmp_path, *SAVED))
        loading.write_text(
            f"#!/bin/bash\necho started >> {starts}\n"
            f'[ "$(wc -l < {starts})" -le 3 ] || exec {gcs_server} "$@"\n'
            f"while (: < /dev/tcp/127.0.0.1/{redis.port}) 2> /dev/null; do sleep 0.05; done\nexit 1\n"
        )
        loading.chmod(0o755)
        environ = {"HEADSTAY_GCS_FAILED_STARTS": "2"}
        with kept_gcs(tmp_path, redis, program=loading, environ=environ) as kept:
            for number in (1, 2, 3):
                until(lambda number=number: starts_in(starts) == number, "it was not started", seconds=60)
                redis.stop()
                kept.until(lambda state: state.gcs.phase == "WaitingForRedis")
                redis = stack.enter_context(redis_server(tmp_path, *SAVED, port=redis.port))
            assert kept.serving(revivals=3).redis.phase == "Answers"
            assert "never served" not in kept.log


def starts_in(file: Path) -> int:
    return file.read_text().count("started") if file.exists() else 0


def test_a_gcs_that_dies_again_and_again_is_revived_no_more_often_than_allowed(tmp_path: Path) -> None:
    environ = {"HEADSTAY_GCS_REVIVALS": "3"}
    with redis_server(tmp_path) as redis, kept_gcs(tmp_path, redis, environ=environ) as kept:
        for number in range(4):
            kept.serving(revivals=number)
            kept.kill()
        assert ended(kept) == 70
        assert "3 times in the last 120 s" in kept.log


def test_a_keeper_that_is_told_to_end_ends_the_gcs_and_says_well(tmp_path: Path) -> None:
    with redis_server(tmp_path) as redis, kept_gcs(tmp_path, redis) as kept:
        kept.serving()
        gcs = kept.gcs()
        kept.process.send_signal(signal.SIGTERM)
        assert ended(kept) == 0
        assert not Path(f"/proc/{gcs}").exists()


def test_a_keeper_that_is_told_to_end_while_it_waits_for_redis_ends_at_once(tmp_path: Path) -> None:
    with redis_server(tmp_path) as redis, kept_gcs(tmp_path, redis) as kept:
        kept.serving()
        redis.stop()
        kept.kill()
        kept.until(lambda state: state.gcs.phase == "WaitingForRedis")
        kept.process.send_signal(signal.SIGTERM)
        assert ended(kept, seconds=10) == 0


def test_a_keeper_that_is_killed_takes_the_gcs_along(tmp_path: Path) -> None:
    with redis_server(tmp_path) as redis, kept_gcs(tmp_path, redis) as kept:
        kept.serving()
        gcs = kept.gcs()
        kept.process.kill()
        ended(kept)
        until(lambda: not Path(f"/proc/{gcs}").exists() or is_zombie(gcs), "the GCS outlived its keeper")


def is_zombie(process: int) -> bool:
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


def test_the_namespace_s_size_is_told(tmp_path: Path) -> None:
    with redis_server(tmp_path) as redis:
        redis.fill("RAYns@KV", 5000)
        redis.fill("RAYothers@KV", 100_000)
        with kept_gcs(tmp_path, redis) as kept:
            storage = kept.until(lambda state: state.storage.keys is not None).storage
        assert storage.keys is not None
        assert storage.bytes is not None
        assert 5000 < storage.keys < 5100
        assert 50_000 < storage.bytes < 5_000_000


def remove_marker(redis: Server, ray: str) -> None:
    if ray == "2.60.0":
        assert redis.cli("DEL", "RAYns@HEADSTAY") == "1"
    else:
        names = [f"ns@HEADSTAY:{name}" for name in ("epoch", "begun", "cluster", "at")]
        assert redis.cli("HDEL", "ns", *names) == "4"
