"""A pretended Ray Serve, for virtual time: what each head's Redis namespace was told to run, and since when.

The memory is the storage namespace's, as with GCS fault tolerance: a head that comes back, or one that was given a
namespace of another cluster by mistake, finds what was deployed there.
"""

import asyncio
import random
from collections.abc import Callable

from tests.sim.judges import Judges
from tests.sim.network import Network, Write

from headstay.gcs.dashboard import DashboardError, RefusedError
from headstay.model.objects import Obj, dig
from headstay.model.ray import CLUSTER, ENV_STORAGE_NAMESPACE, env_entry
from headstay.model.rayservice import RAYSERVICES

STARTS_AFTER = 4.0


class Serve:
    """What all heads remember."""

    def __init__(self, judges: Judges) -> None:
        self.deployed: dict[str, tuple[float, Obj]] = {}
        self._judges = judges

    def head(self, base: str) -> Obj:
        """The running Pod at that address. Raises DashboardError where nobody answers."""
        address = base.removeprefix("http://").rpartition(":")[0]
        for pod in self._judges.pods.values():
            status = pod.get("status") or {}
            if status.get("podIP") == address and status.get("phase") == "Running":
                return pod
        raise DashboardError(f"{base}: no answer")

    def cluster_addresses(self, head: Obj) -> list[str]:
        found = (dig(pod, "status", "podIP") for pod in self._judges.pods_of(_cluster(head)))
        return [address for address in found if address]


class ServeLine:
    """The way from one process to the heads; implements `gcs.dashboard.Dashboard`."""

    def __init__(self, serve: Serve, network: Network, process: str, landed: Callable[[Write], bool]) -> None:
        self._serve = serve
        self._network = network
        self._process = process
        self._landed = landed

    async def applications(self, base: str) -> Obj:
        head = await self._reach(base)
        at, config = self._serve.deployed.get(namespace_of(head), (0.0, {}))
        running = _now() - at > STARTS_AFTER
        addresses = self._serve.cluster_addresses(head)
        return {
            "applications": {
                found["name"]: {"status": "RUNNING" if running else "DEPLOYING"}
                for found in config.get("applications") or []
            },
            "proxies": {address: {"status": "HEALTHY", "node_ip": address} for address in addresses} if running else {},
        }

    async def deploy(self, base: str, config: Obj) -> None:
        head = await self._reach(base)
        if any(found["name"] == "broken" for found in config["applications"]):
            raise RefusedError("no module broken")
        _, before = self._serve.deployed.get(namespace_of(head), (0.0, {}))
        if before != config:
            self._serve.deployed[namespace_of(head)] = (_now(), config)
        if self._landed(Write(_now(), self._process, "deploy", RAYSERVICES, _cluster(head))):
            raise DashboardError("the answer was lost")
        self._check()

    async def proxy_answers(self, base: str) -> bool:
        head = await self._reach(base)
        return namespace_of(head) in self._serve.deployed

    async def _reach(self, base: str) -> Obj:
        self._check()
        await asyncio.sleep(random.uniform(0.001, 0.2))
        self._check()
        return self._serve.head(base)

    def _check(self) -> None:
        if self._network.cut_off:
            raise DashboardError("this process is no more")


def namespace_of(pod: Obj) -> str:
    entry = env_entry(pod["spec"]["containers"][0], ENV_STORAGE_NAMESPACE) or {}
    return str(entry.get("value") or pod["metadata"]["uid"])


def _cluster(pod: Obj) -> str:
    return str(pod["metadata"]["labels"][CLUSTER])


def _now() -> float:
    return asyncio.get_running_loop().time()
