"""Many RayClusters on the local server with simulated nodes: how long, how many writes, how much memory.

    make bench-scale                       100, 300 and 1,000 clusters of 1 head and 9 workers
    python -m bench.scale 50 --workers 3   other sizes

Four processes, and nothing but loopback: the API server with its controllers, the operator, the simulated nodes, and
this one, which creates and watches. Each size starts from nothing. Raw results go to bench/results.
"""

import argparse
import asyncio
import json
import os
import platform
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from headstay.controllers import manifests
from headstay.model.errors import StatusError
from headstay.model.meta import Pod
from headstay.model.objects import Obj
from headstay.model.ray import CLUSTER, HEAD, NODE_TYPE, RAYCLUSTERS, RayCluster
from headstay.model.resource import PODS
from headstay.runtime.client import TransportError
from headstay.runtime.http import HttpClient
from headstay.runtime.kubeconfig import ConfigError, find_cluster_config
from headstay.runtime.reflector import Reflector

ROOT = Path(__file__).resolve().parents[1]
SIZES = (100, 300, 1000)
BOUND = 900.0
FAILED_HEADS = 50
IDLE_SECONDS = 20.0
CREATORS = 16
UNAVOIDABLE_STATUS_WRITES = 2
"""One that says what was made, one that says that all of it runs."""


def minimal_writes(workers: int) -> int:
    """Finalizer, head Service, head and workers, status."""
    return 1 + 1 + (1 + workers) + UNAVOIDABLE_STATUS_WRITES


def cluster(name: str, workers: int) -> Obj:
    """FT on, as in the samples. The scheduler's name keeps the local scheduler, which is made for one node, away."""

    def template(container: str, cpu: str) -> Obj:
        return {
            "spec": {
                "schedulerName": "simulated",
                "containers": [
                    {
                        "name": container,
                        "image": "rayproject/ray:2.52.0",
                        "resources": {"requests": {"cpu": cpu, "memory": "1Gi"}, "limits": {"memory": "2Gi"}},
                    }
                ],
            }
        }

    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayCluster",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "rayVersion": "2.52.0",
            "gcsFaultToleranceOptions": {"redisAddress": "redis:6379"},
            "headGroupSpec": {"rayStartParams": {"num-cpus": "0"}, "template": template("ray-head", "500m")},
            "workerGroupSpecs": [
                {
                    "groupName": "workers",
                    "replicas": workers,
                    "minReplicas": workers,
                    "maxReplicas": workers,
                    "rayStartParams": {},
                    "template": template("ray-worker", "1"),
                }
            ],
        },
    }


# --- processes ---------------------------------------------------------------------------------------------------


class Process:
    """A part of the bench; the kernel ends it with us."""

    def __init__(self, name: str, log: Path, *command: str, environ: dict[str, str] | None = None) -> None:
        self.name = name
        self._log = log
        with log.open("wb") as output:
            self._popen = subprocess.Popen(
                ["setpriv", "--pdeathsig", "TERM", sys.executable, *command],
                cwd=ROOT,
                env=os.environ | (environ or {}),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    def check(self) -> None:
        if self._popen.poll() is not None:
            raise SystemExit(f"{self.name} ended with {self._popen.returncode}:\n{self._log.read_text()[-3000:]}")

    def peak_megabytes(self) -> float:
        status = Path(f"/proc/{self._popen.pid}/status").read_text()
        return round(int(status.partition("VmHWM:")[2].split()[0]) * 1024 / 1e6, 1)

    def cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self._popen.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self) -> None:
        self._popen.terminate()
        try:
            self._popen.wait(20)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait(20)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as held:
        port: int = held.getsockname()[1]
        return port


