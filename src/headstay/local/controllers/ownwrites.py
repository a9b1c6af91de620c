"""A cache, corrected by our own writes that it has not shown yet.

A controller that makes objects under random names and counts them from a cache that lags would make too many, or
delete one more each time it looks. Instead of waiting for the cache, it looks through this: what it made counts from
the moment it was made, what it deleted does not count from the moment it was deleted.
"""

import asyncio
from typing import Generic, NamedTuple, TypeVar

import msgspec

from headstay.model.objects import Obj, ObjectKey
from headstay.runtime.cache import HasMetadata
from headstay.runtime.reflector import Reflector
from headstay.runtime.views import decoder_of

T = TypeVar("T", bound=HasMetadata)

FORGET_AFTER = 60.0
"""Seconds after which the cache is believed whatever we wrote: for servers whose versions cannot be ordered."""


class _Made(NamedTuple):
    owner: str
    item: HasMetadata
    at: float


def by_controller(item: HasMetadata) -> list[str]:
    """Index function: the uid of the controlling owner."""
    owner = item.metadata.controller()
    return [owner.uid] if owner else []


def by_orphaned_namespace(item: HasMetadata) -> list[str]:
    """Index function: the namespace of an object that nobody controls."""
    return [] if item.metadata.controller() else [item.metadata.namespace]


class OwnWrites(Generic[T]):
    """Declares the index `controller` on the reflector's cache."""

    def __init__(self, reflector: Reflector[T]) -> None:
        self.cache = reflector.cache
        self.cache.add_index("controller", by_controller)
        self._decode = decoder_of(reflector.view)
        self._made: dict[str, _Made] = {}
        self._deleted: dict[str, float] = {}
        reflector.on_change(self._seen)

    def made(self, owner: str, document: Obj) -> None:
        """`document` is the answer to a create for the owner with that uid."""
        item = self._decode(msgspec.json.encode(document))
        meta = item.metadata
        held = self.cache.get(ObjectKey(meta.namespace, meta.name))
        if self.cache.covers(meta.resource_version) or (held is not None and held.metadata.uid == meta.uid):
            return
        self._made[meta.uid] = _Made(owner, item, asyncio.get_running_loop().time())

    def deleted(self, uid: str) -> None:
        self._deleted[uid] = asyncio.get_running_loop().time()

    def of(self, owner: str) -> list[T]:
        """The owner's objects: those held and not deleted by us, and those made by us and not yet held."""
        self._expire()
        held = self.cache.by_index("controller", owner)
        fresh = [made.item for made in self._made.values() if made.owner == owner]
        return [item for item in held if not self._hidden(item)] + fresh  # type: ignore[operator]

    def _hidden(self, item: T) -> bool:
        return item.metadata.uid in self._deleted and item.metadata.deletion_timestamp is None

    def _seen(self, old: T | None, new: T | None) -> None:
        for state in (old, new):
            if state is not None:
                self._made.pop(state.metadata.uid, None)
        gone = old if new is None else None
        marked = new if new is not None and new.metadata.deletion_timestamp else None
        for state in (gone, marked):
            if state is not None:
                self._deleted.pop(state.metadata.uid, None)

    def _expire(self) -> None:
        now = asyncio.get_running_loop().time()
        for uid, made in list(self._made.items()):
            if now - made.at > FORGET_AFTER or self.cache.covers(made.item.metadata.resource_version):
                del self._made[uid]
        for uid, at in list(self._deleted.items()):
            if now - at > FORGET_AFTER:
                del self._deleted[uid]
