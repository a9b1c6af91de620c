"""The RayCluster controller: observe from caches, plan, act, write the status last and only if it changed.

Nothing is decided here; see `plan.raycluster`. What is here is what makes acting safe: every write carries a
precondition (a uid, a resourceVersion, a name chosen before the request), and what a stale cache does not show yet
is remembered (`expectations`).
"""

import asyncio
import logging
import random
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

from prometheus_client import CollectorRegistry

from headstay.controllers.actions import Actor, Waiting
from headstay.controllers.cluster_keys import (
    by_age,
    cluster_keys,
    group_of,
    index_of,
    is_check,
    served_clusters,
)
from headstay.controllers.expectations import Expectations
from headstay.controllers.heads import HeadListener
from headstay.controllers.holders import StorageHolders
from headstay.controllers.merge_patch import merge_patch
from headstay.controllers.metrics import OperatorMetrics
from headstay.controllers.onlooker import Onlooker
from headstay.controllers.owners import Owners
from headstay.controllers.rayservice_watches import BY_RAYSERVICE, rayservice_keys, what_matters
from headstay.controllers.recorder import Once, Recorder
from headstay.controllers.worker_proxies import one_answers
from headstay.controllers.written_places import WrittenPlaces
from headstay.gcs.dashboard import Dashboard
from headstay.model.errors import StatusError, is_not_found
from headstay.model.meta import Pod
from headstay.model.objects import ObjectKey
from headstay.model.ray import (
    CLUSTER,
    GROUP_NAME,
    HEAD,
    HEADLESS_WORKER_SERVICE,
    NODE_TYPE,
    ORIGINATED_FROM_CRD,
    RAYCLUSTERS,
    REDIS_CHECK,
    REDIS_CLEANUP,
    WORKER,
    Ingress,
    Job,
    RayCluster,
    Route,
    Service,
)
from headstay.model.resource import INGRESSES, JOBS, PODS, ROUTES, SERVICES
from headstay.plan.raycluster.aftercare import table_wanted
from headstay.plan.raycluster.cleanup import time_left
from headstay.plan.raycluster.decide import plan_raycluster
from headstay.plan.raycluster.heads import head_target
from headstay.plan.raycluster.places import storage_texts
from headstay.plan.raycluster.plain_serve import proxies_to_ask
from headstay.plan.raycluster.plan import Create, Holder, Observed, Plan
from headstay.plan.raycluster.settings import Settings
from headstay.plan.raycluster.status import Failure, is_worth_writing, next_status, seconds_to_hold
from headstay.plan.raycluster.writer import has_head, identities_of, shared_identity, wants_holders
from headstay.runtime.client import Client, TransportError
from headstay.runtime.controller import Controller, Result
from headstay.runtime.errors import Transient
from headstay.runtime.metrics import Metrics
from headstay.runtime.reflector import Reflector

log = logging.getLogger(__name__)

BY_CLUSTER = "cluster"
_OVERDUE_SECONDS = 5.0
_BY_STORAGE = "storage"
_LATE_NEWS_SECONDS = 1.0
# Ours carry all that apply. KubeRay's Services for hosts and for Serve lack the first: unseen, they would get twins.
_SERVICE_SELECTORS = (CLUSTER, f"!{CLUSTER},{HEADLESS_WORKER_SERVICE}", f"!{CLUSTER},{ORIGINATED_FROM_CRD}=RayCluster")


