"""Who holds a place on which node, and what is taken there: kept as Pods come and go.

Placing one Pod then costs a look at each node, not an addition over all Pods that are on them.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal

from headstay.local.controllers.schedulingviews import SchedulingPod
from headstay.model.quantity import parse_quantity

PODS = "pods"
Amounts = Mapping[str, Decimal]
HostPort = tuple[str, int]


class Place:
    """What the Pods of one node hold together; `taken` counts them under `pods`."""

    def __init__(self) -> None:
        self.taken: dict[str, Decimal] = {}
        self.ports: Counter[HostPort] = Counter()

    def add(self, pod: SchedulingPod, sign: int) -> None:
        for name, amount in (requests(pod) | {PODS: Decimal(1)}).items():
            self.taken[name] = self.taken.get(name, Decimal(0)) + sign * amount
        for port in host_ports(pod):
            self.ports[port] += sign

    def has_port(self, port: HostPort) -> bool:
        return self.ports[port] > 0


_EMPTY = Place()


class Ledger:
    """By uid: a Pod that is put again, changed or on another node, is counted once."""

    def __init__(self, pods: Iterable[SchedulingPod] = ()) -> None:
        self._pods: dict[str, SchedulingPod] = {}
        self._wary: dict[str, SchedulingPod] = {}
        self._places: dict[str, Place] = {}
        for pod in pods:
            self.put(pod)

    def __iter__(self) -> Iterator[SchedulingPod]:
        return iter(self._pods.values())

    def put(self, pod: SchedulingPod) -> None:
        """Takes `pod` in as it is now: one that has no node, or is finished, holds nothing."""
        self.remove(pod.metadata.uid)
        if not pod.occupies:
            return
        self._pods[pod.metadata.uid] = pod
        if pod.spec.affinity.get("podAntiAffinity"):
            self._wary[pod.metadata.uid] = pod
        self._places.setdefault(pod.spec.node_name, Place()).add(pod, 1)

    def remove(self, uid: str) -> None:
        held = self._pods.pop(uid, None)
        if held is not None:
            self._wary.pop(uid, None)
            self._places[held.spec.node_name].add(held, -1)

    def without(self, uid: str) -> "Ledger":
        """The others, as that Pod sees them; itself where that Pod holds nothing."""
        return Ledger(pod for pod in self if pod.metadata.uid != uid) if uid in self._pods else self

    def place(self, node: str) -> Place:
        return self._places.get(node, _EMPTY)

    def wary(self) -> Iterable[SchedulingPod]:
        """Those that may object to a neighbour."""
        return self._wary.values()


def amounts(quantities: Mapping[str, str | float]) -> dict[str, Decimal]:
    return {name: parse_quantity(value) for name, value in quantities.items()}


def requests(pod: SchedulingPod) -> dict[str, Decimal]:
    """What the Pod needs at its peak: all its containers together, or an init container while it runs alone.

    Init containers that restart (sidecars) run from their turn on, beside the later ones and the containers.
    """
    sidecars: dict[str, Decimal] = {}
    peak: dict[str, Decimal] = {}
    for container in pod.spec.init_containers:
        own = amounts(container.resources.requests)
        if container.restart_policy == "Always":
            sidecars = _sum(sidecars, own)
            own = {}
        peak = _larger(peak, _sum(sidecars, own))
    together = dict(sidecars)
    for container in pod.spec.containers:
        together = _sum(together, amounts(container.resources.requests))
    return _sum(_larger(together, peak), amounts(pod.spec.overhead))


def _sum(one: Amounts, other: Amounts) -> dict[str, Decimal]:
    return {name: one.get(name, Decimal(0)) + other.get(name, Decimal(0)) for name in one.keys() | other.keys()}


def _larger(one: Amounts, other: Amounts) -> dict[str, Decimal]:
    return {name: max(one.get(name, Decimal(0)), other.get(name, Decimal(0))) for name in one.keys() | other.keys()}


def host_ports(pod: SchedulingPod) -> set[HostPort]:
    return {
        (port.protocol, port.host_port)
        for container in pod.spec.containers
        for port in container.ports
        if port.host_port
    }
