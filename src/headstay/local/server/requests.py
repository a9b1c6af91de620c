"""What a caller may say about a request, beside the object itself, and what it gets back."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

from headstay.local.seams import SYSTEM, User
from headstay.local.server import errors
from headstay.local.server.kinds import Served
from headstay.local.server.listing import Listing
from headstay.local.server.store import StoreKey
from headstay.model.errors import Cause
from headstay.model.objects import Obj
from headstay.model.resource import Resource
from headstay.runtime.client import Propagation

_PROPAGATIONS = {None, "Orphan", "Background", "Foreground"}
_PROPAGATION_NAMES = ("Foreground", "Background", "Orphan", "nil")
FieldValidation = Literal["Ignore", "Warn", "Strict"]


@dataclass(frozen=True)
class Call:
    """Who writes, and how. `force` is that of server-side apply."""

    user: User = SYSTEM
    dry_run: bool = False
    field_manager: str = ""
    field_validation: FieldValidation = "Ignore"
    force: bool = False


@dataclass(frozen=True)
class DeleteOptions:
    uid: str = ""
    resource_version: str = ""
    propagation: Propagation | None = None
    grace_period_seconds: int | None = None

    @classmethod
    def from_document(cls, document: Obj) -> "DeleteOptions":
        """A DeleteOptions body. Raises 400 for values it cannot have."""
        preconditions = document.get("preconditions") or {}
        propagation = document.get("propagationPolicy")
        orphan = document.get("orphanDependents")
        if propagation is not None and orphan is not None:
            text = "Invalid value: true: orphanDependents and deletionPropagation cannot be both set"
            raise errors.invalid_options("DeleteOptions", Cause("FieldValueInvalid", text, "propagationPolicy"))
        if propagation is None and orphan is not None:
            propagation = "Orphan" if orphan else "Background"
        if propagation not in _PROPAGATIONS:
            cause = errors.unsupported_value("propagationPolicy", f'"{propagation}"', _PROPAGATION_NAMES)
            raise errors.invalid_options("DeleteOptions", cause)
        grace = document.get("gracePeriodSeconds")
        if grace is not None and not isinstance(grace, int):
            raise errors.bad_request("gracePeriodSeconds must be a number")
        return cls(preconditions.get("uid") or "", preconditions.get("resourceVersion") or "", propagation, grace)


class Patched(NamedTuple):
    """What is known of a document that a patch has made: nobody else holds it."""

    text: Callable[[], str]
    """The patch as refusals quote it."""
    untouched: frozenset[str]
    """Top-level fields that are as they are stored, as far as that is known."""


class Target(NamedTuple):
    """What a request is about: a collection (no name), an object, or a subresource of one."""

    served: Served
    namespace: str = ""
    name: str = ""
    subresource: str = ""

    @property
    def resource(self) -> Resource:
        return self.served.kind.resource

    @property
    def key(self) -> StoreKey:
        return StoreKey(self.served.table, self.namespace, self.name)


class Answer(NamedTuple):
    """An encoded object. `created` makes it a 201."""

    body: bytes
    created: bool = False
    warnings: tuple[str, ...] = ()


class ListAnswer(NamedTuple):
    """`items` are encoded in the version that was asked for."""

    items: list[bytes]
    revision: int
    continue_token: str = ""
    remaining: int | None = None

    @classmethod
    def of(cls, listing: Listing, items: list[bytes]) -> "ListAnswer":
        return cls(items, listing.revision, listing.continue_token, listing.remaining)
