"""Deployments, ReplicaSets, StatefulSets and DaemonSets.

What they share: a Pod template, and a selector that must match the template's labels and never changes.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from headstay.local.server.seams import WriteContext
from headstay.local.server.strategies import causes, names
from headstay.local.server.strategies.base import Base, put
from headstay.local.server.strategies.podspec import default_template
from headstay.local.server.strategies.podvalidation import validate_pod_spec
from headstay.model.errors import Cause
from headstay.model.objects import Obj, dig
from headstay.model.selectors import structured_selector

_STATEFUL_SET_MAY_CHANGE = (
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
)


class Workload(Base):
    """`kind` is how Kubernetes speaks of it in messages; `first_status` is what is written out before anything is.

    `parts` are the counts in the status of which none may be greater than its `replicas`.
    """

    kind = ""
    parts: tuple[str, ...] = ()
    first_status: Mapping[str, int] = MappingProxyType({})

    def default(self, new: Obj) -> None:
        spec = new.setdefault("spec", {})
        if isinstance(spec.get("template"), dict):
            default_template(spec["template"])
        self.default_spec(spec)

    def default_spec(self, spec: Obj) -> None:
        raise NotImplementedError

    def prepare_create(self, new: Obj, context: WriteContext) -> None:
        self.default(new)
        new["status"] = dict(self.first_status)

    def prepare_update(self, new: Obj, old: Obj, context: WriteContext) -> None:
        if not context.subresource:
            self.default(new)

    def validate(self, new: Obj, old: Obj | None, context: WriteContext) -> list[Cause]:
        if context.subresource == "status":
            return validate_status(new.get("status") or {}, self.parts)
        spec = new["spec"]
        found = names.not_negative("spec.replicas", spec.get("replicas"))
        found += validate_selector(spec, self.kind)
        found += self.validate_spec(spec)
        found += names.not_negative("spec.minReadySeconds", spec.get("minReadySeconds"))
        found += names.not_negative("spec.revisionHistoryLimit", spec.get("revisionHistoryLimit"))
        if old is not None:
            found += self.validate_update(spec, old["spec"])
        return found

    def validate_spec(self, spec: Obj) -> list[Cause]:
        return []

    def validate_update(self, spec: Obj, old: Obj) -> list[Cause]:
        return immutable_selector(spec, old)


def validate_status(status: Obj, parts: tuple[str, ...]) -> list[Cause]:
    """Counts that are not negative, and no part greater than the whole."""
    found: list[Cause] = []
    for name in ("replicas", *parts, "unavailableReplicas", "observedGeneration"):
        found += names.not_negative(f"status.{name}", status.get(name))
    for name in parts:
        if (value := status.get(name) or 0) > (status.get("replicas") or 0):
            found.append(causes.invalid(f"status.{name}", value, "cannot be greater than status.replicas"))
    if (value := status.get("availableReplicas") or 0) > (status.get("readyReplicas") or 0):
        found.append(causes.invalid("status.availableReplicas", value, "cannot be greater than readyReplicas"))
    return found


def validate_selector(spec: Obj, kind: str) -> list[Cause]:
    """The selector, and the template that it must match."""
    selector = spec.get("selector")
    found = [causes.required("spec.selector")] if selector is None else _selector(selector, kind)
    if any(cause.field.startswith("spec.selector.matchExpressions") for cause in found):
        return [*found, causes.invalid_go("spec.selector", causes.go_selector(selector), "invalid label selector")]
    labels = dig(spec, "template", "metadata", "labels")
    if selector is None or not structured_selector(selector).matches(labels or {}):
        found.append(mismatch(labels))
    return found + validate_template(spec, ("Always",))


def _selector(selector: Obj, kind: str) -> list[Cause]:
    found = []
    for at, expression in enumerate(selector.get("matchExpressions") or []):
        found += _expression(expression, f"spec.selector.matchExpressions[{at}]")
    found += names.check_labels("spec.selector.matchLabels", selector.get("matchLabels"))
    if not selector.get("matchLabels") and not selector.get("matchExpressions"):
        detail = f"empty selector is invalid for {kind}"
        found.append(causes.invalid_go("spec.selector", causes.go_selector(selector), detail))
    return found


def mismatch(labels: dict[str, str] | None) -> Cause:
    detail = "`selector` does not match template `labels`"
    return causes.invalid_go("spec.template.metadata.labels", causes.go_labels(labels or None), detail)


def _expression(expression: Obj, path: str) -> list[Cause]:
    operator, values = expression.get("operator") or "", expression.get("values") or []
    found = []
    if operator in {"In", "NotIn"} and not values:
        found.append(causes.required(f"{path}.values", "must be specified when `operator` is 'In' or 'NotIn'"))
    elif operator in {"Exists", "DoesNotExist"} and values:
        found.append(
            causes.forbidden(f"{path}.values", "may not be specified when `operator` is 'Exists' or 'DoesNotExist'")
        )
    elif operator not in {"In", "NotIn", "Exists", "DoesNotExist"}:
        found.append(causes.invalid(f"{path}.operator", operator, "not a valid selector operator"))
    key = expression.get("key") or ""
    return found + [causes.invalid(f"{path}.key", key, complaint) for complaint in names.qualified_name(key)]


def _with_claims(pod: Obj, spec: Obj) -> list[Obj]:
    """A StatefulSet's claim templates are volumes of its Pods, and may be mounted."""
    volumes = list(pod.get("volumes") or [])
    names_of = [dig(claim, "metadata", "name") for claim in spec.get("volumeClaimTemplates") or []]
    taken = {volume.get("name") for volume in volumes}
    claims = [{"name": name, "persistentVolumeClaim": {"claimName": name}} for name in names_of if name not in taken]
    return volumes + claims


