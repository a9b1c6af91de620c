"""The RayService of a drill: which RayCluster serves, and how it is upgraded. Pure."""

import copy
from collections.abc import Iterable
from typing import Any

from headstay.model.objects import Obj, dig

GENERATION = "HEADSTAY_DRILL_GENERATION"
"""A variable of the workers: another value makes an upgrade."""


def cluster_spec(made: Obj) -> Any:
    return made["spec"]["rayClusterConfig"] if made["kind"] == "RayService" else made["spec"]


def upgraded(service: Obj) -> Obj:
    """The same RayService, changed in what asks for a new RayCluster, as it would be applied again."""
    made = copy.deepcopy({key: service[key] for key in ("apiVersion", "kind", "spec")})
    kept = ("name", "namespace", "labels", "annotations")
    made["metadata"] = {key: service["metadata"][key] for key in kept if key in service["metadata"]}
    env = cluster_spec(made)["workerGroupSpecs"][0]["template"]["spec"]["containers"][0]["env"]
    (generation,) = (entry for entry in env if entry["name"] == GENERATION)
    generation["value"] = str(int(generation["value"]) + 1)
    return made


def not_served(service: Obj | None) -> str:
    """Why a RayService does not serve by one cluster alone, or ""."""
    if not active_cluster(service):
        return "the RayService has no active RayCluster yet"
    if pending := dig(service or {}, "status", "pendingServiceStatus", "rayClusterName"):
        return f"RayCluster {pending} is pending"
    conditions: Iterable[Obj] = dig(service or {}, "status", "conditions") or []
    ready = next((c for c in conditions if c.get("type") == "Ready"), {})
    return "" if ready.get("status") == "True" else f"the RayService is not ready: {ready.get('message') or ''}"


def active_cluster(service: Obj | None) -> str:
    return str(dig(service or {}, "status", "activeServiceStatus", "rayClusterName") or "")
