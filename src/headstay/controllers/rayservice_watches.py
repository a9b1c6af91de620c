"""What is news, and whose: from RayClusters, Pods and Services to the RayService that they belong to."""

from headstay.model.meta import ObjectMeta
from headstay.model.objects import ObjectKey
from headstay.model.ray import ORIGINATED_FROM_CRD, ORIGINATED_FROM_NAME, RayObject
from headstay.model.rayservice import RayService

BY_RAYSERVICE = "rayservice"
"""The index by which the RayClusters of a RayService are found."""


def rayservice_keys(metadata: ObjectMeta) -> list[ObjectKey]:
    labels = metadata.labels
    name = labels.get(ORIGINATED_FROM_NAME)
    return [ObjectKey(metadata.namespace, name)] if name and labels.get(ORIGINATED_FROM_CRD) == "RayService" else []


def what_matters(found: RayObject) -> tuple[object, ...]:
    """A status that only says the same in other words is no reason to look again.

    Such a status is our own writing: were it one, an error text that differs from try to try would become a loop
    without back-off.
    """
    metadata = found.metadata
    conditions = sorted((told["type"], told["status"]) for told in found.status.get("conditions") or [])
    names = (found.active, found.pending) if isinstance(found, RayService) else ()
    return (
        metadata.uid,
        metadata.generation,
        metadata.labels,
        metadata.annotations,
        metadata.finalizers,
        metadata.deletion_timestamp,
        conditions,
        names,
    )
