import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.unit.runtime.scripted import SILENCE, ScriptedClient, page

from headstay.model.errors import StatusError
from headstay.model.objects import Obj
from headstay.model.resource import EVENTS, Resource
from headstay.runtime.client import TransportError
from headstay.runtime.events import Bounds, EventRecorder, ObjectReference, reference_to_document

pytestmark = pytest.mark.looptime

CLUSTER = ObjectReference("ray.io/v1", "RayCluster", "default", "demo", "uid-1")


class Server(ScriptedClient):
    def __init__(self) -> None:
        super().__init__([page(1)], [[SILENCE]])
        self.events: dict[str, Obj] = {}
        self.writes = 0
        self.fail: list[Exception] = []

    def _fail(self) -> None:
        self.writes += 1
        if self.fail:
            raise self.fail.pop(0)

    async def create(self, resource: Resource, obj: Obj, **_: Any) -> Obj:
        assert resource == EVENTS
        self._fail()
        self.events[obj["metadata"]["name"]] = obj
        return obj

    async def patch(self, resource: Resource, namespace: str, name: str, patch: Any, **_: Any) -> Obj:
        self._fail()
        if name not in self.events:
            raise StatusError(404, "NotFound", "expired")
        self.events[name] |= patch
        return self.events[name]

    @property
    def only(self) -> Obj:
        (found,) = self.events.values()
        return found


@asynccontextmanager
async def recording(server: Server, bounds: Bounds | None = None) -> AsyncIterator[EventRecorder]:
    def now() -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=asyncio.get_running_loop().time())

    recorder = EventRecorder(server, "headstay", instance="headstay-0", bounds=bounds, now=now)
    task = asyncio.create_task(recorder.run())
    yield recorder
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_an_event_says_who_what_why_and_when() -> None:
    server = Server()
    async with recording(server) as recorder:
        recorder.event(CLUSTER, "Normal", "CreatedHeadPod", "Create", "Created head Pod demo-head")
        await asyncio.sleep(1)
    event = server.only
    assert event["metadata"]["namespace"] == "default"
    assert event["metadata"]["name"].startswith("demo.")
    assert event["regarding"] == {
        "apiVersion": "ray.io/v1",
        "kind": "RayCluster",
        "namespace": "default",
        "name": "demo",
        "uid": "uid-1",
    }
    said = {name: event[name] for name in ("type", "reason", "action", "note", "reportingController", "eventTime")}
    assert said == {
        "type": "Normal",
        "reason": "CreatedHeadPod",
        "action": "Create",
        "note": "Created head Pod demo-head",
        "reportingController": "headstay",
        "eventTime": "2026-01-01T00:00:00.000000Z",
    }
    assert event["reportingInstance"] == "headstay-0"
    assert "series" not in event


async def test_the_same_again_is_one_event_with_a_count_written_now_and_then() -> None:
    server = Server()
    async with recording(server) as recorder:
        for _ in range(100):
            recorder.event(CLUSTER, "Warning", "FailedMount", "Mount", "no such secret")
            await asyncio.sleep(1)
        await asyncio.sleep(11)
    assert server.only["series"]["count"] == 100
    assert server.writes <= 12


async def test_the_same_after_a_long_silence_is_a_new_event() -> None:
    server = Server()
    async with recording(server) as recorder:
        recorder.event(CLUSTER, "Normal", "Started", "Start", "x")
        await asyncio.sleep(400)
        recorder.event(CLUSTER, "Normal", "Started", "Start", "x")
        await asyncio.sleep(1)
    assert len(server.events) == 2


async def test_a_flood_about_one_object_is_held_back_and_others_are_still_heard() -> None:
    server = Server()
    async with recording(server) as recorder:
        for number in range(200):
            recorder.event(CLUSTER, "Warning", "Odd", "Look", f"number {number}")
        recorder.event(CLUSTER._replace(name="other", uid="uid-2"), "Normal", "Fine", "Look", "fine")
        await asyncio.sleep(1)
        assert len(server.events) == 26
        await asyncio.sleep(600)
        for number in range(200):
            recorder.event(CLUSTER, "Warning", "Odd", "Look", f"later {number}")
        await asyncio.sleep(1)
    assert 26 + 9 <= len(server.events) <= 26 + 11


async def test_a_server_that_is_away_for_a_moment_gets_the_event_later() -> None:
    server = Server()
    server.fail = [TransportError("down"), StatusError(503, "ServiceUnavailable", "down")]
    async with recording(server) as recorder:
        recorder.event(CLUSTER, "Normal", "Started", "Start", "x")
        await asyncio.sleep(10)
    assert len(server.events) == 1


async def test_a_refused_event_is_dropped_with_a_word_and_the_next_one_is_written(
    caplog: pytest.LogCaptureFixture,
) -> None:
    server = Server()
    server.fail = [StatusError(403, "Forbidden", "namespace is being terminated")]
    async with recording(server) as recorder:
        recorder.event(CLUSTER, "Normal", "One", "Do", "x")
        recorder.event(CLUSTER, "Normal", "Two", "Do", "x")
        await asyncio.sleep(1)
    assert [event["reason"] for event in server.events.values()] == ["Two"]
    assert "an event is refused: One" in caplog.text


async def test_a_series_whose_event_has_expired_on_the_server_is_said_anew() -> None:
    server = Server()
    async with recording(server) as recorder:
        recorder.event(CLUSTER, "Normal", "Again", "Do", "x")
        await asyncio.sleep(1)
        server.events.clear()
        recorder.event(CLUSTER, "Normal", "Again", "Do", "x")
        await asyncio.sleep(20)
    assert server.only["series"]["count"] == 2


async def test_recording_never_waits_and_a_full_queue_drops(caplog: pytest.LogCaptureFixture) -> None:
    server = Server()
    recorder = EventRecorder(server, "headstay", bounds=Bounds(queue=2, burst=100))
    for number in range(5):
        recorder.event(CLUSTER, "Normal", "Flood", "Do", f"{number}")
    assert caplog.text.count("an event is dropped") == 3


async def test_what_a_thousand_clusters_say_at_once_is_written_though_less_of_it_is_remembered() -> None:
    server = Server()
    async with recording(server, Bounds(remembered=100)) as recorder:
        for number in range(1000):
            about = CLUSTER._replace(name=f"c{number}", uid=f"u{number}")
            for said in range(11):
                recorder.event(about, "Normal", "CreatedWorkerPod", "Create", f"Created worker Pod {said}")
        assert await recorder.flush(60)
    assert len(server.events) == 11000


async def test_flush_waits_until_everything_is_written_or_says_that_it_is_not() -> None:
    server = Server()
    async with recording(server) as recorder:
        recorder.event(CLUSTER, "Normal", "Last", "Do", "words")
        assert await recorder.flush()
        assert len(server.events) == 1
    recorder.event(CLUSTER, "Normal", "Later", "Do", "words")
    assert not await recorder.flush(timeout=1)


async def test_a_cluster_scoped_object_s_events_live_in_default_and_long_notes_are_cut() -> None:
    server = Server()
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "one", "uid": "u"}}
    async with recording(server) as recorder:
        recorder.event(reference_to_document(node), "Normal", "Ready", "Do", "x" * 2000)
        await asyncio.sleep(1)
    assert server.only["metadata"]["namespace"] == "default"
    assert len(server.only["note"]) == 1024
    assert "namespace" not in server.only["regarding"]
