"""The interfaces inside the API server, in one place.

    http     wire: TLS, authentication, routing, content types, streams
    rest     the verbs: generic rules for every kind (metadata, finalizers, generation, preconditions, watch)
    schema   what a kind's documents look like (built-in and custom): pruning, defaults, validation, OpenAPI
    patch    merge, JSON, strategic merge and server-side apply, driven by a `Schema`
    strategy what one built-in kind does differently (defaults, immutable fields, allocation, extra validation)
    store    the SQLite log; knows keys, bytes and revisions, and nothing of Kubernetes

Unknown input is refused by name; nothing is half-done.
"""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NamedTuple, Protocol

from headstay.local.seams import User
from headstay.model.errors import Cause
from headstay.model.objects import Obj, ObjectKey
from headstay.model.resource import Resource


class Schema(Protocol):
    """One node of a kind's structural schema, `$ref`s already followed."""

    def __hash__(self) -> int: ...

    @property
    def type(self) -> Literal["object", "array", "string", "integer", "number", "boolean", ""]: ...

    @property
    def items(self) -> "Schema | None": ...

    @property
    def list_type(self) -> Literal["atomic", "set", "map"]:
        """x-kubernetes-list-type; `atomic` where the schema does not say."""
        ...

    @property
    def list_map_keys(self) -> tuple[str, ...]: ...

    @property
    def atomic_map(self) -> bool:
        """x-kubernetes-map-type: atomic."""
        ...

    @property
    def patch_strategy(self) -> frozenset[str]:
        """x-kubernetes-patch-strategy, split: of `merge`, `retainKeys`, `replace`."""
        ...

    @property
    def patch_merge_key(self) -> str: ...

    @property
    def preserve_unknown_fields(self) -> bool: ...

    @property
    def nullable(self) -> bool:
        """Whether null is a value here; elsewhere it means that there is none."""
        ...

    def property(self, name: str) -> "Schema | None":
        """The schema of a declared property, else of additionalProperties, else None (unknown field)."""
        ...

    def default_of(self, path: tuple[str, ...]) -> object:
        """The default declared at `path` below this node, or None (list-map keys such as a port's protocol)."""
        ...


class Schemas(Protocol):
    """All kinds the server knows; custom ones come and go as their CRDs do."""

    def of(self, group: str, version: str, kind: str) -> Schema | None: ...

    def put_crd(self, crd: Obj) -> None:
        """Serves the schemas of a stored CRD, in place of those it had before."""
        ...

    def remove_crd(self, name: str) -> None: ...

    def unknown_fields(self, schema: Schema, obj: Obj) -> list[str]:
        """Paths in `obj` that the schema does not know, as kubectl prints them: `spec.contaniers`."""
        ...

    def prune(self, schema: Schema, obj: Obj, settled: Collection[str] = ()) -> None:
        """Drops unknown fields. Raises StatusError (BadRequest) where Kubernetes could not decode the document.

        `settled` are top-level fields that are as they are stored: they were decoded when they got there.
        """
        ...

    def default(self, schema: Schema, obj: Obj) -> None: ...

    def validate(self, schema: Schema, obj: Obj, old: Obj | None) -> list[Cause]:
        """Types, required fields, enums, bounds, patterns, list-map uniqueness, CEL rules (`old` for transitions)."""
        ...


Facts = Callable[[Obj], Iterable[object]]
"""What can be asked of a kind by `Reader.holders`: hashable values, read from one object alone."""


class Reader(Protocol):
    """Read access to what is stored, for strategies and admission."""

    def get(self, resource: Resource, namespace: str, name: str) -> Obj | None: ...

    def list(self, resource: Resource, namespace: str = "") -> Iterable[Obj]: ...

    def holders(self, resource: Resource, facts: Facts, fact: object) -> frozenset[ObjectKey]:
        """Whose `facts` have `fact` in them. An index is kept for each function, so give one that lasts."""
        ...


@dataclass(frozen=True)
class WriteContext:
    user: User
    now: datetime
    reader: Reader
    dry_run: bool = False
    subresource: str = ""
    field_manager: str = ""


class Strategy(Protocol):
    """What one built-in kind does differently. Methods edit `new` in place and raise StatusError to refuse."""

    def default(self, new: Obj) -> None:
        """Fills in absent fields, after decoding and after every patch, before managed fields are tracked.

        Idempotent. What it sets belongs to the writer in managedFields, what `prepare_*` sets to nobody.
        """
        ...

    def prepare_create(self, new: Obj, context: WriteContext) -> None:
        """After defaulting, before validation: admission, allocation, fields a client may not set."""
        ...

    def prepare_update(self, new: Obj, old: Obj, context: WriteContext) -> None:
        """The same for an update; `context.subresource` says which part of `new` is being written."""
        ...

    def validate(self, new: Obj, old: Obj | None, context: WriteContext) -> list[Cause]:
        """Rules beyond the schema, `old` set on updates (immutable fields)."""
        ...

    def deleted(self, old: Obj, context: WriteContext) -> None:
        """After the object is gone: free what `prepare_create` allocated."""
        ...


class Kind(NamedTuple):
    """A resource as this server serves it."""

    resource: Resource
    singular: str
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    verbs: tuple[str, ...] = (
        "create",
        "delete",
        "deletecollection",
        "get",
        "list",
        "patch",
        "update",
        "watch",
    )
    has_status: bool = False
    has_scale: bool = False
    subresources: tuple[str, ...] = ()
    strategy: Strategy | None = None
    selectable_fields: tuple[str, ...] = ()
    storage: Resource | None = None
    """Where it is stored, when that is another resource (a CRD's storage version, core Events)."""
    convert: Callable[[Obj, str], Obj] | None = None
    """Turns a stored object into the given apiVersion, where that is more than renaming it."""


class KindLookup(Protocol):
    """The kinds served right now, built-in and custom."""

    def find(self, group: str, version: str, plural: str) -> Kind | None: ...

    def all(self) -> Iterable[Kind]: ...
