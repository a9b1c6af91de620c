"""The way of a write, the same for every kind: from a decoded document to a row in the log.

    create: decode -> metadata -> namespace -> defaults -> managed fields -> strategy -> admit -> validate
            -> judge (admission policies) -> store
    update: the same, with what a client may not change restored from the old object first

Invariants: nothing is stored that was not validated; an update that changes nothing makes no revision; what an
update may touch is decided here (`spec` against `status` against metadata), not in the kinds' strategies.
"""

import secrets
import uuid
from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple

from headstay.local.seams import User
from headstay.local.server import codec, decoding, errors, metadata
from headstay.local.server.admission.matching import Request
from headstay.local.server.builtin import GENERATION_COUNTED
from headstay.local.server.kinds import Served
from headstay.local.server.managing import without_times
from headstay.local.server.requests import Answer, Call, Patched, Target
from headstay.local.server.scalepaths import validate_replicas
from headstay.local.server.seams import Reader, Schemas, WriteContext
from headstay.local.server.store import RevisionConflictError, Store, StoreKey
from headstay.local.server.strategies.quota import admit_quota
from headstay.local.server.table import Entry
from headstay.local.server.versions import as_served, as_stored
from headstay.model.errors import Cause, StatusError
from headstay.model.objects import Obj
from headstay.model.resource import NAMESPACES, Resource
from headstay.model.timestamps import rfc3339

Admit = Callable[[Resource, Obj, Obj | None, User], None]
"""Refuses a write that is valid but not allowed (granting rights one does not have)."""
Judge = Callable[[Request], tuple[str, ...]]
"""What admission policies say of a valid write: warnings, or a refusal."""
Track = Callable[["Tracked"], None]

_SUFFIX_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
_GENERATE_TRIES = 8
_CONDITIONAL = {"customresourcedefinitions.apiextensions.k8s.io", "leases.coordination.k8s.io"}
"""Built-in kinds that, like all custom ones, may only be updated with a resourceVersion."""


class Tracked(NamedTuple):
    """What managed-fields tracking needs of one write; it edits `new` in place."""

    served: Served
    new: Obj
    old: Obj | None
    call: Call
    subresource: str
    now: datetime
    is_apply: bool


class Current(NamedTuple):
    """A stored object: where, at which revision, and decoded in the version that is being served."""

    key: StoreKey
    entry: Entry
    obj: Obj


class Slot(NamedTuple):
    """Where a new state goes, and the revision it replaces (0: none)."""

    key: StoreKey
    revision: int


def random_suffix() -> str:
    return "".join(secrets.choice(_SUFFIX_ALPHABET) for _ in range(5))


