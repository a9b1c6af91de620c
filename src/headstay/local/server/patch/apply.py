"""Server-side apply: a manager says which fields it wants and what they are; the rest is left to their owners.

Invariants: applying the same document twice changes nothing; a field that a manager no longer applies, and nobody
else owns, goes; a field that another manager set to something else is a conflict, unless `force`.
"""

import json
from copy import deepcopy
from datetime import datetime
from typing import Any, NamedTuple

from headstay.local.server.patch import fieldset, managed
from headstay.local.server.patch import managers as book
from headstay.local.server.patch.combine import merge, remove
from headstay.local.server.patch.compare import compare
from headstay.local.server.patch.fieldset import FieldSet, Path
from headstay.local.server.patch.managed import UNTRACKED, Write
from headstay.local.server.patch.managers import Entry, Identity, Managers
from headstay.local.server.patch.typed import TypedError, check, fields_of, with_named_parents
from headstay.local.server.patch.wording import bad_request, broken
from headstay.local.server.seams import Schema
from headstay.model.errors import Cause, StatusError
from headstay.model.objects import LAST_APPLIED, Obj, annotations, key_of
from headstay.model.timestamps import rfc3339

KUBECTL = "kubectl"


def server_side_apply(
    schema: Schema | None,
    live: Obj | None,
    applied: Obj,
    *,
    manager: str,
    force: bool = False,
    api_version: str,
    subresource: str = "",
    now: datetime,
) -> Obj:
    """The object to store, managedFields included; `live` is None where there is none yet.

    `applied` holds only what this request may write (no status in an apply of the object itself, nothing but status
    in one of the status). Raises 409 with a cause for each conflict.
    """
    write = Write(manager, "Apply", api_version, subresource, now)
    _check(schema, applied, write)
    state = _State.of(schema, live, applied, write)
    conflicts = state.conflicts()
    if conflicts and not force:
        conflicts = _migrated(schema, state, conflicts, write)
        if conflicts:
            raise _conflict_error(conflicts)
    return state.result()


def not_declared(applied: Obj, path: str) -> StatusError:
    """An applied field that the kind does not have. Unlike other writes, an apply never drops such a field silently."""
    return _untyped(applied, f".{path}: field not declared in schema")


class Conflict(NamedTuple):
    owner: Identity
    path: Path


class _State:
    """An apply, worked out but for the question whether it may be: the object as it would be, and who owns what."""

    def __init__(self, schema: Schema | None, live: Obj, applied: Obj, known: Managers, write: Write) -> None:
        self.schema = schema
        self.live = live
        self.applied = applied
        self.write = write
        self.known = known
        self.fields = fields_of(schema, applied)
        self.object = self._pruned(merge(schema, live, applied))
        self.changes = compare(schema, live, self.object)
        self.others = {who: entry for who, entry in known.items() if who != write.identity}

    @classmethod
    def of(cls, schema: Schema | None, live: Obj | None, applied: Obj, write: Write) -> "_State":
        applied = deepcopy(applied)
        if live is None:
            meta = {"name": key_of(applied).name} | ({"namespace": ns} if (ns := key_of(applied).namespace) else {})
            fresh = {"apiVersion": applied.get("apiVersion"), "kind": applied.get("kind"), "metadata": meta}
            return cls(schema, fresh, applied, {}, write)
        try:
            known = book.decode(live["metadata"].get("managedFields"))
        except ValueError:
            known = {}
        plain = managed.without_managers(deepcopy(live))
        if not known:
            first = write._replace(manager=book.BEFORE_FIRST_APPLY, operation="Update", subresource="")
            known = managed.updated(schema, None, plain, {}, first)
        return cls(schema, plain, applied, known, write)

    def conflicts(self) -> list[Conflict]:
        return [
            Conflict(who, path)
            for who, entry in sorted(self.others.items())
            for path in entry.fields.intersection(self.changes.written).paths()
        ]

    def result(self) -> Obj:
        managers = managed.without_changes(self.others, self.changes)
        before = self.known.get(self.write.identity)
        fields = self.fields.difference(UNTRACKED)
        unchanged = before is not None and not self.changes and before.fields == fields
        time = before.time if before is not None and unchanged else rfc3339(self.write.now)
        managers[self.write.identity] = Entry(self.write.api_version, fields, time)
        # The order of keyed lists is nobody's field: an apply that changes nothing else leaves it as it is.
        result = self.object if self.changes else self.live
        if self.write.manager == KUBECTL:
            _refresh_last_applied(self.live, self.applied, result)
        book.store(result, managers)
        return result

    def _pruned(self, merged: Obj) -> Obj:
        """Without what this manager applied last time, does not now, and nobody else holds."""
        before = self.known.get(self.write.identity)
        if before is None or not before.fields:
            return merged
        schema = self.schema
        last = with_named_parents(schema, before.fields)
        owned = book.all_fields(entry for who, entry in self.known.items() if who != self.write.identity)
        owned = with_named_parents(schema, owned.union(self.fields))
        all_set = _there(schema, merged)
        # Taking out a whole takes its parts with it: first put back what others hold of them, ...
        rest = _there(schema, remove(schema, merged, last))
        kept = remove(schema, merged, all_set.difference(rest.union(owned)))
        # ... then what nobody holds, but this manager never held either.
        lost = all_set.difference(_there(schema, kept)).intersection(last)
        found: Obj = remove(schema, merged, lost)
        return found


