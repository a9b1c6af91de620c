"""The kinds served right now: the built-in table, and what established CustomResourceDefinitions add to it.

Invariant: all served versions of a CRD name the same storage resource, so that they show the same objects.
"""

import re
from collections.abc import Iterable
from typing import NamedTuple

from headstay.local.server.seams import Kind
from headstay.model.objects import Obj, dig
from headstay.model.resource import Resource

_VERSION = re.compile(r"^v(\d+)(?:(alpha|beta)(\d+))?$")
_STABILITY = {None: 2, "beta": 1, "alpha": 0}


class ScalePaths(NamedTuple):
    """Where a kind keeps what its scale subresource shows; JSON paths such as `.spec.replicas`."""

    spec: str = ".spec.replicas"
    status: str = ".status.replicas"
    selector: str = ""


class Served(NamedTuple):
    """A kind and what the server itself needs to know beyond it."""

    kind: Kind
    custom: bool = False
    scale: ScalePaths | None = None
    columns: tuple[Obj, ...] = ()
    deprecation: str = ""
    """Sent as a warning with every answer."""
    terminating: bool = False
    """Its CRD is being deleted."""

    @property
    def storage(self) -> Resource:
        return self.kind.storage or self.kind.resource

    @property
    def table(self) -> str:
        return str(self.storage)


def version_priority(version: str) -> tuple[int, int, int, str]:
    """Sorts the better version last: GA over beta over alpha, then by number; other names come first."""
    match = _VERSION.match(version)
    if match is None:
        return (-1, 0, 0, version)
    return (_STABILITY[match[2]], int(match[1]), int(match[3] or 0), "")


class Kinds:
    """Implements `seams.KindLookup`."""

    def __init__(self, builtin: Iterable[Kind]) -> None:
        self._served: dict[tuple[str, str, str], Served] = {}
        self._by_kind: dict[tuple[str, str, str], Served] = {}
        self._custom: dict[str, list[Served]] = {}
        for kind in builtin:
            self._add(Served(kind, scale=ScalePaths() if kind.has_scale else None))

    def find(self, group: str, version: str, plural: str) -> Kind | None:
        served = self.served(group, version, plural)
        return served.kind if served else None

    def served(self, group: str, version: str, plural: str) -> Served | None:
        return self._served.get((group, version, plural))

    def by_kind(self, api_version: str, kind: str) -> Served | None:
        group, _, version = api_version.rpartition("/")
        return self._by_kind.get((group, version, kind))

    def all(self) -> Iterable[Kind]:
        return [served.kind for served in self._served.values()]

    def every(self) -> list[Served]:
        return list(self._served.values())

    def groups(self) -> dict[str, list[str]]:
        """Groups in order of discovery, each with its versions, the preferred one first."""
        found: dict[str, list[str]] = {}
        for group, version, _ in self._served:
            versions = found.setdefault(group, [])
            if version not in versions:
                versions.append(version)
        for versions in found.values():
            versions.sort(key=version_priority, reverse=True)
        return found

    def replace_custom(self, name: str, served: list[Served]) -> list[Served]:
        """Sets what the CRD `name` serves; says what it no longer does."""
        before = self._custom.pop(name, [])
        for old in before:
            resource = old.kind.resource
            self._served.pop((resource.group, resource.version, resource.plural), None)
            self._by_kind.pop((resource.group, resource.version, resource.kind), None)
        for new in served:
            self._add(new)
        if served:
            self._custom[name] = served
        now = {new.kind.resource for new in served}
        return [old for old in before if old.kind.resource not in now]

    def _add(self, served: Served) -> None:
        resource = served.kind.resource
        self._served[(resource.group, resource.version, resource.plural)] = served
        self._by_kind[(resource.group, resource.version, resource.kind)] = served


def is_established(crd: Obj) -> bool:
    conditions = dig(crd, "status", "conditions") or []
    return any(c.get("type") == "Established" and c.get("status") == "True" for c in conditions)


def custom_kinds(crd: Obj) -> list[Served]:
    """What a CRD serves; nothing until it is established."""
    if not is_established(crd):
        return []
    spec = crd["spec"]
    names = dig(crd, "status", "acceptedNames") or spec["names"]
    stored = next(version["name"] for version in spec["versions"] if version.get("storage"))
    namespaced = spec.get("scope") == "Namespaced"

    def resource(version: str) -> Resource:
        return Resource(spec["group"], version, names["plural"], names["kind"], namespaced=namespaced)

    terminating = bool(crd["metadata"].get("deletionTimestamp"))
    return [
        _custom_kind(resource(version["name"]), resource(stored), names, version)._replace(terminating=terminating)
        for version in spec["versions"]
        if version.get("served")
    ]


def _custom_kind(resource: Resource, storage: Resource, names: Obj, version: Obj) -> Served:
    subresources = version.get("subresources") or {}
    scale = subresources.get("scale")
    paths = None
    if scale:
        paths = ScalePaths(scale["specReplicasPath"], scale["statusReplicasPath"], scale.get("labelSelectorPath") or "")
    fields = tuple(field["jsonPath"].lstrip(".") for field in version.get("selectableFields") or [])
    kind = Kind(
        resource,
        names.get("singular") or resource.kind.lower(),
        short_names=tuple(names.get("shortNames") or ()),
        categories=tuple(names.get("categories") or ()),
        has_status="status" in subresources,
        has_scale=scale is not None,
        selectable_fields=fields,
        storage=storage,
    )
    deprecation = ""
    if version.get("deprecated"):
        deprecation = version.get("deprecationWarning") or f"{resource.api_version} {resource.kind} is deprecated"
    columns = tuple(version.get("additionalPrinterColumns") or ())
    return Served(kind, custom=True, scale=paths, columns=columns, deprecation=deprecation)
