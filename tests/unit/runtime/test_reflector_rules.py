import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import pytest
from tests.unit.runtime.scripted import SILENCE, ScriptedClient, Step, bookmark, event, page, pod

from headstay.model.errors import Cause, StatusError
from headstay.model.meta import Pod
from headstay.model.resource import PODS
from headstay.runtime.client import Page, TransportError
from headstay.runtime.reflector import Reflector
from headstay.runtime.views import Document

pytestmark = pytest.mark.looptime

EXPIRED = StatusError(410, "Expired", "too old resource version")


class Running:
    def __init__(self, client: ScriptedClient, reflector: Reflector[Pod]) -> None:
        self.client = client
        self.reflector = reflector
        self.changes: list[str] = []
        reflector.on_change(self.note)

    def note(self, old: Pod | None, new: Pod | None) -> None:
        def short(item: Pod | None) -> str:
            return f"{item.metadata.name}@{item.metadata.resource_version}" if item else "-"

        self.changes.append(f"{short(old)} {short(new)}")

    @property
    def names(self) -> list[str]:
        return sorted(item.metadata.name for item in self.reflector.cache.list())


@asynccontextmanager
async def reflecting(client: ScriptedClient, seconds: float = 1.0) -> AsyncIterator[Running]:
    """A reflector that has run for `seconds` of virtual time."""
    running = Running(client, Reflector(client, PODS, Pod, draw=lambda: 0.5))
    task = asyncio.create_task(running.reflector.run())
    await asyncio.sleep(seconds)
    yield running
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_pages_are_joined_and_the_watch_starts_at_the_first_page_s_version() -> None:
    lists: list[Page | Exception] = [page(10, pod("a", 1), token="next"), page(10, pod("b", 2))]
    async with reflecting(ScriptedClient(lists, [[SILENCE]])) as running:
        assert running.names == ["a", "b"]
        assert running.client.listed == [{"limit": 500, "continue": ""}, {"limit": 500, "continue": "next"}]
        assert running.client.watched == ["10"]
        assert running.reflector.cache.synced.is_set()


async def test_the_cache_is_not_synced_before_the_last_page() -> None:
    lists: list[Page | Exception] = [page(10, pod("a", 1), token="next"), TransportError("gone")]
    async with reflecting(ScriptedClient(lists, [[SILENCE]])) as running:
        assert not running.reflector.cache.synced.is_set()
        assert running.names == []


async def test_events_change_the_cache_and_carry_old_and_new() -> None:
    stream: list[Step] = [event("ADDED", pod("b", 11)), event("MODIFIED", pod("a", 12)), event("DELETED", pod("b", 13))]
    async with reflecting(ScriptedClient([page(10, pod("a", 1))], [[*stream, SILENCE]])) as running:
        assert running.changes == ["- a@1", "- b@11", "a@1 a@12", "b@11 -"]
        assert running.names == ["a"]


async def test_an_expired_watch_is_listed_again_at_once_and_what_vanished_is_reported_deleted() -> None:
    client = ScriptedClient(
        [page(10, pod("a", 1), pod("b", 2)), page(20, pod("a", 1))], [[bookmark(11), EXPIRED], [SILENCE]]
    )
    async with reflecting(client) as running:
        assert running.changes == ["- a@1", "- b@2", "b@2 -"]
        assert client.watched == ["10", "20"]
        assert client.list_times[0] == pytest.approx(client.list_times[1])


async def test_the_same_name_with_a_new_uid_in_a_new_list_is_a_deletion_and_an_addition() -> None:
    client = ScriptedClient([page(10, pod("a", 1)), page(20, pod("a", 15, uid="other"))], [[EXPIRED], [SILENCE]])
    async with reflecting(client) as running:
        assert running.changes == ["- a@1", "a@1 -", "- a@15"]


async def test_the_same_name_with_a_new_uid_in_the_watch_is_a_deletion_and_an_addition() -> None:
    client = ScriptedClient([page(10, pod("a", 1))], [[event("MODIFIED", pod("a", 15, uid="other")), SILENCE]])
    async with reflecting(client) as running:
        assert running.changes == ["- a@1", "a@1 -", "- a@15"]


async def test_a_list_that_is_expired_for_ever_is_retried_with_growing_delays() -> None:
    client = ScriptedClient([page(1), EXPIRED], [[EXPIRED]])
    async with reflecting(client, 120):
        assert len(client.listed) < 12
        gaps = [later - earlier for earlier, later in zip(client.list_times, client.list_times[1:], strict=False)]
        assert gaps[-1] == pytest.approx(22.5)


async def test_an_expired_continue_token_leads_to_one_unpaged_list() -> None:
    client = ScriptedClient(
        [page(10, pod("a", 1), token="old"), EXPIRED, page(12, pod("a", 1), pod("b", 2))], [[SILENCE]]
    )
    async with reflecting(client, 5) as running:
        assert [call["limit"] for call in client.listed] == [500, 500, 0]
        assert running.names == ["a", "b"]


async def test_instant_closes_are_retried_slower_and_slower() -> None:
    client = ScriptedClient([page(10)], [[]])
    async with reflecting(client, 20):
        assert len(client.watched) < 8
        assert len(client.listed) == 1


