"""The operator process: finds its cluster, becomes the leader, runs the controllers, ends cleanly on SIGTERM.

Exit codes: 0 after SIGTERM or SIGINT, 1 when leadership was lost or the cluster cannot be used, 2 for wrong usage or a
configuration file that cannot be used.
A process that loses leadership ends instead of waiting for it again: what it remembers is of another time.
"""

import argparse
import asyncio
import logging
import os
import signal
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from prometheus_client import CollectorRegistry

from headstay import __version__
from headstay.controllers.configuration import ConfigurationError, Reading, read_configuration
from headstay.controllers.debts import DebtController
from headstay.controllers.heads import Heads
from headstay.controllers.holders import StorageHolders
from headstay.controllers.keeper_bundle import keeper_bundle
from headstay.controllers.kuberay import KubeRayWatch
from headstay.controllers.logs import set_up_logs
from headstay.controllers.manifests import LEASE
from headstay.controllers.metrics import OperatorMetrics
from headstay.controllers.openshift import serves_routes
from headstay.controllers.raycluster import RayClusterController
from headstay.controllers.rayservice import RayServiceController
from headstay.controllers.recorder import ClusterEvents, ServiceEvents
from headstay.controllers.redis_access import RedisAccess
from headstay.controllers.storage_sampler import StorageSampler
from headstay.gcs.cleaning import cleaner_source
from headstay.gcs.dashboard import Dashboard, HttpDashboard
from headstay.model.objects import ObjectKey
from headstay.model.ray import RayCluster
from headstay.plan.raycluster.settings import Settings
from headstay.runtime.client import Client
from headstay.runtime.events import EventRecorder
from headstay.runtime.fencing import FencedClient
from headstay.runtime.garbage import settle_garbage_collector
from headstay.runtime.http import HttpClient
from headstay.runtime.kubeconfig import ClusterConfig, ConfigError, find_cluster_config
from headstay.runtime.lease import LeaderLease, LeadershipLostError, Timing
from headstay.runtime.metrics import Metrics
from headstay.runtime.serving import serving

log = logging.getLogger("headstay.operator")

# Twice client-go's: a machine that starts Ray is busy for seconds, and a leader that ends for that helps nobody.
_TIMING = Timing(duration=30, renew_deadline=20, retry_period=4, call=3.5)


@dataclass(frozen=True)
class Options:
    kubeconfig: Path | None
    context: str
    insecure: bool
    namespaces: tuple[str, ...]
    metrics_address: str
    leader_election: bool
    lease_namespace: str
    workers: int


def main(arguments: Sequence[str], environ: Mapping[str, str] = os.environ) -> int:
    parsed = _parser(environ).parse_args(arguments)
    set_up_logs(parsed.log_format, parsed.log_level)
    try:
        read = read_configuration(parsed.config) if parsed.config else Reading()
    except ConfigurationError as error:
        log.error("the operator cannot start: %s", error)  # noqa: TRY400 the text says it all
        return 2
    vars(parsed).update(read.configuration.flags())
    set_up_logs(parsed.log_format, parsed.log_level)
    if read.without_effect:
        log.warning("%s: without effect here: %s", parsed.config, ", ".join(read.without_effect))
    options = Options(
        kubeconfig=parsed.kubeconfig,
        context=parsed.context,
        insecure=parsed.allow_insecure,
        namespaces=tuple(filter(None, (name.strip() for name in parsed.watch_namespace.split(",")))),
        metrics_address=parsed.metrics_address,
        leader_election=parsed.leader_election,
        lease_namespace=parsed.leader_election_namespace,
        workers=parsed.reconcile_concurrency,
    )
    try:
        settings = read.configuration.on(Settings.from_environment(environ))
        settings = replace(settings, keeper=keeper_bundle(), cleaner_source=cleaner_source())
        config = find_cluster_config(options.kubeconfig, options.context, environ)
        settle_garbage_collector()
        return asyncio.run(_serve(options, settings, config, environ))
    except (ConfigError, ValueError, OSError) as error:
        log.error("the operator cannot start: %s", error)  # noqa: TRY400 the text says it all
        return 1


