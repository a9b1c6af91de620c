"""CustomResourceDefinitions themselves: defaults, names, and status.

Kubernetes accepts names and establishes a CRD from controllers, a moment after its creation; here both happen in
the write itself, so that whoever has created a CRD can use it. A CRD whose names are taken is stored, not
established, and says why, as there.
"""

from datetime import datetime

from headstay.local.server.schema import crd_names, crd_rules
from headstay.local.server.schema.structural import Structural
from headstay.local.server.seams import WriteContext
from headstay.local.server.strategies.base import Base
from headstay.model.errors import Cause
from headstay.model.objects import Obj, dig
from headstay.model.resource import CUSTOM_RESOURCE_DEFINITIONS
from headstay.model.timestamps import rfc3339


class CustomResourceDefinitionStrategy(Base):
    def __init__(self, structural: Structural) -> None:
        self._structural = structural

    def default(self, new: Obj) -> None:
        spec = new.get("spec")
        if not isinstance(spec, dict):
            return
        names = spec.setdefault("names", {})
        if kind := names.get("kind"):
            if not names.get("singular"):
                names["singular"] = kind.lower()
            if not names.get("listKind"):
                names["listKind"] = f"{kind}List"
        if not spec.get("conversion"):
            spec["conversion"] = {"strategy": "None"}
        for version in spec.get("versions") or []:
            version.setdefault("served", False)
            version.setdefault("storage", False)
        if spec.get("preserveUnknownFields") is False:
            del spec["preserveUnknownFields"]

    def prepare_create(self, new: Obj, context: WriteContext) -> None:
        new["status"] = {"storedVersions": _stored([], new)}
        _set_names(new, context)

    def prepare_update(self, new: Obj, old: Obj, context: WriteContext) -> None:
        if context.subresource:
            return
        status = new.setdefault("status", {})
        if not new["metadata"].get("deletionTimestamp"):
            status["storedVersions"] = _stored(dig(old, "status", "storedVersions") or [], new)
            _set_names(new, context)

    def validate(self, new: Obj, old: Obj | None, context: WriteContext) -> list[Cause]:
        if context.subresource == "status":
            return crd_rules.check_stored_versions(new)
        return crd_rules.check_crd(new, old, self._structural.node)


def _stored(before: list[str], crd: Obj) -> list[str]:
    """Versions that objects may be stored in: those of before, and the one that is written now."""
    versions = dig(crd, "spec", "versions") or []
    now = [version.get("name") or "" for version in versions if version.get("storage")]
    return before + [name for name in now if name not in before]


def _set_names(crd: Obj, context: WriteContext) -> None:
    """Accepts the names that no other CRD of the group has, and says what became of them."""
    status, spec = crd["status"], crd.get("spec") or {}
    own = (crd.get("metadata") or {}).get("name")
    others = [
        other
        for other in context.reader.list(CUSTOM_RESOURCE_DEFINITIONS)
        if other["metadata"]["name"] != own and other["spec"]["group"] == spec.get("group")
    ]
    before = status.get("acceptedNames") or {"plural": "", "kind": ""}
    accepted, conflict = crd_names.accept(spec.get("names") or {}, before, others)
    status["acceptedNames"] = accepted
    if conflict is None:
        _set_condition(status, "NamesAccepted", "True", ("NoConflicts", "no conflicts found"), context.now)
        established = ("InitialNamesAccepted", "the initial names have been accepted")
        _set_condition(status, "Established", "True", established, context.now)
        return
    _set_condition(status, "NamesAccepted", "False", conflict, context.now)
    if not any(condition["type"] == "Established" for condition in status["conditions"]):
        _set_condition(status, "Established", "False", ("NotAccepted", "not all names are accepted"), context.now)


def _set_condition(status: Obj, kind: str, value: str, why: tuple[str, str], now: datetime) -> None:
    """The time of transition moves with the condition's status only."""
    conditions = status.setdefault("conditions", [])
    found = next((condition for condition in conditions if condition.get("type") == kind), None)
    if found is None:
        found = {"type": kind}
        conditions.append(found)
    if found.get("status") != value:
        found["lastTransitionTime"] = rfc3339(now)
    found |= {"status": value, "reason": why[0], "message": why[1]}
