"""A `Reader` that keeps no index: who holds a fact is found by looking at every object."""

from abc import abstractmethod
from collections.abc import Iterable

from headstay.local.server.seams import Facts
from headstay.model.objects import Obj, ObjectKey
from headstay.model.resource import Resource


class Scanning:
    @abstractmethod
    def list(self, resource: Resource, namespace: str = "") -> Iterable[Obj]: ...

    def holders(self, resource: Resource, facts: Facts, fact: object) -> frozenset[ObjectKey]:
        found = [obj["metadata"] for obj in self.list(resource) if fact in facts(obj)]
        return frozenset(ObjectKey(meta.get("namespace", ""), meta["name"]) for meta in found)
