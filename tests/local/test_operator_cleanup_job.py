"""The cleanup Job's command against a real Redis, with Ray's part of the work played by a few lines of Python."""

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from headstay.plan.raycluster.cleanup_script import COMMAND

PASSWORD = "5241590000000000"
RAY = """
import json, os, sys
def cleanup_redis_storage(host, port, password, use_ssl, storage_namespace{username}):
    with open(os.environ["CALLS"], "a") as calls:
        calls.write(json.dumps([host, port, password, use_ssl, storage_namespace{named}]) + "\\n")
    if os.path.exists(os.environ["CALLS"] + ".abort"):
        os.unlink(os.environ["CALLS"] + ".abort")
        os.abort()
    return {answer}
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    port = free_port()
    arguments = ["--port", str(port), "--bind", "127.0.0.1", "--requirepass", PASSWORD, "--save", ""]
    server = subprocess.Popen(
        ["redis-server", *arguments], cwd=tmp_path_factory.mktemp("redis"), stdout=subprocess.DEVNULL
    )
    try:
        end = time.monotonic() + 10
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert time.monotonic() < end, "redis-server did not start"
            time.sleep(0.05)
        yield port
    finally:
        server.terminate()
        server.wait(timeout=10)


class Job:
    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.calls = directory / "calls"

    def install_ray(self, *, knows_username: bool = True, answer: bool = True) -> None:
        package = self.directory / "ray" / "_private"
        package.mkdir(parents=True, exist_ok=True)
        username = (", username=None", ", username") if knows_username else ("", "")
        source = RAY.format(username=username[0], named=username[1], answer=answer)
        (package / "gcs_utils.py").write_text(source)

    def run(self, **environ: str) -> subprocess.CompletedProcess[str]:
        chosen = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(self.directory),
            "CALLS": str(self.calls),
            "RAY_external_storage_namespace": "ns",
            "HEADSTAY_REDIS_PATIENCE_S": "1",
        }
        return subprocess.run(
            ["/bin/bash", "-c", "--", COMMAND],
            env=chosen | environ,
            text=True,
            capture_output=True,
            timeout=60,
            check=False,
        )


@pytest.fixture
def job(tmp_path: Path) -> Job:
    found = Job(tmp_path)
    found.install_ray()
    return found


def test_redis_is_cleaned_with_the_head_s_own_settings(job: Job, redis: int) -> None:
    done = job.run(RAY_REDIS_ADDRESS=f"127.0.0.1:{redis},other:1", REDIS_PASSWORD=PASSWORD)
    assert done.returncode == 0, done.stderr
    assert job.calls.read_text() == f'["127.0.0.1", {redis}, "{PASSWORD}", false, "ns", null]\n'
    assert PASSWORD not in done.stdout + done.stderr


def test_a_url_may_carry_the_account(job: Job, redis: int) -> None:
    done = job.run(RAY_REDIS_ADDRESS=f"redis://:{PASSWORD}@127.0.0.1:{redis}")
    assert done.returncode == 0, done.stderr
    done = job.run(RAY_REDIS_ADDRESS=f"redis://127.0.0.1:{redis}", REDIS_PASSWORD=PASSWORD, REDIS_USERNAME="default")
    assert done.returncode == 0, done.stderr
    assert '"default"' in job.calls.read_text().splitlines()[-1]


def test_a_ray_that_knows_no_user_names_is_not_given_one(job: Job, redis: int) -> None:
    job.install_ray(knows_username=False)
    assert job.run(RAY_REDIS_ADDRESS=f"127.0.0.1:{redis}", REDIS_PASSWORD=PASSWORD).returncode == 0


def test_ray_aborting_once_costs_one_attempt(job: Job, redis: int) -> None:
    Path(f"{job.calls}.abort").touch()
    assert job.run(RAY_REDIS_ADDRESS=f"127.0.0.1:{redis}", REDIS_PASSWORD=PASSWORD).returncode == 0
    assert len(job.calls.read_text().splitlines()) == 2


def test_keys_that_stay_fail_the_job_after_three_attempts(job: Job, redis: int) -> None:
    job.install_ray(answer=False)
    done = job.run(RAY_REDIS_ADDRESS=f"127.0.0.1:{redis}", REDIS_PASSWORD=PASSWORD)
    assert done.returncode == 1
    assert len(job.calls.read_text().splitlines()) == 3
    assert done.stdout.splitlines()[-1].endswith("ns in three attempts")


def test_a_wrong_password_is_said_in_redis_s_words_and_not_printed(job: Job, redis: int) -> None:
    done = job.run(RAY_REDIS_ADDRESS=f"127.0.0.1:{redis}", REDIS_PASSWORD="sesame")
    assert done.returncode == 1
    assert "WRONGPASS" in done.stderr
    assert "sesame" not in done.stdout + done.stderr
    assert not job.calls.exists()


@pytest.mark.parametrize("address", ["127.0.0.1:1", "no-such-host.invalid:6379"])
def test_a_redis_that_cannot_be_reached_is_named(job: Job, address: str) -> None:
    done = job.run(RAY_REDIS_ADDRESS=address)
    assert done.returncode == 1
    assert f"Redis at {address} cannot be reached" in done.stderr
