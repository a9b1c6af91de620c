"""The hash that tells whether running Pods still match the spec (`upgradeStrategy: Recreate`).

What scales, and what does not change a running Pod, is left out. The value means something only to the operator
version that wrote it: it is compared only where the head Pod carries our version.
"""

import base64
import hashlib
import json
from copy import deepcopy

from headstay.model.objects import Obj
from headstay.model.ray import RayCluster

_SCALING = ("replicas", "minReplicas", "maxReplicas", "scaleStrategy", "suspend")


def recreates(cluster: RayCluster) -> bool:
    return (cluster.spec.get("upgradeStrategy") or {}).get("type") == "Recreate"


def spec_hash(cluster: RayCluster) -> str:
    return hash_of(cluster.spec)


def hash_of(cluster_spec: Obj) -> str:
    spec = deepcopy(cluster_spec)
    spec.pop("suspend", None)
    spec.pop("upgradeStrategy", None)
    groups: list[Obj] = spec.get("workerGroupSpecs") or []
    for group in groups:
        for field in _SCALING:
            group.pop(field, None)
    for group in [spec.get("headGroupSpec") or {}, *groups]:
        pod_spec = (group.get("template") or {}).get("spec") or {}
        pod_spec.pop("tolerations", None)
        pod_spec.pop("schedulingGates", None)
    text = json.dumps(spec, sort_keys=True, separators=(",", ":"))
    digest = hashlib.sha1(text.encode(), usedforsecurity=False).digest()
    return base64.b32hexencode(digest).decode()
