"""What is done to a RayService on purpose by its owner, and must cost no request either."""

import asyncio
import time

from headstay.drill.faults.kind import Broken, Kind, Scene
from headstay.drill.kube import ExecError
from headstay.drill.service import active_cluster, not_served, upgraded
from headstay.model.errors import StatusError
from headstay.model.ray import RAYCLUSTERS
from headstay.model.rayservice import RAYSERVICES
from headstay.runtime.client import TransportError

_BOUND = 400.0
"""For a second cluster to start beside the first and take over, and the first to go. Past it the run is not well."""


async def _no_service(scene: Scene) -> str:
    return "" if scene.onlooker.shape.serve else "there is no RayService to upgrade: see --serve"


async def _upgrade(scene: Scene, _: float) -> Broken:
    service = await scene.kube.find(RAYSERVICES, scene.onlooker.shape.cluster)
    old = active_cluster(service)
    if service is None or not old:
        raise ExecError("the RayService has no active RayCluster to upgrade from")
    await scene.kube.apply(RAYSERVICES, upgraded(service))
    at = time.time()

    async def done() -> bool:
        now = scene.onlooker.service()
        taken_over = active_cluster(now) != old and not not_served(now)
        return taken_over and await scene.kube.find(RAYCLUSTERS, old) is None

    async def heal(at_once: bool) -> float:
        """There is nothing to undo: it is over when the old RayCluster is gone."""
        end_at = time.monotonic() + _BOUND
        while not at_once and time.monotonic() < end_at:
            try:
                if await done():
                    break
            except (StatusError, TransportError):
                pass  # asked again
            await asyncio.sleep(0.5)
        return time.time()

    return Broken(old, at, heal, "rayClusterConfig changed, so that another RayCluster takes over")


KINDS = (
    Kind(
        "upgrade",
        "A RayService is upgraded: another RayCluster takes over. With --serve only, and then part of `all`.",
        "the drill's RayService",
        _upgrade,
        _no_service,
        in_all=False,
        own_only=True,
        of_serve=True,
    ),
)