async def test_bookmarks_without_progress_do_not_make_a_hot_loop() -> None:
    client = ScriptedClient([page(10)], [[bookmark(10)]])
    async with reflecting(client, 20):
        assert len(client.watched) < 8


async def test_the_back_off_starts_anew_after_two_quiet_minutes() -> None:
    healthy: list[Step] = [70.0, bookmark(20), 70.0, bookmark(30)]
    client = ScriptedClient([page(10)], [[], [], [], [], healthy, [], [SILENCE]])
    async with reflecting(client, 400):
        assert client.watch_times[6] - client.watch_times[5] == pytest.approx(1.2)


async def test_a_stream_that_lived_is_followed_by_another_at_once() -> None:
    client = ScriptedClient([page(10)], [[2.0, bookmark(15)], [SILENCE]])
    async with reflecting(client, 3):
        assert client.watched == ["10", "15"]
        assert client.watch_times[1] - client.watch_times[0] == pytest.approx(2)


async def test_a_silent_stream_is_dropped_after_75_seconds() -> None:
    client = ScriptedClient([page(10)], [[30.0, bookmark(12), SILENCE], [SILENCE]])
    async with reflecting(client, 110):
        assert client.watched == ["10", "12"]
        assert client.watch_times[1] - client.watch_times[0] == pytest.approx(105)
        assert client.closed == 1


async def test_versions_that_go_back_in_a_stream_mean_a_restored_store_and_a_new_list() -> None:
    client = ScriptedClient(
        [page(100, pod("a", 90), pod("b", 91)), page(50, pod("a", 40))],
        [[event("MODIFIED", pod("a", 41)), SILENCE], [SILENCE]],
    )
    async with reflecting(client) as running:
        assert running.names == ["a"]
        assert running.changes[-2:] == ["b@91 -", "a@90 a@40"]
        assert client.watched == ["100", "50"]


async def test_a_bookmark_that_goes_back_means_a_restored_store_too() -> None:
    client = ScriptedClient([page(100), page(50)], [[bookmark(49), SILENCE], [SILENCE]])
    async with reflecting(client):
        assert client.watched == ["100", "50"]


async def test_a_version_too_large_for_the_server_is_listed_again() -> None:
    ahead = StatusError(504, "Timeout", "Too large resource version", causes=(Cause("ResourceVersionTooLarge", ""),))
    client = ScriptedClient([page(100), page(50)], [[ahead], [SILENCE]])
    async with reflecting(client):
        assert client.watched == ["100", "50"]


async def test_watch_timeouts_are_drawn_between_five_and_ten_minutes() -> None:
    client = ScriptedClient([page(10)], [[SILENCE]])
    async with reflecting(client):
        assert client.timeouts == [450]


async def test_an_object_that_the_view_cannot_read_keeps_its_last_readable_state(
    caplog: pytest.LogCaptureFixture,
) -> None:
    odd = pod("a", 11)
    odd["spec"] = {"nodeName": 7}
    client = ScriptedClient([page(10, pod("a", 1)), page(12, odd)], [[event("MODIFIED", odd), EXPIRED], [SILENCE]])
    async with reflecting(client) as running:
        assert running.names == ["a"]
        assert running.changes == ["- a@1"]
        assert "does not fit Pod" in caplog.text


async def test_an_unreadable_object_is_still_taken_out_when_it_is_deleted() -> None:
    odd = pod("a", 11)
    odd["spec"] = {"nodeName": 7}
    async with reflecting(ScriptedClient([page(10, pod("a", 1))], [[event("DELETED", odd), SILENCE]])) as running:
        assert running.names == []


async def test_a_handler_that_fails_does_not_stop_the_others(caplog: pytest.LogCaptureFixture) -> None:
    client = ScriptedClient([page(10, pod("a", 1))], [[SILENCE]])
    reflector = Reflector(client, PODS, Pod)
    seen: list[str] = []

    def fail(_: Pod | None, __: Pod | None) -> None:
        raise ValueError("odd")

    def note(_: Pod | None, new: Pod | None) -> None:
        seen.append(new.metadata.name if new else "")

    reflector.on_change(fail)
    reflector.on_change(note)
    task = asyncio.create_task(reflector.run())
    await asyncio.sleep(1)
    task.cancel()
    assert seen == ["a"]
    assert "a handler of pods failed" in caplog.text


async def test_a_handler_added_late_hears_of_what_is_there() -> None:
    async with reflecting(ScriptedClient([page(10, pod("a", 1))], [[SILENCE]])) as running:
        seen: list[str] = []
        running.reflector.on_change(lambda _, new: seen.append(new.metadata.name if new else ""))
        assert seen == ["a"]


async def test_an_unchanged_object_in_a_new_list_is_no_change() -> None:
    client = ScriptedClient([page(10, pod("a", 1)), page(20, pod("a", 1))], [[EXPIRED], [SILENCE]])
    async with reflecting(client) as running:
        assert running.changes == ["- a@1"]


async def test_a_document_holds_everything_but_managed_fields() -> None:
    obj = pod("a", 1)
    obj["metadata"]["managedFields"] = [{"manager": "kubectl"}]
    obj["spec"] = {"unheardOf": {"x": [1, None]}}
    document = Document.from_json(msgspec.json.encode(obj))
    del obj["metadata"]["managedFields"]
    assert document.obj() == obj
    assert document.metadata.uid == "uid-a"
