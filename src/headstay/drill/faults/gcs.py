"""Faults of the GCS process and of the head's container, by signals."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable

from headstay.drill.faults.kind import Broken, Kind, Scene, hand, hand_at_work, on_our_clock
from headstay.drill.kube import end_later

GCS = "gcs_server"
_STOPPED = 30.0
_ANNOUNCED = 0.3


def _signalled(name: str) -> Callable[[Scene, float], Awaitable[Broken]]:
    async def inject(scene: Scene, _: float) -> Broken:
        head = scene.head()
        at, _what = await hand(scene, head, {"do": "signal", "process": GCS, "signal": name})
        return Broken(head.seen.name, at, detail=f"SIG{name} to {GCS}")

    return inject


async def _stop(scene: Scene, seconds: float) -> Broken:
    """The exec stays until the process has been killed (as a keeper does) or the lease has let it go on."""
    head = scene.head()
    at, _what, process = await hand_at_work(scene, head, {"do": "stop", "process": GCS, "seconds": seconds})

    async def heal(at_once: bool) -> float:
        if at_once:
            end_later(process)
            await hand(scene, head, {"do": "signal", "process": GCS, "signal": "CONT"})
            return time.time()
        try:
            assert process.stdout is not None  # noqa: S101
            line = await asyncio.wait_for(process.stdout.readline(), seconds + 15)
        except TimeoutError:
            line = b""
        end_later(process)
        # Without a second line the container ended, and what was stopped in it.
        return on_our_clock(scene, head, float(json.loads(line)["at"]), at) if line else time.time()

    return Broken(head.seen.name, at, heal, f"SIGSTOP to {GCS}, for {seconds:g} s at most")


async def _end_container(scene: Scene, _: float) -> Broken:
    head = scene.head()
    at, _what = await hand(scene, head, {"do": "end-all", "delay": _ANNOUNCED})
    return Broken(head.seen.name, at, detail="SIGKILL to every process of the head's Ray container")


_HEAD = "the GCS process in the target's head Pod"
KINDS = (
    Kind("gcs-term", "The GCS gets SIGTERM, as from pkill: it closes its port and hangs.", _HEAD, _signalled("TERM")),
    Kind("gcs-kill", "The GCS gets SIGKILL.", _HEAD, _signalled("KILL")),
    Kind(
        "gcs-stop",
        "The GCS is stopped (SIGSTOP): its port is open and nobody answers. It goes on after the seconds given.",
        _HEAD,
        _stop,
        default=_STOPPED,
        most=300,
    ),
    Kind(
        "head-container",
        "All processes in the head's Ray container are killed, so that the container ends.",
        "the Ray container of the target's head Pod",
        _end_container,
    ),
)
