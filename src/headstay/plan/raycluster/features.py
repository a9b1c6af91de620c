"""Parts of KubeRay's surface that this operator does not act on: accepted, stored, and said aloud."""

from collections.abc import Iterator

from headstay.model.ray import RayCluster
from headstay.plan.raycluster.plan import EventDraft


def unsupported(cluster: RayCluster) -> tuple[EventDraft, ...]:
    return tuple(
        EventDraft("Warning", "FeatureNotSupported", "Reconcile", f"{field} is not acted on by this operator: {what}")
        for field, what in _found(cluster)
    )


def _found(cluster: RayCluster) -> Iterator[tuple[str, str]]:
    spec = cluster.spec
    if cluster.autoscaling:
        yield "enableInTreeAutoscaling", "no autoscaler is started; worker groups keep the replicas of the spec"
    if (spec.get("authOptions") or {}).get("mode") == "token":
        yield "authOptions", "Ray runs without token authentication"
