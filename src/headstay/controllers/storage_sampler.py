"""Measures what clusters keep in Redis, where the operator may reach it; see `plan.raycluster.sampling`.

Nothing depends on it: what cannot be measured has no figure, and is said once in the log.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Iterable

from headstay.controllers.redis_access import CleaningError, RedisAccess
from headstay.controllers.storage_metrics import StorageMetrics
from headstay.model.errors import StatusError
from headstay.model.objects import ObjectKey
from headstay.model.ray import RayCluster
from headstay.plan.raycluster.sampling import Sample, after, next_turns, sample_of
from headstay.plan.raycluster.settings import Settings
from headstay.runtime.client import TransportError

log = logging.getLogger(__name__)

LOOK_SECONDS = 10.0
TRY_SECONDS = 10.0


class StorageSampler:
    """`clusters` lists the caches; `draw` yields numbers in [0, 1)."""

    def __init__(
        self,
        redis: RedisAccess,
        settings: Settings,
        clusters: Callable[[], Iterable[RayCluster]],
        metrics: StorageMetrics,
        *,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._redis = redis
        self._settings = settings
        self._clusters = clusters
        self._metrics = metrics
        self._draw = draw
        self._samples: dict[ObjectKey, Sample] = {}
        self._looked = float("-inf")
        self._turns: dict[ObjectKey, float] = {}
        self._told: dict[ObjectKey, str] = {}

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                wait = await self.step()
            except Exception:
                log.exception("a bug of ours")  # not worth the operator's end: nothing depends on the figures
                wait = LOOK_SECONDS
            await asyncio.sleep(wait)

    async def step(self) -> float:
        """Measures whoever is due longest, if anybody is; says for how long there is nothing to do then."""
        now = asyncio.get_running_loop().time()
        if now - self._looked >= LOOK_SECONDS:
            self._look(now)
        if not self._turns:
            return LOOK_SECONDS
        cluster = min(self._turns, key=lambda key: self._turns[key])
        if self._turns[cluster] > now:
            return min(LOOK_SECONDS, self._turns[cluster] - now)
        await self._measure(cluster, self._samples[cluster])
        self._turns[cluster] = after(asyncio.get_running_loop().time(), self._draw())
        return 0.0

    def _look(self, now: float) -> None:
        """Whom there is to measure, and where: not before each measurement, of which there are as many as clusters."""
        found = ((cluster.key, sample_of(cluster, self._settings)) for cluster in self._clusters())
        self._looked, self._samples = now, {key: sample for key, sample in found if sample is not None}
        for gone in self._turns.keys() - self._samples.keys():
            self._forget(gone)
        self._turns = next_turns(self._turns, self._samples, now, self._draw())

    async def _measure(self, cluster: ObjectKey, sample: Sample) -> None:
        try:
            size = await self._redis.measure(
                sample.storage, cluster.namespace, password=sample.password, seconds=TRY_SECONDS
            )
        except (CleaningError, StatusError, TransportError) as error:
            self._metrics.forget(cluster)
            if self._told.get(cluster) != str(error):
                self._told[cluster] = str(error)
                log.warning("RayCluster %s: what it keeps in Redis is not measured: %s", cluster, error)
        else:
            self._told.pop(cluster, None)
            self._metrics.sampled(cluster, size.keys, size.bytes)

    def _forget(self, cluster: ObjectKey) -> None:
        self._metrics.forget(cluster)
        self._told.pop(cluster, None)
