"""The operator's own series: KubeRay's gauges about clusters, and what happens to GCS fault tolerance.

The gauges are computed from the caches when somebody scrapes, so they are right after a restart and go with their
cluster. Caches are filled by the leader alone: a standby shows none of them, and its counters stay at zero.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from headstay.controllers.storage_metrics import StorageMetrics
from headstay.model.ray import ORIGINATED_FROM_CRD, RayCluster
from headstay.model.rayservice import READY, UPGRADE_IN_PROGRESS, RayService
from headstay.model.timestamps import parse
from headstay.plan.raycluster.plan import Recovery
from headstay.plan.raycluster.recoveries import HOWS, PHASES

CLEANUP_OUTCOMES: Final = ("succeeded", "failed", "timed_out", "skipped", "retained")
DEBT_STATES: Final = ("Pending", "Unpayable")

_RECOVERY_BUCKETS = (
    0.1,
    0.25,
    0.5,
    1.0,
    2.0,
    5.0,
    10.0,
    15.0,
    20.0,
    30.0,
    45.0,
    60.0,
    90.0,
    120.0,
    300.0,
    600.0,
    1800.0,
)


class OperatorMetrics:
    """All controllers of a process share one. Every label value is there from the start, at zero."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._clusters = _Clusters()
        self._services = _Services()
        registry.register(self._clusters)
        registry.register(self._services)
        self.storage = StorageMetrics(registry)
        ProcessCollector(registry=registry)
        self._leader = Gauge(
            "leader_election_master_status", "Whether this process holds the Lease", ["name"], registry=registry
        )
        self._cleanups = Counter(
            "headstay_gcs_ft_cleanups_total",
            "Redis cleanups of deleted RayClusters that ended",
            ["outcome"],
            registry=registry,
        )
        self._debts = Gauge(
            "headstay_gcs_ft_debts",
            "Storage namespaces whose RayCluster is gone and whose keys may remain in Redis",
            ["state"],
            registry=registry,
        )
        self._recoveries = Counter(
            "headstay_gcs_recoveries_total",
            "Heads of clusters with GCS fault tolerance that became Ready again after a failure",
            ["how"],
            registry=registry,
        )
        self._seconds = Histogram(
            "headstay_gcs_recovery_seconds",
            "Length of the phases of a recovery, and of the whole",
            ["phase"],
            registry=registry,
            buckets=_RECOVERY_BUCKETS,
        )
        for outcome in CLEANUP_OUTCOMES:
            self._cleanups.labels(outcome)
        for state in DEBT_STATES:
            self._debts.labels(state)
        for how in HOWS:
            self._recoveries.labels(how)
        for phase in PHASES:
            self._seconds.labels(phase)

    def watch_clusters(self, clusters: Callable[[], Iterable[RayCluster]]) -> None:
        """Asked at each scrape for what a cache holds."""
        self._clusters.sources.append(clusters)

    def watch_services(self, services: Callable[[], Iterable[RayService]]) -> None:
        """As `watch_clusters`, for RayServices."""
        self._services.sources.append(services)

    def watch_lease(self, name: str, holds: Callable[[], bool]) -> None:
        self._leader.labels(name).set_function(lambda: float(holds()))

    def cleaned(self, outcome: str) -> None:
        """A cleanup ended: `outcome` is one of CLEANUP_OUTCOMES."""
        self._cleanups.labels(outcome).inc()

    def owed(self, debts: Mapping[str, int]) -> None:
        """How many debts there are now, by state; a state that is not named has none."""
        for state in {*DEBT_STATES, *debts}:
            self._debts.labels(state).set(debts.get(state, 0))

    def recovered(self, recovery: Recovery) -> None:
        self._recoveries.labels(recovery.how).inc()
        for phase, seconds in recovery.seconds.items():
            self.phase_ended(phase, seconds)

    def phase_ended(self, phase: str, seconds: float) -> None:
        """`phase` is one of PHASES."""
        self._seconds.labels(phase).observe(seconds)


class _Clusters(Collector):
    def __init__(self) -> None:
        self.sources: list[Callable[[], Iterable[RayCluster]]] = []

    def collect(self) -> Iterable[GaugeMetricFamily]:
        labels = ["name", "namespace", "uid"]
        provisioned_in = GaugeMetricFamily(
            "kuberay_cluster_provisioned_duration_seconds",
            "From the creation of a RayCluster until all its Pods were first ready",
            labels=labels,
        )
        info = GaugeMetricFamily("kuberay_cluster_info", "RayClusters there are", labels=[*labels, "owner_kind"])
        provisioned = GaugeMetricFamily(
            "kuberay_cluster_condition_provisioned",
            "Whether all Pods of the RayCluster have been ready at least once",
            labels=[*labels, "condition"],
        )
        for clusters in self.sources:
            for cluster in clusters():
                metadata = cluster.metadata
                who = [metadata.name, metadata.namespace, metadata.uid]
                info.add_metric([*who, metadata.labels.get(ORIGINATED_FROM_CRD) or "None"], 1)
                done = cluster.is_true("RayClusterProvisioned")
                provisioned.add_metric([*who, "true" if done else "false"], 1)
                if (seconds := _provisioned_after(cluster)) is not None:
                    provisioned_in.add_metric(who, seconds)
        return [provisioned_in, info, provisioned]


class _Services(Collector):
    def __init__(self) -> None:
        self.sources: list[Callable[[], Iterable[RayService]]] = []

    def collect(self) -> Iterable[GaugeMetricFamily]:
        labels = ["name", "namespace", "uid"]
        info = GaugeMetricFamily("kuberay_service_info", "RayServices there are", labels=labels)
        ready = GaugeMetricFamily(
            "kuberay_service_condition_ready", "Whether the RayService is Ready", labels=[*labels, "condition"]
        )
        upgrading = GaugeMetricFamily(
            "kuberay_service_condition_upgrade_in_progress",
            "Whether a RayCluster is being prepared beside the one that serves",
            labels=[*labels, "condition"],
        )
        for services in self.sources:
            for service in services():
                metadata = service.metadata
                who = [metadata.name, metadata.namespace, metadata.uid]
                info.add_metric(who, 1)
                ready.add_metric([*who, str(service.is_true(READY)).lower()], 1)
                upgrading.add_metric([*who, str(service.is_true(UPGRADE_IN_PROGRESS)).lower()], 1)
        return [info, ready, upgrading]


def _provisioned_after(cluster: RayCluster) -> float | None:
    condition = cluster.condition("RayClusterProvisioned")
    created = cluster.metadata.creation_timestamp
    if condition is None or condition.status != "True" or not condition.last_transition_time or not created:
        return None
    return (parse(condition.last_transition_time) - parse(created)).total_seconds()
