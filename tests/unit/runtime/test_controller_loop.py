import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from prometheus_client import CollectorRegistry
from tests.unit.runtime.scripted import SILENCE, ScriptedClient, event, page, pod

from headstay.model.errors import StatusError
from headstay.model.meta import Pod
from headstay.model.resource import PODS
from headstay.runtime.backoff import Backoff
from headstay.runtime.client import TransportError
from headstay.runtime.controller import Controller, ReconcileFilter, Result, current_reconcile
from headstay.runtime.errors import Bug, Conflict, Terminal, Transient, classify
from headstay.runtime.metrics import Metrics
from headstay.runtime.reflector import Reflector

pytestmark = pytest.mark.looptime

SECOND = Backoff(base=1, cap=4, jitter=0)


class Recorder:
    """Answers each reconcile with the next outcome, then with success."""

    def __init__(self, *outcomes: Result | Exception) -> None:
        self.outcomes = list(outcomes)
        self.calls: list[tuple[str, float]] = []

    async def __call__(self, key: str) -> Result:
        self.calls.append((key, asyncio.get_running_loop().time()))
        outcome = self.outcomes.pop(0) if self.outcomes else Result()
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    @property
    def times(self) -> list[float]:
        return [round(when - self.calls[0][1], 3) for _, when in self.calls]


@asynccontextmanager
async def running(
    reconcile: Callable[[str], Awaitable[Result]], metrics: Metrics | None = None
) -> AsyncIterator[Controller[str]]:
    controller: Controller[str] = Controller("test", reconcile, backoff=SECOND, deadline=10, metrics=metrics)
    task = asyncio.create_task(controller.run())
    yield controller
    assert not task.done(), "the loop must outlive whatever a reconcile does"
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_requeue_after_brings_the_key_back_then() -> None:
    reconcile = Recorder(Result(requeue_after=7, reason="waiting for the head"))
    async with running(reconcile) as controller:
        controller.enqueue("a")
        await asyncio.sleep(60)
    assert reconcile.times == [0, 7]


async def test_a_transient_failure_is_retried_with_growing_delays() -> None:
    reconcile = Recorder(*[TransportError("refused")] * 4)
    async with running(reconcile) as controller:
        controller.enqueue("a")
        await asyncio.sleep(60)
    assert reconcile.times == [0, 1, 3, 7, 11]


async def test_success_resets_the_back_off() -> None:
    reconcile = Recorder(TransportError("x"), TransportError("x"), Result(requeue_after=1), TransportError("x"))
    async with running(reconcile) as controller:
        controller.enqueue("a")
        await asyncio.sleep(60)
    assert reconcile.times == [0, 1, 3, 4, 5]


async def test_a_conflict_is_retried_at_once_but_not_for_ever() -> None:
    reconcile = Recorder(*[StatusError(409, "Conflict", "the object has been modified")] * 5)
    async with running(reconcile) as controller:
        controller.enqueue("a")
        await asyncio.sleep(0.5)
        at_once = len(reconcile.calls)
        await asyncio.sleep(60)
    assert at_once == 4


async def test_a_terminal_failure_waits_for_a_change() -> None:
    reconcile = Recorder(Terminal("rayVersion is not a version"))
    async with running(reconcile) as controller:
        controller.enqueue("a")
        await asyncio.sleep(600)
        assert len(reconcile.calls) == 1
        controller.enqueue("a")
        await asyncio.sleep(1)
        assert len(reconcile.calls) == 2


async def test_a_bug_is_loud_and_retried_and_the_loop_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    reconcile = Recorder(ZeroDivisionError("oops"))
    async with running(reconcile) as controller:
        controller.enqueue("a")
        controller.enqueue("b")
        await asyncio.sleep(10)
    assert [key for key, _ in reconcile.calls] == ["a", "b", "a"]
    assert "a bug of ours" in caplog.text
    assert "ZeroDivisionError: oops" in caplog.text
    assert "reconcileID" in caplog.text


