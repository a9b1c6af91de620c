"""Faults that last a while and end by themselves: waiting for that, or ending them sooner."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable

from headstay.drill.kube import ExecError


def wait_or_now(until: float, undo: Callable[[], Awaitable[None]]) -> Callable[[bool], Awaitable[float]]:
    """A `Broken.heal` for a fault whose lease ends at `until`: `undo` ends it sooner.

    It must harm nothing where the fault has ended by itself.
    """

    async def heal(at_once: bool) -> float:
        if not at_once:
            await asyncio.sleep(max(0.0, until - time.time()))
        with contextlib.suppress(ExecError):  # the lease sees to it
            await undo()
        return min(until, time.time())

    return heal
