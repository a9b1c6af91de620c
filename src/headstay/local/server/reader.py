"""Read access for strategies, admission and authorization: the store, as decoded objects."""

from collections.abc import Iterable

from headstay.local.server import codec
from headstay.local.server.seams import Facts
from headstay.local.server.store import Change, Store, StoreKey
from headstay.model.objects import Obj, ObjectKey
from headstay.model.resource import Resource


class StoreReader:
    """Implements `seams.Reader`. Objects come in the version they are stored in."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._indexes: dict[str, dict[Facts, _Index]] = {}
        store.on_change(self._follow)

    def get(self, resource: Resource, namespace: str, name: str) -> Obj | None:
        entry = self._store.get(StoreKey(str(resource), namespace, name))
        return codec.decode_object(entry.value) if entry else None

    def list(self, resource: Resource, namespace: str = "") -> Iterable[Obj]:
        for _, entry in self._store.entries(str(resource), namespace):
            yield codec.decode_object(entry.value)

    def holders(self, resource: Resource, facts: Facts, fact: object) -> frozenset[ObjectKey]:
        indexes = self._indexes.setdefault(str(resource), {})
        if facts not in indexes:
            indexes[facts] = _Index(facts)
            for key, entry in self._store.entries(str(resource)):
                indexes[facts].put(key, codec.decode_object(entry.value))
        return indexes[facts].holders(fact)

    def _follow(self, change: Change) -> None:
        for index in self._indexes.get(change.key.table, {}).values():
            index.put(change.key, None if change.deleted else codec.decode_object(change.entry.value))


class _Index:
    """Who has which fact, kept from the log alone: a write that failed or an object that is gone leaves nothing."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self._held: dict[StoreKey, set[object]] = {}
        self._holders: dict[object, set[ObjectKey]] = {}

    def put(self, key: StoreKey, obj: Obj | None) -> None:
        who = ObjectKey(key.namespace, key.name)
        for fact in self._held.pop(key, ()):
            self._holders[fact].discard(who)
            if not self._holders[fact]:
                del self._holders[fact]
        if obj is not None and (facts := set(self._facts(obj))):
            self._held[key] = facts
            for fact in facts:
                self._holders.setdefault(fact, set()).add(who)

    def holders(self, fact: object) -> frozenset[ObjectKey]:
        return frozenset(self._holders.get(fact, ()))
