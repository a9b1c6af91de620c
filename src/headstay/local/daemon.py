"""The local Kubernetes as one process: control plane, network and node agent, in the order they need each other.

    bridge and DNS -> API on loopback and on the bridge -> controllers, Services, node agent -> ready

Ending it leaves Pods running: the next daemon takes them over. `headstay down` is what stops them.
"""

import asyncio
import errno
import signal
from collections.abc import Awaitable

from headstay.local import process
from headstay.local.config import LocalConfig
from headstay.local.control_plane import LOOPBACK, ControlPlane
from headstay.local.network.cluster import ClusterNetwork
from headstay.local.node.agent import NodeAgent

READY_TIMEOUT = 45.0


class StartError(Exception):
    """Why the daemon cannot start, in a sentence a user can act on."""


class Report:
    """Tells `headstay up` and `headstay status` how far we are."""

    def __init__(self, config: LocalConfig) -> None:
        self._config = config
        self._components: dict[str, str] = {}

    def component(self, name: str, state: str) -> None:
        self._components[name] = state
        self._write("starting")

    def ready(self) -> None:
        self._write("ready")

    def failed(self, why: str) -> None:
        self._write("failed", error=why)

    def _write(self, phase: str, **more: str) -> None:
        process.write_report(self._config, {"phase": phase, "components": self._components, **more})


async def run(config: LocalConfig, report: Report) -> None:
    """Until SIGTERM or SIGINT. Raises StartError when a part does not come up."""
    plane = ControlPlane(config)
    network = ClusterNetwork(config, plane.client)
    node = NodeAgent(config, plane.client, network.pods)
    try:
        await _named("the Pod network", network.start())
        report.component("network", "up")
        await plane.start()
        for address in (LOOPBACK, str(config.bridge_address)):
            await _listen(plane, address, config, node)
        report.component("api", "serving")
        await _work(plane, network, node, report)
    finally:
        await network.stop()
        await plane.close()


async def _listen(plane: ControlPlane, address: str, config: LocalConfig, node: NodeAgent) -> None:
    try:
        await plane.serve(address, node.streams)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise StartError(
                f"port {config.api_port} on {address} is in use by another program; set HEADSTAY_API_PORT to a free one"
            ) from error
        raise StartError(f"cannot listen on {address}:{config.api_port}: {error}") from error


async def _work(plane: ControlPlane, network: ClusterNetwork, node: NodeAgent, report: Report) -> None:
    """Everything runs side by side; the end of any part ends the daemon, loudly."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    parts = [
        asyncio.create_task(plane.run(), name="control plane"),
        asyncio.create_task(network.run(), name="network"),
        asyncio.create_task(node.run(), name="node"),
    ]
    stopped = asyncio.create_task(stop.wait(), name="stop")
    ready = asyncio.create_task(_ready(network, node, report), name="ready")
    try:
        pending: set[asyncio.Task[object]] = {*parts, stopped, ready}
        while not stop.is_set():
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            for task in done - {stopped}:
                if task in parts:
                    await task
                    raise StartError(f"the {task.get_name()} ended by itself")
                await task
    finally:
        for task in (*parts, stopped, ready):
            task.cancel()
        await asyncio.gather(*parts, stopped, ready, return_exceptions=True)


async def _ready(network: ClusterNetwork, node: NodeAgent, report: Report) -> None:
    waited = {"services and DNS": network.ready, "node": node.ready}
    try:
        async with asyncio.timeout(READY_TIMEOUT):
            for name, event in waited.items():
                await event.wait()
                report.component(name, "ready")
    except TimeoutError as error:
        missing = ", ".join(name for name, event in waited.items() if not event.is_set())
        raise StartError(f"not ready after {READY_TIMEOUT:.0f} s: {missing}") from error
    report.ready()


async def _named(what: str, work: Awaitable[None]) -> None:
    try:
        await work
    except OSError as error:
        raise StartError(f"{what} could not be made: {error}") from error