def validate_template(spec: Obj, restart_policies: tuple[str, ...], path: str = "spec.template") -> list[Cause]:
    template = spec.get("template") or {}
    found = names.check_labels(f"{path}.metadata.labels", dig(template, "metadata", "labels"))
    pod = template.get("spec") or {}
    if not pod:
        return [*found, causes.required(f"{path}.spec.containers")]
    found += validate_pod_spec(pod | {"volumes": _with_claims(pod, spec)}, f"{path}.spec")
    if pod.get("restartPolicy") not in restart_policies:
        found.append(causes.not_supported(f"{path}.spec.restartPolicy", pod.get("restartPolicy"), restart_policies))
    if pod.get("activeDeadlineSeconds") is not None and restart_policies == ("Always",):
        found.append(
            causes.forbidden(
                f"{path}.spec.activeDeadlineSeconds", "activeDeadlineSeconds in ReplicaSet is not Supported"
            )
        )
    return found


def immutable_selector(spec: Obj, old: Obj) -> list[Cause]:
    if spec.get("selector") == old.get("selector"):
        return []
    return [causes.invalid_go("spec.selector", causes.go_selector(spec.get("selector")), "field is immutable")]


def amount(path: str, value: Any) -> list[Cause]:
    """An int-or-percent that may not be negative."""
    if isinstance(value, str):
        if value.endswith("%") and value[:-1].isdigit():
            return []
        detail = "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', "
        detail += "regex used for validation is '[0-9]+%')"
        return [causes.invalid_go(path, causes.go_int_or_percent(value), detail)]
    return names.not_negative(path, value)


class Deployments(Workload):
    kind = "deployment"
    parts = ("updatedReplicas", "readyReplicas", "availableReplicas")

    def default_spec(self, spec: Obj) -> None:
        put(spec, replicas=1, revisionHistoryLimit=10, progressDeadlineSeconds=600)
        strategy = spec.setdefault("strategy", {})
        put(strategy, type="RollingUpdate")
        if strategy["type"] == "RollingUpdate":
            put(strategy, rollingUpdate={})
            put(strategy["rollingUpdate"], maxUnavailable="25%", maxSurge="25%")

    def validate_spec(self, spec: Obj) -> list[Cause]:
        strategy = spec["strategy"]
        rolling = strategy.get("rollingUpdate")
        found: list[Cause] = []
        if strategy["type"] == "Recreate":
            if rolling is not None:
                detail = "may not be specified when strategy `type` is 'Recreate'"
                found.append(causes.forbidden("spec.strategy.rollingUpdate", detail))
        elif strategy["type"] == "RollingUpdate":
            found += _rolling_update(rolling or {}, "spec.strategy.rollingUpdate")
        else:
            printed = _go_strategy("apps.DeploymentStrategy", "RollingUpdateDeployment", strategy["type"])
            found.append(causes.not_supported_go("spec.strategy", printed, ("Recreate", "RollingUpdate")))
        deadline, ready = spec["progressDeadlineSeconds"], spec.get("minReadySeconds") or 0
        if deadline <= ready:
            found.append(
                causes.invalid("spec.progressDeadlineSeconds", deadline, "must be greater than minReadySeconds")
            )
        return found


