"""The reflector against a server that does everything wrong; object b is deleted while nobody can see it."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from tests.wire.badserver import (
    CUT,
    EXPIRED_EVENT,
    SILENT,
    Answer,
    BadServer,
    Request,
    bad_server,
    bookmark,
    event,
    hang,
    pod,
    pods,
    reply,
    slam,
    status,
    stream,
)

from headstay.model.meta import Pod
from headstay.model.resource import PODS
from headstay.runtime.backoff import Backoff
from headstay.runtime.credentials import CredentialSource, TokenFile
from headstay.runtime.http import Bounds as HttpBounds
from headstay.runtime.http import HttpClient
from headstay.runtime.kubeconfig import ClusterConfig
from headstay.runtime.reflector import Bounds, Reflector

FAST = Bounds(idle_timeout=0.4, list_timeout=1.0, instant=0.2, backoff=Backoff(base=0.1, cap=0.8, jitter=0.5))
QUIET = stream(SILENT)
BOTH = pods(10, pod("a", 1), pod("b", 2))
WITHOUT_B = pods(20, pod("a", 1))


class Watching:
    def __init__(self, server: BadServer, reflector: Reflector[Pod]) -> None:
        self.server = server
        self.reflector = reflector
        self.deleted: list[str] = []
        reflector.on_change(lambda old, new: self.deleted.append(old.metadata.name) if old and not new else None)

    @property
    def names(self) -> list[str]:
        return sorted(item.metadata.name for item in self.reflector.cache.list())

    async def until(self, condition: Callable[[], bool], timeout: float = 5.0) -> None:
        async with asyncio.timeout(timeout):
            while not condition():
                await asyncio.sleep(0.01)

    async def until_names(self, *names: str) -> None:
        await self.until(lambda: self.names == list(names))


@asynccontextmanager
async def watching(
    lists: list[Answer], watches: list[Answer], credentials: CredentialSource | None = None
) -> AsyncIterator[Watching]:
    async with bad_server(lists=lists, watches=watches) as server, AsyncExitStack() as stack:
        config = ClusterConfig(server.url)
        if credentials is not None:
            config = replace(config, credentials=credentials)
        client = await stack.enter_async_context(HttpClient(config, bounds=HttpBounds(call=1.0)))
        running = Watching(server, Reflector(client, PODS, Pod, bounds=FAST))
        task = asyncio.create_task(running.reflector.run())
        try:
            yield running
            assert not task.done(), "a reflector never gives up"
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize(
    "ending",
    [
        pytest.param(stream(bookmark(11), EXPIRED_EVENT), id="410 as an event"),
        pytest.param(status(410, "Expired"), id="410 as the answer"),
        pytest.param(reply(b"gone", 410), id="410 without a Status"),
        pytest.param(stream(event("ADDED", pod("c", 5))), id="versions that go back"),
        pytest.param(stream(bookmark(3), SILENT), id="a bookmark that goes back"),
    ],
)
async def test_what_was_deleted_while_blind_is_reported_after_a_new_list(ending: Answer) -> None:
    async with watching([BOTH, WITHOUT_B], [ending, QUIET]) as running:
        await running.until(lambda: running.deleted == ["b"])
        assert running.names == ["a"]
        await running.until(lambda: len(running.server.seen("watch")) == 2)
        assert running.server.seen("watch")[1].query["resourceVersion"] == "20"


async def test_an_expired_continue_token_leads_to_one_list_without_pages() -> None:
    lists = [pods(10, pod("a", 1), token="t"), status(410, "Expired"), BOTH]
    async with watching(lists, [QUIET]) as running:
        await running.until_names("a", "b")
        assert [request.query.get("limit") for request in running.server.seen("list")] == ["500", "500", None]


async def test_a_half_open_connection_is_given_up_and_watched_again_where_it_stopped() -> None:
    watches = [stream(event("ADDED", pod("c", 11)), SILENT), stream(event("DELETED", pod("b", 12)), SILENT)]
    async with watching([BOTH], watches) as running:
        await running.until_names("a", "c")
        assert [request.query["resourceVersion"] for request in running.server.seen("watch")][:2] == ["10", "11"]
        assert len(running.server.seen("list")) == 1


async def test_a_watch_that_never_answers_is_given_up() -> None:
    async with watching([BOTH], [hang, stream(event("DELETED", pod("b", 12)), SILENT)]) as running:
        await running.until_names("a")


async def test_a_list_that_never_answers_is_given_up() -> None:
    async with watching([hang, BOTH], [QUIET]) as running:
        await running.until_names("a", "b")


@pytest.mark.parametrize(
    "cut",
    [
        pytest.param(stream(event("ADDED", pod("c", 11)), b'{"type":"ADDED","obj', CUT), id="reset within a line"),
        pytest.param(stream(event("ADDED", pod("c", 11)), b'{"type":"ADDED","obj'), id="ended within a line"),
        pytest.param(stream(event("ADDED", pod("c", 11)), b'{"type":"ADDED"]}\n'), id="a line that is no JSON"),
        pytest.param(stream(event("ADDED", pod("c", 11)), b'{"what":1}\n'), id="a line that is no event"),
    ],
)
async def test_a_broken_line_loses_nothing_that_came_before_and_is_asked_for_again(cut: Answer) -> None:
    async with watching([BOTH], [cut, stream(event("ADDED", pod("d", 12)), SILENT)]) as running:
        await running.until_names("a", "b", "c", "d")
        assert running.server.seen("watch")[1].query["resourceVersion"] == "11"
        assert len(running.server.seen("list")) == 1


async def test_a_line_in_many_chunks_is_put_together() -> None:
    line = json.dumps(event("ADDED", pod("c", 11))).encode() + b"\n"
    pieces = [line[at : at + 7] for at in range(0, len(line), 7)]
    async with watching([BOTH], [stream(*pieces, SILENT)]) as running:
        await running.until_names("a", "b", "c")


@pytest.mark.parametrize(
    "failure",
    [
        pytest.param(stream(), id="an empty stream"),
        pytest.param(slam, id="a slammed door"),
        pytest.param(status(500, "InternalError"), id="500"),
        pytest.param(status(503, "ServiceUnavailable"), id="503"),
        pytest.param(reply(b"<html>nginx</html>", 502), id="502 of a proxy"),
        pytest.param(stream(EXPIRED_EVENT), id="410 for ever"),
        pytest.param(stream(bookmark(10)), id="bookmarks without progress"),
        pytest.param(status(429, "TooManyRequests", Retry_After="1000"), id="429 for a long time"),
    ],
)
async def test_no_failure_of_a_watch_makes_a_hot_loop(failure: Answer) -> None:
    async with watching([BOTH], [failure]) as running:
        await running.until_names("a", "b")
        await asyncio.sleep(2.0)
        # 0.05 to 0.1 s, then twice as long each time up to 0.4 to 0.8 s; a slammed GET is repeated once by aiohttp
        assert 3 <= len(running.server.seen("watch")) <= 22
        assert len(running.server.seen("list")) <= 10


async def test_a_server_that_comes_back_is_found_again() -> None:
    async with watching([BOTH], [slam, slam, slam, stream(event("DELETED", pod("b", 12)), SILENT)]) as running:
        await running.until_names("a")
        assert running.deleted == ["b"]


async def test_a_restored_store_that_starts_its_versions_anew_replaces_what_we_held() -> None:
    ahead = reply(
        {
            "kind": "Status",
            "code": 504,
            "reason": "Timeout",
            "message": "Too large resource version",
            "details": {"causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]},
        },
        504,
    )
    restored = pods(3, pod("a", 2, uid="another"))
    async with watching([BOTH, restored], [ahead, QUIET]) as running:
        await running.until(lambda: running.deleted == ["a", "b"])
        assert [item.metadata.uid for item in running.reflector.cache.list()] == ["another"]


async def test_a_slow_stream_is_followed_event_by_event() -> None:
    steps = [event("MODIFIED", pod("a", version)) for version in range(11, 16)]
    slow = [part for step in steps for part in (step, 0.15)]
    async with watching([BOTH], [stream(*slow, event("DELETED", pod("b", 20)), SILENT)]) as running:
        await running.until_names("a")
        assert len(running.server.seen("watch")) == 1


async def test_a_token_that_rotates_under_a_watch_is_read_again_for_the_next_one(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("old")

    async def refuse_old(request: Request, writer: asyncio.StreamWriter) -> None:
        if request.headers["authorization"] == "Bearer old":
            token.write_text("new")
            await status(401, "Unauthorized")(request, writer)
        else:
            await stream(event("DELETED", pod("b", 12)), SILENT)(request, writer)

    async with watching([BOTH], [stream(bookmark(11)), refuse_old], TokenFile(token)) as running:
        await running.until_names("a")
        sent = [request.headers["authorization"] for request in running.server.seen("watch")]
        assert sent == ["Bearer old", "Bearer old", "Bearer new"]
        assert len(running.server.seen("list")) == 1


async def test_a_busy_server_is_asked_again_when_it_says_so() -> None:
    busy = status(429, "TooManyRequests", Retry_After="1")
    async with watching([busy, BOTH], [busy, stream(event("DELETED", pod("b", 12)), SILENT)]) as running:
        await running.until_names("a")
        lists, watches = running.server.seen("list"), running.server.seen("watch")
        assert lists[1].at - lists[0].at >= 0.9
        assert len(lists) + len(watches) <= 8


async def test_two_servers_behind_one_address_that_disagree_never_show_old_news_as_new() -> None:
    """A lagging replica answers a new watch from its own past: what it replays is below our position."""
    replay = stream(event("MODIFIED", pod("b", 2)), SILENT)
    caught_up = pods(30, pod("a", 25), pod("b", 26))
    async with watching([BOTH, caught_up], [stream(event("MODIFIED", pod("b", 15))), replay, QUIET]) as running:
        seen: list[int] = []
        running.reflector.on_change(lambda _, new: seen.append(int(new.metadata.resource_version)) if new else None)
        await running.until(
            lambda: any(request.query["resourceVersion"] == "30" for request in running.server.seen("watch"))
        )
        assert seen == sorted(seen) == [1, 2, 15, 25, 26]
