"""/metrics of a running operator, read the way Prometheus reads it, and the page that lists it."""

import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from tests.sim.heads import Ear, SimHeads
from tests.unit.controllers.world import NAME, World, world

from headstay.controllers.heads import HeadListener
from headstay.controllers.metrics import CLEANUP_OUTCOMES, DEBT_STATES, OperatorMetrics
from headstay.controllers.raycluster import RayClusterController
from headstay.model.objects import Obj, ObjectKey
from headstay.model.resource import PODS
from headstay.model.timestamps import rfc3339
from headstay.plan.raycluster.settings import Settings
from headstay.runtime.metrics import Metrics
from headstay.runtime.serving import serving

pytestmark = pytest.mark.looptime

PAGE = Path(__file__).parents[3] / "docs" / "metrics.md"


class Counted(World):
    """Its operator's series outlive the operator, as a scraper's view of two processes would not."""

    def __init__(self) -> None:
        super().__init__(Settings())
        self.metrics = Metrics(CollectorRegistry())
        self.ours = OperatorMetrics(self.metrics.registry)
        self.heads: Callable[[Callable[[ObjectKey], None]], HeadListener] | None = None

    def operator(self) -> RayClusterController:
        return RayClusterController(
            self.client,
            self.events,
            self.settings,
            now=lambda: datetime.now(UTC),
            metrics=self.metrics,
            operator_metrics=self.ours,
            heads=self.heads,
        )

    async def scrape(self) -> dict[str, Metric]:
        async with serving(self.metrics.registry, host="127.0.0.1", port=0) as port, aiohttp.ClientSession() as session:
            answer = await session.get(f"http://127.0.0.1:{port}/metrics")
            return {family.name: family for family in text_string_to_metric_families(await answer.text())}

    async def value(self, family: str, sample: str = "", **labels: str) -> float | None:
        """None where no such sample is shown; `labels` may be a part of its labels."""
        found = [
            one.value
            for one in (await self.scrape())[family].samples
            if one.name == (sample or family) and labels.items() <= one.labels.items()
        ]
        assert len(found) <= 1, found
        return found[0] if found else None


@asynccontextmanager
async def counted() -> AsyncIterator[Counted]:
    async with world(of=Counted()) as found:
        assert isinstance(found, Counted)
        yield found


async def test_a_cluster_shows_in_kuberay_s_gauges_until_it_is_gone() -> None:
    async with counted() as w:
        await w.complete()
        await w.settle()
        who = {"name": NAME, "namespace": "default"}
        cluster = await w.cluster()
        assert cluster is not None
        assert await w.value("kuberay_cluster_info", **who, owner_kind="None", uid=cluster["metadata"]["uid"]) == 1
        assert await w.value("kuberay_cluster_condition_provisioned", **who, condition="true") == 1
        assert await w.value("kuberay_cluster_condition_provisioned", **who, condition="false") is None
        duration = await w.value("kuberay_cluster_provisioned_duration_seconds", **who)
        assert duration is not None
        assert duration >= 0
        await w.delete_cluster()
        await w.until(w.has_job)
        await w.end_job("Complete")
        await w.until(w.is_gone)
        await w.settle()
        for family in ("info", "condition_provisioned", "provisioned_duration_seconds"):
            assert (await w.scrape())[f"kuberay_cluster_{family}"].samples == []


async def test_a_cluster_that_is_not_complete_has_no_duration_yet() -> None:
    async with counted() as w:
        await w.apply_sample()
        await w.until(lambda: _at_least(w, 2))
        await w.settle()
        assert await w.value("kuberay_cluster_condition_provisioned", name=NAME, condition="false") == 1
        assert await w.value("kuberay_cluster_provisioned_duration_seconds", name=NAME) is None


async def test_a_restart_of_the_head_is_counted_once_also_by_the_next_operator() -> None:
    async with counted() as w:
        await w.complete()
        await w.settle()
        (head,) = await w.pods("head")
        await w.pod_status(head, **_head_status(ready=False, since="2026-01-02T03:00:02Z", restarts=0))
        await w.settle()
        recoveries = ("headstay_gcs_recoveries", "headstay_gcs_recoveries_total")
        assert await w.value(*recoveries, how="restarted") == 0
        await w.pod_status(head, **_head_status(ready=True, since="2026-01-02T03:00:27Z", restarts=1))
        await w.settle()
        assert await w.value(*recoveries, how="restarted") == 1
        assert await w.value(*recoveries, how="replaced") == 0
        seconds = "headstay_gcs_recovery_seconds"
        assert await w.value(seconds, f"{seconds}_sum", phase="total") == 25
        assert await w.value(seconds, f"{seconds}_count", phase="restart") == 1
        await w.stop()
        await w.start()
        await w.settle()
        assert await w.value(*recoveries, how="restarted") == 1