class RayClusterController:
    """`now` tells the date for status and deadlines; durations are measured on the loop's own clock."""

    def __init__(
        self,
        client: Client,
        recorder: Recorder,
        settings: Settings,
        *,
        now: Callable[[], datetime],
        namespace: str = "",
        workers: int = 1,
        metrics: Metrics | None = None,
        operator_metrics: OperatorMetrics | None = None,
        debt_namespace: str = "default",
        holders: StorageHolders | None = None,
        beside: Callable[[], str] = lambda: "",
        draw: Callable[[], float] = random.random,
        heads: Callable[[Callable[[ObjectKey], None]], HeadListener] | None = None,
        dashboard: Dashboard | None = None,
    ) -> None:
        self._client = client
        self._recorder = recorder
        self._settings = settings
        self._now = now
        self._expectations = Expectations()
        self._told = Once()
        operator_metrics = operator_metrics or OperatorMetrics(CollectorRegistry())
        self._onlooker = Onlooker(settings, operator_metrics)
        self._actor = Actor(
            client,
            recorder,
            self._expectations,
            draw,
            debt_namespace=debt_namespace,
            cleaned=operator_metrics.cleaned,
            domain=settings.cluster_domain,
            recovered=operator_metrics.recovered,
            phase_ended=operator_metrics.phase_ended,
        )
        self._places = WrittenPlaces(client, settings)
        self._owners = Owners(client)
        self._namespace = namespace
        self._beside = beside
        self._dashboard = dashboard
        self._holders = holders or StorageHolders(client, settings.cluster_domain, (namespace,))
        self.clusters = Reflector(
            client,
            RAYCLUSTERS,
            RayCluster,
            namespace=namespace,
            indexes={
                _BY_STORAGE: lambda cluster: identities_of(cluster, settings) | storage_texts(cluster),
                BY_RAYSERVICE: lambda cluster: map(str, rayservice_keys(cluster.metadata)),
            },
        )
        operator_metrics.watch_clusters(self.clusters.cache.list)
        self.pods = Reflector(
            client,
            PODS,
            Pod,
            namespace=namespace,
            label_selector=f"{NODE_TYPE} in ({HEAD},{WORKER},{REDIS_CLEANUP},{REDIS_CHECK})",
            indexes={BY_CLUSTER: lambda pod: index_of(pod.metadata)},
        )
        self.services = [
            Reflector(
                client,
                SERVICES,
                Service,
                namespace=namespace,
                label_selector=selector,
                indexes={BY_CLUSTER: lambda service: map(str, served_clusters(service.metadata))},
            )
            for selector in _SERVICE_SELECTORS
        ]
        self.ingresses = Reflector(
            client,
            INGRESSES,
            Ingress,
            namespace=namespace,
            label_selector=CLUSTER,
            indexes={BY_CLUSTER: lambda ingress: index_of(ingress.metadata)},
        )
        self.routes: Reflector[Route] | None = None
        self.jobs = Reflector(
            client,
            JOBS,
            Job,
            namespace=namespace,
            label_selector=f"{NODE_TYPE} in ({REDIS_CLEANUP},{REDIS_CHECK})",
            indexes={BY_CLUSTER: lambda job: index_of(job.metadata)},
        )
        self.controller: Controller[ObjectKey] = Controller(
            f"raycluster-controller{f'-{namespace}' if namespace else ''}",
            self.reconcile,
            workers=workers,
            metrics=metrics,
        )
        self.heads = heads(self.controller.enqueue) if heads is not None else None
        self.pods.on_change(self._pod_changed)
        self.controller.watches(self.clusters, lambda _: ())
        self.clusters.on_change(self._cluster_changed)
        self.controller.watches(self.pods, lambda pod: cluster_keys(pod.metadata))
        for services in self.services:
            self.controller.watches(services, lambda service: served_clusters(service.metadata))
        self.controller.watches(self.ingresses, lambda ingress: cluster_keys(ingress.metadata))
        self.controller.watches(self.jobs, lambda job: cluster_keys(job.metadata))

    def make_routes(self) -> None:
        """Routes instead of Ingresses, for an API that serves them. To be called before `run`.

        Nothing waits for their first list: on OpenShift another server has them, and heads are not to wait for it.
        """
        self.routes = Reflector(
            self._client,
            ROUTES,
            Route,
            namespace=self._namespace,
            label_selector=CLUSTER,
            indexes={BY_CLUSTER: lambda route: index_of(route.metadata)},
        )
        self.controller.watches(self.routes, lambda route: cluster_keys(route.metadata), waited_for=False)

    async def run(self) -> None:
        """Until cancelled."""
        try:
            await self._run()
        finally:
            if self.heads is not None:
                await self.heads.stop()

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self.clusters.run(), name="reflector/rayclusters")
            group.create_task(self.pods.run(), name="reflector/pods")
            for number, services in enumerate(self.services):
                group.create_task(services.run(), name=f"reflector/services/{number}")
            group.create_task(self.ingresses.run(), name="reflector/ingresses")
            if self.routes is not None:
                group.create_task(self.routes.run(), name="reflector/routes")
            group.create_task(self.jobs.run(), name="reflector/jobs")
            group.create_task(self.controller.run(), name="raycluster-controller")

    def unsynced(self) -> list[str]:
        """The resources whose first list is still missing."""
        reflectors: list[Reflector[Any]] = [self.clusters, self.pods, *self.services, self.ingresses, self.jobs]
        return [str(reflector.resource) for reflector in reflectors if not reflector.cache.synced.is_set()]

    def look_at_all(self) -> None:
        """Something changed that concerns every cluster."""
        for cluster in self.clusters.cache.list():
            self.controller.enqueue(cluster.key)

    async def reconcile(self, key: ObjectKey) -> Result:
        cluster = self.clusters.cache.get(key)
        if cluster is None:
            self._expectations.forget(key)
            self._actor.forget(key)
            self._owners.forget(key)
            self._told.forget(key)
            self._onlooker.forget(key)
            self._places.forget(key)
            if self.heads is not None:
                self.heads.forget(key)
            return Result()
        left = time_left(cluster, self._settings, self._now())
        if left is not None:
            # Whatever fails from here on, and however far its back-off has grown: the deadline is met in time.
            self.controller.enqueue_after(key, max(left, _OVERDUE_SECONDS))
        if left is not None and left <= 0:
            # No question of which the answer could still be waited for.
            observed = replace(self._places.remembered(self._observe(cluster)), beside=self._beside())
        else:
            await self._settle_doubts(key)
            observed = await self._with_rivals(await self._places.read(self._observe(cluster)))
        observed = await self._with_proxies(self._with_heads(observed))
        plan = plan_raycluster(observed, self._settings, self._now())
        log.debug("RayCluster %s: %s", key, plan.reason)
        for event in plan.events:
            if self._told.is_news(cluster, event):
                self._recorder.record(cluster, event)
        if plan.replaces and self.heads is not None:
            self.heads.replaced(key, plan.replaces)
        error, wait = await self._act(cluster, plan)
        held = await self._write_status(observed, plan, error) if plan.status else 0.0
        if error is not None:
            raise error.cause
        result = self._result(key, plan, wait)
        return Result(held, "the counts of Pods change") if held else result

    def _observe(self, cluster: RayCluster) -> Observed:
        index = str(cluster.key)
        pods = sorted(self.pods.cache.by_index(BY_CLUSTER, index), key=by_age)
        jobs = self.jobs.cache.by_index(BY_CLUSTER, index)
        found = (service for reflector in self.services for service in reflector.cache.by_index(BY_CLUSTER, index))
        services = {service.metadata.name: service for service in found}
        return Observed(
            cluster,
            pods=tuple(pod for pod in pods if not is_check(pod.metadata)),
            services=tuple(services[name] for name in sorted(services)),
            ingresses=tuple(self.ingresses.cache.by_index(BY_CLUSTER, index)),
            routes=None if self.routes is None else tuple(self.routes.cache.by_index(BY_CLUSTER, index)),
            jobs=tuple(job for job in jobs if not is_check(job.metadata)),
            check_jobs=tuple(job for job in jobs if is_check(job.metadata)),
            check_pods=tuple(pod for pod in pods if is_check(pod.metadata)),
            deleting=self._expectations.being_deleted(cluster.key),
            unsettled=self._expectations.unsettled(cluster.key, _monotonic()),
            refusal=self._actor.cleanup_refusal(cluster.key),
        )

    def _with_heads(self, observed: Observed) -> Observed:
        """Adds what is known of the head's GCS, and sees that it is listened to as long as that makes sense."""
        observed, key = replace(observed, lost=self._onlooker.look(observed)), observed.cluster.key
        if self.heads is None:
            return observed
        observed = replace(observed, report=self.heads.listen(key, head_target(observed)))
        return replace(observed, returns=self.heads.read_table(key, table_wanted(observed)))

    async def _with_proxies(self, observed: Observed) -> Observed:
        if self._dashboard is None or not (proxies := proxies_to_ask(observed, self._settings, self._now())):
            return observed
        return replace(observed, proxy_answers=await one_answers(self._dashboard, proxies))

    async def _with_rivals(self, observed: Observed) -> Observed:
        """Adds who shares the storage namespace: free for a cluster that nobody shares it with."""
        cluster = observed.cluster
        if beside := self._beside():
            return replace(observed, beside=beside)
        outside: list[RayCluster] = []
        if shared_identity(cluster, self._settings) and (cluster.deleting or not has_head(observed)):
            outside = await self._holders.clusters_outside(self._namespace)
        holders: tuple[Holder, ...] = ()
        rivals = replace(observed, rivals=(*self._sharers(cluster), *outside))
        if identity := wants_holders(rivals, self._settings):
            holders = await self._holders.of(identity)
        # The caches once more: they may know of somebody by now.
        return replace(observed, rivals=(*self._sharers(cluster), *outside), holders=holders)

    def _sharers(self, cluster: RayCluster) -> list[RayCluster]:
        texts = sorted(identities_of(cluster, self._settings) | storage_texts(cluster))
        found = (other for text in texts for other in self.clusters.cache.by_index(_BY_STORAGE, text))
        return list({other.key: other for other in found if other.metadata.uid != cluster.metadata.uid}.values())

    async def _act(self, cluster: RayCluster, plan: Plan) -> tuple["_Failed | None", Waiting | None]:
        """Carries the actions out, up to the first that fails or has to wait."""
        makes = next((action for action in plan.actions if isinstance(action, Create)), None)
        for action in plan.actions:
            try:
                if action is makes and await self._owners.is_gone(cluster):
                    return None, Waiting(_LATE_NEWS_SECONDS, "it is gone from the API; the cache has not heard")
                wait = await self._actor.act(cluster, action)
            except (StatusError, TransportError, Transient) as error:
                return _Failed(Failure(getattr(action, "failure", ""), str(error)), error), None
            if wait is not None:
                return None, wait
        return None, None

    async def _write_status(self, observed: Observed, plan: Plan, failed: "_Failed | None") -> float:
        """The observed version is the precondition: a status computed from old news must not overwrite newer.

        Returns for how many seconds a change that can wait was held back.
        """
        cluster, now = observed.cluster, self._now()
        status = next_status(observed, plan, failed.failure if failed else None, now)
        if not is_worth_writing(cluster.status, status):
            return 0.0
        if failed is None and (held := seconds_to_hold(cluster.status, status, now)):
            return held
        patch = {
            "metadata": {"resourceVersion": cluster.metadata.resource_version},
            "status": merge_patch(cluster.status, status),
        }
        try:
            await self._client.patch(RAYCLUSTERS, cluster.namespace, cluster.name, patch, subresource="status")
        except StatusError as error:
            if failed is None and not is_not_found(error):
                raise
            log.debug("RayCluster %s: status not written: %s", cluster.key, error)
        return 0.0

    def _result(self, key: ObjectKey, plan: Plan, wait: Waiting | None) -> Result:
        """A wait must not outlast a doubt, which nothing but time brings up again."""
        asked, reason = (wait.seconds, wait.reason) if wait is not None else (plan.requeue_after, plan.reason)
        times = [asked, self._expectations.next_expiry(key, _monotonic())]
        return Result(min((seconds for seconds in times if seconds is not None), default=None), reason)

    async def _settle_doubts(self, key: ObjectKey) -> None:
        """Compares cache and API for groups in which a creation neither showed up nor was refused.

        Raises Transient while the cache is behind; the key comes back with back-off.
        """
        self._expectations.unsettled(key, _monotonic())
        for group in self._expectations.doubtful(key):
            members = f"{NODE_TYPE}={WORKER},{GROUP_NAME}={group}" if group else f"{NODE_TYPE}={HEAD}"
            selector = f"{CLUSTER}={key.name},{members}"
            page = await self._client.list_page(PODS, key.namespace, label_selector=selector)
            held = len([pod for pod in self.pods.cache.by_index(BY_CLUSTER, str(key)) if group_of(pod) == group])
            if len(page.items) != held:
                raise Transient(f"the cache holds {held} Pods with {selector}, the API {len(page.items)}")
            self._expectations.settled(key, group)

    def _cluster_changed(self, old: RayCluster | None, new: RayCluster | None) -> None:
        if old is None or new is None or what_matters(old) != what_matters(new):
            for cluster in filter(None, (old, new)):
                self.controller.enqueue(cluster.key)
                for other in self._sharers(cluster):
                    self.controller.enqueue(other.key)

    def _pod_changed(self, old: Pod | None, new: Pod | None) -> None:
        for pod in (old, new):
            if pod is None:
                continue
            for key in cluster_keys(pod.metadata):
                if pod is new:
                    self._expectations.seen(key, group_of(pod), pod.metadata.name)
                elif new is None or new.metadata.uid != pod.metadata.uid:
                    self._expectations.gone(key, pod.metadata.uid)


class _Failed:
    def __init__(self, failure: Failure, cause: StatusError | TransportError | Transient) -> None:
        self.failure = failure
        self.cause = cause


def _monotonic() -> float:
    return asyncio.get_running_loop().time()
