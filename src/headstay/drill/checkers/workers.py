import re
from collections.abc import Iterator

from headstay.drill.promises import promise
from headstay.drill.reading import Life, Reading
from headstay.drill.verdict import Evidence, Verdict

NAME = "workers-left-alone"


def workers_left_alone(reading: Reading) -> Verdict:
    """No worker Pod is replaced, and none of its Ray containers restarted, unless the fault was aimed at that worker.

    Aimed at is the Pod that a fault names as its target. Faults that may take any worker say so in their promise:
    redis-flush, and a network cut that lasted longer than Ray's patience with a node.
    """
    workers = reading.lives_of("worker")
    evidence = tuple(breach for life in workers if not _declared(reading, life) for breach in _harm(life))
    if evidence:
        return Verdict(NAME, "invalid", f"Workers restarted or replaced needlessly: {len(evidence)}.", evidence)
    if not workers:
        return Verdict(NAME, "unknown", "No worker was seen.")
    if reading.injected is None or reading.looks[0].at > reading.injected:
        return Verdict(NAME, "unknown", "Nobody looked at the Pods before the fault.")
    # Who was not looked at once everything was over may have restarted since.
    if not reading.looked(max(reading.back or reading.injected, reading.over or reading.injected)):
        return Verdict(NAME, "unknown", "Nobody looked at the Pods after the recovery.")
    spared = sum(not life.unharmed for life in workers)
    why = f"{len(workers) - spared} workers were left alone"
    return Verdict(NAME, "valid", why + (f"; {spared} ended by the fault's own doing." if spared else "."))


def _declared(reading: Reading, life: Life) -> bool:
    for fault in reading.faults:
        rule = promise(fault.name, reading.run.recovery)
        if rule and rule.takes_workers((fault.healed or reading.run.ended) - fault.injected):
            return True
        if {life.pod.name, life.pod.uid} & set(re.split(r"[\s,/]+", fault.target)):
            return True
    return False


def _harm(life: Life) -> Iterator[Evidence]:
    name = life.pod.name
    state = f" (its Ray node was {life.pod.node})" if life.pod.node not in {"", "ALIVE"} else ""
    for at in life.restarts:
        yield Evidence("restarted", name, at, f"worker {name} restarted its Ray container{state}")
    if life.gone is not None:
        yield Evidence("replaced", name, life.gone, f"worker {name} is gone{state}")
