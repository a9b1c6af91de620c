import asyncio
from typing import Any

import pytest
from tests.unit.local_controllers.workload_world import World, running, template

from headstay.local.controllers import rollout
from headstay.local.controllers.rollout import Observed
from headstay.local.controllers.workloads import (
    Deployment,
    DeploymentSpec,
    DeploymentStrategy,
    ReplicaSet,
    ReplicaSetSpec,
    ReplicaSetStatus,
    RollingUpdate,
)
from headstay.model.meta import ObjectMeta
from headstay.model.objects import Obj, dig
from headstay.model.resource import DEPLOYMENTS, PODS, REPLICA_SETS

pytestmark = pytest.mark.looptime


def spec(replicas: int = 2, *, image: str = "i", **more: Any) -> Obj:
    pods = template(**more.pop("does", {}))
    pods["spec"]["containers"][0]["image"] = image
    return {"replicas": replicas, "selector": {"matchLabels": {"app": "x"}}, "template": pods, **more}


async def set_image(world: World, image: str) -> None:
    await world.patch(
        DEPLOYMENTS, "web", {"spec": {"template": {"spec": {"containers": [{"name": "c", "image": image}]}}}}
    )


async def images(world: World) -> list[str]:
    return sorted(dig(pod, "spec", "containers", 0, "image") for pod in await world.pods())


async def progress(world: World) -> tuple[str, str]:
    found = await world.condition(DEPLOYMENTS, "web", "Progressing")
    assert found is not None
    return found["status"], found["reason"]


async def test_a_new_deployment_makes_a_replica_set_named_by_its_template_s_hash() -> None:
    async with running() as world:
        await world.make(DEPLOYMENTS, "web", spec())
        await asyncio.sleep(10)
        (replica_set,) = await world.all(REPLICA_SETS)
        hashed = replica_set["metadata"]["labels"]["pod-template-hash"]
        assert replica_set["metadata"]["name"] == f"web-{hashed}"
        assert replica_set["spec"]["selector"]["matchLabels"] == {"app": "x", "pod-template-hash": hashed}
        annotations = replica_set["metadata"]["annotations"]
        assert annotations["deployment.kubernetes.io/revision"] == "1"
        assert annotations["deployment.kubernetes.io/desired-replicas"] == "2"
        assert annotations["deployment.kubernetes.io/max-replicas"] == "3"
        assert (await world.get(DEPLOYMENTS, "web"))["metadata"]["annotations"] == {
            "deployment.kubernetes.io/revision": "1"
        }
        status = await world.status(DEPLOYMENTS, "web")
        counts = {name: value for name, value in status.items() if name != "conditions"}
        assert counts == {
            "observedGeneration": 1,
            "replicas": 2,
            "updatedReplicas": 2,
            "readyReplicas": 2,
            "availableReplicas": 2,
        }
        assert await progress(world) == ("True", "NewReplicaSetAvailable")
        available = await world.condition(DEPLOYMENTS, "web", "Available")
        assert available is not None
        assert (available["status"], available["reason"]) == ("True", "MinimumReplicasAvailable")
        assert "ScalingReplicaSet" in await world.reasons()


async def test_a_rolling_update_stays_within_surge_and_availability_until_all_is_new() -> None:
    async with running() as world:
        rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 1}}
        await world.make(DEPLOYMENTS, "web", spec(4, strategy=rolling))
        await asyncio.sleep(10)
        await set_image(world, "j")
        for _ in range(100):
            await asyncio.sleep(0.1)
            sets = await world.all(REPLICA_SETS)
            assert sum(found["spec"]["replicas"] for found in sets) <= 5
            assert sum((found.get("status") or {}).get("availableReplicas", 0) for found in sets) >= 3
        assert await images(world) == ["j"] * 4
        sizes = {
            found["metadata"]["annotations"]["deployment.kubernetes.io/revision"]: found["spec"]["replicas"]
            for found in await world.all(REPLICA_SETS)
        }
        assert sizes == {"1": 0, "2": 4}
        assert await progress(world) == ("True", "NewReplicaSetAvailable")


async def test_recreate_starts_nothing_new_before_everything_old_has_ended() -> None:
    async with running() as world:
        await world.make(DEPLOYMENTS, "web", spec(2, strategy={"type": "Recreate"}, does={"stop-after": "10"}))
        await asyncio.sleep(10)
        await set_image(world, "j")
        for _ in range(400):
            await asyncio.sleep(0.05)
            found = {dig(pod, "spec", "containers", 0, "image") for pod in await world.all(PODS)}
            assert len(found) <= 1
        assert await images(world) == ["j"] * 2


