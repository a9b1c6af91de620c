"""ResourceQuota, enforced when an object is created: what is used is counted from what is stored.

Nothing is charged in advance and nothing has to be given back, so a failed write or a crash leaves no debt. The
server decides one write at a time, so two creations cannot both take the last place.
"""

from collections.abc import Iterable
from datetime import timedelta
from decimal import Decimal

from headstay.local.server import errors
from headstay.local.server.seams import WriteContext
from headstay.local.server.strategies.podspec import containers
from headstay.local.server.strategies.podstatus import pod_requests, qos_class
from headstay.local.server.strategies.quantities import format_quantity, is_binary
from headstay.model.objects import Obj, dig
from headstay.model.quantity import parse_quantity
from headstay.model.resource import PODS, Resource
from headstay.model.timestamps import parse

RESOURCE_QUOTAS = Resource("", "v1", "resourcequotas", "ResourceQuota")
_PLAIN_COUNTS = {
    "pods",
    "services",
    "configmaps",
    "secrets",
    "persistentvolumeclaims",
    "replicationcontrollers",
    "resourcequotas",
}
_COMPUTE = {"cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"}

Usage = dict[str, Decimal]


def admit_quota(resource: Resource, new: Obj, context: WriteContext) -> None:
    """Refuses `new` with 403 if a quota of its namespace would be exceeded."""
    namespace = new["metadata"].get("namespace") or ""
    for quota in context.reader.list(RESOURCE_QUOTAS, namespace):
        hard = dig(quota, "spec", "hard") or {}
        if not hard or not _in_scope(quota, resource, new):
            continue
        name = quota["metadata"]["name"]
        if resource == PODS:
            _require_compute(name, new, hard)
        asked = {key: amount for key, amount in usage(resource, new, context).items() if key in hard and amount > 0}
        if asked:
            _check(quota, resource, new, asked, context)


def usage(resource: Resource, obj: Obj, context: WriteContext) -> Usage:
    """What one object takes of a quota."""
    found: Usage = {f"count/{resource}": Decimal(1)}
    if resource == PODS:
        if _is_over(obj, context):
            return found
        for field, prefixes in (("requests", ("", "requests.")), ("limits", ("limits.",))):
            for name, amount in pod_requests(obj.get("spec") or {}, field).items():
                found |= {prefix + name: amount for prefix in prefixes}
    if not resource.group and resource.plural in _PLAIN_COUNTS:
        found[resource.plural] = Decimal(1)
    if str(resource) == "services":
        found |= _service_usage(obj)
    if str(resource) == "persistentvolumeclaims":
        found |= _claim_usage(obj)
    return found


def _check(quota: Obj, resource: Resource, new: Obj, asked: Usage, context: WriteContext) -> None:
    hard = quota["spec"]["hard"]
    used: Usage = dict.fromkeys(asked, Decimal(0))
    for other in context.reader.list(resource, new["metadata"].get("namespace") or ""):
        if _in_scope(quota, resource, other):
            for key, amount in usage(resource, other, context).items():
                if key in used:
                    used[key] += amount
    over = sorted(key for key in asked if used[key] + asked[key] > parse_quantity(hard[key]))
    if not over:
        return
    raise errors.forbidden(
        resource,
        new["metadata"].get("name") or "",
        f"exceeded quota: {quota['metadata']['name']}, requested: {_printed(over, asked, hard)}, "
        f"used: {_printed(over, used, hard)}, limited: {_printed(over, _parsed(hard), hard)}",
    )


def _parsed(hard: Obj) -> Usage:
    return {key: parse_quantity(amount) for key, amount in hard.items()}


def _printed(keys: Iterable[str], amounts: Usage, hard: Obj) -> str:
    return ",".join(f"{key}={format_quantity(amounts[key], binary=is_binary(hard[key]))}" for key in keys)


def _require_compute(quota: str, pod: Obj, hard: Obj) -> None:
    """Under a quota for cpu or memory, every container must say how much it wants."""
    missing: dict[str, set[str]] = {}
    for container in containers(pod.get("spec") or {}, "initContainers", "containers"):
        resources = container.get("resources") or {}
        said = {f"limits.{name}" for name in resources.get("limits") or {}}
        for name in resources.get("requests") or {}:
            said |= {name, f"requests.{name}"}
        for key in _COMPUTE & hard.keys() - said:
            missing.setdefault(key, set()).add(container.get("name") or "")
    if missing:
        said_so = "; ".join(f"{key} for: {','.join(sorted(missing[key]))}" for key in sorted(missing))
        raise errors.forbidden(
            PODS, pod["metadata"].get("name") or "", f"failed quota: {quota}: must specify {said_so}"
        )


def _is_over(pod: Obj, context: WriteContext) -> bool:
    """A Pod that has ended, or should have been gone by now, takes nothing but its place among the objects."""
    if dig(pod, "status", "phase") in {"Succeeded", "Failed"}:
        return True
    deleted = pod["metadata"].get("deletionTimestamp")
    if not deleted:
        return False
    grace = pod["metadata"].get("deletionGracePeriodSeconds") or 0
    return context.now > parse(deleted) + timedelta(seconds=grace)


def _in_scope(quota: Obj, resource: Resource, obj: Obj) -> bool:
    spec = quota["spec"]
    wanted = [{"scopeName": scope, "operator": "Exists"} for scope in spec.get("scopes") or []]
    wanted += dig(spec, "scopeSelector", "matchExpressions") or []
    if not wanted:
        return True
    return resource == PODS and all(_matches(scope, obj.get("spec") or {}) for scope in wanted)


def _matches(scope: Obj, spec: Obj) -> bool:
    match scope["scopeName"]:
        case "Terminating":
            return spec.get("activeDeadlineSeconds") is not None
        case "NotTerminating":
            return spec.get("activeDeadlineSeconds") is None
        case "BestEffort":
            return qos_class(spec) == "BestEffort"
        case "NotBestEffort":
            return qos_class(spec) != "BestEffort"
        case "PriorityClass":
            return _matches_value(scope, spec.get("priorityClassName") or "")
        case _:
            return False


def _matches_value(scope: Obj, value: str) -> bool:
    match scope.get("operator"):
        case "In":
            return value in (scope.get("values") or [])
        case "NotIn":
            return value not in (scope.get("values") or [])
        case "DoesNotExist":
            return not value
        case _:
            return bool(value)


def _service_usage(service: Obj) -> Usage:
    spec = service.get("spec") or {}
    ports = [port for port in spec.get("ports") or [] if port.get("nodePort")]
    found = {"services.nodeports": Decimal(0), "services.loadbalancers": Decimal(0)}
    if spec.get("type") in {"NodePort", "LoadBalancer"}:
        found["services.nodeports"] = Decimal(max(len(ports), len(spec.get("ports") or [])))
    if spec.get("type") == "LoadBalancer":
        found["services.loadbalancers"] = Decimal(1)
    return found


def _claim_usage(claim: Obj) -> Usage:
    asked = dig(claim, "spec", "resources", "requests", "storage")
    if asked is None:
        return {}
    amount = parse_quantity(asked)
    storage_class = dig(claim, "spec", "storageClassName")
    found = {"requests.storage": amount}
    if storage_class:
        prefix = f"{storage_class}.storageclass.storage.k8s.io"
        found |= {f"{prefix}/requests.storage": amount, f"{prefix}/persistentvolumeclaims": Decimal(1)}
    return found
