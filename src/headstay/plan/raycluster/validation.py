"""The rules a RayCluster must keep, in KubeRay's order; the first one broken is the answer.

They run in the loop, never at admission, so an object that breaks one can always be repaired, patched and deleted.
Each message names the field and what to do about it.
"""

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from headstay.model.objects import Obj
from headstay.model.ray import ENV_AUTOSCALER_V2, RayCluster, env_entry, ray_container, start_params, template_of
from headstay.plan.raycluster.plan import EventDraft
from headstay.plan.raycluster.probes import ray_version
from headstay.plan.raycluster.validation_ft import ft_rules
from headstay.plan.raycluster.validation_labels import label_problems
from headstay.plan.raycluster.validation_shapes import group_problems

MAX_NAME = 53
_DNS_1035 = re.compile(r"^[a-z]([-a-z0-9]*[a-z0-9])?$")
_RESOURCE_PARAMS = ("num-cpus", "num-gpus", "memory", "resources")

Rules = Iterator[str]


class _Check(NamedTuple):
    reason: str
    rules: Callable[[RayCluster], Rules]


def validate(cluster: RayCluster) -> EventDraft | None:
    """The Warning to record, or None for a cluster that may be acted on."""
    for check in _CHECKS:
        for problem in check.rules(cluster):
            note = f"RayCluster {cluster.namespace}/{cluster.name} is not acted on: {problem}"
            return EventDraft("Warning", check.reason, "Validate", note)
    return None


def spec_problem(cluster: RayCluster) -> str:
    """The first rule that the spec alone breaks, or "": for whoever makes RayClusters."""
    return next((problem for rules in (_spec, _upgrade) for problem in rules(cluster)), "")


def is_dns_label(name: str) -> bool:
    """One that a Service may have, too (RFC 1035)."""
    return bool(_DNS_1035.match(name))


def _metadata(cluster: RayCluster) -> Rules:
    if len(cluster.name) > MAX_NAME:
        yield f"metadata.name has {len(cluster.name)} characters; use at most {MAX_NAME}: Services are named after it"
    if not is_dns_label(cluster.name):
        yield (
            f'metadata.name "{cluster.name}" is not a DNS label: use lower-case letters, digits and "-", '
            "starting with a letter"
        )


def _spec(cluster: RayCluster) -> Rules:
    head = cluster.head_group
    for path, group in _groups(cluster):
        yield from group_problems(group, path)
    yield from _group(head, "headGroupSpec")
    for index, group in enumerate(cluster.worker_groups):
        yield from _worker_group(cluster, group, f"workerGroupSpecs[{index}]")
    names = [group["groupName"] for group in cluster.worker_groups]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f'workerGroupSpecs: groupName "{name}" is used more than once; give each group its own'
    yield from ft_rules(cluster)
    yield from _suspended_groups(cluster)
    yield from _autoscaler(cluster)
    yield from _history_server(cluster)
    yield from _authentication(cluster)
    yield from _unavailable(cluster)


def _group(group: Obj, path: str) -> Rules:
    if not (template_of(group).get("spec") or {}).get("containers"):
        yield f"{path}.template.spec.containers is empty; its first container must run Ray"
    params = start_params(group)
    if group.get("resources") and (clash := [name for name in _RESOURCE_PARAMS if name in params]):
        yield f"{path}: resources and rayStartParams {', '.join(clash)} are both set; keep one of them"
    if "labels" in params:
        yield f'{path}.rayStartParams["labels"] is not supported; use {path}.labels'
    for problem in label_problems(group.get("labels") or {}):
        yield f"{path}.labels: {problem}"


def _worker_group(cluster: RayCluster, group: Obj, path: str) -> Rules:
    lowest, highest = group.get("minReplicas"), group.get("maxReplicas")
    if not (template_of(group).get("spec") or {}).get("containers"):
        yield f"{path}.template.spec.containers is empty; its first container must run Ray"
    if not cluster.autoscaling and (lowest is None or highest is None):
        yield f"{path}: set both minReplicas and maxReplicas, or enable autoscaling"
    for field, value in (("minReplicas", lowest), ("maxReplicas", highest)):
        if value is not None and value < 0:
            yield f"{path}.{field} is {value}; it cannot be negative"
    if lowest is not None and highest is not None and lowest > highest:
        yield f"{path}: minReplicas {lowest} is above maxReplicas {highest}"
    yield from _group(group, path)
    idle = group.get("idleTimeoutSeconds")
    if idle is not None and idle < 0:
        yield f"{path}.idleTimeoutSeconds is {idle}; it cannot be negative"
    if idle is not None and not _autoscaler_v2(cluster):
        yield f"{path}.idleTimeoutSeconds needs autoscaler v2: set autoscalerOptions.version to v2"
    if group.get("priority"):
        version = ray_version(cluster.ray_version)
        if version is None or version < (2, 56, 0) or not _autoscaler_v2(cluster):
            yield f"{path}.priority needs rayVersion 2.56.0 or later and autoscaler v2"