async def test_undo_brings_the_old_replica_set_back_under_a_new_revision() -> None:
    async with running() as world:
        await world.make(DEPLOYMENTS, "web", spec())
        await asyncio.sleep(10)
        await set_image(world, "j")
        await asyncio.sleep(20)
        await set_image(world, "i")  # what `kubectl rollout undo` does
        await asyncio.sleep(20)
        assert await images(world) == ["i", "i"]
        by_size = {
            found["spec"]["replicas"]: found["metadata"]["annotations"] for found in await world.all(REPLICA_SETS)
        }
        assert by_size[2]["deployment.kubernetes.io/revision"] == "3"
        assert by_size[2]["deployment.kubernetes.io/revision-history"] == "1"
        meta = (await world.get(DEPLOYMENTS, "web"))["metadata"]
        assert meta["annotations"]["deployment.kubernetes.io/revision"] == "3"


async def test_old_replica_sets_beyond_the_history_limit_go() -> None:
    async with running() as world:
        await world.make(DEPLOYMENTS, "web", spec(1, revisionHistoryLimit=1))
        for image in "jkl":
            await asyncio.sleep(10)
            await set_image(world, image)
        await asyncio.sleep(20)
        revisions = [
            found["metadata"]["annotations"]["deployment.kubernetes.io/revision"]
            for found in await world.all(REPLICA_SETS)
        ]
        assert sorted(revisions) == ["3", "4"]


async def test_a_rollout_that_makes_no_progress_misses_its_deadline_and_says_so() -> None:
    async with running() as world:
        await world.make(DEPLOYMENTS, "web", spec(2, progressDeadlineSeconds=60))
        await asyncio.sleep(10)
        never = {"sim/ready-after": "never"}
        await world.patch(DEPLOYMENTS, "web", {"spec": {"template": {"metadata": {"annotations": never}}}})
        await asyncio.sleep(50)
        assert (await progress(world))[0] == "True"
        await asyncio.sleep(20)
        assert await progress(world) == ("False", "ProgressDeadlineExceeded")
        available = await world.condition(DEPLOYMENTS, "web", "Available")
        assert available is not None
        assert available["status"] == "True", "the old Pods go on serving"


async def test_a_paused_deployment_scales_but_does_not_roll_out_until_resumed() -> None:
    async with running() as world:
        await world.make(DEPLOYMENTS, "web", spec())
        await asyncio.sleep(10)
        await world.patch(DEPLOYMENTS, "web", {"spec": {"paused": True}})
        await set_image(world, "j")
        await world.patch(DEPLOYMENTS, "web", {"spec": {"replicas": 3}})
        await asyncio.sleep(10)
        assert await images(world) == ["i"] * 3
        assert await progress(world) == ("Unknown", "DeploymentPaused")
        await world.patch(DEPLOYMENTS, "web", {"spec": {"paused": False}})
        await asyncio.sleep(20)
        assert await images(world) == ["j"] * 3
        assert await progress(world) == ("True", "NewReplicaSetAvailable")


async def test_scaling_reaches_the_pods_and_zero_is_complete_too() -> None:
    async with running() as world:
        await world.make(DEPLOYMENTS, "web", spec())
        await asyncio.sleep(10)
        for replicas in (5, 1, 0):
            await world.patch(DEPLOYMENTS, "web", {"spec": {"replicas": replicas}})
            await asyncio.sleep(10)
            assert len(await world.pods()) == replicas
        status = await world.status(DEPLOYMENTS, "web")
        assert "replicas" not in status
        assert status["observedGeneration"] == 4


async def test_a_name_taken_by_somebody_else_s_replica_set_leads_to_another_hash() -> None:
    async with running() as world:
        await world.make(DEPLOYMENTS, "web", spec())
        await asyncio.sleep(10)
        (name,) = await world.names(REPLICA_SETS)
        await world.client.delete(DEPLOYMENTS, "default", "web")
        foreign = {"matchLabels": {"app": "other"}}
        pods = template()
        pods["metadata"]["labels"] = {"app": "other"}
        await world.client.delete(REPLICA_SETS, "default", name)
        await world.make(REPLICA_SETS, name, {"replicas": 0, "selector": foreign, "template": pods})
        await world.make(DEPLOYMENTS, "web", spec())
        await asyncio.sleep(20)
        assert (await world.status(DEPLOYMENTS, "web"))["collisionCount"] == 1
        assert len(await world.names(REPLICA_SETS)) == 2
        assert (await world.status(DEPLOYMENTS, "web"))["availableReplicas"] == 2


