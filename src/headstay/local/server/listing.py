"""What a list or watch selects, and where one page of a list ends and the next begins.

A continue token names the revision of the first page, so that all pages show the same moment; once that
moment is compacted away, the list ends with 410 in place of showing a mixture.
"""

import base64
import binascii
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from headstay.local.server import codec, errors
from headstay.local.server.seams import Kind
from headstay.local.server.store import CompactedError, Store, StoreKey
from headstay.local.server.table import Entry
from headstay.model.errors import StatusError
from headstay.model.selectors import FieldRequirement, Selector, parse_field_selector, parse_label_selector

_SCAN = 500
"""Rows read at once when a page is searched for matches in the log."""


class Listing(NamedTuple):
    """`remaining` is None where it is not known (a selector is in use), as in Kubernetes."""

    items: list[tuple[StoreKey, Entry]]
    revision: int
    continue_token: str = ""
    remaining: int | None = None


class Selection(NamedTuple):
    """Which objects of a kind are meant. `name` comes from `metadata.name=`; "" selects all."""

    namespace: str = ""
    name: str = ""
    labels: Selector = Selector()
    fields: tuple[FieldRequirement, ...] = ()

    def matches(self, key: StoreKey, entry: Entry) -> bool:
        if self.namespace and key.namespace != self.namespace:
            return False
        if self.name and key.name != self.name:
            return False
        if self.labels and not self.labels.matches(entry.labels):
            return False
        return not self.fields or self._fields_match(entry)

    def _fields_match(self, entry: Entry) -> bool:
        obj = codec.decode_object(entry.value)
        return all((field_value(obj, wanted.path) == wanted.value) == wanted.equal for wanted in self.fields)

    @property
    def is_filtered(self) -> bool:
        return bool(self.name or self.labels or self.fields)


def field_value(obj: Any, path: str) -> str:
    """A field as field selectors see it: text, "" where it is missing, booleans in lower case."""
    for step in path.split("."):
        obj = obj.get(step) if isinstance(obj, dict) else None
    if isinstance(obj, bool):
        return str(obj).lower()
    return "" if obj is None else str(obj)


def select(kind: Kind, namespace: str, label_selector: str, field_selector: str) -> Selection:
    """Raises 400 for what cannot be parsed or selected by."""
    try:
        labels = parse_label_selector(label_selector)
        fields = parse_field_selector(field_selector)
    except ValueError as error:
        raise errors.bad_request(str(error)) from error
    allowed = {"metadata.name", "metadata.namespace", *kind.selectable_fields}
    name = ""
    remaining: list[FieldRequirement] = []
    for wanted in fields:
        if wanted.path not in allowed or (wanted.path == "metadata.namespace" and not kind.resource.namespaced):
            raise _unknown_field(kind, wanted.path)
        if wanted.path == "metadata.name" and wanted.equal and not name:
            name = wanted.value
        else:
            remaining.append(wanted)
    return Selection(namespace, name, labels, tuple(remaining))


def _unknown_field(kind: Kind, path: str) -> StatusError:
    is_custom = kind.storage is not None
    if kind.selectable_fields or is_custom:
        return errors.bad_request(f"field label not supported: {path}")
    known = '"metadata.name", "metadata.namespace"'
    return errors.bad_request(f'"{path}" is not a known field selector: only {known}')


class _Token(msgspec.Struct):
    """Opaque to clients. `rv` 0 means "the current state": a page after an inconsistent continue."""

    rv: int
    start: str


def encode_token(revision: int, start: str) -> str:
    return base64.urlsafe_b64encode(codec.encode(_Token(revision, start))).decode().rstrip("=")


def decode_token(token: str) -> tuple[int, str]:
    try:
        found = msgspec.json.decode(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)), type=_Token)
    except (binascii.Error, ValueError, msgspec.MsgspecError) as error:
        message = f"invalid continue token: continue key is not valid: {error}"
        raise errors.bad_request(message) from error
    return found.rv, found.start


def list_page(store: Store, table: str, selection: Selection, *, limit: int, token: str) -> Listing:
    """One page; all of it where `limit` is 0. Raises 410 when the token's revision was compacted."""
    if token:
        revision, after = decode_token(token)
        rows = _rows_at(store, table, selection, revision, after)
    else:
        revision = store.revision
        rows = candidates(store, table, selection)
    items: list[tuple[StoreKey, Entry]] = []
    try:
        for key, entry in rows:
            if not selection.matches(key, entry):
                continue
            if limit and len(items) == limit:
                return _full_page(store, table, selection, items, revision, first=not token)
            items.append((key, entry))
    except CompactedError as error:
        raise errors.continue_expired() from error
    return Listing(items, revision)


def _full_page(
    store: Store, table: str, selection: Selection, items: list[tuple[StoreKey, Entry]], revision: int, *, first: bool
) -> Listing:
    last = items[-1][0]
    remaining = None
    if first and not selection.is_filtered:
        remaining = store.count(table, selection.namespace) - len(items)
    return Listing(items, revision, encode_token(revision, f"{last.namespace}/{last.name}"), remaining)


def candidates(store: Store, table: str, selection: Selection, after: str = "") -> Iterator[tuple[StoreKey, Entry]]:
    """Current entries beyond `after`, in order: all that `selection` selects, and few others where labels say so.

    A selector that asks for a value is answered from those who have it, so that a list of one cluster's Pods costs the
    same however many Pods there are.
    """
    equalities = (wanted for wanted in selection.labels if wanted.operator == "In")
    sizes = {wanted: store.count_labelled(table, wanted.key, wanted.values) for wanted in equalities}
    rarest = min(sizes, key=sizes.__getitem__, default=None)
    if rarest is None or sizes[rarest] >= store.count(table, selection.namespace):
        return store.entries(table, selection.namespace, after)
    rows = store.labelled(table, rarest.key, rarest.values)
    return (row for row in rows if f"{row[0].namespace}/{row[0].name}" > after) if after else rows


def _rows_at(
    store: Store, table: str, selection: Selection, revision: int, after: str
) -> Iterator[tuple[StoreKey, Entry]]:
    if store.revision == revision:
        yield from candidates(store, table, selection, after)
        return
    while True:
        rows = store.list_at(table, selection.namespace, revision, after=after, limit=_SCAN)
        yield from rows
        if len(rows) < _SCAN:
            return
        last = rows[-1][0]
        after = f"{last.namespace}/{last.name}"
