"""Faults of Redis. Only ever of a Redis that a drill made, and that holds nothing but the target's keys.

Such a Redis (`place.redis`) runs under a few lines of shell, which start it again when it ends, and not before the
moment that the file `away` names. So a Redis that is away comes back whether or not the drill lives.
"""

import time
from collections.abc import Awaitable, Callable

from headstay.drill.faults.kind import Broken, Kind, Scene, on_our_clock
from headstay.drill.healing import wait_or_now
from headstay.drill.kube import ExecError, end_later
from headstay.drill.onlooker import PodNow
from headstay.drill.safety import MADE_BY, redis_refusal

_NOW = "; date +%s.%N"
_PID = "$(cat /drill/pid)"


def _redis(scene: Scene) -> PodNow:
    found = scene.onlooker.of("redis")
    if not found:
        raise ExecError("there is no Redis Pod to break")
    return found[0]


async def _refusal(scene: Scene) -> str:
    found = scene.onlooker.of("redis")
    labels = {MADE_BY: ""} if found else {}
    keys: list[str] = []
    if found:
        keys = (await scene.kube.exec(found[0].seen.name, found[0].container, "redis-cli", "--scan")).split()
    return redis_refusal(labels, keys, scene.storage_namespace)


async def _shell(scene: Scene, script: str) -> tuple[PodNow, float]:
    pod, began = _redis(scene), time.time()
    line, process = await scene.kube.first_line(pod.seen.name, pod.container, "sh", "-ec", script + _NOW)
    end_later(process)
    try:
        at = float(line)
    except ValueError as error:
        raise ExecError(f"{pod.seen.name} answered no time: {line[:200]}") from error
    return pod, on_our_clock(scene, pod, at, began)


def _done(script: str, detail: str) -> Callable[[Scene, float], Awaitable[Broken]]:
    async def inject(scene: Scene, _: float) -> Broken:
        pod, at = await _shell(scene, script)
        return Broken(pod.seen.name, at, detail=detail)

    return inject


async def _away(scene: Scene, seconds: float) -> Broken:
    until = f"echo $(( $(date +%s%N) + {int(seconds * 1e9)} )) > /drill/away; kill -KILL {_PID}"
    pod, at = await _shell(scene, until)

    async def back() -> None:
        await _shell(scene, "rm -f /drill/away")

    return Broken(pod.seen.name, at, wait_or_now(at + seconds, back), f"killed, and gone for {seconds:g} s")


async def _pause(scene: Scene, seconds: float) -> Broken:
    script = (
        f'pid={_PID}; setsid sh -c "sleep {seconds:g}; kill -CONT $pid" </dev/null >/dev/null 2>&1 & kill -STOP {_PID}'
    )
    pod, at = await _shell(scene, script)

    async def back() -> None:
        await _shell(scene, f"kill -CONT {_PID}")

    return Broken(pod.seen.name, at, wait_or_now(at + seconds, back), f"SIGSTOP, for {seconds:g} s")


_TOUCHES = "the Redis that the drill made"
_SETTLE = 5.0
"""A GCS aborts some 3.5 s after its Redis went: one that seems well before that may still go."""
KINDS = (
    Kind(
        "redis-restart",
        "Redis gets SIGTERM and is started again at once.",
        _TOUCHES,
        _done(f"kill -TERM {_PID}", "SIGTERM"),
        _refusal,
        _SETTLE,
        own_only=True,
    ),
    Kind(
        "redis-kill",
        "Redis gets SIGKILL and is started again at once.",
        _TOUCHES,
        _done(f"kill -KILL {_PID}", "SIGKILL"),
        _refusal,
        _SETTLE,
        own_only=True,
    ),
    Kind(
        "redis-pause",
        "Redis is stopped (SIGSTOP) for the seconds given: connections stay, answers do not come.",
        _TOUCHES,
        _pause,
        _refusal,
        _SETTLE,
        default=5,
        most=300,
        own_only=True,
    ),
    Kind(
        "redis-away",
        "Redis is killed and stays away for the seconds given; try 1, 5, 20, 45 and 120.",
        _TOUCHES,
        _away,
        _refusal,
        _SETTLE,
        default=5,
        most=600,
        own_only=True,
    ),
    Kind(
        "redis-flush",
        "Redis loses its data (FLUSHALL). In place the cluster starts afresh; otherwise when its head ends.",
        _TOUCHES,
        _done("redis-cli FLUSHALL >/dev/null", "FLUSHALL"),
        _refusal,
        _SETTLE,
        spends=True,
        own_only=True,
    ),
)
