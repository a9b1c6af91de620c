"""What a fault is: what it does, what it touches, what it needs, and how it is undone."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from headstay.drill.kube import ExecError, Kube, end_later
from headstay.drill.onlooker import Onlooker, PodNow
from headstay.drill.programs import command, source

HANDS = "headstay-drill-hands"
"""Container of a drill's own Pods that may change their network."""
REDIS = "redis"
"""Name of the Service of a Redis that a drill made."""
Clock = Callable[[str], float]
"""By how much a Pod's clock has to be corrected, by the Pod's name."""


@dataclass(frozen=True)
class Scene:
    """Where faults happen. `avoid` is the worker that the workload's driver is in, `own` whether a drill made it."""

    kube: Kube
    onlooker: Onlooker
    own: bool
    storage_namespace: str
    draw: Random
    avoid: str
    clock: Clock

    def head(self) -> PodNow:
        found = self.onlooker.head()
        if found is None:
            raise ExecError("there is no head Pod to break")
        return found


@dataclass(frozen=True)
class Broken:
    """A fault that has been done at `at`. It undoes itself; `heal` waits for that, or (`now`) does it at once.

    `heal` returns when all was undone.
    """

    target: str
    at: float
    heal: Callable[[bool], Awaitable[float]] | None = None
    detail: str = ""


async def _no_objection(_: Scene) -> str:
    return ""


@dataclass(frozen=True)
class Kind:
    """`settle`: so long nothing may fail until the cluster counts as well. `default` and `most` are seconds."""

    name: str
    help: str
    touches: str
    inject: Callable[[Scene, float], Awaitable[Broken]]
    refusal: Callable[[Scene], Awaitable[str]] = _no_objection
    settle: float = 1.0
    default: float | None = None
    most: float | None = None
    in_all: bool = True
    spends: bool = False
    """Whether the target is no longer what it was afterwards, and has to be made anew for the next run."""
    needs_hands: bool = False
    own_only: bool = False
    """Whether it is only ever done to what a drill made."""
    of_serve: bool = False
    """Whether it needs a RayService."""


async def hand(scene: Scene, pod: PodNow, order: dict[str, Any], *, container: str = "") -> tuple[float, Any]:
    """Has it done in the Pod. Returns when it was done, on the drill's clock, and to what, as soon as that is known."""
    at, what, process = await hand_at_work(scene, pod, order, container=container)
    end_later(process)
    return at, what


async def hand_at_work(
    scene: Scene, pod: PodNow, order: dict[str, Any], *, container: str = ""
) -> tuple[float, Any, asyncio.subprocess.Process]:
    """The same for a hand that has more to tell."""
    began, where = time.time(), container or pod.container
    line, process = await scene.kube.first_line(pod.seen.name, where, *command(order), stdin=source("hand"))
    try:
        answer = json.loads(line)
        at = float(answer["at"])
    except (ValueError, KeyError, TypeError) as error:
        end_later(process)
        raise ExecError(f"{pod.seen.name} answered what says no time: {line[:200]}") from error
    return on_our_clock(scene, pod, at, began), answer.get("what"), process


def on_our_clock(scene: Scene, pod: PodNow, at: float, began: float) -> float:
    """Never before it was asked for; a deed that was announced may be a moment ahead of its answer."""
    return min(max(at + scene.clock(pod.seen.name), began), time.time() + 1)
