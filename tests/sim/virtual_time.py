"""An event loop in which nothing waits: time jumps to the next timer, and the same program always runs the same way.

It also knows processes. What runs in a context with `PROCESS` set can be frozen, as SIGSTOP does: its callbacks and
timers keep until it thaws, and run then, late and in order.
"""

import asyncio
import contextvars
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

PROCESS: contextvars.ContextVar[str] = contextvars.ContextVar("PROCESS")


class _NeverWaits(selectors.SelectSelector):
    """Stands where the loop would wait for sockets: there are none, so waiting is moving the clock."""

    loop: "VirtualLoop"

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("nothing is due any more: everybody waits for somebody else")
        if timeout > 0:
            self.loop.now += timeout
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        selector = _NeverWaits()
        selector.loop = self
        self.now = 0.0
        self._frozen: dict[str, list[tuple[Callable[..., Any], tuple[Any, ...], contextvars.Context]]] = {}
        super().__init__(selector)
        self._clock_resolution = 1e-9

    def time(self) -> float:
        return self.now

    def freeze(self, process: str) -> None:
        self._frozen.setdefault(process, [])

    def thaw(self, process: str) -> None:
        for callback, args, context in self._frozen.pop(process, []):
            self.call_soon(callback, *args, context=context)

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., Any], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        context = context or contextvars.copy_context()
        if PROCESS in context:
            return super().call_soon(self._run_in_process, callback, args, context, context=context)
        return super().call_soon(callback, *args, context=context)

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., Any], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        context = context or contextvars.copy_context()
        if PROCESS in context:
            return super().call_at(when, self._run_in_process, callback, args, context, context=context)
        return super().call_at(when, callback, *args, context=context)

    def _run_in_process(
        self, callback: Callable[..., Any], args: tuple[Any, ...], context: contextvars.Context
    ) -> None:
        backlog = self._frozen.get(context[PROCESS])
        if backlog is None:
            callback(*args)
        else:
            backlog.append((callback, args, context))


def in_process(name: str) -> contextvars.Context:
    """The context of a process of that name."""
    context = contextvars.Context()
    context.run(PROCESS.set, name)
    return context


def run(work: Coroutine[Any, Any, T]) -> T:
    loop = VirtualLoop()
    try:
        return loop.run_until_complete(work)
    finally:
        try:
            _end_all(loop)
        finally:
            loop.close()


def _end_all(loop: VirtualLoop) -> None:
    for process in list(loop._frozen):
        loop.thaw(process)
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    if tasks:
        loop.run_until_complete(asyncio.wait(tasks))
    loop.run_until_complete(loop.shutdown_asyncgens())
