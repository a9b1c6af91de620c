"""Prometheus metrics under controller-runtime's names, so that existing dashboards and alerts work.

Every label value is initialised to zero when a controller is made: a rate over a series that appears late is wrong.
"""

from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

RESULTS = ("success", "error", "requeue", "requeue_after")
_QUEUE_BUCKETS = tuple(10.0**exponent for exponent in range(-8, 4))
_RECONCILE_BUCKETS = (
    *(0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6, 0.7, 0.8, 0.9),
    *(1.0, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 15.0, 20.0),
    *(25.0, 30.0, 40.0, 50.0, 60.0),
)


class QueueMetrics:
    """The numbers of one work queue (a `queue.QueueObserver`)."""

    def __init__(self, metrics: "Metrics", name: str) -> None:
        self._depth = metrics.workqueue_depth.labels(name, name)
        self._adds = metrics.workqueue_adds.labels(name, name)
        self._retries = metrics.workqueue_retries.labels(name, name)
        self._queued = metrics.workqueue_queue_duration.labels(name, name)
        self._worked = metrics.workqueue_work_duration.labels(name, name)

    def depth(self, waiting: int) -> None:
        self._depth.set(waiting)

    def added(self) -> None:
        self._adds.inc()

    def retried(self) -> None:
        self._retries.inc()

    def started(self, waited_seconds: float) -> None:
        self._queued.observe(waited_seconds)

    def finished(self, worked_seconds: float) -> None:
        self._worked.observe(worked_seconds)


class ControllerMetrics:
    """The numbers of one controller."""

    def __init__(self, metrics: "Metrics", name: str, workers: int) -> None:
        self._results = {result: metrics.reconcile_total.labels(name, result) for result in RESULTS}
        self._time = metrics.reconcile_time.labels(name)
        self._errors = metrics.reconcile_errors.labels(name)
        self._terminal = metrics.terminal_errors.labels(name)
        self._panics = metrics.reconcile_panics.labels(name)
        self._timeouts = metrics.reconcile_timeouts.labels(name)
        self._active = metrics.active_workers.labels(name)
        metrics.max_concurrent.labels(name).set(workers)

    def began(self) -> None:
        self._active.inc()

    def ended(self, result: str, seconds: float) -> None:
        self._active.dec()
        self._results[result].inc()
        self._time.observe(seconds)
        if result == "error":
            self._errors.inc()

    def terminal(self) -> None:
        self._terminal.inc()

    def panicked(self) -> None:
        self._panics.inc()

    def timed_out(self) -> None:
        self._timeouts.inc()


class Metrics:
    """All series of one process, in `registry`. Make one, and hand it to every controller and client."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(name, text, labels, registry=registry)

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(name, text, labels, registry=registry)

        queue = ("name", "controller")
        prefix = "controller_runtime_"
        self.workqueue_depth = gauge("workqueue_depth", "Keys that wait for a worker", *queue)
        self.workqueue_adds = counter("workqueue_adds_total", "Keys added", *queue)
        self.workqueue_retries = counter("workqueue_retries_total", "Keys added again after a failure", *queue)
        self.workqueue_queue_duration = Histogram(
            "workqueue_queue_duration_seconds", "From added to begun", queue, registry=registry, buckets=_QUEUE_BUCKETS
        )
        self.workqueue_work_duration = Histogram(
            "workqueue_work_duration_seconds", "From begun to done", queue, registry=registry, buckets=_QUEUE_BUCKETS
        )
        self.reconcile_total = counter(f"{prefix}reconcile_total", "Reconciles", "controller", "result")
        self.reconcile_errors = counter(f"{prefix}reconcile_errors_total", "Failed reconciles", "controller")
        self.terminal_errors = counter(f"{prefix}terminal_reconcile_errors_total", "Failures final", "controller")
        self.reconcile_panics = counter(f"{prefix}reconcile_panics_total", "Reconciles that hit a bug", "controller")
        self.reconcile_timeouts = counter(f"{prefix}reconcile_timeouts_total", "Reconciles over time", "controller")
        self.max_concurrent = gauge(f"{prefix}max_concurrent_reconciles", "Workers", "controller")
        self.active_workers = gauge(f"{prefix}active_workers", "Workers at work", "controller")
        self.reconcile_time = Histogram(
            f"{prefix}reconcile_time_seconds",
            "Length of one reconcile",
            ("controller",),
            registry=registry,
            buckets=_RECONCILE_BUCKETS,
        )
        self.rest_client_requests = counter("rest_client_requests_total", "API requests", "code", "method", "host")
        self._running = _RunningWork()
        registry.register(self._running)

    def queue(self, name: str) -> QueueMetrics:
        return QueueMetrics(self, name)

    def controller(self, name: str, workers: int) -> ControllerMetrics:
        return ControllerMetrics(self, name, workers)

    def watch_queue(
        self, name: str, unfinished: Callable[[float], float], longest_running: Callable[[float], float]
    ) -> None:
        """Work in progress is asked of the queue when somebody scrapes, since it grows by itself."""
        self._running.queues[name] = (unfinished, longest_running)


class _RunningWork(Collector):
    def __init__(self) -> None:
        self.queues: dict[str, tuple[Callable[[float], float], Callable[[float], float]]] = {}

    def collect(self) -> Iterable[GaugeMetricFamily]:
        now = _loop_time()
        unfinished = GaugeMetricFamily(
            "workqueue_unfinished_work_seconds", "Work in progress, in seconds", labels=["name", "controller"]
        )
        longest = GaugeMetricFamily(
            "workqueue_longest_running_processor_seconds", "Oldest work in progress", labels=["name", "controller"]
        )
        for name, (unfinished_of, longest_of) in self.queues.items():
            unfinished.add_metric([name, name], unfinished_of(now))
            longest.add_metric([name, name], longest_of(now))
        return [unfinished, longest]


def _loop_time() -> float:
    """The clock of the queues; a scrape from outside the loop (prometheus_client's own server) gets the same one."""
    import asyncio
    import time

    try:
        return asyncio.get_running_loop().time()
    except RuntimeError:
        return time.monotonic()
