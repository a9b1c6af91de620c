"""The debts' own small loop: a labelled ConfigMap in, a try to pay it out. What to do is decided in `plan.debts`.

Whatever it decides on is read from the API itself right before: deleting the keys of a living cluster is the one
mistake that cannot be undone. When the operator dies after any step, the next one begins again: cleaning can be
repeated, and a debt goes last.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

import msgspec

from headstay.controllers.holders import StorageHolders
from headstay.controllers.metrics import OperatorMetrics
from headstay.controllers.redis_access import CleaningError, CredentialsGoneError, RedisAccess
from headstay.model.errors import StatusError, is_already_exists, is_not_found
from headstay.model.meta import Pod
from headstay.model.objects import ObjectKey
from headstay.model.ray import CLUSTER, HEAD, NODE_TYPE, RAYCLUSTERS, RayCluster
from headstay.model.resource import CONFIGMAPS, PODS
from headstay.plan.debts import (
    DEBT,
    LAST_RETRY_SECONDS,
    ConfigMap,
    Debt,
    Facts,
    Pay,
    Unpayable,
    Void,
    Wait,
    data_of,
    document,
    next_step,
    read,
)
from headstay.plan.raycluster.plan import Holder
from headstay.plan.raycluster.settings import Settings
from headstay.plan.raycluster.takers import takers_of
from headstay.runtime.client import Client
from headstay.runtime.controller import Controller, Result
from headstay.runtime.events import EventRecorder, EventType, reference_to
from headstay.runtime.metrics import Metrics
from headstay.runtime.reflector import Reflector

log = logging.getLogger(__name__)

PAGE = 500
TRY_SECONDS = 30.0
WORKERS = 4
"""A Redis that is away costs a whole try; the debts of others must not queue behind it."""


class DebtBook:
    """Where debts are written down: ConfigMaps in the operator's own namespace."""

    def __init__(self, client: Client, namespace: str) -> None:
        self._client = client
        self.namespace = namespace

    async def record(self, debt: Debt) -> Debt | None:
        """As it was written; None where it was already, by us or by an operator that died right after.

        Several places of one cluster are told apart by what their debts say, not by the order in which they come.
        """
        for named in (debt, debt.beside()):
            try:
                await self._client.create(CONFIGMAPS, document(named, self.namespace))
            except StatusError as error:
                if not is_already_exists(error):
                    raise
                if await self._is_same(named):
                    return None
            else:
                return named
        return None

    async def _is_same(self, debt: Debt) -> bool:
        found = await self._client.get(CONFIGMAPS, self.namespace, debt.name)
        try:
            return read(msgspec.convert(found, ConfigMap)).storage.place == debt.storage.place
        except ValueError:
            return False


