"""A storage address that is edited while the cluster lives, with an operator killed after any of its writes."""

import msgspec
import pytest
from tests.unit.controllers.take_over import NAME as ADOPTED
from tests.unit.controllers.take_over import listed, load
from tests.unit.controllers.test_debts_in_a_deletion import debts, run_for_one_write
from tests.unit.controllers.world import NAME, World, world

from headstay.model.objects import Obj
from headstay.model.ray import RAYCLUSTERS, RayCluster
from headstay.model.resource import PODS
from headstay.plan.raycluster.identity import pod_identity
from headstay.plan.raycluster.places import former_storages
from headstay.plan.raycluster.storage import remembered_storage

pytestmark = pytest.mark.looptime


async def edit_address(w: World, address: str) -> None:
    found = await w.cluster()
    assert found is not None
    container = found["spec"]["headGroupSpec"]["template"]["spec"]["containers"][0]
    (entry,) = [entry for entry in container["env"] if entry["name"] == "RAY_REDIS_ADDRESS"]
    entry["value"] = address
    await w.user.patch(RAYCLUSTERS, "default", NAME, {"spec": {"headGroupSpec": found["spec"]["headGroupSpec"]}})


async def every_head_is_noted(w: World) -> bool:
    """The rule: no head Pod without a note of where it writes."""
    cluster = msgspec.convert(await w.cluster(), RayCluster)
    noted = {found.identity() for found in (remembered_storage(cluster), *former_storages(cluster)) if found}
    return all(pod_identity(head, "default") in noted for head in await w.pods("head"))


async def head_writes(w: World, host: str) -> bool:
    heads = [pod_identity(head, "default") for head in await w.pods("head")]
    return [head.host for head in heads if head] == [host]


async def hosts_owed(w: World) -> list[str]:
    return sorted(debt["data"]["address"] for debt in await debts(w))


@pytest.mark.parametrize("ending", ["Complete", "Failed"])
async def test_killed_after_any_write_it_never_makes_a_head_unnoted_and_owes_each_place_once(ending: str) -> None:
    async with world() as w:
        await w.apply_sample(upgradeStrategy={"type": "Recreate"})
        await w.until(lambda: head_writes(w, "redis.default"))
        await w.run_pods()
        await w.until(w.is_ready)
        await w.stop()
        await edit_address(w, "other:6379")
        for _ in range(20):
            await run_for_one_write(w)
            assert await every_head_is_noted(w)
            if await head_writes(w, "other.default"):
                break
        assert await head_writes(w, "other.default")
        await w.delete_cluster()
        for _ in range(30):
            await run_for_one_write(w)
            jobs = await w.jobs()
            if jobs and not jobs[0]["status"].get("conditions"):
                await w.end_job(ending)
            if await w.is_gone():
                break
        assert await w.is_gone()
        old, new = "redis://redis.default:6379", "redis://other.default:6379"
        assert await hosts_owed(w) == ([old] if ending == "Complete" else [new, old])


async def test_edited_and_deleted_before_a_head_moved_its_old_keys_are_owed() -> None:
    async with world() as w:
        await w.complete()
        await edit_address(w, "other:6379")
        await w.settle(2)
        assert await head_writes(w, "redis.default")
        await w.delete_cluster()
        await w.until(w.has_job, seconds=2)
        await w.end_job("Complete")
        await w.until(w.is_gone, seconds=5)
        assert await hosts_owed(w) == ["redis://redis.default:6379"]


@pytest.mark.parametrize("crash", [False, True])
async def test_a_cluster_of_kuberay_s_whose_fault_tolerance_goes_off_owes_where_its_head_writes(*, crash: bool) -> None:
    async with world() as w:
        await w.stop()
        await load(w, "1.7/ft-options")
        (head,) = await listed(w, PODS, "ray.io/node-type=head")
        wanted = pod_identity(head, "default")
        assert wanted is not None
        await w.user.patch(RAYCLUSTERS, "default", ADOPTED, {"spec": {"gcsFaultToleranceOptions": None}})
        for _ in range(3 if crash else 0):
            await run_for_one_write(w)
        await w.start()
        await w.settle(2)
        await w.user.delete(PODS, "default", head["metadata"]["name"])
        await w.settle(2)
        await w.user.delete(RAYCLUSTERS, "default", ADOPTED)
        await w.until(lambda: nothing_left(w), seconds=10)
        (debt,) = await debts(w)
        assert debt["data"]["address"] == f"redis://{wanted.address}"
        assert debt["data"]["storageNamespace"] == wanted.namespace


async def nothing_left(w: World) -> bool:
    found: list[Obj] = await listed(w, RAYCLUSTERS)
    return not found
