"""Role-based access control: who may do what, from the roles and bindings that are stored.

Decisions come from an index by subject, built from the stored objects on the first question after `changed()`.
Aggregated ClusterRoles are resolved here as well, so they are right before any controller has written them out.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from headstay.local.seams import Attributes, Decision, User
from headstay.local.server.auth.aggregation import aggregated_rules
from headstay.local.server.auth.rules import EVERYTHING, Rule
from headstay.local.server.seams import Reader
from headstay.model.errors import StatusError
from headstay.model.objects import Obj
from headstay.model.resource import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, ROLE_BINDINGS, ROLES

MASTERS = "system:masters"
RBAC_GROUP = "rbac.authorization.k8s.io"

Subject = tuple[str, str]
"""("User", name) or ("Group", name); a ServiceAccount is the User its tokens stand for."""


class Grant(NamedTuple):
    """What one binding gives to one subject. `namespace` is "" for everywhere."""

    namespace: str
    rules: tuple[Rule, ...]
    reason: str
    missing: str = ""
    """Set instead of rules where the role does not exist."""


class RbacAuthorizer:
    """Implements `headstay.local.seams.Authorizer`."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._index: dict[Subject, list[Grant]] | None = None

    def changed(self) -> None:
        """To be called after any write to an object of rbac.authorization.k8s.io."""
        self._index = None

    def authorize(self, user: User, attributes: Attributes) -> Decision:
        if MASTERS in user.groups:
            return Decision(True, "")
        missing: list[str] = []
        for grant in self._grants(user, attributes.namespace):
            if grant.missing:
                missing.append(grant.missing)
            elif any(rule.allows(attributes) for rule in grant.rules):
                return Decision(True, f"RBAC: allowed by {grant.reason}")
        return Decision(False, f"RBAC: {_joined(missing)}" if missing else "")

    def rules_of(self, user: User, namespace: str) -> list[Rule]:
        """All that `user` holds in `namespace`; with "" only what holds everywhere."""
        found = list(EVERYTHING) if MASTERS in user.groups else []
        found += [rule for grant in self._grants(user, namespace) for rule in grant.rules]
        return found

    def rules_of_role(self, kind: str, namespace: str, name: str) -> tuple[Rule, ...] | None:
        """The rules of the Role or ClusterRole that a `roleRef` names, None where there is none."""
        return _Roles(self._reader).rules(kind, namespace, name)

    def _grants(self, user: User, namespace: str) -> Iterator[Grant]:
        """Those that hold everywhere first, as Kubernetes names them first."""
        if self._index is None:
            self._index = self._build()
        subjects = [("User", user.name), *(("Group", group) for group in user.groups)]
        found = [grant for subject in subjects for grant in self._index.get(subject, ())]
        yield from (grant for grant in found if not grant.namespace)
        if namespace:
            yield from (grant for grant in found if grant.namespace == namespace)

    def _build(self) -> dict[Subject, list[Grant]]:
        index: dict[Subject, list[Grant]] = defaultdict(list)
        roles = _Roles(self._reader)
        for binding in (*self._reader.list(CLUSTER_ROLE_BINDINGS), *self._reader.list(ROLE_BINDINGS)):
            namespace = binding["metadata"].get("namespace") or ""
            rules = roles.rules(binding["roleRef"]["kind"], namespace, binding["roleRef"]["name"])
            for document in binding.get("subjects") or []:
                subject, shown = _subject(document, namespace)
                index[subject].append(_grant(binding, namespace, rules, shown))
        return dict(index)


class _Roles:
    """All roles at one moment, each compiled once."""

    def __init__(self, reader: Reader) -> None:
        self._cluster = {obj["metadata"]["name"]: obj for obj in reader.list(CLUSTER_ROLES)}
        self._reader = reader
        self._compiled: dict[tuple[str, str, str], tuple[Rule, ...]] = {}

    def rules(self, kind: str, namespace: str, name: str) -> tuple[Rule, ...] | None:
        key = (kind, "" if kind == "ClusterRole" else namespace, name)
        if key not in self._compiled:
            role = self._cluster.get(name) if kind == "ClusterRole" else self._reader.get(ROLES, namespace, name)
            if role is None:
                return None
            self._compiled[key] = tuple(Rule.of(rule) for rule in self._documents(role))
        return self._compiled[key]

    def _documents(self, role: Obj) -> list[Obj]:
        if role.get("aggregationRule"):
            return aggregated_rules(role, list(self._cluster.values()))
        found: list[Obj] = role.get("rules") or []
        return found


def forbidden(user: User, attributes: Attributes, reason: str) -> StatusError:
    """The refusal, in the words Kubernetes has for it."""
    because = f": {reason}" if reason else ""
    if attributes.path:
        message = f'forbidden: User "{user.name}" cannot {attributes.verb} path "{attributes.path}"{because}'
        return StatusError(403, "Forbidden", message)
    what = f"{attributes.resource}.{attributes.group}" if attributes.group else attributes.resource
    named = f'{what} "{attributes.name}"' if attributes.name else what
    full = f"{attributes.resource}/{attributes.subresource}" if attributes.subresource else attributes.resource
    where = f'in the namespace "{attributes.namespace}"' if attributes.namespace else "at the cluster scope"
    message = (
        f'{named} is forbidden: User "{user.name}" cannot {attributes.verb} resource "{full}" '
        f'in API group "{attributes.group}" {where}{because}'
    )
    details = {"name": attributes.name, "group": attributes.group, "kind": attributes.resource}
    return StatusError(403, "Forbidden", message, details={key: value for key, value in details.items() if value})


def _grant(binding: Obj, namespace: str, rules: tuple[Rule, ...] | None, subject: str) -> Grant:
    role = binding["roleRef"]
    if rules is None:
        return Grant(namespace, (), "", f'{role["kind"].lower()}.{RBAC_GROUP} "{role["name"]}" not found')
    name = binding["metadata"]["name"]
    shown = f'RoleBinding "{name}/{namespace}"' if namespace else f'ClusterRoleBinding "{name}"'
    return Grant(namespace, rules, f'{shown} of {role["kind"]} "{role["name"]}" to {subject}')


def _subject(document: Obj, namespace: str) -> tuple[Subject, str]:
    """The subject's key, and how a reason names it."""
    kind, name = document["kind"], document["name"]
    if kind != "ServiceAccount":
        return (kind, name), f'{kind} "{name}"'
    home = document.get("namespace") or namespace
    return ("User", f"system:serviceaccount:{home}:{name}"), f'ServiceAccount "{name}/{home}"'


def _joined(texts: Iterable[str]) -> str:
    unique = list(dict.fromkeys(texts))
    return unique[0] if len(unique) == 1 else f"[{', '.join(unique)}]"