def _there(schema: Schema | None, obj: Obj) -> FieldSet:
    """Every field of an object, structs included."""
    return with_named_parents(schema, fields_of(schema, obj, empty_lists=True))


def _check(schema: Schema | None, applied: Obj, write: Write) -> None:
    if not write.manager:
        cause = Cause("FieldValueRequired", "Required value: is required for apply patch", "fieldManager")
        raise StatusError(
            422,
            "Invalid",
            f'PatchOptions.meta.k8s.io "" is invalid: {cause.field}: {cause.message}',
            causes=(cause,),
            details={"group": "meta.k8s.io", "kind": "PatchOptions"},
        )
    if applied.get("apiVersion") != write.api_version:
        raise bad_request(
            "Incorrect version specified in apply patch. "
            f"Specified patch version: {applied.get('apiVersion')}, expected: {write.api_version}"
        )
    meta = applied.get("metadata")
    if not isinstance(meta, dict) or not meta.get("name"):
        raise bad_request("metadata.name must be set in an apply patch")
    if meta.get("managedFields") is not None:
        raise bad_request("metadata.managedFields must be nil")
    try:
        check(schema, applied)
    except TypedError as error:
        raise _untyped(applied, str(error)) from error


def _untyped(applied: Obj, problem: str) -> StatusError:
    namespace, name = key_of(applied)
    kind = f"{applied.get('apiVersion')}, Kind={applied.get('kind')}"
    return broken(f"failed to create typed patch object ({namespace}/{name}; {kind}): {problem}")


def _migrated(schema: Schema | None, state: _State, conflicts: list[Conflict], write: Write) -> list[Conflict]:
    """What is left of kubectl's conflicts: with what its own client-side apply last set, it has none."""
    if write.manager != KUBECTL:
        return conflicts
    own = _last_applied_fields(schema, state.live, write.api_version)
    return [conflict for conflict in conflicts if conflict.path not in own]


def _last_applied_fields(schema: Schema | None, live: Obj, api_version: str) -> FieldSet:
    """The fields of the last client-side apply that still are what it made them."""
    try:
        last: Any = json.loads(annotations(live).get(LAST_APPLIED) or "null")
    except ValueError:
        return fieldset.EMPTY
    if not isinstance(last, dict) or last.get("apiVersion") != api_version:
        return fieldset.EMPTY
    changes = compare(schema, last, live)
    return fields_of(schema, last).difference(changes.written.union(changes.removed))


def _refresh_last_applied(live: Obj, applied: Obj, result: Obj) -> None:
    """Kubectl's annotation, where there is one, follows kubectl's own server-side applies too."""
    if not annotations(live).get(LAST_APPLIED):
        return
    last = deepcopy(applied)
    kept = {name: value for name, value in annotations(applied).items() if name != LAST_APPLIED}
    if "annotations" in last["metadata"]:
        last["metadata"]["annotations"] = kept
    result["metadata"].setdefault("annotations", {})[LAST_APPLIED] = json.dumps(last, separators=(",", ":")) + "\n"


def _conflict_error(conflicts: list[Conflict]) -> StatusError:
    causes = tuple(
        Cause("FieldManagerConflict", f"conflict with {_owner(conflict.owner)}", fieldset.printed(conflict.path))
        for conflict in conflicts
    )
    return StatusError(409, "Conflict", _conflict_message(conflicts), causes=causes)


def _conflict_message(conflicts: list[Conflict]) -> str:
    if len(conflicts) == 1:
        owner, path = conflicts[0]
        return f"Apply failed with 1 conflict: conflict with {_owner(owner)}: {fieldset.printed(path)}"
    lines: list[str] = []
    for owner in sorted({conflict.owner for conflict in conflicts}):
        lines.append(f"conflicts with {_owner(owner)}:")
        lines += [f"- {fieldset.printed(path)}" for who, path in conflicts if who == owner]
    return f"Apply failed with {len(conflicts)} conflicts: " + "\n".join(lines)


def _owner(who: Identity) -> str:
    """`"kubectl-client-side-apply" using v1`; an applier has no version of its own."""
    text = json.dumps(who.name)
    if who.subresource:
        text += f" with subresource {json.dumps(who.subresource)}"
    return f"{text} using {who.api_version}" if who.operation == "Update" else text
