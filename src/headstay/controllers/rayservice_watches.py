"""Whose news an object is: from RayClusters, Pods and Services to the RayService that they belong to."""

from headstay.model.meta import ObjectMeta
from headstay.model.objects import ObjectKey
from headstay.model.ray import ORIGINATED_FROM_CRD, ORIGINATED_FROM_NAME
from headstay.model.rayservice import RayService

BY_RAYSERVICE = "rayservice"
"""The index by which the RayClusters of a RayService are found."""


def rayservice_keys(metadata: ObjectMeta) -> list[ObjectKey]:
    labels = metadata.labels
    name = labels.get(ORIGINATED_FROM_NAME)
    return [ObjectKey(metadata.namespace, name)] if name and labels.get(ORIGINATED_FROM_CRD) == "RayService" else []


def what_matters(service: RayService) -> tuple[object, ...]:
    """All but what only says the same in other words: our own status would otherwise wake us again and again."""
    metadata = service.metadata
    conditions = sorted((found["type"], found["status"]) for found in service.status.get("conditions") or [])
    return (
        metadata.uid,
        metadata.generation,
        metadata.labels,
        metadata.annotations,
        metadata.finalizers,
        metadata.deletion_timestamp,
        service.active,
        service.pending,
        conditions,
    )