@dataclass
class Bench:
    """The running parts."""

    client: HttpClient
    server: Process
    operator: Process
    nodes: Process
    metrics_port: int

    @property
    def parts(self) -> tuple[Process, ...]:
        return self.server, self.operator, self.nodes

    async def until(self, condition: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + BOUND
        while not condition():
            for part in self.parts:
                part.check()
            if time.monotonic() > deadline:
                raise SystemExit(f"not so after {BOUND:.0f} s: {what}")
            await asyncio.sleep(0.05)

    def operator_metrics(self) -> "Figures":
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=20) as answer:
            return Figures(answer.read().decode())

    async def server_metrics(self) -> "Figures":
        return Figures((await self.client.get_raw("/metrics")).decode())


@contextmanager
def process(name: str, folder: Path, *command: str, environ: dict[str, str] | None = None) -> Iterator[Process]:
    part = Process(name, folder / f"{name}.log", *command, environ=environ)
    try:
        yield part
    finally:
        part.stop()


async def started(stack: ExitStack, folder: Path, profile: str) -> Bench:
    kubeconfig = folder / "kubeconfig"
    api_port, metrics_port = free_port(), free_port()
    environ = {"HEADSTAY_INSTANCE": "scale", "HEADSTAY_API_PORT": str(api_port)}
    profiled = {
        part: ["-m", "cProfile", "-o", f"/tmp/{part}.prof"] if part == profile else []
        for part in ("server", "operator")
    }
    arguments = (*profiled["server"], "-m", "headstay.local", "--control-plane-only", f"--directory={folder}")
    server = stack.enter_context(process("server", folder, *arguments, environ=environ))
    await _reachable(server, kubeconfig)
    client = HttpClient(find_cluster_config(kubeconfig, "", {}))
    for manifest in manifests.definitions():
        await client.apply(manifest.resource, manifest.obj, field_manager="bench")
    await _answers(server, lambda: client.list_page(RAYCLUSTERS, limit=1))
    operator = stack.enter_context(
        process(
            "operator",
            folder,
            *profiled["operator"],
            *("-m", "headstay.controllers", f"--kubeconfig={kubeconfig}", "--log-level=warning"),
            f"--metrics-address=127.0.0.1:{metrics_port}",
            environ={"POD_NAMESPACE": "default"},
        )
    )
    nodes = stack.enter_context(process("nodes", folder, "-m", "bench.scale_nodes", str(kubeconfig)))
    bench = Bench(client, server, operator, nodes, metrics_port)
    await _answers(operator, lambda: asyncio.to_thread(_ready, metrics_port))
    return bench


async def _reachable(server: Process, kubeconfig: Path) -> None:
    async def ask() -> None:
        async with HttpClient(find_cluster_config(kubeconfig, "", {})) as client:
            await client.get_raw("/readyz")
            await client.list_page(PODS, "default", limit=1)

    await _answers(server, ask)


def _ready(port: int) -> None:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5):
        pass


async def _answers(part: Process, ask: Callable[[], Any], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while True:
        part.check()
        try:
            await ask()
        except (OSError, ConfigError, StatusError, TransportError) as error:
            if time.monotonic() > deadline:
                raise SystemExit(f"{part.name} does not answer: {error}") from error
            await asyncio.sleep(0.2)
        else:
            return


# --- figures ------------------------------------------------------------------------------------------------------


class Figures:
    """One scrape."""

    def __init__(self, text: str) -> None:
        self._samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]

    def total(self, name: str, **labels: str) -> float:
        return sum(
            sample.value
            for sample in self._samples
            if sample.name == name and all(sample.labels.get(key) == value for key, value in labels.items())
        )

    def by(self, name: str, *labels: str) -> dict[str, float]:
        found: dict[str, float] = {}
        for sample in self._samples:
            if sample.name == name:
                key = " ".join(sample.labels.get(label, "") for label in labels)
                found[key] = found.get(key, 0) + sample.value
        return found

    def buckets(self, name: str) -> dict[float, float]:
        return {float(bound): count for bound, count in self.by(f"{name}_bucket", "le").items()}


