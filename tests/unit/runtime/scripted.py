"""A Client whose lists and watches follow a script; every other verb is refused by name."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, NoReturn

import msgspec

from headstay.model.objects import Obj
from headstay.model.resource import Resource
from headstay.runtime.client import Page, WatchEvent


def pod(name: str, version: int, *, uid: str = "", namespace: str = "default", **labels: str) -> Obj:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "uid": uid or f"uid-{name}",
            "resourceVersion": str(version),
            "labels": labels,
        },
    }


def event(kind: str, obj: Obj) -> WatchEvent:
    return WatchEvent(kind, msgspec.json.encode(obj))


def bookmark(version: int) -> WatchEvent:
    return event("BOOKMARK", {"kind": "Pod", "apiVersion": "v1", "metadata": {"resourceVersion": str(version)}})


class Silence:
    """In a watch script: the stream stays open and says nothing."""


SILENCE = Silence()
Step = WatchEvent | Exception | float | Silence
"""One step of a stream: an event, a failure, a pause in seconds, or silence for ever."""


class ScriptedClient:
    """`lists` and `streams` are consumed in order; the last of each is repeated."""

    def __init__(self, lists: list[Page | Exception], streams: list[list[Step]]) -> None:
        self.lists = lists
        self.streams = streams
        self.listed: list[dict[str, Any]] = []
        self.watched: list[str] = []
        self.list_times: list[float] = []
        self.watch_times: list[float] = []
        self.timeouts: list[int] = []
        self.closed = 0
        self.before_list: Callable[[], None] = lambda: None

    async def list_page(
        self,
        resource: Resource,
        namespace: str = "",
        *,
        label_selector: str = "",
        field_selector: str = "",
        limit: int = 0,
        continue_token: str = "",
    ) -> Page:
        self.listed.append({"limit": limit, "continue": continue_token})
        self.list_times.append(asyncio.get_running_loop().time())
        self.before_list()
        answer = self.lists.pop(0) if len(self.lists) > 1 else self.lists[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def watch(
        self,
        resource: Resource,
        namespace: str = "",
        *,
        resource_version: str,
        label_selector: str = "",
        field_selector: str = "",
        timeout_seconds: int,
    ) -> AsyncIterator[WatchEvent]:
        self.watched.append(resource_version)
        self.watch_times.append(asyncio.get_running_loop().time())
        self.timeouts.append(timeout_seconds)
        steps = self.streams.pop(0) if len(self.streams) > 1 else self.streams[0]
        try:
            for step in steps:
                if isinstance(step, Exception):
                    raise step
                if isinstance(step, Silence):
                    await asyncio.Event().wait()
                elif isinstance(step, float):
                    await asyncio.sleep(step)
                else:
                    yield step
        finally:
            self.closed += 1

    def _refuse(self, verb: str) -> NoReturn:
        raise NotImplementedError(f"the script has no {verb}")

    async def get(self, *_: Any, **__: Any) -> Obj:
        self._refuse("get")

    async def create(self, *_: Any, **__: Any) -> Obj:
        self._refuse("create")

    async def update(self, *_: Any, **__: Any) -> Obj:
        self._refuse("update")

    async def apply(self, *_: Any, **__: Any) -> Obj:
        self._refuse("apply")

    async def patch(self, *_: Any, **__: Any) -> Obj:
        self._refuse("patch")

    async def delete(self, *_: Any, **__: Any) -> Obj:
        self._refuse("delete")

    async def delete_collection(self, *_: Any, **__: Any) -> None:
        self._refuse("delete_collection")


def page(version: int, *objects: Obj, token: str = "") -> Page:
    return Page([msgspec.json.encode(obj) for obj in objects], str(version), token)
