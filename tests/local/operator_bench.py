"""The operator on a real API server, through kubectl: a namespace of its own, and Pods that no node will take.

The server is the one of $KUBECONFIG: a real kube-apiserver, or the local one. Where an operator is installed there,
that one is tested; otherwise it is started here, with its own service account and nothing but its permissions.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import yaml

from headstay.controllers import manifests
from headstay.model.objects import Obj
from headstay.model.resource import DEPLOYMENTS

SAMPLES = Path(__file__).parents[2] / "config" / "samples"
NAME = "raycluster-external-redis"
NOWHERE = {"headstay.io/test": "no-node-has-this"}


class Kubectl:
    def __init__(self, kubeconfig: str, namespace: str) -> None:
        self.kubeconfig = kubeconfig
        self.namespace = namespace

    def run(self, *arguments: str, stdin: str = "", check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            ["kubectl", "--kubeconfig", self.kubeconfig, "--namespace", self.namespace, *arguments],
            input=stdin,
            text=True,
            capture_output=True,
            timeout=60,
            check=False,
        )
        if check and done.returncode != 0:
            raise AssertionError(f"kubectl {' '.join(arguments)}: {done.stderr}")
        return done

    def __call__(self, *arguments: str, stdin: str = "") -> str:
        return self.run(*arguments, stdin=stdin).stdout

    def get(self, *arguments: str) -> Obj:
        found: Obj = json.loads(self("get", *arguments, "-o", "json"))
        return found

    def items(self, *arguments: str) -> list[Obj]:
        found: list[Obj] = self.get(*arguments)["items"]
        return found

    def apply(self, *documents: Obj, server_side: bool = False) -> None:
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": documents})
        self("apply", *(["--server-side", "--force-conflicts"] if server_side else []), "-f", "-", stdin=text)


def until(condition: Callable[[], Any], *, seconds: float = 20, what: str = "") -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not so after {seconds} s: {what or condition}"
        time.sleep(0.2)


def minor_version(kubectl: Kubectl) -> int:
    version = json.loads(kubectl("version", "-o", "json"))["serverVersion"]
    return int("".join(filter(str.isdigit, version["minor"])))


def without_rules(node: Any) -> Any:
    """CEL rules are newer than some servers this runs on."""
    if isinstance(node, dict):
        return {key: without_rules(value) for key, value in node.items() if key != "x-kubernetes-validations"}
    return [without_rules(item) for item in node] if isinstance(node, list) else node


@contextmanager
def bench(kubeconfig: str, scratch: Path, **environ: str) -> Iterator[Kubectl]:
    """A namespace with a working operator; `environ` is the operator's, which is then always started here."""
    kubectl = Kubectl(kubeconfig, f"operator-{uuid4().hex[:8]}")
    definitions = [obj for _, obj in manifests.definitions()]
    if minor_version(kubectl) < 25:
        definitions = without_rules(definitions)
    kubectl.apply(*definitions, server_side=True)
    kubectl("wait", "--for=condition=Established", "crd", "rayclusters.ray.io", "--timeout=30s")
    kubectl("create", "namespace", kubectl.namespace)
    until(lambda: kubectl.run("get", "serviceaccount", "default", check=False).returncode == 0)
    try:
        if installed(kubectl) and not environ:
            yield kubectl
        else:
            with started(kubectl, scratch, environ):
                yield kubectl
    finally:
        remove_clusters(kubectl)
        kubectl.run("delete", "namespace", kubectl.namespace, "--wait=false", check=False)


def remove_clusters(kubectl: Kubectl) -> None:
    """Deletion first: a finalizer taken off a living cluster is put on again."""
    for found in kubectl.items("rayclusters"):
        name = found["metadata"]["name"]
        kubectl.run("delete", "raycluster", name, "--ignore-not-found", "--wait=false", check=False)
        kubectl.run("patch", "raycluster", name, "--type=merge", '-p={"metadata":{"finalizers":null}}', check=False)


def installed(kubectl: Kubectl) -> bool:
    found = kubectl.items(str(DEPLOYMENTS), "--all-namespaces", "-l", f"app.kubernetes.io/name={manifests.DEPLOYMENT}")
    return any(deployment["status"].get("availableReplicas") for deployment in found)


@contextmanager
def started(kubectl: Kubectl, scratch: Path, environ: dict[str, str]) -> Iterator[None]:
    """The operator as a process of ours with its service account's token."""
    permissions = [obj for _, obj in manifests.permissions(kubectl.namespace)]
    for obj in permissions:
        if obj["kind"].startswith("ClusterRole"):
            obj["metadata"]["name"] = kubectl.namespace
            if "roleRef" in obj:
                obj["roleRef"]["name"] = kubectl.namespace
    kubectl.apply(*permissions)
    token = kubectl("create", "token", manifests.DEPLOYMENT).strip()
    config = yaml.safe_load(kubectl("config", "view", "--raw", "--minify", "--flatten"))
    config["users"][0]["user"] = {"token": token}
    kubeconfig = scratch / "operator-kubeconfig"
    kubeconfig.write_text(yaml.safe_dump(config))
    kubeconfig.chmod(0o600)
    command = [sys.executable, "-m", "headstay.controllers", "--allow-insecure", "--kubeconfig", str(kubeconfig)]
    command += ["--watch-namespace", kubectl.namespace, "--leader-election-namespace", kubectl.namespace]
    log = scratch / "operator.log"
    with log.open("w") as output:
        process = subprocess.Popen(command, stderr=output, env=dict(os.environ) | environ)
    try:
        until(lambda: "leads" in log.read_text() or process.poll() is not None, what="the operator leads")
        assert process.poll() is None, log.read_text()
        yield
        assert process.poll() is None, log.read_text()
        assert "forbidden" not in log.read_text().lower(), log.read_text()
    finally:
        process.terminate()
        process.wait(timeout=20)
        kubectl.run("delete", "clusterrole,clusterrolebinding", kubectl.namespace, check=False)


def sample_cluster(name: str = "ray-cluster.external-redis.yaml") -> Obj:
    """The sample's RayCluster, with Pods that stay Pending wherever this runs: the test plays the kubelet."""
    documents = yaml.safe_load_all((SAMPLES / name).read_text())
    document: Obj = next(found for found in documents if found["kind"] == "RayCluster")
    for group in (document["spec"]["headGroupSpec"], *document["spec"]["workerGroupSpecs"]):
        group["template"]["spec"]["nodeSelector"] = NOWHERE
    return document


def ray_pods(kubectl: Kubectl, node_type: str = "") -> list[Obj]:
    return kubectl.items("pods", "-l", f"ray.io/node-type in ({node_type or 'head,worker'})")


def run_pods(kubectl: Kubectl) -> None:
    for index, pod in enumerate(ray_pods(kubectl)):
        ready = [{"type": "Ready", "status": "True"}]
        status = {"status": {"phase": "Running", "podIP": f"10.9.0.{index + 1}", "conditions": ready}}
        patch_status(kubectl, f"pod/{pod['metadata']['name']}", status)


def end_job(kubectl: Kubectl, kind: str) -> None:
    (job,) = kubectl.items("jobs")
    condition = {"type": kind, "status": "True", "reason": "Told", "message": "by the test"}
    patch_status(kubectl, f"job/{job['metadata']['name']}", {"status": {"conditions": [condition]}})


def patch_status(kubectl: Kubectl, what: str, patch: Obj) -> None:
    kubectl("patch", what, "--subresource=status", "--type=merge", "-p", json.dumps(patch))
