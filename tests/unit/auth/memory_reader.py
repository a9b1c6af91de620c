"""A `Reader` over a dictionary: what a test put there is what is stored."""

from collections.abc import Iterable

from tests.unit.scanning import Scanning

from headstay.model.objects import Obj
from headstay.model.resource import Resource


class MemoryReader(Scanning):
    def __init__(self) -> None:
        self.objects: dict[tuple[str, str, str], Obj] = {}

    def put(self, resource: Resource, obj: Obj) -> Obj:
        meta = obj["metadata"]
        self.objects[str(resource), meta.get("namespace", ""), meta["name"]] = obj
        return obj

    def remove(self, resource: Resource, namespace: str, name: str) -> None:
        del self.objects[str(resource), namespace, name]

    def get(self, resource: Resource, namespace: str, name: str) -> Obj | None:
        return self.objects.get((str(resource), namespace, name))

    def list(self, resource: Resource, namespace: str = "") -> Iterable[Obj]:
        return [
            obj for (kind, place, _), obj in self.objects.items() if kind == str(resource) and namespace in ("", place)
        ]
