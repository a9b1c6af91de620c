"""Where one local Kubernetes keeps its things, and what it calls them on the machine.

Everything that outlives a process (bridge, network namespaces, nftables table, cgroups, podman storage) carries
the instance's name, so that two instances (a user's and a test's) never touch each other, and `down` can find all
of it after a crash by name alone.
"""

import os
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

CLUSTER_DOMAIN = "cluster.local"
DEFAULT_INSTANCE = "headstay"


@dataclass(frozen=True)
class LocalConfig:
    """`instance` is at most 9 characters of [a-z0-9]: Linux bounds an interface name to 15."""

    instance: str = DEFAULT_INSTANCE
    state_dir: Path = Path("/var/lib/headstay")
    run_dir: Path = Path("/run/headstay")
    cache_dir: Path = Path("/var/cache/headstay")
    api_port: int = 6445
    pod_network: IPv4Network = IPv4Network("10.77.0.0/16")
    service_network: IPv4Network = IPv4Network("10.96.0.0/16")
    node_name: str = "headstay"

    @classmethod
    def from_environment(cls, environ: dict[str, str] | os._Environ[str] = os.environ) -> "LocalConfig":
        """The default instance, or the one named by HEADSTAY_INSTANCE with directories of its own.

        HEADSTAY_INSTANCE=NAME puts state in /var/lib/headstay-NAME, runtime files in /run/headstay-NAME;
        HEADSTAY_API_PORT and HEADSTAY_POD_NETWORK / HEADSTAY_SERVICE_NETWORK (CIDRs) override the rest.
        The image cache is shared.
        """
        config = cls()
        if instance := environ.get("HEADSTAY_INSTANCE"):
            if not (instance.isalnum() and instance.islower() and len(instance) <= 9):
                raise ValueError(f"HEADSTAY_INSTANCE={instance!r}: use 1 to 9 of the characters a-z, 0-9")
            config = replace(
                config,
                instance=instance,
                state_dir=Path(f"/var/lib/headstay-{instance}"),
                run_dir=Path(f"/run/headstay-{instance}"),
                node_name=instance,
            )
        if port := environ.get("HEADSTAY_API_PORT"):
            config = replace(config, api_port=int(port))
        if pods := environ.get("HEADSTAY_POD_NETWORK"):
            config = replace(config, pod_network=IPv4Network(pods))
        if services := environ.get("HEADSTAY_SERVICE_NETWORK"):
            config = replace(config, service_network=IPv4Network(services))
        return config

    @property
    def bridge(self) -> str:
        return f"{self.instance}-br"

    @property
    def bridge_address(self) -> IPv4Address:
        """The host's address on the Pod bridge: gateway, DNS server and API address of every Pod."""
        return self.pod_network.network_address + 1

    @property
    def api_service_address(self) -> IPv4Address:
        """ClusterIP of `kubernetes.default.svc`."""
        return self.service_network.network_address + 1

    @property
    def nft_table(self) -> str:
        return self.instance

    @property
    def cgroup_parent(self) -> str:
        return f"/{self.instance}"

    @property
    def kubeconfig(self) -> Path:
        return self.state_dir / "kubeconfig"

    @property
    def database(self) -> Path:
        return self.state_dir / "store" / "objects.sqlite"

    @property
    def pki_dir(self) -> Path:
        return self.state_dir / "pki"