class Writer:
    def __init__(
        self, store: Store, schemas: Schemas, reader: Reader, clock: Callable[[], datetime], track: Track
    ) -> None:
        self._store = store
        self._schemas = schemas
        self._reader = reader
        self._clock = clock
        self._track = track
        self.admit: list[Admit] = []
        self.judge: Judge = lambda _request: ()
        self.removed: list[Callable[[Served], None]] = []

    # --- create --------------------------------------------------------------------------------------------

    def create(self, target: Target, document: Obj, call: Call, *, is_apply: bool = False) -> Answer:
        served, resource, namespace = target.served, target.resource, target.namespace
        new = codec.copied(document)
        warnings = decoding.check(self._schemas, served, new, call)
        meta = decoding.metadata_of(new)
        if meta.get("resourceVersion") and not is_apply:
            raise errors.version_on_create()
        _set_namespace(resource, meta, namespace)
        self._check_namespace(served, meta)
        if not meta.get("name") and meta.get("generateName"):
            meta["name"] = self._free_name(served, namespace, meta["generateName"])
        self._fill_system_fields(served, meta)
        if served.kind.has_status:
            new.pop("status", None)
        context = self._context(call, "")
        strategy = served.kind.strategy
        if strategy:
            strategy.default(new)
        self._track(Tracked(served, new, None, call, "", context.now, is_apply))
        if strategy:
            strategy.prepare_create(new, context)
        if resource.namespaced:
            admit_quota(resource, new, context)
        for admit in self.admit:
            admit(resource, new, None, call.user)
        self._validate(served, new, None, context)
        warnings = (*warnings, *self.judge(Request("CREATE", resource, call.user, new, None, "", call.dry_run)))
        key = StoreKey(served.table, meta.get("namespace") or "", meta["name"])
        if self._store.get(key):
            raise errors.already_exists(resource, meta["name"])
        return self._store_object(served, Slot(key, 0), new, call)._replace(created=True, warnings=warnings)

    def _check_namespace(self, served: Served, meta: Obj) -> None:
        if not served.kind.resource.namespaced:
            return
        resource, namespace = served.kind.resource, meta["namespace"]
        found = self._reader.get(NAMESPACES, "", namespace)
        if found is None:
            raise errors.not_found(NAMESPACES, namespace)
        if found["metadata"].get("deletionTimestamp"):
            cause = Cause("NamespaceTerminating", f"namespace {namespace} is being terminated", "metadata.namespace")
            name = meta.get("name") or meta.get("generateName") or ""
            reason = f"unable to create new content in namespace {namespace} because it is being terminated"
            raise errors.forbidden(resource, name, reason, causes=(cause,))

    def _free_name(self, served: Served, namespace: str, base: str) -> str:
        """A generated name that nobody has. The space is large; not finding one means something is wrong."""
        name = ""
        for _ in range(_GENERATE_TRIES):
            name = metadata.generate_name(base, random_suffix)
            if self._store.get(StoreKey(served.table, namespace, name)) is None:
                return name
        raise errors.name_exhausted(served.kind.resource, name)

    def _fill_system_fields(self, served: Served, meta: Obj) -> None:
        for name in (*metadata.SYSTEM_FIELDS, "resourceVersion", "selfLink"):
            meta.pop(name, None)
        meta["uid"] = str(uuid.uuid4())
        meta["creationTimestamp"] = rfc3339(self._clock())
        if counts_generation(served):
            meta["generation"] = 1

    # --- update --------------------------------------------------------------------------------------------

    def current(self, target: Target) -> Current:
        """Raises 404."""
        entry = self._store.get(target.key)
        if entry is None:
            raise errors.not_found(target.resource, target.name)
        return Current(target.key, entry, as_served(target.served, codec.decode_object(entry.value)))

    def update(
        self,
        target: Target,
        current: Current,
        document: Obj,
        call: Call,
        *,
        is_apply: bool = False,
        unconditional: bool = True,
        patched: Patched | None = None,
    ) -> Answer:
        """Replaces the part of the object that the target names. `document` is complete, not a patch."""
        served, subresource, old = target.served, target.subresource, current.obj
        resource = target.resource
        new = document if patched else codec.copied(document)
        warnings = decoding.check(self._schemas, served, new, call, patched=patched)
        _check_identity(target, current, new, unconditional=unconditional)
        new = _only_written_part(served, new, old, subresource)
        _keep_system_fields(new, old)
        context = self._context(call, subresource)
        strategy = served.kind.strategy
        if strategy:
            strategy.default(new)
        self._track(Tracked(served, new, old, call, subresource, context.now, is_apply))
        if strategy:
            strategy.prepare_update(new, old, context)
        if counts_generation(served) and _desired_state(served, new) != _desired_state(served, old):
            new["metadata"]["generation"] = (old["metadata"].get("generation") or 0) + 1
        for admit in self.admit:
            admit(resource, new, old, call.user)
        self._validate(served, new, old, context)
        request = Request("UPDATE", resource, call.user, new, old, subresource, call.dry_run)
        warnings = (*warnings, *self.judge(request))
        return self.replace(served, current, new, call)._replace(warnings=warnings)

    def replace(self, served: Served, current: Current, new: Obj, call: Call) -> Answer:
        """Stores a finished new state; completes a deletion that only waited for its finalizers."""
        if is_deletable(new):
            return self.remove(served, current, call, last=new)
        if without_times(new) == without_times(current.obj):
            return Answer(codec.encode(current.obj))
        return self._store_object(served, Slot(current.key, current.entry.revision), new, call)

    def remove(self, served: Served, current: Current, call: Call, *, last: Obj | None = None) -> Answer:
        """The object goes; the answer is its last state."""
        final = last if last is not None else current.obj
        if call.dry_run:
            return Answer(codec.encode(final))
        stored = as_stored(served, final)
        revision = current.entry.revision
        entry = self._store.delete(current.key, lambda at: codec.render(stored, at), expected=revision)
        if served.kind.strategy:
            served.kind.strategy.deleted(stored, self._context(call, ""))
        for removed in self.removed:
            removed(served)
        return Answer(self._served_bytes(served, entry))

    # --- shared --------------------------------------------------------------------------------------------

    def _context(self, call: Call, subresource: str) -> WriteContext:
        return WriteContext(call.user, self._clock(), self._reader, call.dry_run, subresource, call.field_manager)

    def _validate(self, served: Served, new: Obj, old: Obj | None, context: WriteContext) -> None:
        resource = served.kind.resource
        causes = metadata.validate_metadata(resource, new["metadata"], custom=served.custom)
        if old is not None:
            causes += metadata.validate_metadata_update(new["metadata"], old["metadata"])
        schema = self._schemas.of(resource.group, resource.version, resource.kind)
        found = self._schemas.validate(schema, new, old) if schema is not None else []
        own = served.kind.strategy.validate(new, old, context) if served.kind.strategy else []
        causes += [cause for cause in found if not _says_more(own, cause)] + own
        if served.custom and served.scale:
            causes += validate_replicas(served.scale, new)
        if causes:
            raise errors.invalid(resource, new["metadata"].get("name") or "", list(dict.fromkeys(causes)))

    def _store_object(self, served: Served, slot: Slot, new: Obj, call: Call) -> Answer:
        if call.dry_run:
            return Answer(codec.encode(new))
        stored = self._stored(served, new)
        try:
            entry = self._store.put(slot.key, lambda at: codec.render(stored, at), expected=slot.revision)
        except RevisionConflictError as error:
            raise errors.conflict(served.kind.resource, slot.key.name) from error
        return Answer(self._served_bytes(served, entry))

    def _stored(self, served: Served, new: Obj) -> Obj:
        """In the storage version, with that version's defaults: what a reader of it finds."""
        stored = as_stored(served, new)
        if stored is not new and served.custom:
            storage = served.storage
            schema = self._schemas.of(storage.group, storage.version, storage.kind)
            if schema is not None:
                stored = codec.copied(stored)
                self._schemas.default(schema, stored)
        return stored

    def _served_bytes(self, served: Served, entry: Entry) -> bytes:
        if served.storage == served.kind.resource:
            return entry.value
        return codec.encode(as_served(served, codec.decode_object(entry.value)))