def _parser(environ: Mapping[str, str]) -> argparse.ArgumentParser:
    in_cluster = bool(environ.get("KUBERNETES_SERVICE_HOST"))
    parser = argparse.ArgumentParser(
        prog="headstay operator",
        description="Runs the Headstay operator for RayClusters and RayServices.",
        epilog="headstay operator release-finalizers --help: lets RayClusters go that no operator will clean up after.",
    )
    add = parser.add_argument
    add("--kubeconfig", type=Path, help="kubeconfig to use; by default the Pod's service account, else the user's own")
    add("--config", type=Path, help="configuration file (config.ray.io/v1alpha1); what it says wins over flags")
    add("--context", default="", help="context of the kubeconfig")
    add("--allow-insecure", action="store_true", help="accept a kubeconfig that switches certificate checks off")
    add("--watch-namespace", default="", help="comma-separated namespaces to act on; all when empty")
    add(
        "--metrics-address",
        default=":8080" if in_cluster else "",
        help="HOST:PORT that serves /metrics, /healthz and /readyz; empty for none (default in a cluster: :8080)",
    )
    add("--leader-election", action=argparse.BooleanOptionalAction, default=True, help="act only while holding a Lease")
    add("--leader-election-namespace", default="", help="namespace of the Lease; by default the operator's own")
    add(
        "--reconcile-concurrency",
        type=int,
        default=4,
        help="RayClusters worked on at the same time; as many RayServices",
    )
    add("--log-format", choices=["json", "text"], default="json" if in_cluster else "text")
    add("--log-level", choices=["debug", "info", "warning", "error"], default="info")
    add("--version", action="version", version=f"headstay {__version__}")
    return parser


async def _serve(options: Options, settings: Settings, config: ClusterConfig, environ: Mapping[str, str]) -> int:
    metrics = Metrics(CollectorRegistry())
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(HttpClient(config, allow_insecure=options.insecure, metrics=metrics))
        lease = _lease(options, config, client, environ) if options.leader_election else None
        debts = environ.get("POD_NAMESPACE") or options.lease_namespace or config.namespace
        dashboard = await stack.enter_async_context(HttpDashboard())
        operator = Operator(
            client,
            lease,
            settings,
            options,
            metrics,
            dashboard=dashboard,
            debt_namespace=debts,
            routes=None if settings.ingress_on_openshift else lambda: serves_routes(client.get_raw),
        )
        if options.metrics_address:
            host, port = _address(options.metrics_address)
            ready = {"caches": operator.why_not_ready}
            await stack.enter_async_context(serving(metrics.registry, host=host, port=port, ready=ready))
        log.info("headstay %s acts on %s of %s", __version__, _scope(options), config.server)
        return await _until_told(operator)


async def _until_told(operator: "Operator") -> int:
    """Runs until SIGTERM or SIGINT, then lets work in hand end; a second signal is not waited for."""
    loop = asyncio.get_running_loop()
    work = asyncio.create_task(operator.run(), name="operator")
    told: list[str] = []

    def tell(name: str) -> None:
        told.append(name)
        work.cancel()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, tell, number.name)
    try:
        await work
    except asyncio.CancelledError:
        if not told:
            raise
        log.info("%s: ended", told[0])
    except LeadershipLostError as error:
        log.error("%s; ending, so that a fresh process takes over", error)  # noqa: TRY400 the text says it all
        return 1
    return 0


