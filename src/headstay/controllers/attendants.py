"""One task for each cluster that wants one, as long as it wants the same: how the operator listens to heads."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

from headstay.model.objects import ObjectKey

log = logging.getLogger(__name__)

T = TypeVar("T")


class Attendants(Generic[T]):
    """`work` runs until it is cancelled or has nothing left to do; it handles its own failures."""

    def __init__(self, work: Callable[[ObjectKey, T], Coroutine[Any, Any, None]]) -> None:
        self._work = work
        self._tasks: dict[ObjectKey, tuple[T, asyncio.Task[None]]] = {}

    def attend(self, cluster: ObjectKey, target: T | None) -> None:
        """Begins, goes on, or ends: asked again and again for the same it changes nothing."""
        held = self._tasks.get(cluster)
        if held is not None and held[0] == target:
            return
        if held is not None:
            held[1].cancel()
            del self._tasks[cluster]
        if target is not None:
            task = asyncio.get_running_loop().create_task(self._work(cluster, target))
            task.add_done_callback(_say_why_it_failed)
            self._tasks[cluster] = (target, task)

    async def stop(self) -> None:
        tasks = [task for _, task in self._tasks.values()]
        self._tasks.clear()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)


def _say_why_it_failed(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("a bug of ours: what listens to a head has ended", exc_info=error)
