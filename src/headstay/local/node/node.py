"""The Node object and its Lease: what this machine has, and that the agent on it lives."""

import asyncio
import logging
import os
import platform
import shutil
from collections.abc import Callable
from datetime import datetime
from ipaddress import IPv4Address
from pathlib import Path

from headstay import __version__
from headstay.local.config import LocalConfig
from headstay.model.errors import StatusError, is_already_exists, is_conflict, is_not_found
from headstay.model.objects import Obj
from headstay.model.resource import LEASES, NODES
from headstay.model.timestamps import rfc3339, rfc3339_micro
from headstay.runtime.client import Client, TransportError

log = logging.getLogger(__name__)
KUBERNETES_VERSION = "v1.32.0"
LEASE_NAMESPACE = "kube-node-lease"
LEASE_SECONDS = 40
RENEW_SECONDS = 10.0
STATUS_SECONDS = 300.0
_MOST_PODS = 110


def machine_capacity(state_dir: Path) -> dict[str, float]:
    """Base units: cores, bytes, Pods."""
    existing = next(path for path in (state_dir, *state_dir.parents) if path.exists())
    return {
        "cpu": float(len(os.sched_getaffinity(0))),
        "memory": float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")),
        "ephemeral-storage": float(shutil.disk_usage(existing).total),
        "pods": float(_MOST_PODS),
    }


def as_quantities(capacity: dict[str, float]) -> dict[str, str]:
    return {
        "cpu": str(int(capacity["cpu"])),
        "memory": f"{int(capacity['memory']) // 1024}Ki",
        "ephemeral-storage": f"{int(capacity['ephemeral-storage']) // 1024}Ki",
        "pods": str(int(capacity["pods"])),
    }


class NodeRegistration:
    def __init__(
        self, config: LocalConfig, client: Client, address: IPv4Address, clock: Callable[[], datetime]
    ) -> None:
        self._config = config
        self._client = client
        self._address = address
        self._clock = clock
        self._ready_since = ""
        self.engine_version = ""

    async def register(self) -> Obj:
        """Makes or updates the Node; a Node somebody deleted comes back."""
        name = self._config.node_name
        labels = {
            "kubernetes.io/hostname": name,
            "kubernetes.io/os": "linux",
            "kubernetes.io/arch": _architecture(),
            "beta.kubernetes.io/os": "linux",
            "beta.kubernetes.io/arch": _architecture(),
            "node-role.kubernetes.io/control-plane": "",
        }
        try:
            await self._client.create(
                NODES, {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}, "spec": {}}
            )
        except StatusError as error:
            if not is_already_exists(error):
                raise
            await self._client.patch(NODES, "", name, {"metadata": {"labels": labels}})
        self._ready_since = self._ready_since or rfc3339(self._clock())
        return await self._client.patch(NODES, "", name, {"status": self.status()}, subresource="status")

    def status(self) -> Obj:
        now = rfc3339(self._clock())
        quantities = as_quantities(machine_capacity(self._config.state_dir))
        conditions = [
            ("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
            ("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
            ("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
            ("Ready", "True", "KubeletReady", "the node agent is running"),
        ]
        return {
            "capacity": quantities,
            "allocatable": quantities,
            "addresses": [
                {"type": "InternalIP", "address": str(self._address)},
                {"type": "Hostname", "address": self._config.node_name},
            ],
            "conditions": [
                {
                    "type": kind,
                    "status": status,
                    "reason": reason,
                    "message": message,
                    "lastHeartbeatTime": now,
                    "lastTransitionTime": self._ready_since or now,
                }
                for kind, status, reason, message in conditions
            ],
            "nodeInfo": node_info(self.engine_version),
        }

    async def run(self) -> None:
        """Renews the Lease, and the Node's status now and then, until cancelled."""
        last_status = asyncio.get_running_loop().time()
        while True:
            await asyncio.sleep(RENEW_SECONDS)
            try:
                await self.renew_lease()
                if asyncio.get_running_loop().time() - last_status >= STATUS_SECONDS:
                    await self.register()
                    last_status = asyncio.get_running_loop().time()
            except (StatusError, TransportError) as error:
                log.warning("node %s: %s", self._config.node_name, error)

    async def renew_lease(self) -> None:
        name, now = self._config.node_name, rfc3339_micro(self._clock())
        spec = {"holderIdentity": name, "leaseDurationSeconds": LEASE_SECONDS, "renewTime": now}
        try:
            await self._client.patch(LEASES, LEASE_NAMESPACE, name, {"spec": spec})
        except StatusError as error:
            if not is_not_found(error):
                raise
            metadata = {"name": name, "namespace": LEASE_NAMESPACE}
            lease = {"apiVersion": LEASES.api_version, "kind": "Lease", "metadata": metadata, "spec": spec}
            try:
                await self._client.create(LEASES, lease)
            except StatusError as race:
                if not (is_already_exists(race) or is_conflict(race)):
                    raise


def node_info(engine_version: str) -> Obj:
    return {
        "architecture": _architecture(),
        "bootID": _first_line("/proc/sys/kernel/random/boot_id"),
        "containerRuntimeVersion": f"podman://{engine_version}",
        "kernelVersion": platform.release(),
        "kubeProxyVersion": KUBERNETES_VERSION,
        "kubeletVersion": f"{KUBERNETES_VERSION}+headstay.{__version__}",
        "machineID": _first_line("/etc/machine-id"),
        "operatingSystem": "linux",
        "osImage": _os_name(),
        "systemUUID": _first_line("/etc/machine-id"),
    }


def _architecture() -> str:
    machine = platform.machine()
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine)


def _first_line(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def _os_name() -> str:
    for line in _first_line("/etc/os-release").splitlines():
        if line.startswith("PRETTY_NAME="):
            return line.partition("=")[2].strip('"')
    return "Linux"
