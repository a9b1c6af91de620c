"""A node agent on this machine with the real API server (in memory) and the real Pod network, under its own name."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from ipaddress import IPv4Network
from pathlib import Path

import msgspec
import pytest

from headstay.local.config import LocalConfig
from headstay.local.network import links
from headstay.local.network.pods import BridgeNetwork
from headstay.local.node import cleanup
from headstay.local.node.agent import NodeAgent
from headstay.local.seams import ExecRequest, LogOptions
from headstay.local.server.assembly import build_api
from headstay.local.server.inprocess import InProcessClient
from headstay.model.errors import StatusError
from headstay.model.objects import Obj
from headstay.model.resource import CORE_EVENTS, PODS, SERVICE_ACCOUNTS, Resource

needs_root = pytest.mark.skipif(os.geteuid() != 0 or shutil.which("podman") is None, reason="needs root and podman")
WAIT_SECONDS = 20.0


def lab_config(directory: Path, instance: str, third: int) -> LocalConfig:
    return replace(
        LocalConfig(),
        instance=instance,
        node_name=instance,
        state_dir=directory / "state",
        run_dir=directory / "run",
        pod_network=IPv4Network(f"10.{third}.0.0/17"),
        service_network=IPv4Network(f"10.{third}.128.0/17"),
    )


class Lab:
    """`client` talks to the API; `agent` is the one that runs now."""

    def __init__(self, config: LocalConfig) -> None:
        self.config = config
        self.client = InProcessClient(build_api())
        self.network = BridgeNetwork(config)
        self.agent: NodeAgent | None = None
        self._task: asyncio.Task[None] | None = None

    async def start_agent(self) -> NodeAgent:
        """As a new daemon would; also after `stop_agent`."""
        agent = NodeAgent(self.config, self.client, self.network)
        self.agent, self._task = agent, asyncio.create_task(agent.run())
        ready = asyncio.create_task(agent.ready.wait())
        await asyncio.wait([ready, self._task], return_when=asyncio.FIRST_COMPLETED, timeout=WAIT_SECONDS)
        if self._task.done():
            self._task.result()
        assert ready.done(), "the agent is not ready"
        return agent

    async def stop_agent(self) -> None:
        """The daemon ends; containers go on."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def run(self, name: str, *containers: Obj, **spec: object) -> None:
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": "default"},
            "spec": {
                "nodeName": self.config.node_name,
                "terminationGracePeriodSeconds": 1,
                "containers": list(containers),
            }
            | spec,
        }
        await self.client.create(PODS, pod)

    async def pod(self, name: str) -> Obj:
        return await self.client.get(PODS, "default", name)

    async def until(self, name: str, holds: Callable[[Obj], object], seconds: float = WAIT_SECONDS) -> Obj:
        """The Pod, once `holds` is true of it."""
        deadline = asyncio.get_running_loop().time() + seconds
        while True:
            pod = await self.pod(name)
            if holds(pod):
                return pod
            if asyncio.get_running_loop().time() > deadline:
                raise AssertionError(
                    f"still {msgspec.json.encode(pod.get('status')).decode()}; {await self.events(name)}"
                )
            await asyncio.sleep(0.05)

    async def until_phase(self, name: str, phase: str, seconds: float = WAIT_SECONDS) -> Obj:
        return await self.until(name, lambda pod: (pod.get("status") or {}).get("phase") == phase, seconds)

    async def until_gone(self, name: str, resource: Resource = PODS, seconds: float = WAIT_SECONDS) -> None:
        async with asyncio.timeout(seconds):
            while True:
                try:
                    await self.client.get(resource, "default", name)
                except StatusError as error:
                    if error.reason != "NotFound":
                        raise
                    return
                await asyncio.sleep(0.05)

    async def events(self, name: str) -> list[tuple[str, str]]:
        page = await self.client.list_page(CORE_EVENTS, "default")
        found = [msgspec.json.decode(item) for item in page.items]
        return [(e["reason"], e["message"]) for e in found if e["involvedObject"]["name"] == name]

    async def logs(self, name: str, container: str = "", **options: object) -> str:
        assert self.agent is not None
        wanted = LogOptions(container, **options)  # type: ignore[arg-type]
        return b"".join([part async for part in self.agent.streams.logs("default", name, wanted)]).decode()

    async def exec(self, name: str, *command: str, stdin: bytes = b"", container: str = "") -> tuple[int, str, str]:
        """(exit code, stdout, stderr)"""
        assert self.agent is not None
        request = ExecRequest(container, command, stdin=bool(stdin))
        session = await self.agent.streams.exec("default", name, request)
        if stdin:
            await session.write_stdin(stdin)
            await session.close_stdin()
        out, err = await asyncio.gather(_all(session.stdout()), _all(session.stderr()))
        code = await session.wait()
        await session.close()
        return code, out, err


async def _all(stream: AsyncIterator[bytes]) -> str:
    return b"".join([part async for part in stream]).decode(errors="replace")


@asynccontextmanager
async def node_lab(instance: str, third: int) -> AsyncIterator[Lab]:
    directory = Path("/var/tmp", instance)  # podman wants a short path
    shutil.rmtree(directory, ignore_errors=True)
    config = lab_config(directory, instance, third)
    config.run_dir.mkdir(parents=True)
    lab = Lab(config)
    account = {"metadata": {"name": "default", "namespace": "default"}, "automountServiceAccountToken": False}
    await lab.client.create(SERVICE_ACCOUNTS, {"apiVersion": "v1", "kind": "ServiceAccount"} | account)
    try:
        await lab.network.start()
        await lab.start_agent()
        yield lab
    finally:
        await lab.stop_agent()
        assert await cleanup.remove_all(config, grace=0) == []
        assert await links.remove_all(config) == []
        assert cleanup.leftovers(config) == []
        shutil.rmtree(directory)