async def test_a_reconcile_that_hangs_is_ended_at_its_deadline_and_retried() -> None:
    calls: list[float] = []

    async def hang(_: str) -> Result:
        calls.append(asyncio.get_running_loop().time())
        await asyncio.Event().wait()
        return Result()

    async with running(hang) as controller:
        controller.enqueue("a")
        await asyncio.sleep(15)
    assert calls[1] - calls[0] == pytest.approx(11)


async def test_every_record_within_a_reconcile_carries_its_id() -> None:
    ids: list[str] = []

    async def reconcile(_: str) -> Result:
        record = logging.LogRecord("x", logging.INFO, "x.py", 1, "text", (), None)
        ReconcileFilter().filter(record)
        ids.append(record.reconcile_id)  # type: ignore[attr-defined]
        return Result()

    async with running(reconcile) as controller:
        controller.enqueue("a")
        controller.enqueue("b")
        await asyncio.sleep(1)
    assert len(set(ids)) == 2
    assert all(len(found) == 12 for found in ids)
    assert current_reconcile.get() == ""


async def test_nothing_is_reconciled_before_every_cache_holds_its_first_list(caplog: pytest.LogCaptureFixture) -> None:
    client = ScriptedClient([TransportError("down"), TransportError("down"), page(1, pod("a", 1))], [[SILENCE]])
    reflector = Reflector(client, PODS, Pod, draw=lambda: 0.0)
    reconcile = Recorder()
    controller: Controller[str] = Controller("test", reconcile)
    controller.watches(reflector, lambda item: [item.metadata.name])
    controller.enqueue("early")
    tasks = [asyncio.create_task(controller.run())]
    await asyncio.sleep(31)
    assert reconcile.calls == []
    assert "test still waits for the first list of pods" in caplog.text
    tasks.append(asyncio.create_task(reflector.run()))
    await asyncio.sleep(10)
    assert [key for key, _ in reconcile.calls] == ["early", "a"]
    for task in tasks:
        task.cancel()


async def test_a_change_enqueues_the_keys_of_the_old_and_the_new_state() -> None:
    moved = event("MODIFIED", pod("a", 2, owner="new"))
    reflector = Reflector(ScriptedClient([page(1, pod("a", 1, owner="old"))], [[1.0, moved, SILENCE]]), PODS, Pod)
    reconcile = Recorder()
    controller: Controller[str] = Controller("test", reconcile)
    controller.watches(reflector, lambda item: [item.metadata.labels["owner"]])
    tasks = [asyncio.create_task(part.run()) for part in (reflector, controller)]
    await asyncio.sleep(5)
    for task in tasks:
        task.cancel()
    assert [key for key, _ in reconcile.calls] == ["old", "old", "new"]


async def test_outcomes_are_counted_under_controller_runtime_s_names() -> None:
    registry = CollectorRegistry()
    reconcile = Recorder(Terminal("no"), Result(requeue_after=100), TransportError("x"))
    async with running(reconcile, Metrics(registry)) as controller:

        def total(result: str) -> float | None:
            labels = {"controller": "test", "result": result}
            return registry.get_sample_value("controller_runtime_reconcile_total", labels)

        assert [total(result) for result in ("success", "error", "requeue", "requeue_after")] == [0, 0, 0, 0]
        for key in "abcd":
            controller.enqueue(key)
        await asyncio.sleep(0.5)
        assert [total(result) for result in ("success", "error", "requeue", "requeue_after")] == [1, 2, 0, 1]
        queue = {"name": "test", "controller": "test"}
        assert registry.get_sample_value("workqueue_adds_total", queue) == 4
        assert registry.get_sample_value("workqueue_depth", queue) == 0
        assert registry.get_sample_value("workqueue_retries_total", queue) == 1
        assert registry.get_sample_value("workqueue_unfinished_work_seconds", queue) == 0


async def test_failures_are_filed_under_four_kinds() -> None:
    assert classify(StatusError(409, "Conflict", "")) is Conflict
    assert classify(StatusError(409, "AlreadyExists", "")) is Conflict
    assert classify(StatusError(500, "InternalError", "")) is Transient
    assert classify(StatusError(403, "Forbidden", "")) is Transient
    assert classify(TransportError("")) is Transient
    assert classify(TimeoutError()) is Transient
    assert classify(Terminal("")) is Terminal
    assert classify(KeyError("x")) is Bug
