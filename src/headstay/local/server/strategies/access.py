"""Roles and their bindings. That nobody grants what they do not have is checked by the authorizer's own admission."""

import json

from headstay.local.server.seams import WriteContext
from headstay.local.server.strategies import causes
from headstay.local.server.strategies.base import Base
from headstay.model.errors import Cause
from headstay.model.objects import Obj

RBAC = "rbac.authorization.k8s.io"
SUBJECT_KINDS = ("ServiceAccount", "User", "Group")


class Roles(Base):
    def __init__(self, *, namespaced: bool) -> None:
        self._namespaced = namespaced

    def validate(self, new: Obj, old: Obj | None, context: WriteContext) -> list[Cause]:
        return [cause for at, rule in enumerate(new.get("rules") or []) for cause in self._rule(rule, f"rules[{at}]")]

    def _rule(self, rule: Obj, path: str) -> list[Cause]:
        found = []
        if not rule.get("verbs"):
            found.append(causes.required(f"{path}.verbs", "verbs must contain at least one value"))
        urls = rule.get("nonResourceURLs")
        if urls:
            if self._namespaced:
                detail = "namespaced rules cannot apply to non-resource URLs"
                found.append(causes.invalid(f"{path}.nonResourceURLs", urls, detail))
            if rule.get("apiGroups") or rule.get("resources") or rule.get("resourceNames"):
                detail = "rules cannot apply to both regular resources and non-resource URLs"
                found.append(causes.invalid(f"{path}.nonResourceURLs", urls, detail))
            return found
        if not rule.get("apiGroups"):
            detail = "resource rules must supply at least one api group"
            found.append(causes.required(f"{path}.apiGroups", detail))
        if not rule.get("resources"):
            detail = "resource rules must supply at least one resource"
            found.append(causes.required(f"{path}.resources", detail))
        return found


class RoleBindings(Base):
    def __init__(self, *, namespaced: bool) -> None:
        self._namespaced = namespaced
        self._role_kinds = ("Role", "ClusterRole") if namespaced else ("ClusterRole",)

    def default(self, new: Obj) -> None:
        reference = new.get("roleRef")
        if isinstance(reference, dict) and not reference.get("apiGroup"):
            reference["apiGroup"] = RBAC
        for subject in new.get("subjects") or []:
            if not subject.get("apiGroup") and subject.get("kind") in {"User", "Group"}:
                subject["apiGroup"] = RBAC

    def validate(self, new: Obj, old: Obj | None, context: WriteContext) -> list[Cause]:
        reference = new.get("roleRef") or {}
        found = []
        if reference.get("apiGroup") != RBAC:
            found.append(causes.not_supported("roleRef.apiGroup", reference.get("apiGroup"), (RBAC,)))
        if reference.get("kind") not in self._role_kinds:
            found.append(causes.not_supported("roleRef.kind", reference.get("kind"), self._role_kinds))
        if not reference.get("name"):
            found.append(causes.required("roleRef.name"))
        for at, subject in enumerate(new.get("subjects") or []):
            found += _subject(subject, f"subjects[{at}]", namespaced=self._namespaced)
        if old is not None and reference != (old.get("roleRef") or {}):
            found.append(causes.invalid_go("roleRef", _go_reference(reference), "cannot change roleRef"))
        return found


def _subject(subject: Obj, path: str, *, namespaced: bool) -> list[Cause]:
    found = []
    if not subject.get("name"):
        found.append(causes.required(f"{path}.name"))
    group, kind = subject.get("apiGroup") or "", subject.get("kind")
    match kind:
        case "ServiceAccount":
            if group:
                found.append(causes.not_supported(f"{path}.apiGroup", group, ("",)))
            if not namespaced and not subject.get("namespace"):
                found.append(causes.required(f"{path}.namespace"))
        case "User" | "Group":
            if group != RBAC:
                found.append(causes.not_supported(f"{path}.apiGroup", group, (RBAC,)))
        case _:
            found.append(causes.not_supported(f"{path}.kind", kind, SUBJECT_KINDS))
    return found


def _go_reference(reference: Obj) -> str:
    fields = (("APIGroup", "apiGroup"), ("Kind", "kind"), ("Name", "name"))
    return "rbac.RoleRef{" + ", ".join(f"{go}:{json.dumps(reference.get(key) or '')}" for go, key in fields) + "}"
