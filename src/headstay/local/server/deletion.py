"""What a DELETE does to an object: mark it, wait for somebody, or remove it. Pure.

An object goes at once unless somebody must act first: the node agent (a Pod with a node has a grace period), a
finalizer's owner, or the garbage collector (`orphan`, `foregroundDeletion`).
"""

from datetime import datetime, timedelta
from typing import NamedTuple

from headstay.local.server import codec
from headstay.local.server.requests import DeleteOptions
from headstay.model.objects import Obj
from headstay.model.resource import Resource
from headstay.model.timestamps import parse, rfc3339

ORPHAN = "orphan"
FOREGROUND = "foregroundDeletion"
_DEFAULT_GRACE = 30
_FINISHED = {"Succeeded", "Failed"}


class Deletion(NamedTuple):
    """`obj` is the object's new state; `remove` says that nothing holds it back. None: nothing changes."""

    obj: Obj | None
    remove: bool


def decide_deletion(resource: Resource, old: Obj, options: DeleteOptions, now: datetime) -> Deletion:
    new = codec.copied(old)
    meta = new["metadata"]
    finalizers_changed = _set_dependents_finalizer(meta, options)
    grace = _grace_period(resource, old, options)
    marked_before = bool(meta.get("deletionTimestamp"))
    if not marked_before:
        _mark(resource, new, now, grace)
    elif not _shorten(meta, options, grace) and not finalizers_changed:
        held = bool(meta.get("finalizers")) or bool(meta.get("deletionGracePeriodSeconds")) or _is_held(resource, new)
        return Deletion(None, remove=not held)
    remove = not meta.get("finalizers") and not meta.get("deletionGracePeriodSeconds") and not _is_held(resource, new)
    # Only a Pod has a deletion to be seen in its last state: others go in one step, unmarked.
    return Deletion(None if remove and not marked_before and resource.plural != "pods" else new, remove)


def _mark(resource: Resource, new: Obj, now: datetime, grace: int) -> None:
    meta = new["metadata"]
    meta["deletionTimestamp"] = rfc3339(now + timedelta(seconds=grace))
    meta["deletionGracePeriodSeconds"] = grace
    if meta.get("generation"):
        meta["generation"] += 1
    if _is_namespace(resource):
        new.setdefault("status", {})["phase"] = "Terminating"
        meta.pop("deletionGracePeriodSeconds")


def _shorten(meta: Obj, options: DeleteOptions, grace: int) -> bool:
    """A second delete may only shorten the grace period of the first, counted from when that came."""
    before = meta.get("deletionGracePeriodSeconds") or 0
    if options.grace_period_seconds is None or grace >= before:
        return False
    first = parse(meta["deletionTimestamp"]) - timedelta(seconds=before)
    meta["deletionTimestamp"] = rfc3339(first + timedelta(seconds=grace))
    meta["deletionGracePeriodSeconds"] = grace
    return True


def _grace_period(resource: Resource, old: Obj, options: DeleteOptions) -> int:
    """Only Pods have one, and only while a node runs them."""
    if resource.group or resource.plural != "pods":
        return 0
    spec, status = old.get("spec") or {}, old.get("status") or {}
    if not spec.get("nodeName") or status.get("phase") in _FINISHED:
        return 0
    grace = options.grace_period_seconds
    if grace is None:
        grace = spec.get("terminationGracePeriodSeconds")
    if grace is None:
        grace = _DEFAULT_GRACE
    return grace if grace >= 0 else 1


def _set_dependents_finalizer(meta: Obj, options: DeleteOptions) -> bool:
    """`orphan` and `foregroundDeletion` ask the garbage collector to see to the dependents first."""
    if options.propagation is None:
        return False
    before = list(meta.get("finalizers") or [])
    after = [name for name in before if name not in {ORPHAN, FOREGROUND}]
    if options.propagation == "Orphan":
        after.append(ORPHAN)
    elif options.propagation == "Foreground":
        after.append(FOREGROUND)
    if set(before) == set(after):
        return False
    if after:
        meta["finalizers"] = after
    else:
        meta.pop("finalizers", None)
    return True


def _is_namespace(resource: Resource) -> bool:
    return not resource.group and resource.plural == "namespaces"


def _is_held(resource: Resource, obj: Obj) -> bool:
    """A namespace waits for `spec.finalizers`, which only its finalize subresource can change."""
    return _is_namespace(resource) and bool((obj.get("spec") or {}).get("finalizers"))
