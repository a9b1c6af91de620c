"""Conditions of workloads as Kubernetes writes them, and the one way their status is written: last, if changed."""

from datetime import datetime
from typing import Any

import msgspec

from headstay.local.controllers.workloads import WorkloadCondition
from headstay.model.errors import StatusError, is_not_found
from headstay.model.meta import ObjectMeta, View
from headstay.model.objects import Obj
from headstay.model.resource import Resource
from headstay.model.timestamps import rfc3339
from headstay.runtime.client import Client


def find_condition(conditions: list[WorkloadCondition], kind: str) -> WorkloadCondition | None:
    return next((condition for condition in conditions if condition.type == kind), None)


def without_condition(conditions: list[WorkloadCondition], kind: str) -> list[WorkloadCondition]:
    return [condition for condition in conditions if condition.type != kind]


def set_condition(
    conditions: list[WorkloadCondition], new: WorkloadCondition, now: datetime
) -> list[WorkloadCondition]:
    """`new` in place of the one of its type, which stays if status and reason are the same; the times are set here.

    As in Kubernetes a mere change of the message is none: a refusal that quotes something random would otherwise
    wake us by our own status, again and again.
    """
    old = find_condition(conditions, new.type)
    if old is not None and (old.status, old.reason) == (new.status, new.reason):
        return conditions
    same_status = old is not None and old.status == new.status
    new.last_transition_time = old.last_transition_time if old and same_status else rfc3339(now)
    return [*without_condition(conditions, new.type), new]


async def write_status(
    client: Client, resource: Resource, meta: ObjectMeta, old: View, new: View, *, always: tuple[str, ...] = ()
) -> bool:
    """Writes what differs, if anything does, and the fields `always` with it, zero or not.

    A conflict means that `new` was computed from an old object.
    """
    changes = _difference(old, new)
    if not changes:
        return False
    changes |= {name: getattr(new, name) for name in always}
    patch: Obj = {"metadata": {"uid": meta.uid, "resourceVersion": meta.resource_version}, "status": changes}
    try:
        await client.patch(resource, meta.namespace, meta.name, patch, subresource="status")
    except StatusError as error:
        if not is_not_found(error):
            raise
    return True


def _difference(old: View, new: View) -> dict[str, Any]:
    """A merge patch: fields that are back at their default go (`null`), as in Kubernetes."""
    changes: dict[str, Any] = {}
    for field in msgspec.structs.fields(new):
        value = getattr(new, field.name)
        if value == getattr(old, field.name):
            continue
        empty = value is None or value in ("", 0, []) or value == {}
        changes[field.encode_name] = None if empty else msgspec.to_builtins(value)
    return changes
