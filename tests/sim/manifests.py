"""The RayClusters of this tier."""

from typing import Any

from headstay.model.objects import Obj
from headstay.model.ray import RAYCLUSTERS


def cluster(
    name: str,
    *,
    ft: bool = True,
    workers: int = 2,
    slices: int = 0,
    storage: str = "",
    annotations: dict[str, str] | None = None,
    **spec: Any,
) -> Obj:
    """A RayCluster with one plain group, and one of two hosts a replica where `slices` is given.

    `storage` is its storage namespace, where that is not its UID.
    """

    def template(container: str) -> Obj:
        return {"spec": {"containers": [{"name": container, "image": "rayproject/ray:2.9.0"}]}}

    groups: list[Obj] = [{"groupName": "w", "replicas": workers, "template": template("w"), "rayStartParams": {}}]
    if slices:
        groups.append(
            {"groupName": "m", "replicas": slices, "numOfHosts": 2, "template": template("m"), "rayStartParams": {}}
        )
    for group in groups:
        group |= {"minReplicas": 0, "maxReplicas": 10}
    document: Obj = {
        "apiVersion": RAYCLUSTERS.api_version,
        "kind": RAYCLUSTERS.kind,
        "metadata": {
            "name": name,
            "namespace": "default",
            "annotations": {"ray.io/gcs-ft-deletion-timeout": "120", **(annotations or {})},
        },
        "spec": {
            "rayVersion": "2.9.0",
            "headGroupSpec": {"rayStartParams": {}, "template": template("head")},
            "workerGroupSpecs": groups,
            **spec,
        },
    }
    if ft:
        options = {"redisAddress": "redis:6379"} | ({"externalStorageNamespace": storage} if storage else {})
        document["spec"]["gcsFaultToleranceOptions"] = options
    return document
