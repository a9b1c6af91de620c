"""The figures of requests to Serve: what was lost and what was slow, before, during and after the fault, by hop.

A request that was lost has no latency: it is counted beside the percentiles, which are of those that were answered.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from headstay.drill.history import Call
from headstay.drill.percentile import percentile
from headstay.drill.promises import Recovery
from headstay.drill.reading import Reading
from headstay.drill.requests import HOPS, SLOW_S, by_hop, calm, lost, took


class Stretch(msgspec.Struct, frozen=True):
    """Requests that were due within a stretch of time. `slow` took more than a second. None where none was answered."""

    sent: int
    lost: int
    slow: int
    p50_s: float | None
    p99_s: float | None
    max_s: float | None


class HopFigures(msgspec.Struct, frozen=True):
    """Of one hop: `service` (through the Service), `worker-proxies`, `head-proxy` (at their own addresses).

    `during` is from the fault until all was back and no request was lost any more. `errors` counts the lost by kind
    (`refused`, `reset`, `timeout`, a status), `proxies` the answered by the Pod whose proxy took them.
    """

    hop: str
    before: Stretch
    during: Stretch
    after: Stretch
    errors: dict[str, int]
    proxies: dict[str, int]


class LoadFigures(msgspec.Struct, frozen=True):
    """All runs of one fault, one way of recovery and one rate (through the Service, a second), by hop.

    `hops` are over the requests of all runs together; `proxies` count Pods by their role.
    """

    fault: str
    recovery: Recovery
    rate: int
    runs: int
    hops: tuple[HopFigures, ...]


_Parts = tuple[list[Call], list[Call], list[Call]]


def hop_figures(reading: Reading) -> tuple[HopFigures, ...]:
    """Nothing for a run without Serve."""
    return tuple(_figures(hop, parts) for hop, parts in _split(reading).items()) if reading.run.rate else ()


def load_figures(readings: Iterable[Reading]) -> tuple[LoadFigures, ...]:
    """In the order in which faults first came; Ray's own way before ours, low rates before high ones."""
    groups: dict[tuple[str, Recovery, int], list[Reading]] = defaultdict(list)
    for reading in readings:
        if reading.run.rate and not reading.skipped:
            groups[reading.run.fault, reading.run.recovery, reading.run.rate].append(reading)
    faults = list(dict.fromkeys(fault for fault, _recovery, _rate in groups))
    ordered = sorted(groups, key=lambda group: (faults.index(group[0]), group[1] == "InPlace", group[2]))
    return tuple(LoadFigures(*group, len(groups[group]), _together(groups[group])) for group in ordered)


def _split(reading: Reading) -> dict[str, _Parts]:
    fault = reading.run.ended if reading.injected is None else reading.injected
    over = calm(reading)
    return {
        hop: (
            [call for call in calls if call.began < fault],
            [call for call in calls if fault <= call.began < over],
            [call for call in calls if call.began >= max(fault, over)],
        )
        for hop, calls in by_hop(reading).items()
    }


def _together(readings: Sequence[Reading]) -> tuple[HopFigures, ...]:
    pooled: dict[str, _Parts] = {hop: ([], [], []) for hop in HOPS}
    roles = {pod.name: pod.role for reading in readings for look in reading.looks for pod in look.pods}
    for reading in readings:
        for hop, parts in _split(reading).items():
            for pool, part in zip(pooled[hop], parts, strict=True):
                pool.extend(part)
    return tuple(_figures(hop, parts, roles) for hop, parts in pooled.items())


def _figures(hop: str, parts: _Parts, names: Mapping[str, str] | None = None) -> HopFigures:
    calls = [call for part in parts for call in part]
    proxies = [str(call.value).partition(" ")[0] for call in calls if not lost(call) and call.value]
    before, during, after = map(_stretch, parts)
    return HopFigures(
        hop,
        before,
        during,
        after,
        errors=dict(Counter(kind_of(call) for call in calls if lost(call)).most_common()),
        proxies=dict(Counter((names or {}).get(proxy, proxy) for proxy in proxies).most_common()),
    )


def kind_of(call: Call) -> str:
    return call.error.partition(":")[0] or "no answer"


def _stretch(calls: Sequence[Call]) -> Stretch:
    answered = sorted(took(call) for call in calls if not lost(call))
    return Stretch(
        sent=len(calls),
        lost=len(calls) - len(answered),
        slow=sum(seconds > SLOW_S for seconds in answered),
        p50_s=percentile(answered, 0.5) if answered else None,
        p99_s=percentile(answered, 0.99) if answered else None,
        max_s=answered[-1] if answered else None,
    )
