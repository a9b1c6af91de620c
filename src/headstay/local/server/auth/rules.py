"""One RBAC rule: what it allows, and whether it covers another.

https://kubernetes.io/docs/reference/access-authn-authz/rbac/
"""

from collections.abc import Iterable, Iterator
from itertools import product
from typing import NamedTuple

from headstay.local.seams import Attributes
from headstay.model.objects import Obj

_ALL = ("*",)


class Rule(NamedTuple):
    """A PolicyRule, in its author's order. Either `paths` or the resource fields are set, never both."""

    verbs: tuple[str, ...]
    groups: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()

    @classmethod
    def of(cls, document: Obj) -> "Rule":
        return cls(
            tuple(document.get("verbs") or ()),
            tuple(document.get("apiGroups") or ()),
            tuple(document.get("resources") or ()),
            tuple(document.get("resourceNames") or ()),
            tuple(document.get("nonResourceURLs") or ()),
        )

    def allows(self, asked: Attributes) -> bool:
        if not (asked.verb in self.verbs or "*" in self.verbs):
            return False
        if asked.path:
            return any(_path_matches(path, asked.path) for path in self.paths)
        return (
            (asked.group in self.groups or "*" in self.groups)
            and self._has_resource(asked.resource, asked.subresource)
            and (not self.names or asked.name in self.names)
        )

    def _has_resource(self, resource: str, subresource: str) -> bool:
        if "*" in self.resources:
            return True
        if not subresource:
            return resource in self.resources
        return f"{resource}/{subresource}" in self.resources or f"*/{subresource}" in self.resources

    def pieces(self) -> Iterator["Rule"]:
        """The smallest rules that together say the same."""
        for path in self.paths:
            for verb in self.verbs:
                yield Rule((verb,), paths=(path,))
        for group, resource, verb in product(self.groups, self.resources, self.verbs):
            if not self.names:
                yield Rule((verb,), (group,), (resource,))
            for name in self.names:
                yield Rule((verb,), (group,), (resource,), (name,))

    def covers(self, piece: "Rule") -> bool:
        """Whether this rule alone allows all that `piece` (from `pieces`) allows."""
        if not _contains(self.verbs, piece.verbs):
            return False
        if piece.paths:
            return any(_path_matches(path, piece.paths[0]) for path in self.paths)
        return (
            _contains(self.groups, piece.groups)
            and self._covers_resource(piece.resources[0])
            and (not self.names or (bool(piece.names) and _contains(self.names, piece.names)))
        )

    def _covers_resource(self, resource: str) -> bool:
        if "*" in self.resources or resource in self.resources:
            return True
        _, slash, subresource = resource.partition("/")
        return bool(slash) and f"*/{subresource}" in self.resources

    def to_document(self) -> Obj:
        """The rule as reviews report it."""
        if self.paths:
            return {"verbs": list(self.verbs), "nonResourceURLs": list(self.paths)}
        found: Obj = {"verbs": list(self.verbs), "apiGroups": list(self.groups), "resources": list(self.resources)}
        if self.names:
            found["resourceNames"] = list(self.names)
        return found

    def __str__(self) -> str:
        """As Kubernetes prints rules in its refusals."""
        parts = (
            ("NonResourceURLs", self.paths),
            ("APIGroups", self.groups),
            ("Resources", self.resources),
            ("ResourceNames", self.names),
            ("Verbs", self.verbs),
        )
        shown = (f"{name}:[{' '.join(map(_quoted, values))}]" for name, values in parts if values)
        return "{" + ", ".join(shown) + "}"


EVERYTHING = (Rule(_ALL, _ALL, _ALL), Rule(_ALL, paths=("*",)))


def uncovered(owned: Iterable[Rule], wanted: Iterable[Rule]) -> list[Rule]:
    """The pieces of `wanted` that no rule of `owned` covers."""
    held = list(owned)
    return [piece for rule in wanted for piece in rule.pieces() if not any(own.covers(piece) for own in held)]


def compacted(pieces: Iterable[Rule]) -> list[Rule]:
    """Fewer rules that say the same: verbs on one resource, or one URL, are put together."""
    verbs: dict[Rule, list[str]] = {}
    for piece in pieces:
        verbs.setdefault(piece._replace(verbs=()), []).extend(piece.verbs)
    return [rule._replace(verbs=tuple(dict.fromkeys(found))) for rule, found in verbs.items()]


def _contains(all_of: tuple[str, ...], some: tuple[str, ...]) -> bool:
    return "*" in all_of or all(one in all_of for one in some)


def _path_matches(pattern: str, path: str) -> bool:
    """Also right where `path` is itself a pattern: what it matches starts as it does."""
    return pattern in {"*", path} or (pattern.endswith("*") and path.startswith(pattern.rstrip("*")))


def _quoted(value: str) -> str:
    return f'"{value}"'
