import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.unit.local_controllers.workload_world import World, running, template

from headstay.model.objects import Obj
from headstay.model.resource import (
    CONFIGMAPS,
    CUSTOM_RESOURCE_DEFINITIONS,
    DEPLOYMENTS,
    NAMESPACES,
    PODS,
    REPLICA_SETS,
    SECRETS,
    Resource,
)

pytestmark = pytest.mark.looptime

WIDGETS = Resource("example.com", "v1", "widgets", "Widget")


@asynccontextmanager
async def collecting() -> AsyncIterator[World]:
    async with running() as world:
        await asyncio.sleep(1)
        yield world


def owned_by(*owners: Obj, block: bool = False, **changes: str) -> list[Obj]:
    return [
        {
            "apiVersion": owner["apiVersion"],
            "kind": owner["kind"],
            "name": owner["metadata"]["name"],
            "uid": owner["metadata"]["uid"],
        }
        | ({"blockOwnerDeletion": True} if block else {})
        | changes
        for owner in owners
    ]


async def settled(seconds: float = 3) -> None:
    await asyncio.sleep(seconds)


async def delete(world: World, resource: Resource, name: str, propagation: Any = None) -> None:
    await world.client.delete(resource, "default", name, propagation=propagation)


async def make(world: World, name: str, *owners: Obj, block: bool = False, **more: Any) -> Obj:
    meta: Obj = {"name": name, "namespace": "default", **more}
    if owners:
        meta["ownerReferences"] = owned_by(*owners, block=block)
    return await world.client.create(CONFIGMAPS, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta})


async def test_dependents_follow_their_owner_in_the_background_over_several_steps() -> None:
    async with collecting() as world:
        owner = await make(world, "owner")
        child = await make(world, "child", owner)
        await make(world, "grandchild", child)
        await delete(world, CONFIGMAPS, "owner")
        await settled()
        assert await world.names(CONFIGMAPS) == []


async def test_an_object_with_one_owner_left_stays_and_forgets_the_other() -> None:
    async with collecting() as world:
        one, other = await make(world, "one"), await make(world, "other")
        await make(world, "child", one, other)
        await delete(world, CONFIGMAPS, "one")
        await settled()
        child = await world.get(CONFIGMAPS, "child")
        assert [owner["name"] for owner in child["metadata"]["ownerReferences"]] == ["other"]


async def test_an_owner_that_never_was_or_has_another_uid_is_absent() -> None:
    async with collecting() as world:
        owner = await make(world, "owner")
        ghost = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "ghost", "uid": "nobody"}}
        impostor = owner | {"metadata": {"name": "owner", "uid": "another"}}
        await make(world, "of-ghost", ghost)
        await make(world, "of-impostor", impostor)
        await make(world, "of-owner", owner)
        await settled()
        assert await world.names(CONFIGMAPS) == ["of-owner", "owner"]


async def test_an_owner_of_another_namespace_is_absent() -> None:
    async with collecting() as world:
        await world.make(NAMESPACES, "elsewhere")
        document = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "far", "namespace": "elsewhere"}}
        far = await world.client.create(CONFIGMAPS, document)
        await settled()
        await make(world, "child", far)
        await settled()
        assert not await world.exists(CONFIGMAPS, "child")


async def test_an_owner_of_an_unknown_kind_keeps_its_dependents() -> None:
    async with collecting() as world:
        unknown = {"apiVersion": "example.com/v1", "kind": "Gizmo", "metadata": {"name": "g", "uid": "u"}}
        await make(world, "child", unknown)
        await settled(30)
        assert await world.exists(CONFIGMAPS, "child")


async def test_a_foreground_deletion_waits_for_those_that_block_it_only() -> None:
    async with collecting() as world:
        owner = await make(world, "owner")
        await make(world, "free", owner, finalizers=["example.com/hold"])
        await make(world, "blocking", owner, finalizers=["example.com/hold"], block=True)
        await delete(world, CONFIGMAPS, "owner", "Foreground")
        await settled()
        found = await world.get(CONFIGMAPS, "owner")
        assert found["metadata"]["finalizers"] == ["foregroundDeletion"]
        assert (await world.get(CONFIGMAPS, "blocking"))["metadata"]["deletionTimestamp"]
        assert (await world.get(CONFIGMAPS, "free"))["metadata"]["deletionTimestamp"]
        await world.patch(CONFIGMAPS, "blocking", {"metadata": {"finalizers": None}})
        await settled()
        assert await world.names(CONFIGMAPS) == ["free"]


async def test_a_foreground_deletion_without_dependents_is_over_at_once() -> None:
    async with collecting() as world:
        await make(world, "owner")
        await delete(world, CONFIGMAPS, "owner", "Foreground")
        await settled()
        assert not await world.exists(CONFIGMAPS, "owner")


async def test_a_foreground_deletion_goes_down_the_whole_tree_from_the_leaves() -> None:
    async with collecting() as world:
        owner = await make(world, "owner")
        child = await make(world, "child", owner, block=True)
        await make(world, "leaf", child, block=True, finalizers=["example.com/hold"])
        await delete(world, CONFIGMAPS, "owner", "Foreground")
        await settled()
        assert await world.names(CONFIGMAPS) == ["child", "leaf", "owner"]
        await world.patch(CONFIGMAPS, "leaf", {"metadata": {"finalizers": None}})
        await settled()
        assert await world.names(CONFIGMAPS) == []


