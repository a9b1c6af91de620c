"""A RayCluster in a namespace of its own, made from the sample, and what the scenarios ask of it."""

import copy
import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = ROOT / "config" / "samples"
PASSWORD = "5241590000000000"
Document = dict[str, Any]
SAMPLE_SCRIPTS: dict[str, str] = next(
    document["data"]
    for document in yaml.safe_load_all((SAMPLES / "ray-cluster.external-redis.yaml").read_text())
    if document["metadata"]["name"] == "ray-example"
)


class Cluster:
    """Every kubectl call is bounded; a wait that reaches its bound says what it saw last."""

    def __init__(self, environment: dict[str, str], namespace: str) -> None:
        self.namespace = namespace
        self._environment = environment

    def kubectl(self, *arguments: str, stdin: str = "", check: bool = True, timeout: float = 120) -> str:
        done = subprocess.run(
            ["kubectl", f"--namespace={self.namespace}", *arguments],
            env=self._environment,
            input=stdin or None,
            stdin=None if stdin else subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if check and done.returncode != 0:
            raise AssertionError(f"kubectl {' '.join(arguments)}: {done.stdout}{done.stderr}")
        return done.stdout if check else done.stderr + done.stdout

    def get(self, *arguments: str) -> list[Document]:
        items: list[Document] = json.loads(self.kubectl("get", *arguments, "-o", "json"))["items"]
        return items

    def apply(self, documents: list[Document]) -> None:
        self.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(documents))

    def create(
        self,
        sample: str,
        edit: Callable[[Document], None] | None = None,
        *,
        others: Callable[[list[Document]], None] | None = None,
    ) -> Document:
        """Applies a sample in a new namespace. Returns its RayCluster.

        `edit` may change the RayCluster first, `others` all that comes with it.
        """
        documents = list(yaml.safe_load_all((SAMPLES / sample).read_text()))
        cluster = next(document for document in documents if document["kind"] == "RayCluster")
        if edit is not None:
            edit(cluster)
        if others is not None:
            others(documents)
        for document in documents:
            ask_for_little(document)
        self.kubectl("create", "namespace", self.namespace)
        self.apply(documents)
        return copy.deepcopy(cluster)

    def wait(self, what: str, probe: Callable[[], str], *, timeout: float) -> float:
        """Asks until `probe` returns "" (nothing left to wait for). Returns the seconds it took."""
        began = time.monotonic()
        while missing := probe():
            if time.monotonic() - began > timeout:
                pods = self.kubectl("get", "pods,jobs,rayclusters", "-o", "wide", check=False)
                events = self.kubectl("get", "events", "--sort-by=.lastTimestamp", check=False)
                raise AssertionError(f"{what} after {timeout:.0f} s: {missing}\n{pods}\n{events[-3000:]}")
            time.sleep(0.5)
        return time.monotonic() - began

    def pod(self, node_type: str) -> Document:
        found = self.get("pods", f"--selector=ray.io/node-type={node_type}")
        assert len(found) == 1, [p["metadata"]["name"] for p in found]
        return found[0]

    def wait_ready(self, timeout: float = 300, *, pods: int = 3) -> float:
        def probe() -> str:
            found = self.get("pods")
            waiting = [p["metadata"]["name"] for p in found if not is_ready(p)]
            return f"not ready: {waiting}" if waiting or len(found) < pods else ""

        return self.wait("Pods are ready", probe, timeout=timeout)

    def in_head(self, *command: str, check: bool = True) -> str:
        return self.kubectl("exec", self.pod("head")["metadata"]["name"], "--", *command, check=check)

    def increment(self, timeout: float = 60) -> str:
        """The counter's answer; asked again while the cluster is still settling."""
        began = time.monotonic()
        while True:
            output = self.in_head("python3", "/home/ray/samples/increment_counter.py", check=False)
            lines = [line.strip() for line in output.splitlines() if line.strip()]
            if lines and lines[-1].isdigit():
                return lines[-1]
            if time.monotonic() - began > timeout:
                raise AssertionError(f"the counter gave no number:\n{output[-3000:]}")
            time.sleep(2)

    def redis(self, *command: str, password: str = PASSWORD) -> str:
        pod = self.get("pods", "--selector=app=redis")[0]["metadata"]["name"]
        login = ["-a", password, "--no-auth-warning"] if password else []
        return self.kubectl("exec", pod, "--", "redis-cli", *login, *command).strip()


def ask_for_little(node: object) -> None:
    """Lowers all CPU requests, so that several clusters fit on a small machine. Limits and all else stay."""
    if isinstance(node, dict):
        requests = (node.get("resources") or {}).get("requests") if isinstance(node.get("resources"), dict) else None
        if requests and "cpu" in requests:
            requests["cpu"] = "150m"
        for value in node.values():
            ask_for_little(value)
    elif isinstance(node, list):
        for value in node:
            ask_for_little(value)


def restarts(pod: Document) -> int:
    return sum(int(status["restartCount"]) for status in pod["status"].get("containerStatuses", []))


def is_ready(pod: Document) -> bool:
    conditions = pod.get("status", {}).get("conditions", [])
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def set_env(cluster: Document, group: str, name: str, value: str) -> None:
    """`group` is head or worker."""
    spec = cluster["spec"]
    groups = [spec["headGroupSpec"]] if group == "head" else spec["workerGroupSpecs"]
    for entry in groups:
        container = entry["template"]["spec"]["containers"][0]
        container["env"] = [e for e in container.get("env", []) if e["name"] != name] + [{"name": name, "value": value}]


def environment_of(pod: Document) -> dict[str, str]:
    return {e["name"]: e.get("value", "") for e in pod["spec"]["containers"][0].get("env", [])}
