"""Notices at once when a container's first process ends: the kernel tells, through a pidfd in the event loop.

What podman says of the end comes a moment later (conmon writes it, podman cleans up), so `ended` asks until it is
there, within a bound.
"""

import asyncio
import logging
import os
from collections.abc import Callable

from headstay.local.node.cgroups import OomVerdict, OomWatch
from headstay.local.node.engine import ContainerState, Engine, EngineError

log = logging.getLogger(__name__)
_SETTLE_SECONDS = 15.0
_FIRST_PAUSE = 0.04


class ExitWatch:
    """Calls `on_exit(verdict)` once, from the event loop, when process `pid` has ended."""

    def __init__(self, pid: int, on_exit: Callable[[OomVerdict], None]) -> None:
        self._on_exit = on_exit
        self._oom = OomWatch(pid)
        self._loop = asyncio.get_running_loop()
        try:
            self._fd = os.pidfd_open(pid)
        except OSError:  # it has ended already
            self._fd = -1
            self._loop.call_soon(self._fire)
            return
        self._loop.add_reader(self._fd, self._fire)

    def _fire(self) -> None:
        verdict = self._oom.verdict()
        self.close()
        self._on_exit(verdict)

    def close(self) -> None:
        """Stops watching; safe to call twice."""
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1
        self._oom.close()


async def ended(engine: Engine, container: str) -> ContainerState | None:
    """How the container ended, as soon as podman knows; None if podman has lost it or never gets to know."""
    pause, loop = _FIRST_PAUSE, asyncio.get_running_loop()
    deadline = loop.time() + _SETTLE_SECONDS
    while True:
        try:
            state = await engine.inspect(container)
        except EngineError as error:
            log.warning("%s", error)
            state = None
        else:
            if state is None or state.ended:
                return state
        if loop.time() > deadline:
            return state
        await asyncio.sleep(pause)
        pause = min(pause * 2, 0.5)
