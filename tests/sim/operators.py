"""One process of the operator: the real controllers under a Lease, on a network of its own, that can be killed.

What `headstay.controllers.main.Operator` puts together, with the run's time and network.
"""

import asyncio
import random
from collections.abc import Callable, Coroutine
from datetime import datetime
from typing import Any

from tests.sim.judges import LEASE, Judges
from tests.sim.network import Network, Weather, Wire
from tests.sim.virtual_time import VirtualLoop, in_process

from headstay.controllers.debts import DebtController
from headstay.controllers.heads import HeadListener
from headstay.controllers.holders import StorageHolders
from headstay.controllers.raycluster import RayClusterController
from headstay.controllers.recorder import ClusterEvents
from headstay.local.server.inprocess import InProcessClient
from headstay.model.objects import ObjectKey
from headstay.plan.raycluster.settings import Settings
from headstay.runtime.cache import HasMetadata, version_number
from headstay.runtime.client import Client
from headstay.runtime.controller import Result
from headstay.runtime.events import EventRecorder
from headstay.runtime.fencing import FencedClient
from headstay.runtime.lease import LeaderLease, LeadershipLostError
from headstay.runtime.reflector import Reflector

Listen = Callable[[Callable[[ObjectKey], None]], HeadListener]
Build = Callable[[Client, LeaderLease], Client]


class Watched(RayClusterController):
    """The controller, and beside it the judges of its own promises."""

    judges: Judges

    def under(self, judges: Judges) -> "Watched":
        self.judges = judges
        self._active: set[ObjectKey] = set()
        return self

    async def reconcile(self, key: ObjectKey) -> Result:
        if key in self._active:
            self.judges.complain(f"two workers reconcile {key} at once")
        self._active.add(key)
        try:
            return await super().reconcile(key)
        finally:
            self._active.discard(key)


class Process:
    """A candidate of the name `name`. It dies when it is told to, or when it loses the Lease; the world restarts it."""

    def __init__(
        self,
        name: str,
        server: InProcessClient,
        weather: Weather,
        judges: Judges,
        now: Callable[[], datetime],
        *,
        wire: Wire,
        settings: Settings,
        make: type[Watched] = Watched,
        fence: Build = FencedClient,
        heads: Listen | None = None,
    ) -> None:
        self.name = name
        self.ended = asyncio.Event()
        self.reflectors: list[Reflector[HasMetadata]] = []
        self._judges = judges
        self._network = Network(server, name, weather, wire)
        self._lease = LeaderLease(self._network, "default", LEASE, name, now=now)
        self._acting = fence(self._network, self._lease)
        self._settings = settings
        self._make = make
        self._heads = heads
        self._now = now
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._task = loop.create_task(self._run(), name=self.name, context=in_process(self.name))

    def kill(self) -> None:
        """As SIGKILL: not one more request leaves; what had left lands."""
        self._network.cut_off = True
        loop = asyncio.get_running_loop()
        if isinstance(loop, VirtualLoop):
            loop.thaw(self.name)
        if self._task is not None:
            self._task.cancel()

    @property
    def leads(self) -> bool:
        return self._lease.holds and not self._network.cut_off

    async def _run(self) -> None:
        events = EventRecorder(
            self._network, "raycluster-controller", now=self._now, suffix=lambda: f"{random.getrandbits(64):016x}"
        )
        writing = asyncio.create_task(events.run())
        try:
            await self._lease.run(lambda: self._lead(events))
        except LeadershipLostError:
            pass
        finally:
            self._network.cut_off = True
            writing.cancel()
            await asyncio.wait({writing})
            self.ended.set()

    async def _lead(self, events: EventRecorder) -> None:
        holders = StorageHolders(self._acting, self._settings.cluster_domain)
        clusters = self._make(
            self._acting,
            ClusterEvents(events),
            self._settings,
            now=self._now,
            workers=2,
            holders=holders,
            draw=random.random,
            heads=self._heads,
        ).under(self._judges)
        debts = DebtController(
            self._acting, events, self._settings, namespace="default", now=self._now, holders=holders
        )
        self.reflectors = [*_reflectors(clusters), *_reflectors(debts)]
        for reflector in self.reflectors:
            reflector.on_change(self._only_forward)
        async with asyncio.TaskGroup() as group:
            for work in (clusters.run(), debts.run(), *self._beside(clusters)):
                group.create_task(work)

    def _beside(self, _clusters: RayClusterController) -> list[Coroutine[Any, Any, None]]:
        """What else this operator runs."""
        return []

    def _only_forward(self, old: HasMetadata | None, new: HasMetadata | None) -> None:
        if old is None or new is None:
            return
        before, after = (version_number(found.metadata.resource_version) for found in (old, new))
        if before is not None and after is not None and after < before:
            self._judges.complain(f"a cache went back from {before} to {after} for {new.metadata.name}")


def _reflectors(controller: object) -> list[Reflector[HasMetadata]]:
    held = [value for found in vars(controller).values() for value in (found if isinstance(found, list) else [found])]
    return [found for found in held if isinstance(found, Reflector)]
