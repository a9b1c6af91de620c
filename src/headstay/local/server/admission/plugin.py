"""All policies that are bound, applied to one write after it has been validated, as in a real server."""

import logging
from typing import NamedTuple

from headstay.local.server import errors
from headstay.local.server.admission.matching import Request, matches
from headstay.local.server.admission.policy import Denial, Policy, compile_policy, judge
from headstay.local.server.seams import Reader
from headstay.local.server.store import Change
from headstay.model.errors import Cause, StatusError
from headstay.model.objects import Obj
from headstay.model.resource import ADMISSION_GROUP, ADMISSION_POLICIES, ADMISSION_POLICY_BINDINGS, NAMESPACES

log = logging.getLogger(__name__)

_CODES = {"Unauthorized": 401, "Forbidden": 403, "Invalid": 422, "RequestEntityTooLarge": 413}


class _Bound(NamedTuple):
    policy: Policy
    binding: Obj

    @property
    def name(self) -> str:
        return f"ValidatingAdmissionPolicy '{self.policy.name}' with binding '{self.binding['metadata']['name']}'"


class AdmissionPolicies:
    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._bound: list[_Bound] | None = None

    def changed(self, change: Change) -> None:
        if change.key.table.endswith(f".{ADMISSION_GROUP}"):
            self._bound = None

    def admit(self, request: Request) -> tuple[str, ...]:
        """Warnings for the writer. Raises what the first policy says that denies the request."""
        if self._bound is None:
            self._bound = self._load()
        if not self._bound or request.resource.group == ADMISSION_GROUP:
            return ()
        request = request._replace(namespace_obj=self._namespace_of(request))
        warnings: list[str] = []
        for bound in self._bound:
            warnings += _apply(bound, request)
        return tuple(warnings)

    def _namespace_of(self, request: Request) -> Obj | None:
        namespace = request.subject["metadata"].get("namespace")
        return self._reader.get(NAMESPACES, "", namespace) if namespace else None

    def _load(self) -> list[_Bound]:
        policies = {found["metadata"]["name"]: found for found in self._reader.list(ADMISSION_POLICIES)}
        compiled: dict[str, Policy] = {}
        found: list[_Bound] = []
        for binding in self._reader.list(ADMISSION_POLICY_BINDINGS):
            name = binding["spec"]["policyName"]
            if name in policies:
                compiled[name] = compiled.get(name) or compile_policy(policies[name])
                found.append(_Bound(compiled[name], binding))
        return found


def _apply(bound: _Bound, request: Request) -> list[str]:
    constraints = bound.binding["spec"].get("matchResources") or {}
    if not matches(bound.policy.constraints, request) or not matches(constraints, request):
        return []
    warnings: list[str] = []
    for denial in judge(bound.policy, request):
        if denial.failed and not bound.policy.fails_closed:
            continue
        text = f"{bound.name} denied request: {denial.message}"
        actions = set(bound.binding["spec"].get("validationActions") or [])
        if "Deny" in actions:
            raise _refused(request, denial, text)
        if "Audit" in actions:
            log.warning("%s", text)
        if "Warn" in actions:
            warnings.append(f"Validation failed for {bound.name}: {denial.message}")
    return warnings


def _refused(request: Request, denial: Denial, text: str) -> StatusError:
    name = request.subject["metadata"].get("name") or ""
    found = errors.forbidden(request.resource, name, text)
    cause = Cause("", text, "")  # kubectl shows the causes of what is Invalid, and not the message
    return StatusError(_CODES[denial.reason], denial.reason, found.message, causes=(cause,), details=found.details)
