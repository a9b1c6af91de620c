"""Who holds what, kept as the log grows, is what a look at every object would find."""

from collections.abc import Iterable

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.scanning import Scanning

from headstay.local.server import codec
from headstay.local.server.reader import StoreReader
from headstay.local.server.store import Store, StoreKey
from headstay.model.objects import Obj
from headstay.model.resource import SERVICES, Resource

WRITES = st.lists(
    st.tuples(st.sampled_from(["a", "b", "c"]), st.none() | st.lists(st.sampled_from([1, 2, 3]))), max_size=20
)


def ports_of(obj: Obj) -> list[object]:
    return list(obj["ports"])


class Looking(Scanning):
    def __init__(self, reader: StoreReader) -> None:
        self._reader = reader

    def list(self, resource: Resource, namespace: str = "") -> Iterable[Obj]:
        return self._reader.list(resource, namespace)


def write(store: Store, name: str, ports: list[int] | None) -> None:
    key = StoreKey("services", "n", name)
    held = store.get(key)
    body = codec.encode({"metadata": {"name": name, "namespace": "n"}, "ports": ports})
    if ports is not None:
        store.put(key, lambda _: body, expected=held.revision if held else 0)
    elif held is not None:
        store.delete(key, lambda _: held.value, expected=held.revision)


@settings(deadline=None)
@given(before=WRITES, after=WRITES)
def test_holders_are_those_that_a_look_at_every_object_finds(
    before: list[tuple[str, list[int] | None]], after: list[tuple[str, list[int] | None]]
) -> None:
    store = Store(":memory:", codec.labels_of)
    reader = StoreReader(store)
    for name, ports in before:
        write(store, name, ports)
    for step in [None, *after]:
        if step is not None:
            write(store, *step)
        for port in (1, 2, 3):
            assert reader.holders(SERVICES, ports_of, port) == Looking(reader).holders(SERVICES, ports_of, port)
    store.close()
