"""The RayService controller: observe, ask the heads what they serve, plan, act, write the status last.

Nothing is decided here; see `plan.rayservice`. RayClusters and Pods come from the caches of the RayCluster controller,
which makes the Pods: this one makes RayClusters. A name is in the status before the RayCluster of that name is made, so
neither a crash nor a stale cache makes a second one.
"""

import asyncio
import logging
import random
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from headstay.controllers.actions import random_suffix
from headstay.controllers.merge_patch import merge_patch
from headstay.controllers.metrics import OperatorMetrics
from headstay.controllers.raycluster import BY_CLUSTER, RayClusterController
from headstay.controllers.rayservice_actions import ServiceActor, StorageBook
from headstay.controllers.rayservice_watches import BY_RAYSERVICE, rayservice_keys, what_matters
from headstay.controllers.recorder import Once, ServiceRecorder
from headstay.controllers.serve_look import ServeLook
from headstay.gcs.dashboard import Dashboard, DashboardError, RefusedError
from headstay.model.errors import StatusError, is_not_found
from headstay.model.meta import Pod
from headstay.model.objects import ObjectKey
from headstay.model.ray import CLUSTER, ORIGINATED_FROM_CRD, RAYCLUSTERS, RayCluster, Service
from headstay.model.rayservice import RAYSERVICES, RayService
from headstay.model.resource import SERVICES
from headstay.plan.raycluster.heads import may_serve
from headstay.plan.raycluster.settings import Settings
from headstay.plan.rayservice.clusters import promoted
from headstay.plan.rayservice.decide import plan_rayservice
from headstay.plan.rayservice.generations import given_namespace
from headstay.plan.rayservice.plan import Action, DeployServe, Observed, Plan, Seen
from headstay.plan.rayservice.status import is_worth_writing, next_status
from headstay.plan.rayservice.storage import wants_record
from headstay.runtime.client import Client, TransportError
from headstay.runtime.controller import Controller, Result
from headstay.runtime.errors import Transient
from headstay.runtime.metrics import Metrics
from headstay.runtime.reflector import Reflector

log = logging.getLogger(__name__)


