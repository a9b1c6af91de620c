"""Pods: what admission adds, the first status, and the few things about a running Pod that may still change."""

from copy import deepcopy
from typing import Any

from headstay.local.server.seams import WriteContext
from headstay.local.server.strategies import causes
from headstay.local.server.strategies.admission import admit_priority, admit_service_account, admit_tolerations
from headstay.local.server.strategies.base import Base
from headstay.local.server.strategies.limits import admit_limits
from headstay.local.server.strategies.podspec import containers, default_pod
from headstay.local.server.strategies.podstatus import qos_class
from headstay.local.server.strategies.podvalidation import validate_pod_spec
from headstay.model.errors import Cause
from headstay.model.objects import Obj

_MAY_CHANGE = (
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)
_SPEC_WRITERS = frozenset({"binding", "ephemeralcontainers", "resize"})


class Pods(Base):
    def default(self, new: Obj) -> None:
        default_pod(new)

    def prepare_create(self, new: Obj, context: WriteContext) -> None:
        admit_service_account(new, context)
        admit_tolerations(new["spec"])
        admit_priority(new, context)
        admit_limits(new, context)
        self.default(new)
        new["status"] = {"phase": "Pending", "qosClass": qos_class(new["spec"])}
        gates = new["spec"].get("schedulingGates")
        if gates:
            new["status"]["conditions"] = [_gated()]

    def prepare_update(self, new: Obj, old: Obj, context: WriteContext) -> None:
        if not context.subresource:
            admit_tolerations(new["spec"])
        if context.subresource == "status":
            qos = (old.get("status") or {}).get("qosClass")
            if qos:
                new.setdefault("status", {})["qosClass"] = qos

    def validate(self, new: Obj, old: Obj | None, context: WriteContext) -> list[Cause]:
        if context.subresource == "status":
            return []
        found = validate_pod_spec(new["spec"], "spec")
        if old is not None and context.subresource not in _SPEC_WRITERS:
            found += _validate_update(new["spec"], old["spec"])
        return found


def _gated() -> Obj:
    return {
        "type": "PodScheduled",
        "status": "False",
        "reason": "SchedulingGated",
        "message": "Scheduling is blocked due to non-empty scheduling gates",
    }


def _validate_update(new: Obj, old: Obj) -> list[Cause]:
    """The image, the deadline (down only), more tolerations; everything else is as it was created."""
    for name in ("containers", "initContainers"):
        if len(new.get(name) or []) != len(old.get(name) or []):
            return [causes.forbidden("spec", f"{_MAY_CHANGE}\n{_changes(new, old)}")]
    found = _deadline(new.get("activeDeadlineSeconds"), old.get("activeDeadlineSeconds"))
    found += _tolerations(new.get("tolerations") or [], old.get("tolerations") or [])
    reset = deepcopy(new)
    for field in ("activeDeadlineSeconds", "tolerations"):
        _restore(reset, old, field)
    if (old.get("terminationGracePeriodSeconds") or 0) < 0 and new.get("terminationGracePeriodSeconds") == 1:
        _restore(reset, old, "terminationGracePeriodSeconds")
    if old.get("schedulingGates"):
        found += _restore_while_gated(reset, new, old)
    pairs = zip(
        containers(reset, "initContainers", "containers"), containers(old, "initContainers", "containers"), strict=True
    )
    for container, before in pairs:
        _restore(container, before, "image")
    if reset != old:
        found.append(causes.forbidden("spec", f"{_MAY_CHANGE}\n{_changes(reset, old)}"))
    return found


def _restore(new: Obj, old: Obj, field: str) -> None:
    new.pop(field, None)
    if field in old:
        new[field] = old[field]


def _restore_while_gated(reset: Obj, new: Obj, old: Obj) -> list[Cause]:
    """Before it is scheduled, a gated Pod may lose gates and be narrowed to fewer nodes."""
    before = {gate.get("name") for gate in old["schedulingGates"]}
    added = [gate.get("name") for gate in new.get("schedulingGates") or [] if gate.get("name") not in before]
    for field in ("schedulingGates", "nodeSelector", "affinity"):
        _restore(reset, old, field)
    if added:
        return [
            causes.forbidden(
                "spec.schedulingGates", f"only deletion is allowed, but found new scheduling gate '{added[0]}'"
            )
        ]
    return []


def _deadline(new: int | None, old: int | None) -> list[Cause]:
    path = "spec.activeDeadlineSeconds"
    if old is None or new == old:
        return []
    if new is None:
        return [causes.invalid(path, None, "must not update from a positive integer to nil value")]
    if new > old:
        return [causes.invalid(path, new, "must be less than or equal to previous value")]
    return []


def _tolerations(new: list[Obj], old: list[Obj]) -> list[Cause]:
    """Each old one must still be there; only how long it is tolerated may change."""
    path = "spec.tolerations"
    kept = [_without_seconds(toleration) for toleration in new]
    if all(_without_seconds(toleration) in kept for toleration in old):
        return []
    return [causes.forbidden(path, "existing toleration can not be modified except its tolerationSeconds")]


def _without_seconds(toleration: Obj) -> Obj:
    return {key: value for key, value in toleration.items() if key != "tolerationSeconds"}


def _changes(new: Any, old: Any, path: str = "spec") -> str:
    """The fields that differ, one a line: `- spec.hostname: "a"`, `+ spec.hostname: "b"`."""
    return "\n".join(_diff(new, old, path))


def _diff(new: Any, old: Any, path: str) -> list[str]:
    if isinstance(new, dict) and isinstance(old, dict):
        names = sorted(new.keys() | old.keys())
        return [line for name in names for line in _diff(new.get(name), old.get(name), f"{path}.{name}")]
    if isinstance(new, list) and isinstance(old, list) and len(new) == len(old):
        pairs = enumerate(zip(new, old, strict=True))
        return [line for at, (left, right) in pairs for line in _diff(left, right, f"{path}[{at}]")]
    if new == old:
        return []
    lines = [] if old is None else [f"- {path}: {causes.shown(old)}"]
    return lines + ([] if new is None else [f"+ {path}: {causes.shown(new)}"])
