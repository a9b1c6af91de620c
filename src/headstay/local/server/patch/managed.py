"""Keeping `metadata.managedFields` through every write that is not an apply.

Who changes a field owns it from then on, and nobody else does; who removes one takes it from all. A write that
changes nothing leaves every entry, its time included, as it was.
"""

from datetime import datetime
from typing import Any, NamedTuple

from headstay.local.server.patch import managers as book
from headstay.local.server.patch.compare import Comparison, compare
from headstay.local.server.patch.fieldset import EMPTY, FieldSet
from headstay.local.server.patch.managers import Entry, Identity, Managers
from headstay.local.server.seams import Schema
from headstay.model.objects import Obj, metadata
from headstay.model.timestamps import rfc3339

UNTRACKED = FieldSet.of(
    [
        ("f:apiVersion",),
        ("f:kind",),
        ("f:metadata",),
        *(
            ("f:metadata", f"f:{name}")
            for name in (
                "name",
                "namespace",
                "creationTimestamp",
                "selfLink",
                "uid",
                "clusterName",
                "generation",
                "managedFields",
                "resourceVersion",
            )
        ),
    ]
)
"""Bookkeeping that nobody owns."""

_ALWAYS_THERE: Obj = {
    "metadata": {},
    "spec": {
        "containers": None,
        "podSelector": {},
        "template": {"metadata": {}, "spec": {"containers": None}},
        "resources": {},
        "strategy": {},
        "updateStrategy": {},
        "jobTemplate": {"metadata": {}, "spec": {"template": {"metadata": {}, "spec": {"containers": None}}}},
    },
    "status": {},
}
"""What an empty object of Kubernetes' own types writes out, and so is not new in a created one."""


class Write(NamedTuple):
    """Who writes, how, and when."""

    manager: str
    operation: str
    api_version: str
    subresource: str
    now: datetime

    @property
    def identity(self) -> Identity:
        return book.identity(self.manager, self.operation, self.api_version, self.subresource)


def track(
    schema: Schema | None,
    old: Obj | None,
    new: Obj,
    *,
    manager: str,
    operation: str = "Update",
    api_version: str,
    subresource: str = "",
    now: datetime,
) -> None:
    """Sets `new`'s managedFields. `old` is the live object, None for a creation."""
    write = Write(manager, operation, api_version, subresource, now)
    known = _known(old, new, subresource)
    metadata(new).pop("managedFields", None)
    if old is not None and not known:
        # Nobody ever tracked it (or a client reset it): tracking begins with the first apply.
        return
    book.store(new, updated(schema, old, new, known, write))


def updated(schema: Schema | None, old: Obj | None, new: Obj, known: Managers, write: Write) -> Managers:
    """The managers after `write` turned `old` into `new`."""
    changes = compare(schema, _before(old, new, write), without_managers(new))
    after = without_changes(known, changes)
    gained = changes.written.difference(UNTRACKED)
    if gained:
        kept = after[write.identity].fields if write.identity in after else EMPTY
        after[write.identity] = Entry(write.api_version, gained.union(kept), rfc3339(write.now))
    return book.capped(after)


def _known(old: Obj | None, new: Obj, subresource: str) -> Managers:
    """The managers so far: those the writer sent back, unless it wrote a subresource or sent nonsense."""
    live = (old or {}).get("metadata", {}).get("managedFields")
    sent = metadata(new).get("managedFields")
    if subresource:
        return _decoded(live)
    if sent in ([], [{}]):
        return {}
    try:
        return book.decode(sent) or _decoded(live)
    except ValueError:
        return _decoded(live)


def _decoded(entries: Any) -> Managers:
    """Stored entries; unreadable ones (edited by hand in another version) are as good as none."""
    try:
        return book.decode(entries)
    except ValueError:
        return {}


def without_changes(known: Managers, changes: Comparison) -> Managers:
    """Everybody loses what was written over or removed."""
    lost = changes.written.union(changes.removed)
    left = {who: entry._replace(fields=entry.fields.difference(lost)) for who, entry in known.items()}
    return {who: entry for who, entry in left.items() if entry.fields}


def _before(old: Obj | None, new: Obj, write: Write) -> Obj:
    """What the new object is compared with: the live one, or an empty one of its kind."""
    if old is not None:
        return without_managers(old)
    group, slash, _ = write.api_version.rpartition("/")
    if slash and "." in group and not group.endswith(".k8s.io"):
        return {}
    return _common(_ALWAYS_THERE, new)


def _common(skeleton: Obj, new: Obj) -> Obj:
    """The skeleton, as far as the new object has it too (what only one side has is no addition)."""
    return {
        name: _common(inner, new[name]) if isinstance(inner, dict) and isinstance(new[name], dict) else inner
        for name, inner in skeleton.items()
        if name in new
    }


def without_managers(obj: Obj) -> Obj:
    """The object as it is compared; a shallow copy."""
    meta = {name: value for name, value in (obj.get("metadata") or {}).items() if name != "managedFields"}
    return {**obj, "metadata": meta}
