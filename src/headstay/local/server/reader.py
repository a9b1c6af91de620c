"""Read access for strategies, admission and authorization: the store, as decoded objects."""

from collections.abc import Iterable

from headstay.local.server import codec
from headstay.local.server.store import Store, StoreKey
from headstay.model.objects import Obj
from headstay.model.resource import Resource


class StoreReader:
    """Implements `seams.Reader`. Objects come in the version they are stored in."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def get(self, resource: Resource, namespace: str, name: str) -> Obj | None:
        entry = self._store.get(StoreKey(str(resource), namespace, name))
        return codec.decode_object(entry.value) if entry else None

    def list(self, resource: Resource, namespace: str = "") -> Iterable[Obj]:
        for _, entry in self._store.entries(str(resource), namespace):
            yield codec.decode_object(entry.value)
