"""Nobody can grant what they do not hold: writes to roles and bindings, by whom and of what.

A role may be written by who holds all its rules, or has `escalate` on it. A binding may be written by who holds all
rules of the role it binds, or has `bind` on that role. Writes that change none of it always pass, so that metadata
can be edited and finalizers removed.
"""

from collections.abc import Iterable

from headstay.local.seams import Attributes, User
from headstay.local.server.auth.rbac import MASTERS, RBAC_GROUP, RbacAuthorizer
from headstay.local.server.auth.rules import EVERYTHING, Rule, compacted, uncovered
from headstay.model.errors import StatusError
from headstay.model.objects import Obj, ObjectKey, key_of
from headstay.model.resource import Resource

_ROLES = {"Role", "ClusterRole"}
_BINDINGS = {"RoleBinding", "ClusterRoleBinding"}


def refuse_escalation(resource: Resource, new: Obj, old: Obj | None, user: User, authorizer: RbacAuthorizer) -> None:
    """Raises 403 where writing `new` would hand out rights that `user` has not. Any resource may be passed."""
    if resource.group != RBAC_GROUP or MASTERS in user.groups:
        return
    if resource.kind in _ROLES:
        _check_role(resource, new, old, user, authorizer)
    elif resource.kind in _BINDINGS:
        _check_binding(resource, new, old, user, authorizer)


def _check_role(resource: Resource, new: Obj, old: Obj | None, user: User, authorizer: RbacAuthorizer) -> None:
    key = key_of(new)
    parts = ("rules", "aggregationRule")
    if old is not None and all((old.get(part) or None) == (new.get(part) or None) for part in parts):
        return
    if _may(authorizer, user, "escalate", resource, key):
        return
    if new.get("aggregationRule") and _missing(authorizer, user, "", EVERYTHING[:1]):
        message = "must have cluster-admin privileges to use an aggregationRule"
        raise _forbidden(resource, key.name, message)
    missing = _missing(authorizer, user, key.namespace, [Rule.of(rule) for rule in new.get("rules") or []])
    if missing:
        raise _forbidden(resource, key.name, _attempt(user, missing))


def _check_binding(resource: Resource, new: Obj, old: Obj | None, user: User, authorizer: RbacAuthorizer) -> None:
    key = key_of(new)
    if old is not None and all((old.get(part) or None) == (new.get(part) or None) for part in ("roleRef", "subjects")):
        return
    role = new["roleRef"]
    kind = Resource(RBAC_GROUP, "v1", f"{role['kind'].lower()}s", role["kind"])
    if _may(authorizer, user, "bind", kind, key._replace(name=role["name"])):
        return
    rules = authorizer.rules_of_role(role["kind"], key.namespace, role["name"])
    if rules is None:
        raise _forbidden(resource, key.name, f'{role["kind"].lower()}.{RBAC_GROUP} "{role["name"]}" not found')
    missing = _missing(authorizer, user, key.namespace, rules)
    if missing:
        raise _forbidden(resource, key.name, _attempt(user, missing))


def _missing(authorizer: RbacAuthorizer, user: User, namespace: str, wanted: Iterable[Rule]) -> list[Rule]:
    return uncovered(authorizer.rules_of(user, namespace), wanted)


def _may(authorizer: RbacAuthorizer, user: User, verb: str, resource: Resource, key: ObjectKey) -> bool:
    asked = Attributes(verb, RBAC_GROUP, "v1", resource.plural, namespace=key.namespace, name=key.name)
    return authorizer.authorize(user, asked).allowed


def _attempt(user: User, missing: list[Rule]) -> str:
    groups = " ".join(f'"{group}"' for group in user.groups)
    rules = "\n".join(sorted(str(rule) for rule in compacted(missing)))
    return (
        f'user "{user.name}" (groups=[{groups}]) is attempting to grant RBAC permissions not currently held:\n{rules}'
    )


def _forbidden(resource: Resource, name: str, why: str) -> StatusError:
    details = {"name": name, "group": resource.group, "kind": resource.plural}
    return StatusError(403, "Forbidden", f'{resource} "{name}" is forbidden: {why}', details=details)
