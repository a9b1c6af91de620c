"""Requests to Serve in a history: by the hop they were sent through, and when the fault was over for them."""

from collections.abc import Iterator
from itertools import pairwise

from headstay.drill.history import Call
from headstay.drill.reading import Reading

SERVE = "serve"
HOPS = ("service", "worker-proxies", "head-proxy")
CALM = 10.0
"""Seconds of load before the fault, and after all is well again: what the load during the fault is compared with."""
SLOW_S = 1.0
"""A request that took longer is slow. It is a time for all, so that two campaigns can be compared."""


def by_hop(reading: Reading) -> dict[str, list[Call]]:
    """Those that came to something; what was under way when the run ended proves nothing.

    The load begins earlier: until the target carries it, and a new head's proxy listens, requests may be lost.
    """
    found: dict[str, list[Call]] = {hop: [] for hop in HOPS}
    begins = float("-inf") if reading.injected is None else reading.injected - CALM
    for call in reading.by_operation.get(SERVE, []):
        if call.process in found and call.began >= begins and not reading.cut_off(call):
            found[call.process].append(call)
    return found


def lost(call: Call) -> bool:
    return call.outcome != "ok"


def took(call: Call) -> float:
    return (call.ended or call.began) - call.began


def leavings(reading: Reading) -> list[float]:
    """When who was to leave left, as far as anybody saw: at a fault, or no longer ready, restarted or gone in a look.

    To leave are the head and the Pods that a fault names as its target; nobody else's leaving excuses a loss.
    """
    return sorted([*(fault.injected for fault in reading.faults), *_seen_leaving(reading)])


def _seen_leaving(reading: Reading) -> Iterator[float]:
    aimed_at = {fault.target for fault in reading.faults}
    for before, after in pairwise(reading.looks):
        now = {pod.uid: pod for pod in after.pods}
        for pod in before.pods:
            later = now.get(pod.uid)
            left = later is None or not later.ready or later.restarts > pod.restarts
            if pod.ready and left and (pod.role == "head" or pod.name in aimed_at):
                yield after.at


def calm(reading: Reading) -> float:
    """From when on all was as before the fault: everything was back and no request was lost any more."""
    if reading.injected is None or reading.back is None or reading.over is None:
        return reading.run.ended
    moments = [reading.injected, reading.back, reading.over]
    moments += [call.ended or reading.run.ended for calls in by_hop(reading).values() for call in calls if lost(call)]
    for before, after in pairwise(reading.looks):
        ready = {pod.uid for pod in before.pods if pod.ready}
        moments += [after.at for pod in after.pods if pod.ready and pod.uid not in ready]
    return min(max(moments), reading.run.ended)
