"""How much each cluster keeps in Redis, as far as somebody measured it: the operator, or the keeper of a head."""

from collections.abc import Iterable
from typing import NamedTuple

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from headstay.model.objects import ObjectKey


class _Size(NamedTuple):
    keys: int
    bytes: int


class StorageMetrics(Collector):
    def __init__(self, registry: CollectorRegistry) -> None:
        self._sizes: dict[ObjectKey, _Size] = {}
        registry.register(self)

    def sampled(self, cluster: ObjectKey, keys: int, bytes: int) -> None:  # noqa: A002 what it is called in Redis
        self._sizes[cluster] = _Size(keys, bytes)

    def forget(self, cluster: ObjectKey) -> None:
        """It is gone, or nobody can tell any more: no figure is better than an old one."""
        self._sizes.pop(cluster, None)

    def collect(self) -> Iterable[GaugeMetricFamily]:
        labels = ["namespace", "name"]
        size = GaugeMetricFamily(
            "headstay_gcs_storage_bytes", "Memory that the RayCluster's keys take in Redis", labels=labels
        )
        keys = GaugeMetricFamily("headstay_gcs_storage_keys", "Keys that the RayCluster has in Redis", labels=labels)
        for cluster, found in sorted(self._sizes.items()):
            who = [cluster.namespace, cluster.name]
            size.add_metric(who, found.bytes)
            keys.add_metric(who, found.keys)
        return [size, keys]
