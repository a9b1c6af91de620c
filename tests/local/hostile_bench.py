"""Deletions on our API server and controllers, with the operator as a process, real kubectl and a real Redis.

There is no node: Pods stay Pending, and the test plays the kubelet where a case needs one. A cleanup Job's command is
run as it is, as a process of this machine.
"""

import base64
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from tests.conformance.control_plane import local_control_plane
from tests.local.operator_bench import NAME, Kubectl, patch_status, ray_pods, sample_cluster, until
from tests.ports import free_port

from headstay.controllers import manifests
from headstay.model.objects import Obj

OPERATOR = "ops"
PASSWORD = "5241590000000000"
SECRET = "redis-password-secret"


class Redis:
    def __init__(self, port: int) -> None:
        self.port = port
        # Loopback in a head Pod would be the Pod's own, which nobody else can clean: this form is a name like others.
        self.address = f"127.1:{port}"

    def cli(self, *arguments: str) -> str:
        command = ["redis-cli", "-p", str(self.port), *arguments]
        environ = os.environ | {"REDISCLI_AUTH": PASSWORD}
        done = subprocess.run(command, env=environ, text=True, capture_output=True, check=True, timeout=20)
        return done.stdout.strip()

    def fill(self, namespace: str) -> None:
        for table in ("KV", "NODE", "ACTOR"):
            self.cli("HSET", f"RAY{namespace}@{table}", "a", "b")

    @property
    def keys(self) -> int:
        return int(self.cli("DBSIZE"))


@contextmanager
def redis_server(folder: Path) -> Iterator[Redis]:
    redis = Redis(free_port())
    config = folder / "redis.conf"
    config.write_text(f'port {redis.port}\nbind 127.0.0.1\nrequirepass {PASSWORD}\nsave ""\ndir {folder}\n')
    with subprocess.Popen(["redis-server", str(config)], stdout=subprocess.DEVNULL) as server:
        try:
            until(lambda: answers(redis), what="Redis answers")
            yield redis
        finally:
            server.terminate()


def answers(redis: Redis) -> bool:
    try:
        return redis.cli("PING") == "PONG"
    except subprocess.CalledProcessError:
        return False


@dataclass
class Operator:
    """The operator as a process; asking for another environment starts it anew."""

    kubectl: Kubectl
    scratch: Path
    environ: dict[str, str] | None = None
    process: subprocess.Popen[bytes] | None = None
    log: Path = field(default_factory=Path)
    runs: int = 0

    def run(self, **environ: str) -> None:
        if self.process is not None and self.environ == environ and self.process.poll() is None:
            return
        self.stop()
        self.environ, self.runs = environ, self.runs + 1
        self.log = self.scratch / f"operator-{self.runs}.log"
        command = [sys.executable, "-m", "headstay.controllers", "--kubeconfig", str(self._kubeconfig())]
        command += ["--no-leader-election"]
        with self.log.open("wb") as output:
            chosen = dict(os.environ) | {"POD_NAMESPACE": OPERATOR} | environ
            self.process = subprocess.Popen(command, stderr=output, env=chosen)

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(timeout=20)
            assert "a bug of ours" not in self.log.read_text(), self.log.read_text()

    def _kubeconfig(self) -> Path:
        """The operator's service account and nothing but its permissions; with Redis access, those of `headstay up`."""
        rendering: manifests.Rendering = "up" if (self.environ or {}).get("HEADSTAY_REDIS_ACCESS") else "default"
        self.kubectl.apply(*(obj for _, obj in manifests.permissions(OPERATOR, rendering)))
        token = self.kubectl("create", "token", manifests.DEPLOYMENT).strip()
        config = yaml.safe_load(self.kubectl("config", "view", "--raw", "--minify", "--flatten"))
        config["users"][0]["user"] = {"token": token}
        path = self.scratch / "operator-kubeconfig"
        path.write_text(yaml.safe_dump(config))
        path.chmod(0o600)
        return path


