"""How many worker Pods a RayCluster should have, and what they ask of the machines."""

from collections.abc import Iterable
from decimal import Decimal
from typing import NamedTuple

from headstay.model.objects import Obj
from headstay.model.quantity import parse_quantity
from headstay.model.ray import RayCluster, template_of
from headstay.plan.raycluster.ray_start import is_gpu
from headstay.plan.raycluster.validation_shapes import group_problems

MAX_INT32 = 2147483647


def hosts(group: Obj) -> int:
    return int(group.get("numOfHosts") or 1)


def bounds(group: Obj) -> tuple[int, int]:
    lowest = group.get("minReplicas")
    highest = group.get("maxReplicas")
    return int(lowest or 0), MAX_INT32 if highest is None else int(highest)


def desired_pods(group: Obj) -> int:
    """`replicas` kept between its bounds, times hosts; none while the group is suspended."""
    if group.get("suspend"):
        return 0
    lowest, highest = bounds(group)
    replicas = group.get("replicas")
    wanted = lowest if replicas is None else int(replicas)
    return min(max(wanted, lowest), highest) * hosts(group)


class Totals(NamedTuple):
    desired: int
    lowest: int
    highest: int


def totals(cluster: RayCluster) -> Totals:
    active = [group for group in cluster.worker_groups if not group.get("suspend")]
    return Totals(
        sum(desired_pods(group) for group in cluster.worker_groups),
        sum(bounds(group)[0] * hosts(group) for group in active),
        min(sum(bounds(group)[1] * hosts(group) for group in active), MAX_INT32),
    )


class Resources(NamedTuple):
    """In base units: cores, bytes, devices."""

    cpu: Decimal
    memory: Decimal
    gpu: Decimal
    tpu: Decimal


def desired_resources(cluster: RayCluster) -> Resources:
    """Of the head and of `replicas` as written (not kept between bounds): KubeRay's figure, kept comparable."""
    total = _of_pod(cluster.head_group)
    for group in cluster.worker_groups:
        if not group.get("suspend"):
            count = int(group.get("replicas") or 0) * hosts(group)
            for name, amount in _of_pod(group).items():
                total[name] = total.get(name, Decimal(0)) + amount * count
    gpus = sum((amount for name, amount in total.items() if is_gpu(name)), Decimal(0))
    zero = Decimal(0)
    return Resources(total.get("cpu", zero), total.get("memory", zero), gpus, total.get("google.com/tpu", zero))


def _of_pod(group: Obj) -> dict[str, Decimal]:
    """Requests, or limits where a container has no request, summed over the Pod's containers."""
    total: dict[str, Decimal] = {}
    if next(group_problems(group, ""), ""):
        return total  # malformed; a deletion's status comes by here without validation
    containers: Iterable[Obj] = (template_of(group).get("spec") or {}).get("containers") or []
    for container in containers:
        resources = container.get("resources") or {}
        wanted = (resources.get("limits") or {}) | (resources.get("requests") or {})
        for name, text in wanted.items():
            try:
                total[name] = total.get(name, Decimal(0)) + parse_quantity(text)
            except ValueError:
                continue  # the API server refuses such a Pod and says why
    return total
