"""Parts of KubeRay's surface that this operator does not act on: accepted, stored, and said aloud.

What KubeRay refuses while a feature gate is off (its default) is refused by name instead: see `validation`.
"""

from collections.abc import Iterator

from headstay.model.ray import ENABLE_SERVE_SERVICE, RayCluster
from headstay.plan.raycluster.plan import EventDraft
from headstay.plan.raycluster.services import serve_ports, wants_serve_service

_BATCH_SCHEDULING = ("ray.io/gang-scheduling-enabled", "ray.io/priority-class-name", "ray.io/scheduler-name")


def unsupported(cluster: RayCluster) -> tuple[EventDraft, ...]:
    return tuple(
        EventDraft("Warning", "FeatureNotSupported", "Reconcile", f"{field} is not acted on by this operator: {what}")
        for field, what in _found(cluster)
    )


def _found(cluster: RayCluster) -> Iterator[tuple[str, str]]:
    spec = cluster.spec
    if cluster.autoscaling:
        yield "enableInTreeAutoscaling", "no autoscaler is started; worker groups keep the replicas of the spec"
    options = spec.get("authOptions")
    if options is not None and options.get("mode") != "disabled":
        yield "authOptions", "no Secret is made, and Ray runs without token authentication"
    for index, group in enumerate(cluster.worker_groups):
        if group.get("idleTimeoutSeconds") is not None:
            yield f"workerGroupSpecs[{index}].idleTimeoutSeconds", "no autoscaler removes idle workers"
        if group.get("priority"):
            yield f"workerGroupSpecs[{index}].priority", "no autoscaler chooses between groups"
    for label in _BATCH_SCHEDULING:
        if label in cluster.metadata.labels:
            yield f"metadata.labels[{label}]", "no batch scheduler is told; Pods are scheduled one by one"
    if wants_serve_service(cluster) and not serve_ports(cluster):
        yield (
            f"metadata.annotations[{ENABLE_SERVE_SERVICE}]",
            'the head container has no port named "serve" or "serve-..."; add one to get the Service',
        )
