"""A world of stored objects, into which strategies let new ones: the server's write path, without the server."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from copy import deepcopy
from datetime import UTC, datetime
from ipaddress import IPv4Network

from tests.unit.scanning import Scanning

from headstay.local.seams import SYSTEM
from headstay.local.server.seams import WriteContext
from headstay.local.server.strategies import builtin_strategies
from headstay.local.server.strategies.quota import admit_quota
from headstay.model.errors import Cause
from headstay.model.objects import Obj
from headstay.model.resource import SERVICE_ACCOUNTS, Resource

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


class World(Scanning):
    def __init__(self, network: str = "10.96.0.0/16") -> None:
        self.stored: dict[tuple[str, str, str], Obj] = {}
        self.strategies = builtin_strategies(IPv4Network(network))
        self.add(SERVICE_ACCOUNTS, {"metadata": {"name": "default", "namespace": "default"}})

    def get(self, resource: Resource, namespace: str, name: str) -> Obj | None:
        return self.stored.get((str(resource), namespace, name))

    def list(self, resource: Resource, namespace: str = "") -> Iterable[Obj]:
        for (kind, where, _), obj in self.stored.items():
            if kind == str(resource) and namespace in {"", where}:
                yield obj

    def add(self, resource: Resource, obj: Obj) -> None:
        meta = obj["metadata"]
        self.stored[str(resource), meta.get("namespace", ""), meta["name"]] = obj

    def context(self, subresource: str = "") -> WriteContext:
        return WriteContext(SYSTEM, NOW, self, subresource=subresource)

    def create(self, resource: Resource, obj: Obj) -> Obj:
        """The object as it is stored; fails the test if it is invalid."""
        created, causes = self.try_create(resource, obj)
        assert causes == []
        self.add(resource, created)
        return deepcopy(created)

    def try_create(self, resource: Resource, obj: Obj) -> tuple[Obj, Sequence[Cause]]:
        new = deepcopy(obj)
        meta = new.setdefault("metadata", {})
        meta.setdefault("name", "x")
        meta.setdefault("uid", f"uid-of-{meta['name']}")
        if resource.namespaced:
            meta.setdefault("namespace", "default")
        strategy = self.strategies[resource.group, resource.plural]
        strategy.default(new)
        once = deepcopy(new)
        strategy.default(once)
        assert once == new, "defaults are idempotent"
        strategy.prepare_create(new, self.context())
        admit_quota(resource, new, self.context())
        again = deepcopy(new)
        strategy.default(again)
        assert again == new, "defaulting what is stored changes nothing"
        return new, strategy.validate(new, None, self.context())

    def try_update(self, resource: Resource, obj: Obj, subresource: str = "") -> tuple[Obj, Sequence[Cause]]:
        new = deepcopy(obj)
        old = self.get(resource, new["metadata"].get("namespace", ""), new["metadata"]["name"])
        assert old is not None
        strategy, context = self.strategies[resource.group, resource.plural], self.context(subresource)
        strategy.default(new)
        strategy.prepare_update(new, old, context)
        return new, strategy.validate(new, old, context)

    def problems(self, resource: Resource, obj: Obj) -> Sequence[str]:
        return [f"{cause.field}: {cause.message}" for cause in self.try_create(resource, obj)[1]]

    def update_problems(self, resource: Resource, obj: Obj, subresource: str = "") -> Sequence[str]:
        return [f"{cause.field}: {cause.message}" for cause in self.try_update(resource, obj, subresource)[1]]
