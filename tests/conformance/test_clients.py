"""The Python clients that people write operators with, each from a process of its own, on the local server.

They live in an environment outside the checkout, made once from clients.lock: their needs are not ours.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.conformance.real_kubernetes import CACHE
from tests.conformance.servers import Server

HERE = Path(__file__).parent
LOCK = HERE / "clients.lock"
PROGRAMS = sorted((HERE / "clients").glob("try_*.py"))


@pytest.fixture(scope="session")
def python() -> Path:
    """The interpreter of the clients' environment. A new lock file or Python makes a new one."""
    name = hashlib.sha256(LOCK.read_bytes() + sys.version.encode()).hexdigest()[:12]
    folder = CACHE / "clients" / name
    if not (folder / "complete").is_file():
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        command: list[str | Path] = [folder / "bin" / "pip", "install", "--quiet"]
        if uv := shutil.which("uv"):
            command = [uv, "pip", "install", "--quiet", "--python", folder / "bin" / "python"]
        subprocess.run([*command, "--require-hashes", "-r", LOCK], check=True)
        (folder / "complete").touch()
    return folder / "bin" / "python"


@pytest.fixture(scope="session")
def namespace(local: Server) -> str:
    assert local.kubectl("create", "namespace", "clients")
    return "clients"


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda path: path.stem.removeprefix("try_"))
def test_a_python_client_lists_watches_and_writes(program: Path, python: Path, local: Server, namespace: str) -> None:
    done = subprocess.run(
        [python, program, namespace],
        env=os.environ | {"KUBECONFIG": str(local.kubeconfig)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    local.check()
    assert done.returncode == 0, done.stdout + done.stderr