class RayServiceController:
    """`clusters` is the RayCluster controller of the same namespace, whose caches and listener this one shares."""

    def __init__(
        self,
        client: Client,
        recorder: ServiceRecorder,
        settings: Settings,
        *,
        now: Callable[[], datetime],
        clusters: RayClusterController,
        dashboard: Dashboard,
        namespace: str = "",
        workers: int = 1,
        metrics: Metrics | None = None,
        operator_metrics: OperatorMetrics | None = None,
        book_namespace: str = "default",
        beside: Callable[[], str] = lambda: "",
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._client = client
        self._recorder = recorder
        self._settings = settings
        self._now = now
        self._beside = beside
        self._heads = clusters.heads
        if self._heads is not None:
            self._heads.on_change(self.look_at_cluster)
        self._draw = draw
        self._book = StorageBook(client, book_namespace)
        self._look = ServeLook(dashboard)
        self._actor = ServiceActor(client, recorder, dashboard, self._book)
        self._told = Once()
        self._clusters = clusters.clusters
        self._pods = clusters.pods
        self.rayservices = Reflector(client, RAYSERVICES, RayService, namespace=namespace)
        self.services = Reflector(
            client,
            SERVICES,
            Service,
            namespace=namespace,
            label_selector=f"{ORIGINATED_FROM_CRD}=RayService",
            indexes={BY_RAYSERVICE: lambda service: map(str, rayservice_keys(service.metadata))},
        )
        if operator_metrics is not None:
            operator_metrics.watch_services(self.rayservices.cache.list)
        self.controller: Controller[ObjectKey] = Controller(
            f"rayservice-controller{f'-{namespace}' if namespace else ''}",
            self.reconcile,
            workers=workers,
            metrics=metrics,
        )
        self.controller.watches(self.rayservices, lambda _: ())
        self.rayservices.on_change(self._service_changed)
        self.controller.watches(self.services, lambda service: rayservice_keys(service.metadata))
        self.controller.watches(self._clusters, lambda cluster: rayservice_keys(cluster.metadata))
        self.controller.watches(self._pods, self._keys_of_pod)
        self._clusters.on_change(self._cluster_changed)

    async def run(self) -> None:
        """Until cancelled. The RayCluster controller runs the caches that are its own."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.rayservices.run(), name="reflector/rayservices")
            group.create_task(self.services.run(), name="reflector/services of rayservices")
            group.create_task(self.controller.run(), name="rayservice-controller")

    def unsynced(self) -> list[str]:
        """The resources whose first list is still missing."""
        mine = {str(RAYSERVICES): self.rayservices.cache.synced, str(SERVICES): self.services.cache.synced}
        return [name for name, synced in mine.items() if not synced.is_set()]

    def look_at_all(self) -> None:
        """Something changed that concerns every RayService."""
        for service in self.rayservices.cache.list():
            self.controller.enqueue(service.key)

    def look_at_cluster(self, cluster: ObjectKey) -> None:
        """Something is known about a head that no object says."""
        found = self._clusters.cache.get(cluster)
        for key in rayservice_keys(found.metadata) if found is not None else ():
            self.controller.enqueue(key)

    async def reconcile(self, key: ObjectKey) -> Result:
        service = self.rayservices.cache.get(key)
        if service is None:
            self._told.forget(key)
            return Result()
        observed = await self._with_answers(self._observe(service))
        plan = plan_rayservice(observed, self._settings, self._now(), self._gcs_serves)
        log.debug("RayService %s: %s", key, plan.reason)
        for event in plan.events:
            if self._told.is_news(service, event):
                self._recorder.record(service, event)
        failure = await self._act(service, plan)
        if plan.names is not None:
            await self._write_status(observed, plan)
        if failure is not None:
            raise failure
        return Result(plan.requeue_after, plan.reason)

    def _observe(self, service: RayService) -> Observed:
        index = str(service.key)
        owned = [
            cluster
            for cluster in self._clusters.cache.by_index(BY_RAYSERVICE, index)
            if any(owner.uid == service.metadata.uid for owner in cluster.metadata.owner_references)
        ]
        return Observed(
            service,
            clusters=tuple(
                Seen(cluster, tuple(self._pods.cache.by_index(BY_CLUSTER, str(cluster.key))))
                for cluster in sorted(owned, key=lambda cluster: cluster.name)
            ),
            services=tuple(
                found
                for found in self.services.cache.by_index(BY_RAYSERVICE, index)
                if any(owner.uid == service.metadata.uid for owner in found.metadata.owner_references)
            ),
            fresh=f"{service.name}-{random_suffix(self._draw)}",
            beside=self._beside(),
        )

    async def _with_answers(self, observed: Observed) -> Observed:
        """Adds what only the API itself and the heads can tell, where it decides something."""
        service = observed.service
        if observed.beside or not service.managed_by_us:
            return observed
        if wants_record(observed):
            record = await self._book.read(service.key, given_namespace(service))
            observed = replace(observed, record=record)
        if service.deleting:
            return observed
        await self._settle_doubts(observed)
        names = promoted(observed)
        looked = await self._look.at(observed.clusters, {names.active, names.pending})
        return replace(observed, clusters=looked)

    async def _settle_doubts(self, observed: Observed) -> None:
        """A RayCluster in use that the cache lacks is gone only if the API says so: another would be made in its place.

        Raises Transient while the cache is behind; the key comes back with back-off.
        """
        service = observed.service
        for name in (service.active, service.pending):
            if name and observed.find(name) is None and await self._exists(service, name):
                raise Transient(f"the cache does not hold RayCluster {name} yet")

    async def _exists(self, service: RayService, name: str) -> bool:
        try:
            found = await self._client.get(RAYCLUSTERS, service.namespace, name)
        except StatusError as error:
            if is_not_found(error):
                return False
            raise
        owners = found["metadata"].get("ownerReferences") or []
        return any(owner.get("uid") == service.metadata.uid for owner in owners)

    async def _act(self, service: RayService, plan: Plan) -> Exception | None:
        """The first failure. What does not depend on what failed is done all the same."""
        first: Exception | None = None
        for action in plan.actions:
            failure = await self._try(service, action)
            if failure is not None and plan.in_order:
                return failure
            first = first or failure
        return first

    async def _try(self, service: RayService, action: Action) -> Exception | None:
        try:
            await self._actor.act(service, action)
        except RefusedError as error:
            if isinstance(action, DeployServe):
                self._look.refused(action.cluster.metadata.uid, action.hash, str(error))
            return None
        except DashboardError as error:
            return Transient(str(error))
        except (StatusError, TransportError, Transient) as error:
            return error
        if isinstance(action, DeployServe):
            self._look.deployed(action.cluster.metadata.uid, action.hash)
        return None

    async def _write_status(self, observed: Observed, plan: Plan) -> None:
        """The observed version is the precondition: a status computed from old news must not overwrite newer."""
        service, names = observed.service, plan.names
        if names is None:
            return
        status = next_status(observed, plan, names, self._now())
        if not is_worth_writing(service.status, status):
            return
        patch = {
            "metadata": {"resourceVersion": service.metadata.resource_version},
            "status": merge_patch(service.status, status),
        }
        try:
            await self._client.patch(RAYSERVICES, service.namespace, service.name, patch, subresource="status")
        except StatusError as error:
            if not is_not_found(error):
                raise

    def _gcs_serves(self, head: Pod) -> bool | None:
        cluster = ObjectKey(head.metadata.namespace, head.metadata.labels.get(CLUSTER, ""))
        report = self._heads.report(cluster) if self._heads is not None else None
        of_this_head = report if report is not None and report.pod_uid == head.metadata.uid else None
        return may_serve(of_this_head, self._settings.gcs_grace_seconds, self._now())

    def _service_changed(self, old: RayService | None, new: RayService | None) -> None:
        if old is None or new is None or what_matters(old) != what_matters(new):
            for service in filter(None, (old, new)):
                self.controller.enqueue(service.key)

    def _cluster_changed(self, old: RayCluster | None, new: RayCluster | None) -> None:
        if old is not None and (new is None or new.metadata.uid != old.metadata.uid):
            self._look.forget(old.metadata.uid)

    def _keys_of_pod(self, pod: Pod) -> list[ObjectKey]:
        name = pod.metadata.labels.get(CLUSTER, "")
        cluster: RayCluster | None = self._clusters.cache.get(ObjectKey(pod.metadata.namespace, name))
        return rayservice_keys(cluster.metadata) if cluster is not None else []