async def test_phases_that_end_later_are_counted_once_and_told_of_once_also_by_the_next_operator() -> None:
    async with counted() as w:
        later = lambda: datetime.now(UTC) + timedelta(minutes=5)
        heads = SimHeads(later)
        w.heads = lambda changed: Ear(heads, changed, lambda _: [("10.0.0.1", True), ("10.0.0.2", False)])
        await w.stop()
        await w.start()
        await w.complete()
        await w.settle()
        (head,) = await w.pods("head")
        lost = datetime.now(UTC) + timedelta(minutes=1)
        times = [rfc3339(lost + timedelta(seconds=seconds)) for seconds in (0, 2, 25)]
        await w.pod_status(head, **_head_status(ready=True, since=times[2], restarts=1, ended=times[0], ran=times[1]))
        await w.settle(30)
        seconds = "headstay_gcs_recovery_seconds"
        for _ in range(2):
            for phase in ("answered", "workers"):
                assert await w.value(seconds, f"{seconds}_count", phase=phase) == 1
            assert [reason for reason in w.events.reasons() if reason in {"GcsRecovered", "WorkersReturned"}] == [
                "GcsRecovered",
                "WorkersReturned",
            ]
            await w.stop()
            await w.start()
            await w.settle(30)


async def test_a_deleted_head_counts_as_replaced_when_its_successor_is_ready() -> None:
    async with counted() as w:
        await w.complete()
        await w.settle()
        (head,) = await w.pods("head")
        await w.user.delete(PODS, "default", head["metadata"]["name"], grace_period_seconds=0)
        await w.until(lambda: _another_head(w, head["metadata"]["uid"]))
        await w.settle()
        recoveries = ("headstay_gcs_recoveries", "headstay_gcs_recoveries_total")
        assert await w.value(*recoveries, how="replaced") == 0
        await w.run_pods()
        await w.settle()
        assert await w.value(*recoveries, how="replaced") == 1


async def test_the_loop_is_counted_under_controller_runtime_s_names() -> None:
    async with counted() as w:
        await w.complete()
        await w.settle()
        controller = {"controller": "raycluster-controller"}
        done = await w.value(
            "controller_runtime_reconcile", "controller_runtime_reconcile_total", **controller, result="success"
        )
        assert done is not None
        assert await w.value("controller_runtime_max_concurrent_reconciles", **controller) == 1
        assert await w.value("controller_runtime_active_workers", **controller) == 0
        assert await w.value("workqueue_depth", name="raycluster-controller") == 0
        assert (await w.value("workqueue_adds", "workqueue_adds_total", name="raycluster-controller") or 0) > 0


def test_every_outcome_and_state_is_shown_from_the_start_and_debts_that_are_paid_go_to_zero() -> None:
    registry = CollectorRegistry()
    metrics = OperatorMetrics(registry)
    for outcome in CLEANUP_OUTCOMES:
        assert registry.get_sample_value("headstay_gcs_ft_cleanups_total", {"outcome": outcome}) == 0
    metrics.cleaned("failed")
    assert registry.get_sample_value("headstay_gcs_ft_cleanups_total", {"outcome": "failed"}) == 1
    metrics.owed({"Unpayable": 2})
    assert registry.get_sample_value("headstay_gcs_ft_debts", {"state": "Unpayable"}) == 2
    metrics.owed({})
    for state in DEBT_STATES:
        assert registry.get_sample_value("headstay_gcs_ft_debts", {"state": state}) == 0


def test_the_page_lists_every_metric_with_its_type_and_labels() -> None:
    registry = Metrics(CollectorRegistry())
    OperatorMetrics(registry.registry)
    listed = set(re.findall(r"^\| `([a-z_]+)(?:\{([a-z_,]*)\})?` \| ([a-z]+) \|", PAGE.read_text(), re.MULTILINE))
    assert listed == {(name, labels, kind) for name, labels, kind in _registered(registry)}


def _registered(metrics: Metrics) -> set[tuple[str, str, str]]:
    """Name as it is scraped, labels in order, type; of collectors that make their samples at each scrape too."""
    found = set()
    for collector in metrics.registry._collector_to_names:
        for family in collector.collect():
            labels: tuple[str, ...] = getattr(collector, "_labelnames", ()) or getattr(family, "_labelnames", ())
            name = f"{family.name}_total" if family.type == "counter" else family.name
            found.add((name, ",".join(labels), family.type))
    return found


def _head_status(
    *,
    ready: bool,
    since: str,
    restarts: int,
    ended: str = "2026-01-02T03:00:05Z",
    ran: str = "2026-01-02T03:00:07Z",
) -> Obj:
    state = {"running": {"startedAt": ran if restarts else "2026-01-02T03:00:00Z"}}
    last = {"terminated": {"exitCode": 1, "finishedAt": ended}} if restarts else {}
    container = {"name": "ray-head", "ready": ready, "restartCount": restarts, "state": state, "lastState": last}
    condition = {"type": "Ready", "status": "True" if ready else "False", "lastTransitionTime": since}
    return {"phase": "Running", "conditions": [condition], "containerStatuses": [container]}


async def _at_least(w: World, count: int) -> bool:
    return len(await w.pods()) >= count


async def _another_head(w: World, uid: str) -> bool:
    return any(pod["metadata"]["uid"] != uid for pod in await w.pods("head"))
