"""Watches: no change is skipped, none is told twice, and where one would be the watch ends with 410."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.unit.server_core.objects import config_map, widget, widget_crd

from headstay.local.server import codec
from headstay.local.server.inprocess import InProcessClient
from headstay.local.server.listing import Selection
from headstay.local.server.requests import Target
from headstay.local.server.rest import Api
from headstay.local.server.watch import INITIAL_EVENTS_END, Frame, Watch, WatchOptions
from headstay.model.errors import StatusError
from headstay.model.resource import CONFIGMAPS, CUSTOM_RESOURCE_DEFINITIONS, Resource


def watch(api: Api, options: WatchOptions | None = None, namespace: str = "default", **selectors: str) -> Watch:
    target = Target(api.served(CONFIGMAPS), namespace)
    return api.watch(target, options or WatchOptions(timeout_seconds=0.0), **selectors)


async def seen(watching: Watch) -> list[tuple[str, str]]:
    """(event, name) of everything until the watch ends."""
    return [
        (frame.type, codec.decode_object(frame.object)["metadata"].get("name", ""))
        async for batch in watching.batches()
        for frame in batch
    ]


async def test_without_a_revision_the_current_objects_come_first_and_changes_after(
    api: Api, client: InProcessClient
) -> None:
    await client.create(CONFIGMAPS, config_map("a"))
    await client.create(CONFIGMAPS, config_map("other", "kube-system"))
    watching = watch(api, WatchOptions(timeout_seconds=0.05))
    await client.create(CONFIGMAPS, config_map("b"))
    await client.delete(CONFIGMAPS, "default", "a")
    assert await seen(watching) == [("ADDED", "a"), ("ADDED", "b"), ("DELETED", "a")]


async def test_from_a_revision_exactly_the_later_changes_come(api: Api, client: InProcessClient) -> None:
    made = await client.create(CONFIGMAPS, config_map("a"))
    await client.update(CONFIGMAPS, made | {"data": {"a": "2"}})
    await client.create(CONFIGMAPS, config_map("b"))
    await client.delete(CONFIGMAPS, "default", "b")
    revision = made["metadata"]["resourceVersion"]
    watching = watch(api, WatchOptions(resource_version=revision, timeout_seconds=0.05))
    await client.create(CONFIGMAPS, config_map("c"))
    assert await seen(watching) == [("MODIFIED", "a"), ("ADDED", "b"), ("DELETED", "b"), ("ADDED", "c")]


async def test_an_object_enters_and_leaves_a_filtered_watch(api: Api, client: InProcessClient) -> None:
    watching = watch(api, WatchOptions(timeout_seconds=0.05), label_selector="color=red")
    await client.create(CONFIGMAPS, config_map("a", labels={"color": "blue"}))
    red = await client.patch(CONFIGMAPS, "default", "a", {"metadata": {"labels": {"color": "red"}}})
    await client.patch(CONFIGMAPS, "default", "a", {"data": {"a": "2"}})
    blue = await client.patch(CONFIGMAPS, "default", "a", {"metadata": {"labels": {"color": "blue"}}})
    await client.delete(CONFIGMAPS, "default", "a")

    frames = [frame async for batch in watching.batches() for frame in batch]
    assert [frame.type for frame in frames] == ["ADDED", "MODIFIED", "DELETED"]
    last = codec.decode_object(frames[-1].object)["metadata"]
    assert last["labels"] == red["metadata"]["labels"]
    assert last["resourceVersion"] == blue["metadata"]["resourceVersion"]


async def test_a_filtered_watch_from_an_old_revision_says_the_same_as_one_that_was_there(
    api: Api, client: InProcessClient
) -> None:
    start = str(api.store.revision)
    live = watch(api, WatchOptions(start, timeout_seconds=0.05), label_selector="color=red")
    for name, color in (("a", "red"), ("b", "blue"), ("a", "blue"), ("b", "red"), ("a", "green")):
        await client.apply(CONFIGMAPS, config_map(name, labels={"color": color}), field_manager="t")
    replayed = watch(api, WatchOptions(start, timeout_seconds=0.05), label_selector="color=red")
    assert await seen(replayed) == await seen(live) == [("ADDED", "a"), ("DELETED", "a"), ("ADDED", "b")]


async def test_a_watch_of_one_name_hears_of_nothing_else(api: Api, client: InProcessClient) -> None:
    watching = watch(api, WatchOptions(timeout_seconds=0.05), field_selector="metadata.name=a")
    await client.create(CONFIGMAPS, config_map("b"))
    await client.create(CONFIGMAPS, config_map("a"))
    assert await seen(watching) == [("ADDED", "a")]


async def test_a_watch_below_the_compaction_floor_ends_with_410(api: Api, client: InProcessClient) -> None:
    made = await client.create(CONFIGMAPS, config_map("a"))
    for turn in range(5):
        made = await client.update(CONFIGMAPS, made | {"data": {"turn": str(turn)}})
    api.store.compact(keep=2, batch=100)
    with pytest.raises(StatusError, match="too old resource version") as ended:
        await seen(watch(api, WatchOptions(resource_version="5")))
    assert (ended.value.code, ended.value.reason) == (410, "Expired")


async def test_a_watch_that_compaction_overtakes_while_it_catches_up_ends_with_410(
    api: Api, client: InProcessClient
) -> None:
    made = await client.create(CONFIGMAPS, config_map("a"))
    start = made["metadata"]["resourceVersion"]
    for turn in range(300):
        made = await client.update(CONFIGMAPS, made | {"data": {"turn": str(turn)}})
    batches = watch(api, WatchOptions(resource_version=start, timeout_seconds=5)).batches()
    assert len(await anext(batches)) == 128
    api.store.compact(keep=2, batch=1000)
    with pytest.raises(StatusError, match="too old resource version"):
        await anext(batches)


async def test_a_slow_consumer_is_closed_with_410_and_costs_no_more_memory(api: Api, client: InProcessClient) -> None:
    served = api.served(CONFIGMAPS)
    slow = Watch(api.store, api.broadcaster, served, Selection("default"), WatchOptions(timeout_seconds=5.0), buffer=10)
    batches = slow.batches()
    for turn in range(30):
        await client.create(CONFIGMAPS, config_map(f"c{turn}"))
    with pytest.raises(StatusError) as ended:
        await anext(batches)
    assert ended.value.code == 410
    assert api.broadcaster.count() == 0


async def test_a_revision_from_the_future_is_refused(api: Api) -> None:
    with pytest.raises(StatusError, match="Too large resource version: 9999") as refused:
        watch(api, WatchOptions(resource_version="9999"))
    assert refused.value.code == 504


async def test_bookmarks_come_when_asked_for_and_at_the_end(api: Api, client: InProcessClient) -> None:
    options = WatchOptions(timeout_seconds=0.2, allow_bookmarks=True, bookmark_seconds=0.05)
    watching = watch(api, options)
    await client.create(CONFIGMAPS, config_map("elsewhere", "kube-system"))
    frames = [frame async for batch in watching.batches() for frame in batch]
    assert {frame.type for frame in frames} == {"BOOKMARK"}
    assert len(frames) >= 3
    last = codec.decode_object(frames[-1].object)
    assert (last["kind"], last["metadata"]["resourceVersion"]) == ("ConfigMap", str(api.store.revision))


async def test_a_streamed_list_ends_with_a_marked_bookmark(api: Api, client: InProcessClient) -> None:
    await client.create(CONFIGMAPS, config_map("a"))
    options = WatchOptions(timeout_seconds=0.01, allow_bookmarks=True, send_initial_events=True)
    frames = [frame async for batch in watch(api, options).batches() for frame in batch]
    assert frames[0].type == "ADDED"
    marked = codec.decode_object(frames[1].object)["metadata"]
    assert marked["annotations"] == {INITIAL_EVENTS_END: "true"}


async def test_no_initial_events_when_they_are_declined(api: Api, client: InProcessClient) -> None:
    await client.create(CONFIGMAPS, config_map("a"))
    assert await seen(watch(api, WatchOptions(timeout_seconds=0.01, send_initial_events=False))) == []


async def test_a_watch_that_is_over_leaves_nothing_behind(api: Api, client: InProcessClient) -> None:
    stream = client.watch(CONFIGMAPS, resource_version="", timeout_seconds=30)
    task = asyncio.create_task(_first(stream))
    await client.create(CONFIGMAPS, config_map("a"))
    assert (await task)[0] == "ADDED"
    await stream.aclose()
    assert api.broadcaster.count() == 0


async def _first(stream: AsyncIterator[Any]) -> Any:
    return await anext(stream)


async def test_the_watches_of_a_custom_kind_end_when_it_goes(api: Api, client: InProcessClient) -> None:
    await client.create(CUSTOM_RESOURCE_DEFINITIONS, widget_crd())
    widgets = Resource("example.com", "v1", "widgets", "Widget")
    await client.create(widgets, widget("w"))
    watching = api.watch(Target(api.served(widgets)), WatchOptions(timeout_seconds=30))
    await client.delete(CUSTOM_RESOURCE_DEFINITIONS, "", "widgets.example.com")
    async with asyncio.timeout(2):
        assert await seen(watching) == [("ADDED", "w"), ("DELETED", "w")]


async def test_replaying_a_watch_onto_a_list_gives_the_next_list(api: Api, client: InProcessClient) -> None:
    """The invariant that every reflector stands on, over many writers at once."""
    page = await client.list_page(CONFIGMAPS)
    cache: dict[str, bytes] = {}
    watching = api.watch(Target(api.served(CONFIGMAPS)), WatchOptions(page.resource_version, timeout_seconds=0.3))

    async def write(worker: int) -> None:
        for turn in range(40):
            name = f"w{worker}-{turn % 7}"
            await client.apply(CONFIGMAPS, config_map(name, data={"turn": str(turn)}), field_manager="t")
            if turn % 3 == 0:
                await client.delete(CONFIGMAPS, "default", name)

    async with asyncio.TaskGroup() as group:
        for worker in range(4):
            group.create_task(write(worker))
    last = 0
    async for batch in watching.batches():
        for frame in batch:
            last = _replay(cache, frame, last)
    listed = {
        codec.decode_object(item)["metadata"]["name"]: item for item in (await client.list_page(CONFIGMAPS)).items
    }
    assert cache == listed


def _replay(cache: dict[str, bytes], frame: Frame, last: int) -> int:
    meta = codec.decode_object(frame.object)["metadata"]
    assert int(meta["resourceVersion"]) > last
    if frame.type == "DELETED":
        del cache[meta["name"]]
    else:
        assert (frame.type == "ADDED") == (meta["name"] not in cache)
        cache[meta["name"]] = frame.object
    return int(meta["resourceVersion"])