def _env_says_v2(cluster: RayCluster) -> bool:
    entry = env_entry(ray_container(cluster.head_group), ENV_AUTOSCALER_V2)
    return entry is not None and str(entry.get("value", "")).lower() in {"1", "true"}


def _autoscaler_v2(cluster: RayCluster) -> bool:
    return cluster.autoscaler_version == "v2" or _env_says_v2(cluster)


def _suspended_groups(cluster: RayCluster) -> Rules:
    if cluster.autoscaling and any(group.get("suspend") for group in cluster.worker_groups):
        yield "workerGroupSpecs: a group cannot be suspended while autoscaling is enabled"


def _autoscaler(cluster: RayCluster) -> Rules:
    options = cluster.spec.get("autoscalerOptions") or {}
    if not cluster.autoscaling and _env_says_v2(cluster):
        yield f"headGroupSpec: environment variable {ENV_AUTOSCALER_V2} is set, but enableInTreeAutoscaling is not true"
    if cluster.autoscaling:
        entry = env_entry(ray_container(cluster.head_group), ENV_AUTOSCALER_V2)
        if cluster.autoscaler_version and entry is not None:
            yield f"autoscalerOptions.version and the head's {ENV_AUTOSCALER_V2} are both set; remove the variable"
        if cluster.autoscaler_version == "v2":
            for path, group in _groups(cluster):
                policy = (template_of(group).get("spec") or {}).get("restartPolicy")
                if policy not in {None, "", "Never"}:
                    yield f"{path}.template.spec.restartPolicy is {policy}; autoscaler v2 needs Never or nothing"
    idle = options.get("idleTimeoutSeconds")
    if idle is not None and idle < 0:
        yield f"autoscalerOptions.idleTimeoutSeconds is {idle}; it cannot be negative"
    if any(entry.get("name") == "KUBERAY_GEN_AUTOSCALER_START_CMD" for entry in options.get("env") or []):
        yield "autoscalerOptions.env: KUBERAY_GEN_AUTOSCALER_START_CMD is set by the operator; remove it"


def _groups(cluster: RayCluster) -> list[tuple[str, Obj]]:
    workers = [(f"workerGroupSpecs[{index}]", group) for index, group in enumerate(cluster.worker_groups)]
    return [("headGroupSpec", cluster.head_group), *workers]


def _authentication(cluster: RayCluster) -> Rules:
    options = cluster.spec.get("authOptions") or {}
    with_kubernetes = bool(options.get("enableK8sTokenAuth"))
    if with_kubernetes and options.get("mode") != "token":
        yield "authOptions.enableK8sTokenAuth needs authOptions.mode token"
    if options.get("mode") != "token":
        return
    version = ray_version(cluster.ray_version)
    least = (2, 55, 0) if with_kubernetes else (2, 52, 0)
    if version is None or version < least:
        wanted, found = ".".join(map(str, least)), cluster.ray_version or "not set"
        yield f"authOptions needs rayVersion {wanted} or later; it is {found}"
    if with_kubernetes and options.get("secretName"):
        yield "authOptions: enableK8sTokenAuth and secretName exclude each other"


def _history_server(cluster: RayCluster) -> Rules:
    """Behind a gate that KubeRay 1.7 has off by default, as is all of `_unavailable`; this operator has none of it."""
    if cluster.spec.get("historyServerOptions") is not None:
        yield "historyServerOptions is set, but this operator has no history server support; remove the field"


def _unavailable(cluster: RayCluster) -> Rules:
    if cluster.spec.get("networkPolicy") is not None:
        yield "networkPolicy is set, but this operator has no network policy support; remove the field"
    if (cluster.spec.get("tlsOptions") or {}).get("enabled"):
        yield "tlsOptions.enabled is true, but this operator does not make certificates; configure TLS in the templates"


def _upgrade(cluster: RayCluster) -> Rules:
    kind = (cluster.spec.get("upgradeStrategy") or {}).get("type")
    if kind not in {None, "Recreate", "None"}:
        yield f"upgradeStrategy.type is {kind}; use Recreate or None"
    if kind is not None and cluster.creator != "RayCluster":
        yield f"upgradeStrategy cannot be set on a cluster that a {cluster.creator} made; set it there"


def _status(cluster: RayCluster) -> Rules:
    if cluster.is_true("RayClusterSuspending") and cluster.is_true("RayClusterSuspended"):
        yield "status.conditions says both RayClusterSuspending and RayClusterSuspended; correct one of them"


_CHECKS = (
    _Check("InvalidRayClusterMetadata", _metadata),
    _Check("InvalidRayClusterSpec", _spec),
    _Check("InvalidRayClusterSpec", _upgrade),
    _Check("InvalidRayClusterStatus", _status),
)
