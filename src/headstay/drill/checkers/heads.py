from headstay.drill.promises import promise
from headstay.drill.reading import Reading
from headstay.drill.verdict import Evidence, Verdict


def head_restarts_as_promised(reading: Reading) -> Verdict:
    """The head restarts or is replaced no more often than the fault may cost: never for a GCS that recovers in place.

    Where no number is promised (Ray's own head, crash-looping until Redis is back) restarts are counted and not judged.
    """
    name = "head-restarts"
    if reading.injected is None:
        return Verdict(name, "unknown", "No fault was done.")
    allowed = 0.0
    for fault in reading.faults:
        rule = promise(fault.name, reading.run.recovery)
        if rule is None:
            return Verdict(name, "unknown", f"Nothing is written down that {fault.name} may cost.")
        restarts = rule.head_restarts((fault.healed or reading.run.ended) - fault.injected)
        allowed = float("inf") if restarts is None else allowed + restarts
    evidence = tuple(_interruptions(reading))
    if len(evidence) > allowed:
        return Verdict(name, "invalid", f"Restarts: {len(evidence)}, allowed: {allowed:.0f}.", evidence)
    if not reading.lives_of("head"):
        return Verdict(name, "unknown", "No head was seen.")
    if reading.looks[0].at > reading.injected or not reading.looked(reading.back or reading.injected):
        return Verdict(name, "unknown", "The Pods were not looked at both before the fault and after the recovery.")
    if allowed == float("inf"):
        return Verdict(name, "valid", f"Restarts: {len(evidence)}; no number was promised.")
    return Verdict(name, "valid", f"Restarts: {len(evidence)}, allowed: {allowed:.0f}.")


def _interruptions(reading: Reading) -> list[Evidence]:
    heads = reading.lives_of("head")
    found = [
        Evidence("restarted", life.pod.name, at, f"head {life.pod.name} restarted its Ray container")
        for life in heads
        for at in life.restarts
    ]
    # One that went without another in its place, and one too many, are one_head's business.
    gone = [life for life in heads if life.gone is not None]
    came = [life for life in heads if life.first > reading.looks[0].at]
    for old, new in zip(gone, came, strict=False):
        text = f"head {old.pod.name} was replaced by {new.pod.name}"
        found.append(Evidence("replaced", old.pod.name, new.first, text))
    return sorted(found, key=lambda breach: breach.at or 0)


def one_head(reading: Reading) -> Verdict:
    """There are never two heads ready at once, and at the end there is exactly one head.

    While one head replaces another both may exist for a moment, one of them on its way out and not ready.
    """
    name = "one-head"
    evidence = []
    twins = False
    for look in reading.looks:
        ready = [pod.name for pod in look.pods if pod.role == "head" and pod.ready]
        if len(ready) > 1 and not twins:
            text = f"{len(ready)} heads were ready at once: {', '.join(sorted(ready))}"
            evidence.append(Evidence("twins", ready[0], look.at, text))
        twins = len(ready) > 1
    if not reading.looks:
        return Verdict(name, "unknown", "Nobody looked at the Pods.")
    last = reading.looks[-1]
    heads = [pod.name for pod in last.pods if pod.role == "head"]
    if not evidence and not reading.run.ended_early and len(heads) != 1:
        text = f"heads at the end: {', '.join(sorted(heads)) or 'none'}"
        evidence.append(Evidence("twins" if heads else "none", "head", last.at, text))
    if evidence:
        return Verdict(name, "invalid", f"{evidence[0].text[0].upper()}{evidence[0].text[1:]}.", tuple(evidence))
    if reading.injected is None or not reading.looked(reading.injected):
        return Verdict(name, "unknown", "Nobody looked at the Pods after the fault.")
    if len(heads) != 1:
        return Verdict(name, "unknown", "The run ended early, between two heads.")
    return Verdict(name, "valid", f"One head in {len(reading.looks)} looks.")
