from collections.abc import Iterator
from itertools import pairwise

from headstay.drill.history import Call
from headstay.drill.promises import LEAVES_S, Loss, promise
from headstay.drill.reading import Reading
from headstay.drill.request_figures import kind_of
from headstay.drill.requests import HOPS, by_hop, leavings, lost
from headstay.drill.verdict import Evidence, Verdict

NAME = "requests-kept"
_LONGEST_PAUSE_S = 2.0
"""Without a request through the Service. What was not sent cannot be lost."""
_WEAKEST: tuple[Loss, ...] = ("none", "leaving", "any")


def requests_kept(reading: Reading) -> Verdict:
    """No request to Serve is lost but by what the fault itself ends, and each hop answers again afterwards.

    Lost is what got no answer, or another than 200. What each fault may cost each hop is in the table of promises:
    mostly nothing; where a Pod ends, what was sent within three seconds of its leaving; where the head ends, nothing
    is promised of its own proxy.
    """
    if reading.injected is None:
        return Verdict(NAME, "unknown", "No fault was done.")
    allowed = _allowed(reading)
    if allowed is None:
        return Verdict(NAME, "unknown", "Nothing is written down of what such a fault may cost requests.")
    hops = by_hop(reading)
    evidence = tuple(breach for hop in HOPS for breach in _breaches(reading, hop, hops[hop], allowed[hop]))
    if evidence:
        missed = sum(breach.kind == "lost" for breach in evidence)
        silent = [breach.subject for breach in evidence if breach.kind == "not-back"]
        why = [f"Requests lost that should not have been: {missed}"] if missed else []
        why += [f"{' and '.join(silent)} did not answer again"] if silent else []
        return Verdict(NAME, "invalid", f"{'; '.join(why)}.", evidence)
    if missing := _missing(reading, hops):
        return Verdict(NAME, "unknown", f"{missing[0].upper()}{missing[1:]}.")
    told = [f"{sum(map(lost, hops[hop]))} of {len(hops[hop])} lost through {hop}" for hop in HOPS]
    return Verdict(NAME, "valid", f"{'; '.join(told)}.")


def _allowed(reading: Reading) -> dict[str, Loss] | None:
    """By hop: of several faults, the one that may cost most."""
    found: dict[str, Loss] = dict.fromkeys(HOPS, "none")
    for fault in reading.faults:
        rule = promise(fault.name, reading.run.recovery)
        if rule is None:
            return None
        hops = rule.hops((fault.healed or reading.run.ended) - fault.injected)
        for hop, loss in zip(HOPS, (hops.service, hops.workers, hops.head), strict=True):
            found[hop] = max(found[hop], loss, key=_WEAKEST.index)
    return found


def _breaches(reading: Reading, hop: str, calls: list[Call], allowed: Loss) -> Iterator[Evidence]:
    left = leavings(reading) if allowed == "leaving" else []
    for call in calls:
        if lost(call) and allowed != "any" and not any(abs(call.began - at) <= LEAVES_S for at in left):
            text = f"a request through {hop} to {call.subject} was lost ({call.error or kind_of(call)})"
            yield Evidence("lost", hop, call.began, text)
    after = [call for call in calls if call.began > (reading.injected or 0)]
    if after and not reading.run.ended_early and not any(not lost(call) for call in after):
        yield Evidence("not-back", hop, after[-1].began, f"none of {len(after)} requests through {hop} was answered")


def _missing(reading: Reading, hops: dict[str, list[Call]]) -> str:
    injected = reading.injected or 0
    for hop, calls in hops.items():
        if not any(not lost(call) and call.began < injected for call in calls):
            return f"no request through {hop} was answered before the fault"
        if not any(call.began > injected for call in calls):
            return f"no request was sent through {hop} after the fault"
    pauses = [(b.began - a.began, a.began) for a, b in pairwise(hops["service"])]
    longest, at = max(pauses, default=(0.0, injected))
    if longest > _LONGEST_PAUSE_S:
        return f"no request was sent for {longest:.1f} s, from {reading.since(at):+.1f} s on"
    return ""
