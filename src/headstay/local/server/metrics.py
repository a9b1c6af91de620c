"""`/metrics` of the API server: few figures, under the names that a real one has for them where it has them."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, ProcessCollector, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from headstay.local.server.rest import Api


class Metrics:
    def __init__(self, api: Api) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "apiserver_request",
            "Answered requests, by verb, resource and HTTP code; a watch counts when it ends",
            ("verb", "resource", "code"),
            registry=self._registry,
        )
        self._registry.register(_State(api))
        ProcessCollector(registry=self._registry)

    def request(self, verb: str, resource: str, code: int) -> None:
        self._requests.labels(verb, resource, str(code)).inc()

    def render(self) -> bytes:
        return generate_latest(self._registry)


class _State(Collector):
    """Read when asked, so that nothing is counted on the way of a write."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def collect(self) -> Iterator[Metric]:
        store = self._api.store
        objects = GaugeMetricFamily("apiserver_storage_objects", "Stored objects", labels=["resource"])
        for table in store.tables():
            objects.add_metric([table], store.count(table))
        yield objects
        watchers = self._api.broadcaster.count()
        yield GaugeMetricFamily("apiserver_registered_watchers", "Watches being served", value=watchers)
        yield GaugeMetricFamily("headstay_store_revision", "The newest resourceVersion", value=store.revision)
        yield GaugeMetricFamily("headstay_store_floor", "The oldest resourceVersion kept", value=store.floor)