@dataclass
class Bench:
    """`kubectl` works in the operator's namespace, each test in one of its own."""

    kubectl: Kubectl
    operator: Operator
    redis: Redis

    def debts(self, of: Kubectl) -> list[Obj]:
        found = self.kubectl.items("configmaps", "-l", "headstay.io/debt")
        return [debt for debt in found if debt["data"]["clusterNamespace"] == of.namespace]

    def debt(self, of: Kubectl) -> dict[str, str]:
        (found,) = self.debts(of)
        assert PASSWORD not in json.dumps(found)
        return dict(found["data"]) | {"state": found["metadata"]["labels"]["headstay.io/debt"]}


@contextmanager
def hostile_bench(scratch: Path) -> Iterator[Bench]:
    with ExitStack() as stack:
        server = stack.enter_context(local_control_plane(scratch))
        redis = stack.enter_context(redis_server(scratch))
        kubectl = Kubectl(str(server.kubeconfig), OPERATOR)
        kubectl.apply(*(obj for _, obj in manifests.definitions()), server_side=True)
        kubectl("create", "namespace", OPERATOR)
        operator = Operator(kubectl, scratch)
        stack.callback(operator.stop)
        yield Bench(kubectl, operator, redis)


def made(kubectl: Kubectl, redis: Redis, *, timeout: int = 3, address: str = "") -> str:
    """The sample's cluster with its Pods, its Secret, and keys in Redis; its storage namespace."""
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": SECRET}, "stringData": {"password": PASSWORD}}
    document = sample_cluster()
    document["metadata"]["annotations"]["ray.io/gcs-ft-deletion-timeout"] = str(timeout)
    container = document["spec"]["headGroupSpec"]["template"]["spec"]["containers"][0]
    (entry,) = [found for found in container["env"] if found["name"] == "RAY_REDIS_ADDRESS"]
    entry["value"] = address or redis.address
    kubectl.apply(secret, document)
    until(lambda: len(ray_pods(kubectl)) == 2, what="two Ray Pods")
    uid: str = kubectl.get("raycluster", NAME)["metadata"]["uid"]
    redis.fill(uid)
    return uid


def delete(kubectl: Kubectl) -> float:
    """When the deletion began."""
    kubectl("delete", "raycluster", NAME, "--wait=false")
    return time.monotonic()


def gone(kubectl: Kubectl) -> bool:
    return "NotFound" in kubectl.run("get", "raycluster", NAME, check=False).stderr


def job_pod(kubectl: Kubectl) -> Obj:
    found: list[Obj] = []

    def there() -> bool:
        found[:] = ray_pods(kubectl, "redis-cleanup")
        return bool(found)

    until(there, what="the cleanup Job's Pod")
    return found[0]


def run_job(kubectl: Kubectl, **environ: str) -> None:
    """What a kubelet does with the cleanup Job's Pod."""
    pod = job_pod(kubectl)
    (container,) = pod["spec"]["containers"]
    env = {entry["name"]: value_of(kubectl, entry) for entry in container["env"] if "fieldRef" not in str(entry)}
    done = subprocess.run(
        [*container["command"], *container["args"]],
        env={"PATH": os.environ["PATH"]} | env | environ,
        text=True,
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert PASSWORD not in done.stdout + done.stderr
    end_pod(kubectl, pod, done.returncode, done.stdout + done.stderr)


def end_pod(kubectl: Kubectl, pod: Obj, code: int, message: str) -> None:
    container = pod["spec"]["containers"][0]["name"]
    ended = {"exitCode": code, "reason": "Completed" if code == 0 else "Error", "message": message[-2000:] or "-"}
    status = {"name": container, "ready": False, "restartCount": 0, "image": "a", "imageID": "a"}
    status["state"] = {"terminated": ended}
    phase = "Succeeded" if code == 0 else "Failed"
    patch_status(kubectl, f"pod/{pod['metadata']['name']}", {"status": {"phase": phase, "containerStatuses": [status]}})


def value_of(kubectl: Kubectl, entry: Obj) -> Any:
    if "value" in entry:
        return entry["value"]
    reference = entry["valueFrom"]["secretKeyRef"]
    return base64.b64decode(kubectl.get("secret", reference["name"])["data"][reference["key"]]).decode()
