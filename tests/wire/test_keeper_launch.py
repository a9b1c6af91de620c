"""The keeper as a head runs it: one file, in whatever image. A Ray that it cannot help runs without it."""

import base64
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.ports import free_port
from tests.wire.kept_gcs import KeptGcs
from tests.wire.redis_servers import redis_server

from headstay.controllers.keeper_bundle import keeper_bundle

RAY = """
def main():
    import sys
    from ray._private import services
    print("ray runs with", sys.argv[1:], "and", getattr(services, "GCS_SERVER_EXECUTABLE", "nothing"), flush=True)
    return 0
"""


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    path = tmp_path / "keeper.pyz"
    path.write_bytes(base64.b64decode(keeper_bundle()))
    return path


def ray_without_its_gcs(tmp_path: Path, services: str) -> dict[str, str]:
    """A package that has only what the keeper touches of Ray; `services` is the text of that private module."""
    files = {"__init__": "__version__ = '2.60.0'", "scripts/__init__": "", "scripts/scripts": RAY}
    for name, text in {**files, "_private/__init__": "", "_private/services": services}.items():
        path = tmp_path / "packages" / "ray" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    folder = Path(sys.executable).parent
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python3").symlink_to(folder / "python3")
    return {
        "PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin",
        "PYTHONPATH": str(tmp_path / "packages"),
        "HEADSTAY_KEEPER_LOG": str(tmp_path / "log"),
    }


def run(bundle: Path, environ: dict[str, str], shell: str = "/bin/sh") -> "subprocess.CompletedProcess[str]":
    command = [shell, str(bundle), "start", "--head", "--block"]
    return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("shell", ["/bin/sh", "/bin/bash"])
def test_an_image_without_python_runs_ray_as_without_us_and_says_so(bundle: Path, tmp_path: Path, shell: str) -> None:
    ray = tmp_path / "bin" / "ray"
    ray.parent.mkdir()
    ray.write_text('#!/bin/sh\necho "ray runs with $*"\nexit 3\n')
    ray.chmod(0o755)
    done = run(bundle, {"PATH": str(ray.parent)}, shell)
    assert (done.returncode, done.stdout) == (3, "ray runs with start --head --block\n")
    assert "no python3 in this image" in done.stderr


def test_a_ray_whose_private_name_is_missing_runs_as_without_us_and_the_log_says_so(
    bundle: Path, tmp_path: Path
) -> None:
    environ = ray_without_its_gcs(tmp_path, "")
    done = run(bundle, environ)
    assert (done.returncode, done.stdout) == (0, "ray runs with ['start', '--head', '--block'] and nothing\n")
    assert "a GCS that dies will restart the head" in (tmp_path / "log").read_text()


@pytest.mark.parametrize(
    "first_lines",
    ["#!/usr/bin/env python3", "#!/bin/sh\n'''exec' \"{python}\" \"$0\" \"$@\"\n' '''", "#!{link}"],
    ids=["env", "a path too long for a first line", "a link to the same python"],
)
def test_ray_s_own_python_is_found_however_it_is_named(bundle: Path, tmp_path: Path, first_lines: str) -> None:
    environ = ray_without_its_gcs(tmp_path, "GCS_SERVER_EXECUTABLE = '/opt/gcs_server'")
    python, link = tmp_path / "bin" / "python3", tmp_path / "python3.link"
    link.symlink_to(python)
    ray = tmp_path / "bin" / "ray"
    ray.write_text(first_lines.format(python=python, link=link) + "\nraise SystemExit('run as a script')\n")
    ray.chmod(0o755)
    done = run(bundle, environ)
    assert done.returncode == 0, done.stderr
    assert "headstay-keeper" in done.stdout


def test_a_ray_that_is_no_python_script_runs_as_without_us(bundle: Path, tmp_path: Path) -> None:
    environ = ray_without_its_gcs(tmp_path, "")
    del environ["PYTHONPATH"]
    ray = tmp_path / "bin" / "ray"
    ray.write_text('#!/bin/sh\necho "ray runs with $*"\nexit 3\n')
    ray.chmod(0o755)
    done = run(bundle, environ)
    assert (done.returncode, done.stdout) == (3, "ray runs with start --head --block\n")
    assert "a GCS that dies will restart the head" in (tmp_path / "log").read_text()


def test_ray_is_given_the_supervisor_in_gcs_server_s_place(bundle: Path, tmp_path: Path) -> None:
    environ = ray_without_its_gcs(tmp_path, "GCS_SERVER_EXECUTABLE = '/opt/gcs_server'")
    shim = Path(run(bundle, environ).stdout.split(" and ")[1].strip())
    assert shim.name == "headstay-keeper"
    assert "/opt/gcs_server" in shim.read_text()
    assert not (tmp_path / "log").exists()


@contextmanager
def started(bundle: Path, environ: dict[str, str], state_port: int, log: Path) -> Iterator[KeptGcs]:
    command = ["/bin/sh", str(bundle), "start", "--head", "--block"]
    process = subprocess.Popen(command, env=environ, stdout=subprocess.PIPE)
    try:
        yield KeptGcs(process, 0, state_port, log)
    finally:
        process.kill()
        process.communicate(timeout=10)


def test_a_head_that_waits_for_redis_says_so_before_ray_has_started(bundle: Path, tmp_path: Path) -> None:
    port, state_port = free_port(), free_port()
    environ = {
        **ray_without_its_gcs(tmp_path, "GCS_SERVER_EXECUTABLE = '/opt/gcs_server'"),
        "RAY_REDIS_ADDRESS": f"127.0.0.1:{port}",
        "HEADSTAY_KEEPER_PORT": str(state_port),
    }
    with started(bundle, environ, state_port, tmp_path / "log") as launcher:
        state = launcher.until(lambda state: state.redis.phase == "Away")
        assert state.gcs.phase == "WaitingForRedis"
        assert f"Redis at 127.0.0.1:{port}" in state.gcs.why
        assert launcher.get("/readyz")[0] == 503
        with redis_server(tmp_path, port=port):
            assert launcher.process.wait(timeout=30) == 0
    assert f"waiting for Redis: Redis at 127.0.0.1:{port}" in launcher.log


def test_a_head_that_redis_does_not_let_in_ends_with_the_reason(bundle: Path, tmp_path: Path) -> None:
    with redis_server(tmp_path, password="right") as redis:
        environ = ray_without_its_gcs(tmp_path, "") | {"RAY_REDIS_ADDRESS": f"redis://:wr0ng@{redis.address}"}
        done = run(bundle, environ)
    log = (tmp_path / "log").read_text()
    assert done.returncode == 1
    assert "WRONGPASS" in log
    assert "wr0ng" not in log + done.stdout + done.stderr
