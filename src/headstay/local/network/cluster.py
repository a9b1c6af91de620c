"""The whole network of one local Kubernetes: Pod addresses, Services and DNS, and the order they come up in.

Invariant: from the moment the bridge exists, the borders do too; `ready` is set only when rules and DNS follow a
complete view of the API.
"""

import asyncio
import logging

from headstay.local.config import LocalConfig
from headstay.local.network.commands import NetworkError
from headstay.local.network.dns import DnsServer, Resolver
from headstay.local.network.pods import BridgeNetwork
from headstay.local.network.services import ServiceRules
from headstay.local.network.upstream import HostResolvers, Upstream
from headstay.local.network.views import EndpointSlice, PublishingPod, Service
from headstay.local.network.zone import (
    BY_ADDRESS,
    BY_CLUSTER_IP,
    BY_SERVICE,
    ClusterZone,
    service_indexes_by_cluster_ip,
    slice_indexes_by_address,
    slice_indexes_by_service,
)
from headstay.model.meta import Named
from headstay.model.resource import ENDPOINT_SLICES, NAMESPACES, PODS, SERVICES
from headstay.runtime.client import Client
from headstay.runtime.reflector import Reflector

UPKEEP_SECONDS = 30.0

logger = logging.getLogger(__name__)


class ClusterNetwork:
    """`start`, then `run` until cancelled, then `stop`. What is on the machine stays for the next run."""

    def __init__(self, config: LocalConfig, client: Client) -> None:
        self.pods = BridgeNetwork(config)
        self.ready = asyncio.Event()
        self._services = Reflector(client, SERVICES, Service, indexes={BY_CLUSTER_IP: service_indexes_by_cluster_ip})
        self._slices = Reflector(
            client,
            ENDPOINT_SLICES,
            EndpointSlice,
            indexes={BY_SERVICE: slice_indexes_by_service, BY_ADDRESS: slice_indexes_by_address},
        )
        self._namespaces = Reflector(client, NAMESPACES, Named)
        self._publishing = Reflector(client, PODS, PublishingPod)
        self._rules = ServiceRules(config, self._services.cache, self._slices.cache, self._publishing.cache)
        for reflector in (self._services, self._slices, self._publishing):
            reflector.on_change(lambda _old, _new: self._rules.changed())
        zone = ClusterZone(config, self._services.cache, self._slices.cache, self._namespaces.cache)
        upstream = Upstream(HostResolvers(config.bridge_address))
        self._resolver = Resolver(zone, upstream)
        self._dns = DnsServer(self._resolver, str(config.bridge_address))

    async def start(self) -> None:
        """The bridge, its borders and the DNS socket: after this the API may listen on the bridge's address."""
        await self.pods.start()
        await self._rules.start()
        await self._dns.start()

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            for reflector in (self._services, self._slices, self._namespaces, self._publishing):
                group.create_task(reflector.run(), name=f"network/{reflector.resource}")
            group.create_task(self._rules.run(), name="network/rules")
            group.create_task(self._upkeep(), name="network/upkeep")
            for reflector in (self._services, self._slices, self._namespaces):
                await reflector.cache.synced.wait()
            self._resolver.filled.set()
            await self._rules.programmed.wait()
            self.ready.set()

    async def stop(self) -> None:
        await self._dns.stop()

    async def _upkeep(self) -> None:
        while True:
            await asyncio.sleep(UPKEEP_SECONDS)
            try:
                await self._rules.upkeep()
            except NetworkError:
                logger.exception("cannot repair this machine's rules; trying again in %s s", UPKEEP_SECONDS)
