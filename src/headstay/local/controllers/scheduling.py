"""Which node a Pod fits on, and if none, why not, in the words of kube-scheduler. Pure: no clock, no client.

Filters run in kube-scheduler's order and a node is refused by the first that objects. There is no preemption and no
scoring beyond "the node with the most free memory": this Kubernetes has one node, and the rules are those of many so
that manifests mean what they mean elsewhere.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from headstay.local.controllers import podaffinity
from headstay.local.controllers.ledger import PODS, Place, amounts, host_ports, requests
from headstay.local.controllers.schedulingviews import SchedulingNode, SchedulingPod, Taint, Toleration
from headstay.local.controllers.snapshot import Snapshot
from headstay.model.objects import ObjectKey

UNSCHEDULABLE_TAINT = "node.kubernetes.io/unschedulable"
BLOCKING_EFFECTS = frozenset({"NoSchedule", "NoExecute"})
NO_VICTIMS = "No preemption victims found for incoming pod"
NOT_HELPFUL = "Preemption is not helpful for scheduling"


class Fits(NamedTuple):
    node: str


class Unfit(NamedTuple):
    message: str


class Objection(NamedTuple):
    """Why one node will not do. `lasting`: no other Pod's leaving would help."""

    reasons: tuple[str, ...]
    lasting: bool


def place(pod: SchedulingPod, cluster: Snapshot) -> Fits | Unfit:
    """A node for `pod`, or why there is none."""
    if not cluster.nodes:
        return Unfit("no nodes available to schedule pods")
    if missing := _missing_claim(pod, cluster):
        everywhere = [Objection((), lasting=True)] * len(cluster.nodes)
        return Unfit(_sentence(pod, everywhere, f'persistentvolumeclaim "{missing}" not found'))
    others = cluster.others.without(pod.metadata.uid)
    neighbours = podaffinity.Neighbours(pod, cluster._replace(others=others))
    objections: list[Objection] = []
    room: dict[str, Decimal] = {}
    for node in cluster.nodes:
        name = node.metadata.name
        taken = others.place(name)
        objection = _object_to(pod, node, taken, neighbours)
        if objection is None:
            room[name] = _free(node, taken).get("memory", Decimal(0))
        else:
            objections.append(objection)
    if not room:
        return Unfit(_sentence(pod, objections))
    # The most free memory; of equals the first by name, so that the choice is not the list's order.
    return Fits(min(room, key=lambda name: (-room[name], name)))


def _missing_claim(pod: SchedulingPod, cluster: Snapshot) -> str:
    for volume in pod.spec.volumes:
        claim = volume.persistent_volume_claim.claim_name if volume.persistent_volume_claim else ""
        if claim and ObjectKey(pod.metadata.namespace, claim) not in cluster.claims:
            return claim
    return ""


def _sentence(pod: SchedulingPod, objections: Sequence[Objection], because: str = "") -> str:
    """`because` is a reason that concerns the Pod, whatever the node."""
    available = f"0/{len(objections)} nodes are available"
    reasons = because or _counted(reason for objection in objections for reason in objection.reasons)
    if pod.spec.preemption_policy == "Never":
        preemption = "not eligible due to preemptionPolicy=Never."
    else:
        outcomes = _counted(NOT_HELPFUL if objection.lasting else NO_VICTIMS for objection in objections)
        preemption = f"{available}: {outcomes}."
    return f"{available}: {reasons}. preemption: {preemption}"


def _counted(reasons: Iterable[str]) -> str:
    return ", ".join(sorted(f"{count} {reason}" for reason, count in Counter(reasons).items()))