def quantile(share: float, after: dict[float, float], before: dict[float, float]) -> float:
    """Linear within its bucket, as Prometheus does it."""
    counts = sorted((bound, count - before.get(bound, 0)) for bound, count in after.items())
    wanted = share * counts[-1][1]
    low, below = 0.0, 0.0
    for bound, count in counts:
        if count >= wanted:
            if bound == float("inf"):
                return low
            return round(low + (bound - low) * (wanted - below) / max(count - below, 1), 4)
        low, below = bound, count
    return low


WRITES = ("POST", "PATCH", "DELETE")  # the lease is kept with PUT
RECONCILE = "controller_runtime_reconcile_time_seconds"


async def operator_writes(bench: Bench) -> tuple[float, float]:
    """(writes, Events) of the operator so far. Only it makes Events about RayClusters, and only those are made here."""
    requests = bench.operator_metrics()
    events = (await bench.server_metrics()).by("apiserver_request_total", "verb", "resource")
    said = events.get("create events", 0) + events.get("patch events", 0)
    return sum(requests.total("rest_client_requests_total", method=method) for method in WRITES) - said, said


# --- one size -----------------------------------------------------------------------------------------------------


async def in_parallel(actions: Iterable[Callable[[], Any]]) -> None:
    waiting = iter(actions)

    async def work() -> None:
        for action in waiting:
            await action()

    async with asyncio.TaskGroup() as group:
        for _ in range(CREATORS):
            group.create_task(work())


async def measure(count: int, workers: int, profile: str) -> dict[str, Any]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="headstay-scale-")))
        bench = await started(stack, folder, profile)
        clusters = Reflector(bench.client, RAYCLUSTERS, RayCluster)
        heads = Reflector(bench.client, PODS, Pod, label_selector=f"{NODE_TYPE}={HEAD}")
        watching = [asyncio.create_task(reflector.run()) for reflector in (clusters, heads)]
        try:
            return await _life(bench, clusters, heads, count, workers)
        finally:
            for task in watching:
                task.cancel()
            await asyncio.wait(watching)
            await bench.client.close()


