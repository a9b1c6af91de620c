"""A RayCluster's own Service for Serve loses the head with its GCS, and gets it back from whoever leads by then."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.sim.heads import Ear, SimHeads
from tests.unit.controllers.world import NAME, World, world

from headstay.controllers.raycluster import RayClusterController
from headstay.gcs.dashboard import DashboardError
from headstay.model.keeper_state import GcsNow, KeeperState
from headstay.model.objects import Obj
from headstay.model.ray import RAYCLUSTERS
from headstay.model.resource import SERVICES
from headstay.plan.raycluster.settings import Settings

pytestmark = pytest.mark.looptime

WITH_HEAD = {"ray.io/cluster": NAME}


class Proxies:
    """Serve's proxies as a `Dashboard` asks them; `well` are those that answer."""

    def __init__(self) -> None:
        self.well: set[str] = set()
        self.asked: list[str] = []

    async def proxy_answers(self, base: str) -> bool:
        self.asked.append(base)
        if base in self.well:
            return True
        raise DashboardError(f"{base}: no answer")

    async def applications(self, base: str) -> Obj:
        raise NotImplementedError

    async def deploy(self, base: str, config: Obj) -> None:
        raise NotImplementedError


class Serving(World):
    def __init__(self) -> None:
        super().__init__(Settings())
        self.heads = SimHeads(lambda: datetime.now(UTC))
        self.proxies = Proxies()

    def operator(self) -> RayClusterController:
        return RayClusterController(
            self.client,
            self.events,
            self.settings,
            now=lambda: datetime.now(UTC),
            heads=lambda changed: Ear(self.heads, changed, lambda _: []),
            dashboard=self.proxies,
        )

    async def gcs(self, phase: Any) -> None:
        """Since five seconds."""
        (head,) = await self.pods("head")
        uid, now = head["metadata"]["uid"], datetime.now(UTC).timestamp()
        self.heads.states[uid] = KeeperState("life", 9, now, GcsNow(phase, now - 5))
        for ear in self.heads.ears:
            ear.wake(uid)
        await self.settle()

    async def selector(self) -> Obj:
        found: Obj = (await self.user.get(SERVICES, "default", f"{NAME}-serve-svc"))["spec"]["selector"]
        return found


@asynccontextmanager
async def serving() -> AsyncIterator[Serving]:
    async with world(of=Serving()) as w:
        assert isinstance(w, Serving)
        await w.complete()
        port = {"name": "serve", "containerPort": 8000}
        patch: list[Obj] = [
            {"op": "add", "path": "/metadata/annotations/ray.io~1enable-serve-service", "value": "true"},
            {"op": "add", "path": "/spec/headGroupSpec/template/spec/containers/0/ports/-", "value": port},
        ]
        await w.user.patch(RAYCLUSTERS, "default", NAME, patch, patch_type="json")
        await w.settle()
        (worker,) = await w.pods("worker")
        w.proxies.well.add(f"http://{worker['status']['podIP']}:8000")
        yield w


async def test_the_head_goes_with_its_gcs_and_comes_back_with_the_next_operator() -> None:
    async with serving() as w:
        assert await w.selector() == WITH_HEAD
        assert w.proxies.asked == []
        await w.gcs("Gone")
        assert await w.selector() == WITH_HEAD | {"ray.io/node-type": "worker"}
        await w.stop()
        await w.start()
        await w.settle()
        await w.gcs("Serving")
        service = await w.user.get(SERVICES, "default", f"{NAME}-serve-svc")
        assert service["spec"]["selector"] == WITH_HEAD
        assert "annotations" not in service["metadata"]
        assert w.events.reasons().count("UpdatedService") == 2


async def test_a_head_whose_proxy_is_the_only_one_stays() -> None:
    async with serving() as w:
        w.proxies.well.clear()
        await w.gcs("Gone")
        assert await w.selector() == WITH_HEAD
        assert len(set(w.proxies.asked)) == 1
        assert len(w.proxies.asked) > 1, "it may answer by now"