class Operator:
    """All controllers of this process, under one Lease. `routes` tells whether the API serves OpenShift's Routes."""

    def __init__(
        self,
        client: Client,
        lease: LeaderLease | None,
        settings: Settings,
        options: Options,
        metrics: Metrics,
        *,
        dashboard: Dashboard,
        debt_namespace: str,
        routes: Callable[[], Awaitable[bool]] | None = None,
    ) -> None:
        self._lease = lease
        self._routes = routes
        self._events = EventRecorder(client, "raycluster-controller", instance=socket.gethostname())
        acting = FencedClient(client, lease) if lease else client
        recorder = ClusterEvents(self._events)
        operator_metrics = OperatorMetrics(metrics.registry)
        if lease is not None:
            operator_metrics.watch_lease(LEASE, lambda: lease.holds)
        namespaces = options.namespaces or ("",)
        holders = StorageHolders(acting, settings.cluster_domain, namespaces)
        self._kuberay: KubeRayWatch | None = None
        if not settings.ignore_kuberay:
            self._kuberay = KubeRayWatch(client, lambda: datetime.now(UTC), self._look_at_all, namespaces)
        self._controllers = [
            RayClusterController(
                acting,
                recorder,
                settings,
                now=lambda: datetime.now(UTC),
                namespace=namespace,
                workers=options.workers,
                metrics=metrics,
                operator_metrics=operator_metrics,
                debt_namespace=debt_namespace,
                holders=holders,
                beside=lambda: self._kuberay.beside if self._kuberay else "",
                heads=self._listener(operator_metrics),
                dashboard=dashboard,
            )
            for namespace in namespaces
        ]
        self._service_events = EventRecorder(client, "rayservice-controller", instance=socket.gethostname())
        services = [
            RayServiceController(
                acting,
                ServiceEvents(self._service_events),
                settings,
                now=lambda: datetime.now(UTC),
                clusters=clusters,
                dashboard=dashboard,
                namespace=namespace,
                workers=options.workers,
                metrics=metrics,
                operator_metrics=operator_metrics,
                book_namespace=debt_namespace,
                beside=lambda: self._kuberay.beside if self._kuberay else "",
            )
            for namespace, clusters in zip(namespaces, self._controllers, strict=True)
        ]
        self._all: list[RayClusterController | RayServiceController] = [*self._controllers, *services]
        self._debts = DebtController(
            acting,
            self._events,
            settings,
            namespace=debt_namespace,
            now=lambda: datetime.now(UTC),
            namespaces=namespaces,
            metrics=metrics,
            operator_metrics=operator_metrics,
            holders=holders,
        )

        self._sampler: StorageSampler | None = None
        if settings.redis_access:
            redis = RedisAccess(client, settings.cluster_domain)
            self._sampler = StorageSampler(redis, settings, self._clusters, operator_metrics.storage)

    @staticmethod
    def _listener(metrics: OperatorMetrics) -> Callable[[Callable[[ObjectKey], None]], Heads]:
        def listen(changed: Callable[[ObjectKey], None]) -> Heads:
            heads = Heads(changed)
            heads.on_change(lambda cluster: _sample(cluster, heads, metrics))
            return heads

        return listen

    async def run(self) -> None:
        recorders = (self._events, self._service_events)
        events = [asyncio.create_task(recorder.run(), name="events") for recorder in recorders]
        try:
            if self._lease is None:
                await self._lead()
            else:
                await self._lease.run(self._lead)
        finally:
            for task in events:
                task.cancel()
            await asyncio.wait(events)

    async def _lead(self) -> None:
        """Caches are filled only now: what a standby saw before it led could be older than the last leader's writes."""
        async with asyncio.TaskGroup() as group:
            if self._kuberay is not None:
                group.create_task(self._kuberay.run(), name="kuberay")
                # The first look ends or fails within its call's own bound, and is repeated: until then nothing is done.
                await self._kuberay.known.wait()
            if self._routes is not None and await self._routes():
                log.info("the API serves Routes: they are made instead of Ingresses")
                for clusters in self._controllers:
                    clusters.make_routes()
            for controller in self._all:
                group.create_task(controller.run())
            group.create_task(self._debts.run())
            if self._sampler is not None:
                group.create_task(self._sampler.run(), name="storage-sampler")

    def _clusters(self) -> list[RayCluster]:
        return [cluster for controller in self._controllers for cluster in controller.clusters.cache.list()]

    def _look_at_all(self) -> None:
        for controller in self._all:
            controller.look_at_all()

    def why_not_ready(self) -> str:
        """A standby is ready: it has nothing to do but wait."""
        if self._lease is not None and not self._lease.holds:
            return "" if self._lease.holder not in {"", self._lease.identity} else "not the leader yet"
        waiting = [name for controller in self._all for name in controller.unsynced()]
        return f"no first list yet of {', '.join(waiting)}" if waiting else ""


def _sample(cluster: ObjectKey, heads: Heads, metrics: OperatorMetrics) -> None:
    """What the keeper measured in passing; where there is none, the operator's own sampler may."""
    report = heads.report(cluster)
    storage = report.state.storage if report is not None and report.state is not None else None
    if storage is not None and storage.keys is not None and storage.bytes is not None:
        metrics.storage.sampled(cluster, storage.keys, storage.bytes)


def _lease(options: Options, config: ClusterConfig, client: Client, environ: Mapping[str, str]) -> LeaderLease:
    """A container that restarts in its Pod is the same candidate, and need not wait for its own lease to end."""
    pod, uid = environ.get("POD_NAME"), environ.get("POD_UID")
    identity = f"{pod}_{uid}" if pod and uid else f"{socket.gethostname()}_{uuid4()}"
    namespace = options.lease_namespace or environ.get("POD_NAMESPACE") or config.namespace
    return LeaderLease(client, namespace, LEASE, identity, timing=_TIMING)


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not port.isdecimal():
        raise ValueError(f"--metrics-address={text!r}: use HOST:PORT or :PORT")
    return host.strip("[]"), int(port)


def _scope(options: Options) -> str:
    return f"namespaces {', '.join(options.namespaces)}" if options.namespaces else "all namespaces"
