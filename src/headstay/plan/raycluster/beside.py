"""Whether a KubeRay operator acts on the same objects, and what then: nothing, and say so.

Two operators on one RayCluster make twins and delete each other's Pods. KubeRay's leader renews a Lease every few
seconds; as long as it does, we wait. Only our own clock counts: what matters is when we saw the Lease change.
"""

from datetime import datetime, timedelta
from typing import NamedTuple

from headstay.model.objects import Obj
from headstay.model.timestamps import parse
from headstay.plan.raycluster.plan import EventDraft, Observed, Plan

KUBERAY_LEASE = "ray-operator-leader"
MANAGED_BY_KUBERAY = "headstay.io/ManagedByKubeRay"
_DEFAULT_DURATION = 15.0
# An old installation leaves its Lease behind. Clocks that differ by this much break more than this.
_LONG_AGO = timedelta(minutes=10)


class Seen(NamedTuple):
    """A Lease, and when (monotonic seconds) its content was first seen as it is."""

    lease: Obj
    since: float


def look_again(seen: Seen | None, lease: Obj, monotonic: float) -> Seen:
    return seen if seen is not None and seen.lease.get("spec") == lease.get("spec") else Seen(lease, monotonic)


def is_fresh(seen: Seen, monotonic: float, now: datetime) -> bool:
    """Held, and renewed within its duration as far as we can tell: one just seen for the first time counts as fresh."""
    spec = seen.lease.get("spec") or {}
    if not spec.get("holderIdentity"):
        return False
    if _renewed_long_ago(spec, now):
        return False
    return monotonic < seen.since + float(spec.get("leaseDurationSeconds") or _DEFAULT_DURATION)


def describe(seen: Seen) -> str:
    metadata = seen.lease["metadata"]
    holder = str(seen.lease["spec"]["holderIdentity"]).split("_")[0]
    return f"{holder} (Lease {metadata['name']} in namespace {metadata['namespace']})"


def kuberay_condition(beside: str, kind: str = "RayClusters") -> Obj:
    message = (
        f"The KubeRay operator {beside} acts on {kind}; Headstay does nothing here until it is gone. "
        "Stop one of the two, for example: kubectl scale deployment kuberay-operator --replicas=0 "
        "(if they act on different namespaces, set HEADSTAY_IGNORE_KUBERAY=true for Headstay)"
    )
    return {"type": MANAGED_BY_KUBERAY, "status": "True", "reason": "KubeRayIsRunning", "message": message}


def stand_aside(observed: Observed) -> Plan:
    condition = kuberay_condition(observed.beside)
    return Plan(
        "a KubeRay operator is running",
        events=(EventDraft("Warning", "ManagedByKubeRay", "Reconcile", condition["message"]),),
        conditions=(condition,),
        conditions_only=True,
    )


def _renewed_long_ago(spec: Obj, now: datetime) -> bool:
    try:
        return parse(str(spec.get("renewTime") or "")) < now - _LONG_AGO
    except ValueError:
        return False
