"""Nodes, priority classes, quotas, limits, disruption budgets and revisions: small rules, one class each."""

from headstay.local.server.seams import WriteContext
from headstay.local.server.strategies import causes, names
from headstay.local.server.strategies.base import Base, put
from headstay.model.errors import Cause
from headstay.model.objects import Obj, dig

HIGHEST_USER_PRIORITY = 1_000_000_000
_COMPUTE = ("cpu", "memory", "ephemeral-storage")
_QUOTA_PREFIXES = ("requests.hugepages-", "hugepages-")
_QUOTA_RESOURCES = {
    *_COMPUTE,
    *(f"requests.{name}" for name in (*_COMPUTE, "storage")),
    *(f"limits.{name}" for name in _COMPUTE),
    "configmaps",
    "persistentvolumeclaims",
    "pods",
    "replicationcontrollers",
    "resourcequotas",
    "secrets",
    "services",
    "services.loadbalancers",
    "services.nodeports",
}


class Nodes(Base):
    def default(self, new: Obj) -> None:
        status = new.get("status") or {}
        if status.get("capacity"):
            put(status, allocatable=dict(status["capacity"]))

    def validate(self, new: Obj, old: Obj | None, context: WriteContext) -> list[Cause]:
        found: list[Cause] = []
        seen: set[tuple[str, str]] = set()
        for at, taint in enumerate(dig(new, "spec", "taints") or []):
            path, key = f"spec.taints[{at}]", taint.get("key") or ""
            found += [causes.invalid(f"{path}.key", key, complaint) for complaint in names.qualified_name(key)]
            effects = ("NoSchedule", "PreferNoSchedule", "NoExecute")
            if taint.get("effect") not in effects:
                found.append(causes.not_supported(f"{path}.effect", taint.get("effect"), effects))
            if (key, taint.get("effect")) in seen:
                found.append(causes.duplicate(path, taint))
            seen.add((key, taint.get("effect") or ""))
        return found


class PriorityClasses(Base):
    def default(self, new: Obj) -> None:
        put(new, preemptionPolicy="PreemptLowerPriority")

    def validate(self, new: Obj, old: Obj | None, context: WriteContext) -> list[Cause]:
        found = []
        name = new["metadata"]["name"]
        if name.startswith("system-"):
            detail = (
                "priority class names with 'system-' prefix are reserved for system use only. "
                f"error: {name} is not a known system priority class"
            )
            found.append(causes.forbidden("metadata.name", detail))
        elif (new.get("value") or 0) > HIGHEST_USER_PRIORITY:
            detail = f"maximum allowed value of a user defined priority is {HIGHEST_USER_PRIORITY}"
            found.append(causes.forbidden("value", detail))
        policies = ("PreemptLowerPriority", "Never")
        if new["preemptionPolicy"] not in policies:
            found.append(causes.not_supported("preemptionPolicy", new["preemptionPolicy"], policies))
        if old is not None:
            if (new.get("value") or 0) != (old.get("value") or 0):
                found.append(causes.forbidden("value", "may not be changed in an update."))
            if new["preemptionPolicy"] != old.get("preemptionPolicy"):
                found.append(causes.immutable("preemptionPolicy", new["preemptionPolicy"]))
        return found


class ResourceQuotas(Base):
    def prepare_create(self, new: Obj, context: WriteContext) -> None:
        new["status"] = {}

    def validate(self, new: Obj, old: Obj | None, context: WriteContext) -> list[Cause]:
        if context.subresource == "status":
            return []
        found = []
        for name in dig(new, "spec", "hard") or {}:
            complaints = names.qualified_name(name)
            if "/" not in name and name not in _QUOTA_RESOURCES and not name.startswith(_QUOTA_PREFIXES):
                complaints.append("must be a standard resource for quota")
            found += [causes.invalid(f"spec.hard[{name}]", name, complaint) for complaint in complaints]
        if old is not None:
            found += [
                causes.immutable(f"spec.{field}", dig(new, "spec", field))
                for field in ("scopes", "scopeSelector")
                if dig(new, "spec", field) != dig(old, "spec", field)
            ]
        return found


class PodDisruptionBudgets(Base):
    def prepare_create(self, new: Obj, context: WriteContext) -> None:
        new["status"] = {"currentHealthy": 0, "desiredHealthy": 0, "disruptionsAllowed": 0, "expectedPods": 0}

    def validate(self, new: Obj, old: Obj | None, context: WriteContext) -> list[Cause]:
        spec = new.get("spec") or {}
        if context.subresource == "status":
            return []
        if spec.get("minAvailable") is not None and spec.get("maxUnavailable") is not None:
            return [causes.invalid("spec", spec, "minAvailable and maxUnavailable cannot be both set")]
        return []


class ControllerRevisions(Base):
    def validate(self, new: Obj, old: Obj | None, context: WriteContext) -> list[Cause]:
        found = names.not_negative("revision", new.get("revision"))
        if old is not None and new.get("data") != old.get("data"):
            found.append(causes.immutable("data", new.get("data")))
        return found
