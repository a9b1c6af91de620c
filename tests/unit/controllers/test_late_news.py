"""A cluster that is gone while the cache still shows it gets no children, and above all no cleanup Job."""

import msgspec
import pytest
from tests.unit.controllers.world import NAME, World, world

from headstay.controllers.owners import Owners
from headstay.model.ray import RAYCLUSTERS, RayCluster

pytestmark = pytest.mark.looptime


async def shown(found: World) -> RayCluster:
    return msgspec.convert(await found.user.get(RAYCLUSTERS, "default", NAME), RayCluster)


async def test_children_made_again_are_made_only_for_a_cluster_that_is_there() -> None:
    async with world() as found:
        await found.stop()
        await found.apply_sample()
        cluster, owners = await shown(found), Owners(found.user)
        assert not await owners.is_gone(cluster)
        assert not await owners.is_gone(cluster)
        await found.delete_cluster()
        assert await owners.is_gone(cluster)
        await found.apply_sample()
        assert await owners.is_gone(cluster), "another one has its name"


async def test_a_cluster_being_deleted_is_asked_for_the_first_time_too() -> None:
    async with world() as found:
        await found.stop()
        await found.apply_sample()
        cluster = await shown(found)
        cluster.metadata.deletion_timestamp = "2026-01-01T00:00:00Z"
        await found.delete_cluster()
        assert await Owners(found.user).is_gone(cluster)