async def test_a_refused_pod_shows_on_the_deployment() -> None:
    async with running() as world:
        broken = spec()
        broken["template"]["spec"]["serviceAccountName"] = "missing"
        await world.make(DEPLOYMENTS, "web", broken)
        await asyncio.sleep(30)
        failure = await world.condition(DEPLOYMENTS, "web", "ReplicaFailure")
        assert failure is not None
        assert failure["reason"] == "FailedCreate"
        available = await world.condition(DEPLOYMENTS, "web", "Available")
        assert available is not None
        assert available["status"] == "False"


async def test_nothing_is_written_once_all_is_settled() -> None:
    async with running() as world:
        await world.make(DEPLOYMENTS, "web", spec())
        await asyncio.sleep(60)
        before = (await world.get(DEPLOYMENTS, "web"))["metadata"]["resourceVersion"]
        sets = [found["metadata"]["resourceVersion"] for found in await world.all(REPLICA_SETS)]
        await asyncio.sleep(1000)
        assert (await world.get(DEPLOYMENTS, "web"))["metadata"]["resourceVersion"] == before
        assert [found["metadata"]["resourceVersion"] for found in await world.all(REPLICA_SETS)] == sets


def deployment(replicas: int, surge: int | str = "25%", unavailable: int | str = "25%") -> Deployment:
    strategy = DeploymentStrategy("RollingUpdate", RollingUpdate(surge, unavailable))
    return Deployment(ObjectMeta(name="web"), DeploymentSpec(replicas=replicas, strategy=strategy))


def replica_set(name: str, replicas: int, available: int = -1, **annotations: str) -> ReplicaSet:
    notes = {rollout.DESIRED: annotations.get("desired", ""), rollout.MAXIMUM: annotations.get("maximum", "")}
    meta = ObjectMeta(name=name, uid=name, annotations=notes, creation_timestamp=name)
    status = ReplicaSetStatus(available_replicas=replicas if available < 0 else available, replicas=replicas)
    return ReplicaSet(meta, ReplicaSetSpec(replicas=replicas), status)


def sizes(found: list[rollout.Size]) -> dict[str, int]:
    return {size.replica_set.metadata.name: size.replicas for size in found}


@pytest.mark.parametrize(
    ("surge", "unavailable", "replicas", "expected"),
    [("25%", "25%", 10, (3, 2)), (0, 0, 3, (0, 1)), ("0%", "10%", 3, (0, 1)), (2, "50%", 3, (2, 1)), (1, 5, 2, (1, 2))],
)
async def test_percentages_round_surge_up_and_unavailable_down(
    surge: int | str, unavailable: int | str, replicas: int, expected: tuple[int, int]
) -> None:
    found = deployment(replicas, surge, unavailable)
    assert (rollout.max_surge(found), rollout.max_unavailable(found)) == expected


async def test_unhealthy_old_pods_go_first_and_healthy_ones_only_as_availability_allows() -> None:
    new, old = replica_set("2", 3, 0), replica_set("1", 10, 8)
    assert sizes(rollout.shrink_old(deployment(10), new, [old])) == {"1": 8}
    new, old = replica_set("2", 3, 3), replica_set("1", 8, 8)
    assert sizes(rollout.shrink_old(deployment(10), new, [old])) == {"1": 5}


async def test_a_change_of_replicas_amid_a_rollout_is_shared_in_proportion() -> None:
    new = replica_set("2", 3, desired="10", maximum="13")
    old = replica_set("1", 10, desired="10", maximum="13")
    assert rollout.needs_scaling(deployment(20), [new, old])
    assert sizes(rollout.spread(Observed(deployment(20), new, [old]))) == {"1": 19, "2": 6}
    assert sizes(rollout.spread(Observed(deployment(0), new, [old]))) == {"1": 0, "2": 0}


async def test_a_null_or_a_hash_label_does_not_make_another_template() -> None:
    one = {"metadata": {"labels": {"a": "b"}, "creationTimestamp": None}, "spec": {"x": 1}}
    other = {"metadata": {"labels": {"a": "b", "pod-template-hash": "h"}}, "spec": {"x": 1}}
    assert rollout.same_template(one, other)
    assert not rollout.same_template(one, {"metadata": {"labels": {"a": "b"}}, "spec": {"x": 2}})
    assert rollout.template_hash(one, 0) != rollout.template_hash(one, 1)
    assert set(rollout.template_hash(one, 0)) <= set("456789bcdf")
