"""Which requests a policy or a binding is about: `matchConstraints` and `matchResources`."""

from typing import Literal, NamedTuple

from headstay.local.seams import User
from headstay.model.objects import Obj, labels
from headstay.model.resource import NAMESPACES, Resource
from headstay.model.selectors import structured_selector

Operation = Literal["CREATE", "UPDATE", "DELETE"]


class Request(NamedTuple):
    """`obj` is None on DELETE, `old` on CREATE, never both. `namespace_obj` is that of a namespaced object."""

    operation: Operation
    resource: Resource
    user: User
    obj: Obj | None
    old: Obj | None
    subresource: str = ""
    dry_run: bool = False
    namespace_obj: Obj | None = None

    @property
    def subject(self) -> Obj:
        return self.obj or self.old or {}


def matches(constraints: Obj, request: Request) -> bool:
    if not _objects_match(constraints, request):
        return False
    exact = constraints.get("matchPolicy") == "Exact"
    if any(_rule_matches(rule, request, exact=exact) for rule in constraints.get("excludeResourceRules") or []):
        return False
    rules = constraints.get("resourceRules")
    return rules is None or any(_rule_matches(rule, request, exact=exact) for rule in rules)


def _objects_match(constraints: Obj, request: Request) -> bool:
    """An object matches that had the labels or has them now."""
    by_object = structured_selector(constraints.get("objectSelector") or {})
    versions = [version for version in (request.obj, request.old) if version is not None]
    if not any(by_object.matches(labels(version)) for version in versions):
        return False
    namespace = request.subject if request.resource == NAMESPACES else request.namespace_obj
    by_namespace = structured_selector(constraints.get("namespaceSelector") or {})
    return namespace is None or by_namespace.matches(labels(namespace))


def _rule_matches(rule: Obj, request: Request, *, exact: bool) -> bool:
    """Versions of one resource are the same objects, unless matchPolicy Exact tells them apart."""
    resource = request.resource
    name = request.subject["metadata"].get("name") or ""
    scope = rule.get("scope") or "*"
    return (
        bool({"*", request.operation} & set(rule.get("operations") or []))
        and bool({"*", resource.group} & set(rule.get("apiGroups") or []))
        and (not exact or bool({"*", resource.version} & set(rule.get("apiVersions") or [])))
        and any(_names(pattern, request) for pattern in rule.get("resources") or [])
        and scope in {"*", "Namespaced" if resource.namespaced else "Cluster"}
        and (not rule.get("resourceNames") or name in rule["resourceNames"])
    )


def _names(pattern: str, request: Request) -> bool:
    """`pods`, `pods/status`, `pods/*`, `*/status`, `*` (no subresource), `*/*`."""
    plural, _, subresource = pattern.partition("/")
    return plural in {"*", request.resource.plural} and subresource in {request.subresource} | (
        {"*"} if subresource == "*" else set()
    )
