from headstay.drill.checkers.workload import LONGEST_PAUSE_S
from headstay.drill.promises import BESIDE_LOAD_S, UNBOUNDED, promise
from headstay.drill.reading import PROBE, Reading
from headstay.drill.requests import SERVE
from headstay.drill.verdict import Evidence, Verdict

NAME = "downtime-bounded"


def downtime_bounded(reading: Reading) -> Verdict:
    """After the fault a new actor is answered within the bound stated for it, and no later outage is longer than that.

    The clock runs from the moment the fault was done, and asks for new actors: calls on living actors never stop. A
    combination of faults has the sum of their bounds, and the time that passed between them. Beside a load on Serve
    there is more time for a new actor's process.
    """
    if reading.injected is None:
        return Verdict(NAME, "unknown", "No fault was done.")
    rules = [promise(fault.name, reading.run.recovery) for fault in reading.faults]
    if reason := next((rule.why for rule in rules if rule and rule.downtime(0) == UNBOUNDED), ""):
        return Verdict(NAME, "valid", f"Nothing was promised: {reason}.")
    bound = bound_of(reading)
    if bound is None:
        names = ", ".join(fault.name for fault in reading.faults)
        return Verdict(NAME, "unknown", f"No bound is stated for {names}, or a fault was never healed.")
    if not any(call.began >= reading.injected for call in reading.by_operation.get(PROBE, [])):
        return Verdict(NAME, "unknown", "Nobody asked for a new actor after the fault.")
    evidence, unproved = [], 0.0
    for outage in reading.outages:
        lasted = (outage.ended or reading.run.ended) - outage.began
        pauses = [(began, ended) for began, ended in reading.unasked(outage) if ended - began > LONGEST_PAUSE_S]
        blind = _covered([*pauses, *reading.stalls(outage)])
        if lasted > bound >= lasted - blind:
            unproved = max(unproved, blind)
        elif lasted > bound:
            later = outage.began > reading.injected
            begun = f", from {reading.since(outage.began):.1f} s after the fault on" if later else ""
            end = "" if outage.ended else ", until the run ended"
            text = f"no new actor was answered for {lasted:.2f} s{begun}{end}; the bound is {bound:.1f} s"
            evidence.append(Evidence("too-long", PROBE, outage.ended or reading.run.ended, text))
    if evidence:
        return Verdict(NAME, "invalid", f"{evidence[0].text[0].upper()}{evidence[0].text[1:]}.", tuple(evidence))
    if unproved:
        return Verdict(
            NAME,
            "unknown",
            f"For {unproved:.1f} s nobody asked for a new actor, or the machine stood still: nobody can tell.",
        )
    if reading.back is None:
        return Verdict(NAME, "unknown", "The run ended before a new actor was answered, and within the bound.")
    longest = max((outage.ended or 0) - outage.began for outage in reading.outages)
    return Verdict(NAME, "valid", f"{longest:.2f} s; the bound is {bound:.1f} s.")


def _covered(spans: list[tuple[float, float]]) -> float:
    """The seconds that lie in at least one of the spans."""
    total, until = 0.0, float("-inf")
    for began, ended in sorted(spans):
        total += max(0.0, ended - max(began, until))
        until = max(until, ended)
    return total


def bound_of(reading: Reading) -> float | None:
    """Seconds, or None where no bound can be told or none is promised."""
    if not reading.faults or reading.over is None:
        return None
    total = reading.faults[-1].injected - reading.faults[0].injected
    for fault in reading.faults:
        rule = promise(fault.name, reading.run.recovery)
        if rule is None or fault.healed is None:
            return None
        total += rule.downtime(fault.healed - fault.injected)
    if SERVE in reading.by_operation:
        total += BESIDE_LOAD_S
    return total if total < UNBOUNDED else None
