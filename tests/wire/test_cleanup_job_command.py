"""The command of the cleanup Job, as its container runs it, against a real Redis."""

import os
import subprocess
from collections.abc import Iterator

import pytest
from tests.wire.redis_servers import Server, redis_server

from headstay.gcs.cleaning import cleaner_source
from headstay.plan.raycluster.cleanup_script import check_command, clean_command

PASSWORD = "5241590000000000"


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with redis_server(tmp_path_factory.mktemp("redis"), password=PASSWORD) as server:
        yield server


def run(script: str, **environ: str) -> subprocess.CompletedProcess[str]:
    chosen = {"PATH": os.environ["PATH"], "RAY_external_storage_namespace": "ns", "HEADSTAY_REDIS_PATIENCE_S": "1"}
    return subprocess.run(
        ["/bin/bash", "-c", "--", script],
        env=chosen | environ,
        text=True,
        capture_output=True,
        timeout=60,
        check=False,
    )


def clean(**environ: str) -> subprocess.CompletedProcess[str]:
    return run(clean_command(cleaner_source()), **environ)


@pytest.mark.parametrize(
    "account",
    [
        {"RAY_REDIS_ADDRESS": "{address},other:1", "REDIS_PASSWORD": PASSWORD},
        {"RAY_REDIS_ADDRESS": "redis://{address}", "REDIS_PASSWORD": PASSWORD, "REDIS_USERNAME": "default"},
        {"RAY_REDIS_ADDRESS": f"redis://:{PASSWORD}@{{address}}"},
        {"RAY_REDIS_ADDRESS": f"redis://default:{PASSWORD}@{{address}}"},
    ],
)
def test_redis_is_cleaned_with_the_head_s_own_settings(redis: Server, account: dict[str, str]) -> None:
    redis.fill("RAYns@KV", 3)
    redis.fill("RAYother@KV", 3)
    done = clean(**{name: value.format(address=redis.address) for name, value in account.items()})
    assert done.returncode == 0, done.stderr
    assert redis.names() == {"RAYother@KV"}
    assert "storage namespace ns" in done.stdout
    assert PASSWORD not in done.stdout + done.stderr


def test_a_namespace_that_is_gone_already_is_success(redis: Server) -> None:
    done = clean(RAY_REDIS_ADDRESS=redis.address, REDIS_PASSWORD=PASSWORD)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "Removed 0 keys of storage namespace ns"


def test_a_wrong_password_is_said_in_redis_s_words_and_not_printed(redis: Server) -> None:
    redis.fill("RAYns@KV", 3)
    done = clean(RAY_REDIS_ADDRESS=redis.address, REDIS_PASSWORD="sesame")
    assert done.returncode == 1
    assert "WRONGPASS" in done.stderr.splitlines()[-1]
    assert "sesame" not in done.stdout + done.stderr
    assert "RAYns@KV" in redis.names()


@pytest.mark.parametrize("address", ["127.0.0.1:1", "no-such-host.invalid:6379"])
def test_a_redis_that_cannot_be_reached_is_named(address: str) -> None:
    done = clean(RAY_REDIS_ADDRESS=address)
    assert done.returncode == 1
    assert f"Redis at {address} cannot be reached" in done.stderr.splitlines()[-1]


def test_the_check_touches_no_key(redis: Server) -> None:
    redis.fill("RAYns@KV", 3)
    script = check_command(cleaner_source())
    assert run(script, RAY_REDIS_ADDRESS=redis.address, REDIS_PASSWORD=PASSWORD).returncode == 0
    assert redis.cli("HLEN", "RAYns@KV") == "3"
    refused = run(script, RAY_REDIS_ADDRESS=redis.address, REDIS_PASSWORD="sesame")
    assert (refused.returncode, "WRONGPASS" in refused.stderr) == (1, True)
    nobody = run(script, RAY_REDIS_ADDRESS=redis.address)
    assert (nobody.returncode, "NOAUTH" in nobody.stderr) == (1, True)
