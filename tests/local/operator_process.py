"""The operator as a process of its own beside an API server that lets everyone in."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import aiohttp
import yaml
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from tests.local.api_server import Output, Server
from tests.ports import free_port

SECONDS = 60
# PYTHONPATH, where it is set, says which checkout is tested.
_ENVIRON = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}


class Operator(NamedTuple):
    metrics: str
    log: Path

    async def scrape(self) -> dict[str, Metric]:
        async with aiohttp.ClientSession() as session, session.get(self.metrics) as answer:
            return {family.name: family for family in text_string_to_metric_families(await answer.text())}

    async def until_shown(self, family: str, labels: dict[str, str]) -> dict[str, Metric]:
        """Until a sample with these labels is not zero."""
        async with asyncio.timeout(SECONDS):
            while True:
                try:
                    found = await self.scrape()
                except aiohttp.ClientConnectionError:
                    found = {}
                samples = found[family].samples if family in found else []
                if any(labels.items() <= sample.labels.items() and sample.value for sample in samples):
                    return found
                await asyncio.sleep(0.1)

    async def until_said(self, text: str) -> None:
        async with asyncio.timeout(SECONDS):
            while text not in self.log.read_text():
                await asyncio.sleep(0.1)


def kubeconfig_of(server: Server) -> Path:
    path = server.home / "kubeconfig"
    context = {"name": "it", "context": {"cluster": "it", "namespace": "default"}}
    config = {"current-context": "it", "clusters": [{"name": "it", "cluster": {"server": server.url}}]}
    path.write_text(yaml.safe_dump(config | {"contexts": [context]}))
    return path


@asynccontextmanager
async def operator(server: Server, **environ: str) -> AsyncIterator[Operator]:
    """Ends it with SIGTERM, on which it gives its Lease (in namespace `default`) back."""
    address = f"127.0.0.1:{free_port()}"
    command = [sys.executable, "-m", "headstay.controllers", "--kubeconfig", str(kubeconfig_of(server))]
    command += ["--metrics-address", address, "--leader-election-namespace", "default"]
    log = server.home / "operator.log"
    with log.open("w") as output:
        process = await asyncio.create_subprocess_exec(*command, stderr=output, env=_ENVIRON | environ)
    try:
        yield Operator(f"http://{address}/metrics", log)
    finally:
        process.terminate()
        async with asyncio.timeout(SECONDS):
            code = await process.wait()
    assert code == 0, log.read_text()


async def headstay(server: Server, *arguments: str, answer: str = "") -> Output:
    """The command line, with a kubeconfig for that server."""
    command = [str(Path(sys.executable).with_name("headstay")), *arguments]
    environment = {"HOME": str(server.home), "PATH": os.environ["PATH"], "KUBECONFIG": str(kubeconfig_of(server))}
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, stderr=pipe, env=environment)
    async with asyncio.timeout(SECONDS):
        out, err = await process.communicate(answer.encode())
    return Output(process.returncode or 0, out.decode(), err.decode())
