"""Keeps the served kinds and their schemas in step with the stored CustomResourceDefinitions."""

from headstay.local.server import codec
from headstay.local.server.kinds import Kinds, Served, custom_kinds
from headstay.local.server.seams import Schemas
from headstay.local.server.store import Change, Store
from headstay.local.server.watch import Broadcaster
from headstay.model.objects import Obj
from headstay.model.resource import CUSTOM_RESOURCE_DEFINITIONS

CRD_TABLE = str(CUSTOM_RESOURCE_DEFINITIONS)


class CustomKinds:
    """Follows CRD writes from the moment it is made; kinds that go away end their watches."""

    def __init__(self, store: Store, kinds: Kinds, schemas: Schemas, broadcaster: Broadcaster) -> None:
        self._kinds = kinds
        self._schemas = schemas
        self._broadcaster = broadcaster
        for key, entry in store.entries(CRD_TABLE):
            self._serve(key.name, codec.decode_object(entry.value))
        store.on_change(self._on_change)

    def _on_change(self, change: Change) -> None:
        if change.key.table != CRD_TABLE:
            return
        crd = None if change.deleted else codec.decode_object(change.entry.value)
        for gone in self._serve(change.key.name, crd):
            self._broadcaster.close(gone.table)

    def _serve(self, name: str, crd: Obj | None) -> list[Served]:
        """Says what is no longer served. Schemas come first: a kind must not be met without its own."""
        served = custom_kinds(crd) if crd is not None else []
        if crd is not None and served:
            self._schemas.put_crd(crd)
        else:
            self._schemas.remove_crd(name)
        return self._kinds.replace_custom(name, served)
