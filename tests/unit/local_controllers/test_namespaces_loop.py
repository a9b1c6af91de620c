"""Namespaces on a real API server: emptied, explained, and gone."""

from typing import Any

import pytest
from tests.unit.local_controllers.api_world import ApiWorld, eventually, running, settled

from headstay.local.controllers.namespaces import NamespaceController
from headstay.model.errors import StatusError
from headstay.model.objects import Obj
from headstay.model.resource import (
    CLUSTER_ROLES,
    CONFIGMAPS,
    LEASES,
    NAMESPACES,
    NODES,
    SECRETS,
    SERVICE_ACCOUNTS,
    SERVICES,
)


def namespaces(world: ApiWorld) -> Any:
    """Told of every kind there is, cluster-scoped ones and all versions included."""
    served = [kind.resource for kind in world.api.kinds.all() if {"list", "delete"} <= set(kind.verbs)]
    return NamespaceController(world.client, world.informers, lambda: served).run()


async def is_gone(world: ApiWorld, name: str) -> bool:
    return await world.get(NAMESPACES, name) is None


async def conditions(world: ApiWorld, name: str) -> dict[str, Obj]:
    namespace = await world.get(NAMESPACES, name) or {}
    return {condition["type"]: condition for condition in (namespace.get("status") or {}).get("conditions") or []}


async def test_a_deleted_namespace_takes_everything_with_it_and_nothing_else() -> None:
    world = ApiWorld()
    async with running(world, namespaces(world)):
        await world.make(NAMESPACES, "team")
        await world.node()
        await world.make(CLUSTER_ROLES, "everything")
        for namespace in ("team", "default"):
            await world.make(CONFIGMAPS, "settings", namespace=namespace)
            await world.make(LEASES, "lease", namespace=namespace)
            await world.make(SECRETS, "password", namespace=namespace)
            await world.make(SERVICES, "web", namespace=namespace, spec={"ports": [{"port": 80}]})
        await world.client.delete(NAMESPACES, "", "team")
        await eventually(lambda: is_gone(world, "team"))
        for resource in (CONFIGMAPS, LEASES, SECRETS, SERVICES, NODES, CLUSTER_ROLES):
            page = await world.client.list_page(resource)
            assert len(page.items) == 1, resource


async def test_a_finalizer_holds_the_namespace_and_the_conditions_say_whose() -> None:
    world = ApiWorld()
    async with running(world, namespaces(world)):
        await world.make(NAMESPACES, "team")
        await world.make(CONFIGMAPS, "held", namespace="team", metadata={"finalizers": ["example.org/hold"]})
        await world.client.delete(NAMESPACES, "", "team")
        found = await eventually(lambda: conditions(world, "team"))
        assert found["NamespaceContentRemaining"]["status"] == "True"
        assert (
            found["NamespaceContentRemaining"]["message"]
            == "Some resources are remaining: configmaps. has 1 resource instances"
        )
        assert found["NamespaceFinalizersRemaining"]["message"] == (
            "Some content in the namespace has finalizers remaining: example.org/hold in 1 resource instances"
        )
        assert found["NamespaceDeletionContentFailure"]["status"] == "False"
        assert (await world.get(NAMESPACES, "team") or {})["status"]["phase"] == "Terminating"
        await world.client.patch(CONFIGMAPS, "team", "held", {"metadata": {"finalizers": []}})
        await eventually(lambda: is_gone(world, "team"))


async def test_nothing_new_comes_into_a_namespace_on_its_way_out() -> None:
    world = ApiWorld()
    async with running(world, namespaces(world)):
        await world.make(NAMESPACES, "team")
        await world.make(CONFIGMAPS, "held", namespace="team", metadata={"finalizers": ["example.org/hold"]})
        await world.client.delete(NAMESPACES, "", "team")
        await eventually(lambda: conditions(world, "team"))
        with pytest.raises(StatusError, match="because it is being terminated") as refused:
            await world.make(CONFIGMAPS, "late", namespace="team")
        assert refused.value.code == 403


async def test_somebody_elses_finalizer_of_the_namespace_itself_is_respected() -> None:
    world = ApiWorld()
    async with running(world, namespaces(world)):
        await world.make(NAMESPACES, "team", metadata={"finalizers": ["example.org/mine"]})
        await world.client.delete(NAMESPACES, "", "team")
        await settled()
        held = await world.get(NAMESPACES, "team")
        assert held is not None
        assert not (held.get("spec") or {}).get("finalizers")
        await world.client.patch(NAMESPACES, "", "team", {"metadata": {"finalizers": []}})
        await eventually(lambda: is_gone(world, "team"))


async def test_a_namespace_that_lives_is_left_alone() -> None:
    world = ApiWorld()
    async with running(world, namespaces(world)):
        await world.make(NAMESPACES, "team")
        await world.make(SERVICE_ACCOUNTS, "robot", namespace="team")
        await settled()
        assert await world.get(SERVICE_ACCOUNTS, "robot", "team") is not None