def _says_more(own: list[Cause], cause: Cause) -> bool:
    """Whether the kind's strategy complains of the field that the schema misses, or of what is missing in it."""
    parts = (f"{cause.field}.", f"{cause.field}[")
    return cause.reason == "FieldValueRequired" and any(
        other.field == cause.field or other.field.startswith(parts) for other in own
    )


def counts_generation(served: Served) -> bool:
    resource = served.kind.resource
    return served.custom or (resource.group, resource.plural) in GENERATION_COUNTED


def is_deletable(obj: Obj) -> bool:
    """Marked for deletion, its grace period over (or none), and nobody's finalizer left on it."""
    meta = obj["metadata"]
    if not meta.get("deletionTimestamp") or meta.get("finalizers") or meta.get("deletionGracePeriodSeconds"):
        return False
    of_namespace = obj.get("kind") == "Namespace" and obj.get("apiVersion") == "v1"
    return not (of_namespace and (obj.get("spec") or {}).get("finalizers"))


def _set_namespace(resource: Resource, meta: Obj, namespace: str) -> None:
    given = meta.get("namespace") or ""
    if not resource.namespaced:
        meta.pop("namespace", None)
        return
    if given and given != namespace:
        raise errors.bad_request(
            "the namespace of the provided object does not match the namespace sent on the request"
        )
    meta["namespace"] = namespace


def _check_identity(target: Target, current: Current, new: Obj, *, unconditional: bool) -> None:
    """The body must mean the object of the URL, and the state the writer has seen. `unconditional`: it is a patch."""
    served, resource, key = target.served, target.resource, current.key
    meta = decoding.metadata_of(new)
    if not meta.get("name"):
        meta["name"] = key.name
    if meta["name"] != key.name:
        raise errors.bad_request(
            f"the name of the object ({meta['name']}) does not match the name on the URL ({key.name})"
        )
    if resource.namespaced and (given := meta.get("namespace")) and given != key.namespace:
        raise errors.bad_request(
            f"the namespace of the object ({given}) does not match the namespace on the request ({key.namespace})"
        )
    _set_namespace(resource, meta, key.namespace)
    if (uid := meta.get("uid")) and uid != current.obj["metadata"]["uid"]:
        if unconditional:
            raise errors.immutable(resource, key.name, "uid", uid)
        raise _uid_mismatch(resource, key.name, uid, current.obj["metadata"]["uid"])
    seen = meta.get("resourceVersion") or ""
    if seen in {"", "0"}:
        if not unconditional and (served.custom or served.table in _CONDITIONAL):
            message = "Invalid value: 0x0: must be specified for an update"
            cause = Cause("FieldValueInvalid", message, "metadata.resourceVersion")
            raise errors.invalid(resource._replace(kind=resource.plural), key.name, [cause])
    elif seen != str(current.entry.revision):
        raise errors.conflict(resource, key.name)


def _uid_mismatch(resource: Resource, name: str, wanted: str, found: str) -> StatusError:
    reason = f"Precondition failed: UID in precondition: {wanted}, UID in object meta: {found}"
    return errors.conflict(resource, name, reason)


def _only_written_part(served: Served, new: Obj, old: Obj, subresource: str) -> Obj:
    """`new` with everything that this request cannot write taken from `old`."""
    if subresource == "status":
        # What is not copied here stays the same object: whoever compares the two states sees that at once.
        kept = old | {"metadata": codec.copied(old["metadata"])}
        kept.pop("status", None)
        if "status" in new:
            kept["status"] = new["status"]
        kept["metadata"]["managedFields"] = decoding.metadata_of(new).get("managedFields") or kept["metadata"].get(
            "managedFields", []
        )
        return kept
    if served.kind.has_status:
        new.pop("status", None)
        if "status" in old:
            new["status"] = codec.copied(old["status"])
    return new


def _keep_system_fields(new: Obj, old: Obj) -> None:
    meta, before = new["metadata"], old["metadata"]
    for name in (*metadata.SYSTEM_FIELDS, "resourceVersion"):
        meta.pop(name, None)
        if name in before:
            meta[name] = before[name]
    meta.pop("selfLink", None)


def _desired_state(served: Served, obj: Obj) -> Obj:
    ignored = {"metadata", "apiVersion", "kind"} | ({"status"} if served.kind.has_status else set())
    return {key: value for key, value in obj.items() if key not in ignored}
