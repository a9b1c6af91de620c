import asyncio

import pytest
from tests.unit.local_controllers.workload_world import running, template

from headstay.local.controllers.replicasets import plan_replicas
from headstay.model.meta import Condition, ObjectMeta, Pod, PodSpecSummary, PodStatus
from headstay.model.objects import Obj, dig
from headstay.model.resource import NODES, PODS, REPLICA_SETS

pytestmark = pytest.mark.looptime


def spec(replicas: int, **does: str) -> Obj:
    return {"replicas": replicas, "selector": {"matchLabels": {"app": "x"}}, "template": template(**does)}


def pod(name: str, *, node: str = "one", phase: str = "Running", ready: bool = True, created: str = "") -> Pod:
    status = PodStatus(phase=phase, conditions=[Condition("Ready", "True" if ready else "False")])
    meta = ObjectMeta(name=name, uid=name, creation_timestamp=created or None)
    return Pod(meta, PodSpecSummary(node_name=node), status)


async def test_what_would_be_missed_least_is_deleted_first() -> None:
    pods = [
        pod("ready"),
        pod("unready", ready=False),
        pod("pending", phase="Pending", ready=False),
        pod("unassigned", node="", phase="Pending", ready=False),
    ]
    assert [found.metadata.name for found in plan_replicas(0, pods).delete] == [
        "unassigned",
        "pending",
        "unready",
        "ready",
    ]


async def test_of_equals_the_youngest_goes() -> None:
    pods = [pod("old", created="2026-01-01T00:00:00Z"), pod("young", created="2026-01-02T00:00:00Z")]
    assert [found.metadata.name for found in plan_replicas(1, pods).delete] == ["young"]


async def test_finished_and_going_pods_do_not_count() -> None:
    going = pod("going")
    going.metadata.deletion_timestamp = "2026-01-01T00:00:00Z"
    assert plan_replicas(2, [pod("failed", phase="Failed"), going, pod("a")]).create == 1


async def test_pods_are_made_under_the_set_s_name_and_become_available() -> None:
    async with running() as world:
        made = await world.make(REPLICA_SETS, "web", spec(3))
        await asyncio.sleep(5)
        pods = await world.all(PODS)
        assert len(pods) == 3
        assert all(found["metadata"]["name"].startswith("web-") for found in pods)
        assert dig(pods[0], "metadata", "ownerReferences", 0) == {
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "name": "web",
            "uid": made["metadata"]["uid"],
            "controller": True,
            "blockOwnerDeletion": True,
        }
        status = await world.status(REPLICA_SETS, "web")
        expected = {"replicas": 3, "fullyLabeledReplicas": 3, "readyReplicas": 3, "availableReplicas": 3}
        assert status == expected | {"observedGeneration": 1}
        assert (await world.reasons()).count("SuccessfulCreate") == 3


async def test_scaling_down_and_to_zero_leaves_a_plain_zero() -> None:
    async with running() as world:
        await world.make(REPLICA_SETS, "web", spec(3))
        await asyncio.sleep(5)
        await world.patch(REPLICA_SETS, "web", {"spec": {"replicas": 0}})
        await asyncio.sleep(5)
        assert await world.names(PODS) == []
        assert await world.status(REPLICA_SETS, "web") == {"replicas": 0, "observedGeneration": 2}


async def test_a_deleted_pod_is_replaced_once() -> None:
    async with running() as world:
        await world.make(REPLICA_SETS, "web", spec(2, stop_after="10"))
        await asyncio.sleep(5)
        victim = (await world.names(PODS))[0]
        await world.client.delete(PODS, "default", victim)
        await asyncio.sleep(5)
        assert len(await world.pods()) == 2
        assert len(await world.all(PODS)) == 3
        await asyncio.sleep(10)
        assert len(await world.all(PODS)) == 2


async def test_an_orphan_that_matches_is_adopted_and_a_pod_that_no_longer_matches_is_released() -> None:
    async with running() as world:
        stray = template()
        await world.make(PODS, "stray", stray["spec"], labels={"app": "x"})
        made = await world.make(REPLICA_SETS, "web", spec(2))
        await asyncio.sleep(5)
        pods = await world.all(PODS)
        assert len(pods) == 2
        owners = [dig(found, "metadata", "ownerReferences", 0, "uid") for found in pods]
        assert owners == [made["metadata"]["uid"]] * 2
        await world.patch(PODS, "stray", {"metadata": {"labels": {"app": "other"}}})
        await asyncio.sleep(5)
        assert not dig(await world.get(PODS, "stray"), "metadata", "ownerReferences")
        assert len(await world.all(PODS, app="x")) == 2


async def test_a_pod_of_another_owner_is_left_alone() -> None:
    async with running() as world:
        node = await world.get(NODES, "one")
        owner = {"apiVersion": "v1", "kind": "Node", "name": "one", "uid": node["metadata"]["uid"], "controller": True}
        await world.make(PODS, "taken", template()["spec"], labels={"app": "x"}, ownerReferences=[owner])
        await world.make(REPLICA_SETS, "web", spec(1))
        await asyncio.sleep(5)
        assert len(await world.all(PODS)) == 2


async def test_available_waits_for_min_ready_seconds() -> None:
    async with running() as world:
        await world.make(REPLICA_SETS, "web", spec(1) | {"minReadySeconds": 30})
        await asyncio.sleep(20)
        assert "availableReplicas" not in await world.status(REPLICA_SETS, "web")
        await asyncio.sleep(20)
        assert (await world.status(REPLICA_SETS, "web"))["availableReplicas"] == 1


async def test_a_refused_pod_is_a_condition_an_event_and_a_back_off() -> None:
    async with running() as world:
        broken = spec(1)
        broken["template"]["spec"]["serviceAccountName"] = "missing"
        await world.make(REPLICA_SETS, "web", broken)
        await asyncio.sleep(30)
        condition = await world.condition(REPLICA_SETS, "web", "ReplicaFailure")
        assert condition is not None
        assert (condition["status"], condition["reason"]) == ("True", "FailedCreate")
        assert "missing" in condition["message"]
        assert "FailedCreate" in await world.reasons()


async def test_a_hundred_pods_are_made_once_each_and_never_too_many() -> None:
    async with running() as world:
        made: list[str] = []
        world.informers.of(PODS, Pod).on_change(lambda old, new: made.append("x") if old is None and new else None)
        await world.make(REPLICA_SETS, "web", spec(100))
        await asyncio.sleep(10)
        assert len(made) == 100
        await world.patch(REPLICA_SETS, "web", {"spec": {"replicas": 40}})
        await asyncio.sleep(10)
        assert len(await world.all(PODS)) == 40
        assert len(made) == 100


async def test_a_set_that_is_being_deleted_makes_nothing_more() -> None:
    async with running() as world:
        await world.make(REPLICA_SETS, "web", spec(1), finalizers=["example.com/wait"])
        await asyncio.sleep(5)
        await world.client.delete(REPLICA_SETS, "default", "web")
        await world.client.delete(PODS, "default", (await world.names(PODS))[0])
        await asyncio.sleep(5)
        assert await world.names(PODS) == []