class DebtController:
    """`namespaces` are those whose RayClusters we see; ("",) for all."""

    def __init__(
        self,
        client: Client,
        events: EventRecorder,
        settings: Settings,
        *,
        namespace: str,
        now: Callable[[], datetime],
        namespaces: Sequence[str] = ("",),
        metrics: Metrics | None = None,
        operator_metrics: OperatorMetrics | None = None,
        holders: StorageHolders | None = None,
    ) -> None:
        self._client = client
        self._holders = holders or StorageHolders(client, settings.cluster_domain, namespaces)
        self._events = events
        self._settings = settings
        self._namespace = namespace
        self._namespaces = namespaces
        self._now = now
        self._metrics = operator_metrics
        self._redis = RedisAccess(client, settings.cluster_domain)
        self.debts = Reflector(client, CONFIGMAPS, ConfigMap, namespace=namespace, label_selector=DEBT)
        self.controller: Controller[ObjectKey] = Controller(
            "debt-controller", self.reconcile, workers=WORKERS, metrics=metrics
        )
        self.controller.watches(self.debts, lambda debt: (ObjectKey(debt.metadata.namespace, debt.metadata.name),))
        self.debts.on_change(lambda _old, _new: self._count())

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.debts.run(), name="reflector/debts")
            group.create_task(self.controller.run(), name="debt-controller")

    async def reconcile(self, key: ObjectKey) -> Result:
        found = self.debts.cache.get(key)
        if found is None:
            return Result()
        try:
            debt = read(found)
        except ValueError as error:
            self._tell(found, "Warning", "UnreadableDebt", f"{error}; pay it by hand and delete this ConfigMap")
            return Result()
        with self._holders.cleaning(debt.storage.identity(), Holder("ConfigMap", key, debt.uid)):
            return await self._settle(found, debt)

    async def _settle(self, found: ConfigMap, debt: Debt) -> Result:
        step = next_step(debt, await self._facts(debt), self._now())
        match step:
            case Wait():
                if not step.brief and (debt.state == "Unpayable" or debt.last_error != step.why):
                    await self._write(found, replace(debt, state="Pending", last_error=step.why))
                return Result(step.seconds, step.why)
            case Void():
                self._tell(found, "Warning", "DebtVoid", step.why)
                await self._remove(found)
                return Result()
            case Unpayable():
                return await self._give_up(found, debt, step.why)
            case Pay():
                return await self._pay(found, debt)

    async def _facts(self, debt: Debt) -> Facts:
        clusters = [cluster for namespace in self._namespaces for cluster in await self._clusters(namespace)]
        if debt.namespace not in self._namespaces and "" not in self._namespaces:
            clusters += await self._clusters(debt.namespace)
        others = [cluster for cluster in clusters if cluster.metadata.uid != debt.uid]
        takers = takers_of(debt.storage, others, self._settings.cluster_domain)
        return Facts(
            cluster_left=any(cluster.metadata.uid == debt.uid for cluster in clusters),
            cluster_lives=any(cluster.metadata.uid == debt.uid and not cluster.deleting for cluster in clusters),
            heads=await self._heads(debt),
            takers=takers.certain,
            doubtful=takers.doubtful,
            passing=takers.passing,
            redis_access=self._settings.redis_access,
            redis_cleanup=self._settings.redis_cleanup,
        )

    async def _clusters(self, namespace: str) -> list[RayCluster]:
        found: list[RayCluster] = []
        token = ""
        while True:
            page = await self._client.list_page(RAYCLUSTERS, namespace, limit=PAGE, continue_token=token)
            found += [msgspec.json.decode(item, type=RayCluster) for item in page.items]
            token = page.continue_token
            if not token:
                return found

    async def _heads(self, debt: Debt) -> tuple[str, ...]:
        """Names of its head Pods, also of one that was being made when the debt was written."""
        selector = f"{CLUSTER}={debt.cluster},{NODE_TYPE}={HEAD}"
        page = await self._client.list_page(PODS, debt.namespace, label_selector=selector)
        pods = [msgspec.json.decode(item, type=Pod).metadata for item in page.items]
        return tuple(
            pod.name
            for pod in pods
            if pod.uid in debt.heads or any(owner.uid == debt.uid for owner in pod.owner_references)
        )

    async def _pay(self, found: ConfigMap, debt: Debt) -> Result:
        try:
            keys = await self._redis.clean(debt.storage, debt.namespace, seconds=TRY_SECONDS)
        except CredentialsGoneError as error:
            return await self._give_up(found, debt, str(error))
        except CleaningError as error:
            tried = debt.failed(str(error), self._now())
            log.warning("%s: try %d failed: %s", debt.name, tried.tries, error)
            await self._write(found, tried)
            return Result((tried.due() - self._now()).total_seconds(), str(error))
        self._tell(found, "Normal", "DebtPaid", f"Removed {keys} keys of storage namespace {debt.storage.namespace!r}")
        await self._remove(found)
        return Result()

    async def _give_up(self, found: ConfigMap, debt: Debt, why: str) -> Result:
        """For now: in an hour the Secret may be back."""
        if debt.state != "Unpayable" or debt.last_error != why:
            note = f"{why}. The command that pays it is in data.command"
            self._tell(found, "Warning", "DebtUnpayable", note)
            await self._write(found, replace(debt, state="Unpayable", last_error=why))
        return Result(LAST_RETRY_SECONDS, why)

    async def _write(self, found: ConfigMap, debt: Debt) -> None:
        metadata = {"labels": {DEBT: debt.state}, "resourceVersion": found.metadata.resource_version}
        patch = {"metadata": metadata, "data": data_of(debt, self._namespace)}
        await self._client.patch(CONFIGMAPS, found.metadata.namespace, found.metadata.name, patch)

    async def _remove(self, found: ConfigMap) -> None:
        metadata = found.metadata
        try:
            await self._client.delete(CONFIGMAPS, metadata.namespace, metadata.name, uid=metadata.uid)
        except StatusError as error:
            if not is_not_found(error):
                raise

    def _tell(self, found: ConfigMap, kind: EventType, reason: str, note: str) -> None:
        level = logging.WARNING if kind == "Warning" else logging.INFO
        log.log(level, "%s: %s: %s", found.metadata.name, reason, note)
        self._events.event(reference_to(CONFIGMAPS, found.metadata), kind, reason, "PayDebt", note)

    def _count(self) -> None:
        if self._metrics is not None:
            self._metrics.owed(Counter(debt.metadata.labels.get(DEBT, "") for debt in self.debts.cache.list()))