def _rolling_update(rolling: Obj, path: str) -> list[Cause]:
    unavailable, surge = rolling.get("maxUnavailable"), rolling.get("maxSurge")
    found = amount(f"{path}.maxUnavailable", unavailable) + amount(f"{path}.maxSurge", surge)
    if isinstance(unavailable, str) and unavailable[:-1].isdigit() and int(unavailable[:-1]) > 100:
        found.append(causes.invalid(f"{path}.maxUnavailable", unavailable, "must not be greater than 100%"))
    if not found and unavailable in {0, "0%"} and surge in {0, "0%"}:
        detail = "may not be 0 when `maxSurge` is 0"
        found.append(causes.invalid_go(f"{path}.maxUnavailable", causes.go_int_or_percent(unavailable), detail))
    return found


def _go_strategy(struct: str, rolling: str, kind: str) -> str:
    return f"{struct}{{Type:{causes.shown(kind)}, RollingUpdate:(*apps.{rolling})(nil)}}"


class ReplicaSets(Workload):
    kind = "deployment"
    parts = ("fullyLabeledReplicas", "readyReplicas", "availableReplicas")
    first_status = MappingProxyType({"replicas": 0})

    def default_spec(self, spec: Obj) -> None:
        put(spec, replicas=1)


class DaemonSets(Workload):
    kind = "daemonset"
    first_status = MappingProxyType(
        {"currentNumberScheduled": 0, "desiredNumberScheduled": 0, "numberMisscheduled": 0, "numberReady": 0}
    )

    def default_spec(self, spec: Obj) -> None:
        put(spec, revisionHistoryLimit=10)
        strategy = spec.setdefault("updateStrategy", {})
        put(strategy, type="RollingUpdate")
        if strategy["type"] == "RollingUpdate":
            put(strategy, rollingUpdate={})
            put(strategy["rollingUpdate"], maxUnavailable=1, maxSurge=0)


class StatefulSets(Workload):
    kind = "statefulset"
    parts = ("readyReplicas", "currentReplicas", "updatedReplicas")
    first_status = MappingProxyType({"availableReplicas": 0, "replicas": 0})

    def default_spec(self, spec: Obj) -> None:
        put(spec, replicas=1, revisionHistoryLimit=10, podManagementPolicy="OrderedReady")
        strategy = spec.setdefault("updateStrategy", {})
        if not strategy.get("type"):
            strategy["type"] = "RollingUpdate"
            put(strategy, rollingUpdate={})
        if strategy["type"] == "RollingUpdate" and strategy.get("rollingUpdate") is not None:
            put(strategy["rollingUpdate"], partition=0)
        put(spec.setdefault("persistentVolumeClaimRetentionPolicy", {}), whenDeleted="Retain", whenScaled="Retain")
        for claim in spec.get("volumeClaimTemplates") or []:
            put(claim, apiVersion="v1", kind="PersistentVolumeClaim")
            put(claim.setdefault("spec", {}), volumeMode="Filesystem")
            put(claim.setdefault("status", {}), phase="Pending")

    def validate_spec(self, spec: Obj) -> list[Cause]:
        found: list[Cause] = []
        if spec["podManagementPolicy"] not in {"OrderedReady", "Parallel"}:
            detail = "must be 'OrderedReady' or 'Parallel'"
            found.append(causes.invalid("spec.podManagementPolicy", spec["podManagementPolicy"], detail))
        if spec["updateStrategy"]["type"] not in {"OnDelete", "RollingUpdate"}:
            detail = "must be 'RollingUpdate' or 'OnDelete'"
            kind = spec["updateStrategy"]["type"]
            printed = _go_strategy("apps.StatefulSetUpdateStrategy", "RollingUpdateStatefulSetStrategy", kind)
            found.append(causes.invalid_go("spec.updateStrategy", printed, detail))
        return found

    def validate_update(self, spec: Obj, old: Obj) -> list[Cause]:
        kept = {name: value for name, value in spec.items() if name not in _STATEFUL_SET_MAY_CHANGE}
        before = {name: value for name, value in old.items() if name not in _STATEFUL_SET_MAY_CHANGE}
        if kept == before:
            return []
        named = [f"'{name}'" for name in _STATEFUL_SET_MAY_CHANGE]
        detail = (
            f"updates to statefulset spec for fields other than {', '.join(named[:-1])} and {named[-1]} are forbidden"
        )
        return [causes.forbidden("spec", detail)]
