from collections import defaultdict
from itertools import pairwise

from headstay.drill.history import Call
from headstay.drill.reading import PROBE, Reading
from headstay.drill.requests import SERVE
from headstay.drill.verdict import Verdict

NAME = "workload-ran"
LONGEST_PAUSE_S = 3.0
"""Between two questions for a new actor while none is answered. A longer one makes every figure of downtime a guess."""
_NEEDED = ("increment", PROBE)


def workload_ran(reading: Reading) -> Verdict:
    """The workload really ran before, during and after the fault, closely enough to judge the run by what it saw.

    It never says invalid: a history too thin, or one that contradicts itself, leaves the run unknown.
    """
    run = reading.run
    if run.ended_early:
        return Verdict(NAME, "unknown", f"The run ended early: {run.ended_early}")
    if reading.injected is None:
        return Verdict(NAME, "unknown", "No fault was done.")
    missing = _gaps(reading, reading.injected)
    if missing:
        return Verdict(NAME, "unknown", f"{missing[0][0].upper()}{missing[0][1:]}.")
    during = sum(call.began < (reading.back or run.ended) and call.began >= reading.injected for call in reading.calls)
    return Verdict(NAME, "valid", f"{len(reading.calls)} calls, {during} of them begun before the cluster was back.")


def _gaps(reading: Reading, injected: float) -> list[str]:
    found = []
    if contradiction := _contradiction(reading):
        found.append(contradiction)
    for operation in _NEEDED:
        calls = reading.by_operation.get(operation, [])
        if not any(call.outcome == "ok" and call.ended is not None and call.ended <= injected for call in calls):
            found.append(f"no {operation} was answered before the fault")
        if not any(call.began >= injected for call in calls):
            found.append(f"no {operation} was tried after the fault")
    pauses = [pause for outage in reading.outages for pause in reading.unasked(outage)]
    began, ended = max(pauses, key=lambda pause: pause[1] - pause[0], default=(injected, injected))
    if ended - began > LONGEST_PAUSE_S and not reading.done("upgrade"):  # whose callers have to move
        at = reading.since(began)
        found.append(f"nobody asked for a new actor for {ended - began:.1f} s, from {at:.1f} s after the fault")
    if not reading.looks or reading.looks[0].at > injected:
        found.append("nobody looked at the Pods before the fault")
    if not reading.looked(injected):
        found.append("nobody looked at the Pods after the fault")
    return found


def _contradiction(reading: Reading) -> str:
    callers: dict[str, list[Call]] = defaultdict(list)
    for call in reading.calls:
        if call.operation != SERVE:  # an open load waits for nobody
            callers[call.process].append(call)
        if call.ended is not None and call.ended < call.began:
            return f"a call of {call.process} ended before it began"
        if call.outcome == "ok" and call.ended is None:
            return f"a call of {call.process} is ok but never came back"
    for process, calls in callers.items():
        for one, other in pairwise(calls):
            if one.ended is not None and one.ended > other.began + 0.001:
                return f"{process} made two calls at once, and cannot have"
    return ""