async def _life(
    bench: Bench, clusters: Reflector[RayCluster], heads: Reflector[Pod], count: int, workers: int
) -> dict[str, Any]:
    await bench.until(lambda: clusters.cache.synced.is_set() and heads.cache.synced.is_set(), "the first lists")
    results: dict[str, Any] = {"clusters": count, "pods": count * (1 + workers), "load_before": os.getloadavg()[0]}
    results |= {f"{part.name}_memory_empty_mb": part.peak_megabytes() for part in bench.parts}
    before = bench.operator_metrics()
    written, said = await operator_writes(bench)
    cpu = {part.name: part.cpu_seconds() for part in bench.parts}

    ready: set[str] = set()
    clusters.on_change(lambda _, new: ready.add(new.name) if new and new.status.get("state") == "ready" else None)
    names = [f"ray-{number:04}" for number in range(count)]
    began = time.monotonic()
    await in_parallel(lambda name=name: bench.client.create(RAYCLUSTERS, cluster(name, workers)) for name in names)
    results["created_s"] = round(time.monotonic() - began, 2)
    await bench.until(lambda: len(ready) == count, "all ready")
    results["all_ready_s"] = round(time.monotonic() - began, 2)
    await _quiet(bench)
    after = bench.operator_metrics()
    all_written, all_said = await operator_writes(bench)
    patched = (await bench.server_metrics()).by("apiserver_request_total", "verb", "resource")["patch rayclusters"]
    least = minimal_writes(workers)
    results["writes_per_cluster"] = round((all_written - written) / count, 2)
    results["status_writes_per_cluster"] = round(patched / count - 1, 2)
    results["writes_over_minimal"] = round((all_written - written) / count / least, 3)
    results["events_per_cluster"] = round((all_said - said) / count, 2)
    results["reads_per_cluster"] = round(
        (_reads(after) - _reads(before)) / count,
        2,
    )
    results["reconciles_per_cluster"] = round(
        (after.total(f"{RECONCILE}_count") - before.total(f"{RECONCILE}_count")) / count, 1
    )
    for share in (0.5, 0.99):
        found = quantile(share, after.buckets(RECONCILE), before.buckets(RECONCILE))
        results[f"reconcile_p{share * 100:.0f}_s"] = found
    for part in bench.parts:
        results[f"{part.name}_cpu_s"] = round(part.cpu_seconds() - cpu[part.name], 1)
        results[f"{part.name}_peak_mb"] = part.peak_megabytes()
    idle = bench.operator.cpu_seconds()
    await asyncio.sleep(IDLE_SECONDS)
    results["operator_idle_cpu_percent"] = round(100 * (bench.operator.cpu_seconds() - idle) / IDLE_SECONDS, 2)

    results["heads_replaced_s"] = await _replace_heads(
        bench, heads, names[:: max(1, count // FAILED_HEADS)][:FAILED_HEADS]
    )

    began = time.monotonic()
    await bench.client.delete_collection(RAYCLUSTERS, "default")
    await bench.until(lambda: not clusters.cache.list(), "all RayClusters gone")
    results["all_deleted_s"] = round(time.monotonic() - began, 2)
    while (await bench.client.list_page(PODS, "default", limit=1)).items:
        if time.monotonic() - began > BOUND:
            raise SystemExit("Pods are left")
        await asyncio.sleep(0.2)
    results["all_pods_gone_s"] = round(time.monotonic() - began, 2)
    for part in bench.parts:
        results[f"{part.name}_peak_mb_whole_run"] = part.peak_megabytes()
        results[f"{part.name}_cpu_s_whole_run"] = round(part.cpu_seconds() - cpu[part.name], 1)
    return results


def _reads(figures: Figures) -> float:
    return figures.total("rest_client_requests_total", method="GET")


async def _quiet(bench: Bench) -> None:
    """Until the operator has written nothing for three seconds, Events included."""
    last = (-1.0, -1.0)
    while (now := await operator_writes(bench)) != last:
        last = now
        await asyncio.sleep(3)


async def _replace_heads(bench: Bench, heads: Reflector[Pod], names: list[str]) -> float:
    failing = {pod.metadata.labels[CLUSTER]: pod for pod in heads.cache.list()}
    old = {name: failing[name].metadata.uid for name in names}
    fresh: set[str] = set()

    def seen(_: Pod | None, new: Pod | None) -> None:
        if new is not None and new.ready:
            name = new.metadata.labels[CLUSTER]
            if name in old and new.metadata.uid != old[name]:
                fresh.add(name)

    heads.on_change(seen)
    failed = {"status": {"phase": "Failed", "reason": "Evicted"}}
    began = time.monotonic()
    await in_parallel(
        lambda name=name: bench.client.patch(PODS, "default", failing[name].metadata.name, failed, subresource="status")
        for name in names
    )
    await bench.until(lambda: len(fresh) == len(names), "all heads replaced")
    return round(time.monotonic() - began, 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sizes", type=int, nargs="*", default=SIZES, help="numbers of clusters")
    parser.add_argument("--workers", type=int, default=9, help="worker Pods of each cluster")
    parser.add_argument("--profile", choices=["server", "operator"], default="", help="run this part under cProfile")
    parser.add_argument("--dry", action="store_true", help="write no result file")
    arguments = parser.parse_args()
    when = datetime.now(UTC)
    results = []
    for count in arguments.sizes:
        found = asyncio.run(measure(count, arguments.workers, arguments.profile))
        results.append(found)
        print(json.dumps(found, indent=2), flush=True)
    if not arguments.dry:
        machine = {"cores": os.cpu_count(), "kernel": platform.release(), "python": platform.python_version()}
        target = ROOT / "bench" / "results" / f"scale-{when:%Y-%m-%d-%H%M}.json"
        document = {"when": when.isoformat(), "machine": machine, "results": results}
        target.write_text(json.dumps(document, indent=2) + "\n")
        print(f"raw results: {target.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
