"""What can be said of a Pod from its spec alone: its quality of service and what it asks for."""

from collections.abc import Iterable
from decimal import Decimal

from headstay.local.server.strategies.podspec import containers
from headstay.model.objects import Obj
from headstay.model.quantity import parse_quantity

_COMPUTE = ("cpu", "memory")


def qos_class(spec: Obj) -> str:
    """Guaranteed: every container limits both cpu and memory, and asks for just that. BestEffort: no word of either."""
    asked = limited = False
    guaranteed = True
    for container in containers(spec, "initContainers", "containers"):
        resources = container.get("resources") or {}
        requests, limits = _positive(resources.get("requests")), _positive(resources.get("limits"))
        asked = asked or bool(requests)
        limited = limited or bool(limits)
        guaranteed = guaranteed and set(limits) == set(_COMPUTE) and requests in ({}, limits)
    if not asked and not limited:
        return "BestEffort"
    return "Guaranteed" if guaranteed else "Burstable"


def _positive(amounts: Obj | None) -> dict[str, Decimal]:
    found = {name: parse_quantity((amounts or {})[name]) for name in _COMPUTE if name in (amounts or {})}
    return {name: amount for name, amount in found.items() if amount > 0}


def pod_requests(spec: Obj, field: str = "requests") -> dict[str, Decimal]:
    """What the Pod asks for: its containers together, or its hungriest init container if that is more.

    Restartable init containers (sidecars) run beside everything that comes after them.
    """
    total = _sum(((c.get("resources") or {}).get(field) for c in containers(spec, "containers")), {})
    sidecars: dict[str, Decimal] = {}
    peak: dict[str, Decimal] = {}
    for container in containers(spec, "initContainers"):
        own = (container.get("resources") or {}).get(field)
        if container.get("restartPolicy") == "Always":
            sidecars = _sum([own], sidecars)
            peak = _max(peak, sidecars)
        else:
            peak = _max(peak, _sum([own], sidecars))
    total = _max(_add(total, sidecars), peak)
    return _sum([spec.get("overhead")], total)


def _sum(parts: Iterable[Obj | None], start: dict[str, Decimal]) -> dict[str, Decimal]:
    total = dict(start)
    for part in parts:
        for name, amount in (part or {}).items():
            total[name] = total.get(name, Decimal(0)) + parse_quantity(amount)
    return total


def _add(one: dict[str, Decimal], other: dict[str, Decimal]) -> dict[str, Decimal]:
    return {name: one.get(name, Decimal(0)) + other.get(name, Decimal(0)) for name in one.keys() | other.keys()}


def _max(one: dict[str, Decimal], other: dict[str, Decimal]) -> dict[str, Decimal]:
    return {name: max(one.get(name, Decimal(0)), other.get(name, Decimal(0))) for name in one.keys() | other.keys()}
