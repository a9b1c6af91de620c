"""The bench's four processes: API server with its controllers, operator, simulated nodes, and this one."""

import asyncio
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from bench.scale.figures import Figures

from headstay.controllers import manifests
from headstay.model.errors import StatusError
from headstay.model.meta import Pod
from headstay.model.ray import HEAD, NODE_TYPE, RAYCLUSTERS, RayCluster
from headstay.model.resource import PODS
from headstay.runtime.client import TransportError
from headstay.runtime.http import HttpClient
from headstay.runtime.kubeconfig import ConfigError, find_cluster_config
from headstay.runtime.reflector import Reflector

ROOT = Path(__file__).resolve().parents[2]
BOUND = 900.0
CREATORS = 16


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
    """The running parts, and what is watched of the cluster."""

    client: HttpClient
    server: Process
    operator: Process
    nodes: Process
    metrics_port: int
    clusters: Reflector[RayCluster]
    heads: Reflector[Pod]

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

    def operator_metrics(self) -> Figures:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=60) as answer:
            return Figures(answer.read().decode())

    async def server_metrics(self) -> Figures:
        return Figures((await self.client.get_raw("/metrics")).decode())


class How(NamedTuple):
    """`profile` is a part to run under cProfile. Without a lease the operator survives a machine that is overloaded."""

    profile: str = ""
    lease: bool = True


@asynccontextmanager
async def running(how: How) -> AsyncIterator[Bench]:
    """A cluster that is empty, in a directory of its own."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="headstay-scale-")))
        bench = await _started(stack, folder, how)
        watching = [asyncio.create_task(reflector.run()) for reflector in (bench.clusters, bench.heads)]
        synced = [reflector.cache.synced for reflector in (bench.clusters, bench.heads)]
        try:
            await bench.until(lambda: all(event.is_set() for event in synced), "the first lists")
            yield bench
        finally:
            for task in watching:
                task.cancel()
            await asyncio.wait(watching)
            await bench.client.close()


@contextmanager
def process(name: str, folder: Path, *command: str, environ: dict[str, str] | None = None) -> Iterator[Process]:
    part = Process(name, folder / f"{name}.log", *command, environ=environ)
    try:
        yield part
    finally:
        part.stop()


async def _started(stack: ExitStack, folder: Path, how: How) -> Bench:
    kubeconfig = folder / "kubeconfig"
    api_port, metrics_port = free_port(), free_port()
    environ = {"HEADSTAY_INSTANCE": "scale", "HEADSTAY_API_PORT": str(api_port)}
    profiled = {
        part: ["-m", "cProfile", "-o", f"/tmp/{part}.prof"] if part == how.profile else []
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
            "--leader-election" if how.lease else "--no-leader-election",
            environ={"POD_NAMESPACE": "default"},
        )
    )
    nodes = stack.enter_context(process("nodes", folder, "-m", "bench.scale.nodes", str(kubeconfig)))
    clusters = Reflector(client, RAYCLUSTERS, RayCluster)
    heads = Reflector(client, PODS, Pod, label_selector=f"{NODE_TYPE}={HEAD}")
    bench = Bench(client, server, operator, nodes, metrics_port, clusters, heads)
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


async def in_parallel(actions: Iterable[Callable[[], Any]]) -> None:
    waiting = iter(actions)

    async def work() -> None:
        for action in waiting:
            await action()

    async with asyncio.TaskGroup() as group:
        for _ in range(CREATORS):
            group.create_task(work())
