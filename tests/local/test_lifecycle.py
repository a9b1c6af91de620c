"""`headstay up`, `down` and `status` on this machine: twice, after crashes, and where something is missing."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from headstay.local.config import LocalConfig
from headstay.model.errors import StatusError
from headstay.model.resource import CONFIGMAPS
from headstay.runtime.client import TransportError
from headstay.runtime.http import HttpClient
from headstay.runtime.kubeconfig import load_kubeconfig

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="Pods get network namespaces of their own: needs root")

HEADSTAY = Path(sys.prefix) / "bin" / "headstay"
ENVIRONMENT = {
    **os.environ,
    "HEADSTAY_INSTANCE": "life",
    "HEADSTAY_API_PORT": "6485",
    "HEADSTAY_POD_NETWORK": "10.81.0.0/16",
    "HEADSTAY_SERVICE_NETWORK": "10.100.0.0/16",
    "COLUMNS": "200",
}
CONFIG = LocalConfig.from_environment(ENVIRONMENT)


def headstay(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [HEADSTAY, *arguments],
        env={**ENVIRONMENT, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


def kubectl(*arguments: str) -> str:
    command = ["kubectl", f"--kubeconfig={CONFIG.kubeconfig}", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


def leftovers() -> list[str]:
    """What of the instance is still on the machine."""
    found = [line for line in Path("/proc/self/mounts").read_text().splitlines() if "headstay-life" in line]
    found += [f"link {name}" for name in (p.name for p in Path("/sys/class/net").iterdir()) if name.startswith("life-")]
    found += [f"netns {path.name}" for path in Path("/run/netns").glob("life-*")]
    found += [f"cgroup {path}" for path in Path("/sys/fs/cgroup").glob("*/life")]
    tables = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=True).stdout
    found += [line for line in tables.splitlines() if line.endswith(" life")]
    processes = subprocess.run(["pgrep", "-fa", "headstay-life"], capture_output=True, text=True, check=False).stdout
    return found + processes.splitlines()


@pytest.fixture
def clean() -> Iterator[None]:
    headstay("down", "--purge")
    yield
    headstay("down", "--purge")


@pytest.fixture
def up(clean: None) -> None:
    del clean
    started = headstay("up")
    assert started.returncode == 0, started.stdout + started.stderr


def test_up_prints_the_line_to_use_it_and_a_second_up_changes_nothing(up: None) -> None:
    del up
    pid = json.loads(headstay("status", "-o", "json").stdout)["pid"]
    again = headstay("up")
    assert again.returncode == 0
    assert f"export KUBECONFIG={CONFIG.kubeconfig}" in again.stdout
    assert json.loads(headstay("status", "-o", "json").stdout)["pid"] == pid
    assert headstay("kubeconfig").stdout.strip() == str(CONFIG.kubeconfig)
    assert CONFIG.kubeconfig.stat().st_mode & 0o777 == 0o600


def test_objects_survive_down_and_up_but_not_a_purge(up: None) -> None:
    del up
    kubectl("create", "configmap", "kept", "--from-literal=a=b")
    assert headstay("down").returncode == 0
    assert leftovers() == []
    assert headstay("status").returncode == 1
    assert headstay("up").returncode == 0
    assert kubectl("get", "configmap", "kept", "-o", "jsonpath={.data.a}") == "b"
    assert headstay("down", "--purge").returncode == 0
    assert not CONFIG.state_dir.exists()


def test_down_takes_everything_away_after_the_daemon_was_killed(up: None) -> None:
    del up
    os.kill(json.loads(headstay("status", "-o", "json").stdout)["pid"], signal.SIGKILL)
    assert kubectl_fails()
    stopped = headstay("down")
    assert stopped.returncode == 0, stopped.stdout + stopped.stderr
    assert leftovers() == []


def kubectl_fails() -> bool:
    command = ["kubectl", f"--kubeconfig={CONFIG.kubeconfig}", "get", "ns", "--request-timeout=2s"]
    return subprocess.run(command, capture_output=True, check=False).returncode != 0


def test_a_restart_of_the_daemon_takes_running_pods_over(up: None) -> None:
    del up
    before = json.loads(kubectl("get", "pods", "-o", "json"))["items"][0]
    os.kill(json.loads(headstay("status", "-o", "json").stdout)["pid"], signal.SIGKILL)
    assert headstay("up").returncode == 0
    after = json.loads(kubectl("get", "pods", "-o", "json"))["items"][0]
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    container = [pod["status"]["containerStatuses"][0] for pod in (before, after)]
    assert container[0]["containerID"] == container[1]["containerID"]
    assert container[1]["restartCount"] == 0


def test_down_where_nothing_is_up_is_fine(clean: None) -> None:
    del clean
    stopped = headstay("down", "--purge")
    assert stopped.returncode == 0
    assert "was not up" in stopped.stdout


def test_a_busy_port_is_named_with_the_way_out(clean: None) -> None:
    del clean
    with socket.create_server(("127.0.0.1", CONFIG.api_port)):
        started = headstay("up")
    assert started.returncode == 1
    assert f"port {CONFIG.api_port} on 127.0.0.1 is in use" in started.stderr
    assert "HEADSTAY_API_PORT" in started.stderr
    headstay("down")
    assert leftovers() == []


def test_without_root_up_says_so_and_how() -> None:
    command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", sys.executable, "-c"]
    # The interpreter may lie below /root, where nobody may look; what matters is the check itself.
    program = "import os; os.geteuid = lambda: 65534; from headstay.cli.main import main; main()"
    done = subprocess.run(
        [*command[-2:], program, "up"] if not _nobody_can_run() else [*command, program, "up"],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1
    assert "needs root" in done.stderr
    assert "sudo" in done.stderr


def _nobody_can_run() -> bool:
    command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", sys.executable, "-c", "import headstay"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def test_a_missing_podman_is_named_with_its_package(clean: None, tmp_path: Path) -> None:
    del clean
    for folder in ("/usr/sbin", "/usr/bin", "/sbin", "/bin"):
        for program in Path(folder).iterdir():
            if program.name not in {"podman", "conmon"} and not (tmp_path / program.name).exists():
                (tmp_path / program.name).symlink_to(program)
    started = headstay("up", PATH=str(tmp_path))
    assert started.returncode == 1
    assert "podman" in started.stderr
    assert "apt-get install podman" in started.stderr
    assert leftovers() == []


def test_an_instance_name_that_cannot_be_is_refused() -> None:
    refused = headstay("status", HEADSTAY_INSTANCE="Too-Long-A-Name")
    assert refused.returncode == 2
    assert "HEADSTAY_INSTANCE" in refused.stderr


async def test_a_killed_daemon_has_kept_every_write_it_acknowledged(up: None) -> None:
    del up
    pid = json.loads((await asyncio.to_thread(headstay, "status", "-o", "json")).stdout)["pid"]
    acknowledged: list[str] = []
    async with HttpClient(load_kubeconfig(CONFIG.kubeconfig)) as client:

        async def write() -> None:
            number = 0
            while True:
                name = f"written-{number}"
                document = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "default"}}
                try:
                    await client.create(CONFIGMAPS, document)
                except (TransportError, StatusError):
                    return
                acknowledged.append(name)
                number += 1

        writers = [asyncio.create_task(write())]
        deadline = time.monotonic() + 20
        while len(acknowledged) < 100 and time.monotonic() < deadline:
            await asyncio.sleep(0.01)
        os.kill(pid, signal.SIGKILL)
        await asyncio.wait(writers, timeout=30)
    assert (await asyncio.to_thread(headstay, "up")).returncode == 0
    names = (await asyncio.to_thread(kubectl, "get", "configmaps", "-o", "name")).split()
    assert len(acknowledged) >= 100
    assert [name for name in acknowledged if f"configmap/{name}" not in names] == []