async def test_a_circle_of_blocking_owners_does_not_block_itself_for_ever() -> None:
    async with collecting() as world:
        one = await make(world, "one")
        other = await make(world, "other", one, block=True)
        await world.patch(CONFIGMAPS, "one", {"metadata": {"ownerReferences": owned_by(other, block=True)}})
        await delete(world, CONFIGMAPS, "one", "Foreground")
        await settled(10)
        assert await world.names(CONFIGMAPS) == []


async def test_orphans_forget_their_owner_and_live_on() -> None:
    async with collecting() as world:
        owner = await make(world, "owner")
        await make(world, "child", owner)
        await delete(world, CONFIGMAPS, "owner", "Orphan")
        await settled()
        assert await world.names(CONFIGMAPS) == ["child"]
        assert "ownerReferences" not in (await world.get(CONFIGMAPS, "child"))["metadata"]


async def test_a_dependent_made_after_its_owner_went_goes_too() -> None:
    async with collecting() as world:
        owner = await make(world, "owner")
        await delete(world, CONFIGMAPS, "owner")
        await make(world, "late", owner)
        await settled()
        assert await world.names(CONFIGMAPS) == []


async def test_custom_kinds_own_and_are_owned_as_soon_as_they_are_served() -> None:
    async with collecting() as world:
        schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
        version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
        names = {"plural": "widgets", "kind": "Widget", "singular": "widget", "listKind": "WidgetList"}
        spec = {"group": "example.com", "scope": "Namespaced", "names": names, "versions": [version]}
        await world.make(CUSTOM_RESOURCE_DEFINITIONS, "widgets.example.com", spec)
        await settled()
        owner = await world.make(WIDGETS, "owner", {})
        inner = await world.make(WIDGETS, "inner", {}, ownerReferences=owned_by(owner))
        await make(world, "child", inner)
        await settled()
        assert await world.names(CONFIGMAPS) == ["child"]
        await delete(world, WIDGETS, "owner")
        await settled()
        assert await world.names(WIDGETS) == []
        assert await world.names(CONFIGMAPS) == []


async def test_deleting_a_deployment_takes_its_replica_sets_and_pods() -> None:
    async with collecting() as world:
        pods = {"replicas": 2, "selector": {"matchLabels": {"app": "x"}}, "template": template()}
        await world.make(DEPLOYMENTS, "web", pods)
        await settled(5)
        assert len(await world.all(PODS)) == 2
        await delete(world, DEPLOYMENTS, "web", "Background")
        await settled(5)
        assert await world.names(REPLICA_SETS) == []
        assert await world.names(PODS) == []


async def test_deleting_a_deployment_in_the_foreground_ends_with_the_deployment_itself() -> None:
    async with collecting() as world:
        pods = {"replicas": 1, "selector": {"matchLabels": {"app": "x"}}, "template": template(stop_after="10")}
        await world.make(DEPLOYMENTS, "web", pods)
        await settled(5)
        await delete(world, DEPLOYMENTS, "web", "Foreground")
        await settled(5)
        assert await world.exists(DEPLOYMENTS, "web")
        assert len(await world.names(PODS)) == 1
        await settled(20)
        assert not await world.exists(DEPLOYMENTS, "web")
        assert await world.names(PODS) == []


async def test_orphaned_pods_are_adopted_by_a_new_deployment_of_the_same_template() -> None:
    async with collecting() as world:
        spec = {"replicas": 2, "selector": {"matchLabels": {"app": "x"}}, "template": template()}
        await world.make(DEPLOYMENTS, "web", spec)
        await settled(5)
        before = await world.names(PODS)
        await delete(world, DEPLOYMENTS, "web", "Orphan")
        await settled(5)
        assert await world.names(PODS) == before
        await world.make(DEPLOYMENTS, "web", spec)
        await settled(10)
        assert await world.names(PODS) == before
        assert len(await world.names(REPLICA_SETS)) == 1


async def test_an_idle_collector_reads_and_writes_nothing() -> None:
    async with collecting() as world:
        owner = await make(world, "owner")
        await make(world, "child", owner)
        await settled(10)
        reads: list[str] = []
        real = world.controllers.get

        async def counted(*args: Any, **more: Any) -> Obj:
            reads.append(str(args))
            return await real(*args, **more)

        world.controllers.get = counted  # type: ignore[method-assign]
        await settled(1000)
        assert reads == []


async def test_secrets_and_other_kinds_of_one_owner_all_go() -> None:
    async with collecting() as world:
        owner = await make(world, "owner")
        await world.make(SECRETS, "s", None, ownerReferences=owned_by(owner))
        await world.make(PODS, "p", template()["spec"], ownerReferences=owned_by(owner))
        await settled()
        await delete(world, CONFIGMAPS, "owner")
        await settled()
        assert await world.names(SECRETS) == []
        assert await world.names(PODS) == []