def _object_to(
    pod: SchedulingPod,
    node: SchedulingNode,
    taken: Place,
    neighbours: podaffinity.Neighbours,
) -> Objection | None:
    """The first filter's objection to `pod` on `node` with what is taken there, or None."""
    if node.spec.unschedulable and not _tolerates(pod, Taint(UNSCHEDULABLE_TAINT, "", "NoSchedule")):
        return Objection(("node(s) were unschedulable",), lasting=True)
    for taint in node.spec.taints:
        if taint.effect in BLOCKING_EFFECTS and not _tolerates(pod, taint):
            return Objection((f"node(s) had untolerated taint {{{taint.key}: {taint.value}}}",), lasting=True)
    if not _matches_node(pod, node):
        return Objection(("node(s) didn't match Pod's node affinity/selector",), lasting=True)
    if any(map(taken.has_port, host_ports(pod))):
        return Objection(("node(s) didn't have free ports for the requested pod ports",), lasting=False)
    lack = _lack(pod, node, taken)
    if lack is not None:
        return lack
    reason = neighbours.object_to(node)
    return Objection((reason,), lasting=reason == podaffinity.NO_AFFINITY) if reason else None


def _lack(pod: SchedulingPod, node: SchedulingNode, taken: Place) -> Objection | None:
    allocatable = amounts(node.status.allocatable)
    left = _free(node, taken)
    wanted = requests(pod)
    reasons, lasting = [], False
    if PODS in allocatable and left[PODS] < 1:
        reasons.append("Too many pods")
    for name in sorted(wanted, key=_resource_order):
        if wanted[name] > 0 and wanted[name] > left.get(name, Decimal(0)):
            reasons.append(f"Insufficient {name}")
            lasting = lasting or wanted[name] > allocatable.get(name, Decimal(0))
    return Objection(tuple(reasons), lasting) if reasons else None


def _resource_order(name: str) -> tuple[int, str]:
    known = ("cpu", "memory", "ephemeral-storage")
    return (known.index(name) if name in known else len(known), name)


def _free(node: SchedulingNode, place: Place) -> dict[str, Decimal]:
    left = amounts(node.status.allocatable)
    for name, amount in place.taken.items():
        left[name] = left.get(name, Decimal(0)) - amount
    return left


def _tolerates(pod: SchedulingPod, taint: Taint) -> bool:
    return any(_covers(toleration, taint) for toleration in pod.spec.tolerations)


def _covers(toleration: Toleration, taint: Taint) -> bool:
    if toleration.effect and toleration.effect != taint.effect:
        return False
    if toleration.operator == "Exists":
        return not toleration.key or toleration.key == taint.key
    return toleration.key == taint.key and toleration.value == taint.value


def _matches_node(pod: SchedulingPod, node: SchedulingNode) -> bool:
    labels = node.metadata.labels
    if any(labels.get(key) != value for key, value in pod.spec.node_selector.items()):
        return False
    required = (pod.spec.affinity.get("nodeAffinity") or {}).get("requiredDuringSchedulingIgnoredDuringExecution")
    if not required:
        return True
    return any(_term_matches(term, node) for term in required.get("nodeSelectorTerms") or [])


def _term_matches(term: Mapping[str, Any], node: SchedulingNode) -> bool:
    """All of a term's requirements; an empty term matches nothing."""
    by_label = term.get("matchExpressions") or []
    by_field = term.get("matchFields") or []
    if not by_label and not by_field:
        return False
    fields = {"metadata.name": node.metadata.name}
    return all(_holds(found, node.metadata.labels) for found in by_label) and all(
        _holds(found, fields) for found in by_field
    )


def _holds(requirement: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    key, values = requirement["key"], requirement.get("values") or []
    match requirement["operator"]:
        case "In":
            return labels.get(key) in values
        case "NotIn":
            return labels.get(key) not in values
        case "Exists":
            return key in labels
        case "DoesNotExist":
            return key not in labels
        case "Gt":
            return _compare(labels.get(key), values) > 0
        case "Lt":
            return _compare(labels.get(key), values) < 0
        case _:
            return False


def _compare(label: str | None, values: Sequence[str]) -> int:
    """-1, 0 or 1; 0, which satisfies neither Gt nor Lt, where either is not a whole number."""
    try:
        one, other = int(label or ""), int(values[0])
    except (ValueError, IndexError):
        return 0
    return (one > other) - (one < other)
