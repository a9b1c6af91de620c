"""One cluster of a thousand workers, made first, and a hundred small ones right after it: are those starved?

The same hundred are made alone before, on a server of their own, to compare with.
"""

import os
import time
from functools import partial
from typing import Any

from bench.scale.parts import Bench, How, in_parallel, running
from bench.scale.shapes import cluster

from headstay.model.ray import RAYCLUSTERS, RayCluster

GIANT = "giant"


async def measure(giant_workers: int, small: int, workers: int, how: How) -> dict[str, Any]:
    """`starved` says that a small cluster was ready only after the giant was."""
    names = [f"small-{number:03}" for number in range(small)]
    async with running(how) as bench:
        alone = await _times_to_ready(bench, names, workers, 0)
    async with running(how) as bench:
        beside = await _times_to_ready(bench, names, workers, giant_workers)
    giant = beside.pop(GIANT)
    return {
        "giant_workers": giant_workers,
        "small_clusters": small,
        "load": os.getloadavg()[0],
        **{f"small_alone_{name}": value for name, value in _spread(alone).items()},
        **{f"small_beside_{name}": value for name, value in _spread(beside).items()},
        "giant_ready_s": giant,
        "starved": max(beside.values()) > giant,
    }


def _spread(times: dict[str, float]) -> dict[str, float]:
    ordered = sorted(times.values())
    return {"p50_s": ordered[len(ordered) // 2], "last_s": ordered[-1]}


async def _times_to_ready(bench: Bench, names: list[str], workers: int, giant_workers: int) -> dict[str, float]:
    """Seconds from each cluster's creation to `ready`."""
    made: dict[str, float] = {}
    ready: dict[str, float] = {}

    def changed(_: RayCluster | None, new: RayCluster | None) -> None:
        if new is not None and new.status.get("state") == "ready":
            ready.setdefault(new.name, time.monotonic())

    async def create(name: str, size: int) -> None:
        made[name] = time.monotonic()
        await bench.client.create(RAYCLUSTERS, cluster(name, size))

    bench.clusters.on_change(changed)
    if giant_workers:
        await create(GIANT, giant_workers)
    await in_parallel(partial(create, name, workers) for name in names)
    await bench.until(lambda: len(ready) == len(made), "all ready")
    return {name: round(ready[name] - made[name], 2) for name in made}
