"""kube-proxy's part: keeps the machine's rules equal to what Services and EndpointSlices say.

Level-triggered: a change only marks the rules as stale. The worker waits for a burst to end, renders the whole
table from the caches and replaces it, unless the text is the one already in force.
"""

import asyncio
import logging
from collections.abc import Mapping
from ipaddress import IPv4Address

from headstay.local.config import LocalConfig
from headstay.local.network import firewall
from headstay.local.network.commands import NetworkError, run
from headstay.local.network.conntrack import Flow, forget_udp
from headstay.local.network.rules import Target, Wanted, forwardings, host_ports, render, sample, udp_answerers
from headstay.local.network.views import EndpointSlice, PublishingPod, Service
from headstay.runtime.cache import Cache

DEBOUNCE_SECONDS = 0.02
RETRY_SECONDS = 1.0

logger = logging.getLogger(__name__)


class ServiceRules:
    """`programmed` is set once the rules have followed a complete view of Services and EndpointSlices."""

    def __init__(
        self,
        config: LocalConfig,
        services: Cache[Service],
        slices: Cache[EndpointSlice],
        pods: Cache[PublishingPod],
    ) -> None:
        self._config = config
        self._services = services
        self._slices = slices
        self._pods = pods
        self._stale = asyncio.Event()
        self._in_force = ""
        self._udp: Mapping[tuple[str, int], frozenset[Target]] | None = None
        self._lent: list[str] = []
        self.programmed = asyncio.Event()

    async def start(self) -> None:
        """Borders from the first moment. A table of an earlier run stays in force until the caches are filled."""
        self._lent = await firewall.lend_forwarding(await firewall.lent_forwarding(self._config))
        await firewall.admit(self._config)
        for chain in await firewall.obstacles(self._config):
            logger.warning(
                "the firewall chain %r drops what it does not know, and no rule of ours can overrule it: "
                "Pods have a network once it accepts %s (nft insert rule %s iifname %s accept)",
                chain,
                self._config.bridge,
                chain,
                self._config.bridge,
            )
        if not await firewall.table_exists(self._config):
            await self._try_features()
            await self._apply(render(self._config, Wanted(lent_forwarding=self._lent)))

    async def _try_features(self) -> None:
        """Has the kernel judge every kind of rule we may need, and changes nothing: now is the time to say so."""
        try:
            await run("nft", "--check", "-f", "-", stdin=render(self._config, sample(self._config)))
        except NetworkError as error:
            raise NetworkError(f"this kernel or its nft cannot do what Services need: {error}") from error

    def changed(self) -> None:
        self._stale.set()

    async def upkeep(self) -> None:
        """Repairs what others may undo: a flushed rule set, a firewall started later, another default route."""
        lent = await firewall.lend_forwarding(self._lent)
        await firewall.admit(self._config)
        if lent != self._lent or not await firewall.table_exists(self._config):
            self._lent, self._in_force = lent, ""
            self._stale.set()

    async def run(self) -> None:
        """Until cancelled."""
        for synced in (self._services.synced, self._slices.synced, self._pods.synced):
            await synced.wait()
        self._stale.set()
        while True:
            await self._stale.wait()
            await asyncio.sleep(DEBOUNCE_SECONDS)
            self._stale.clear()
            try:
                await self._follow()
            except NetworkError:
                logger.exception("Service rules are not in force; trying again in %s s", RETRY_SECONDS)
                await asyncio.sleep(RETRY_SECONDS)
                self._stale.set()

    async def _follow(self) -> None:
        wanted = Wanted(
            forwardings(self._services.list(), self._slices.list()),
            host_ports(self._config, self._pods.list()),
            self._lent,
        )
        text = render(self._config, wanted)
        if text != self._in_force:
            await self._apply(text)
        answerers = udp_answerers(self._config, wanted)
        if answerers != self._udp:
            await self._forget_udp(answerers)
            self._udp = answerers
        self.programmed.set()

    async def _forget_udp(self, answerers: Mapping[tuple[str, int], frozenset[Target]]) -> None:
        """Ends the flows to our addresses whose answerer is no longer one. All others are none of our business."""
        ours = self._config.service_network
        known = answerers.keys() | (self._udp or {}).keys()

        def stale(flow: Flow) -> bool:
            if flow.sent_to not in known and IPv4Address(flow.sent_to[0]) not in ours:
                return False
            return flow.answered_by not in answerers.get(flow.sent_to, frozenset())

        try:
            await forget_udp(stale)
        except NetworkError as error:
            # The rules are in force all the same; only clients that never change their port are affected.
            logger.warning("%s", error)

    async def _apply(self, text: str) -> None:
        await run("nft", "-f", "-", stdin=text)
        self._in_force = text
