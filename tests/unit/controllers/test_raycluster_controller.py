"""The controller against the API: the order of writes, no twins, and deletions that end."""

from datetime import timedelta

import pytest
from tests.unit.controllers.world import NAME, World, world

from headstay.model.errors import StatusError
from headstay.model.objects import Obj
from headstay.model.ray import RAYCLUSTERS, REDIS_CLEANUP_FINALIZER
from headstay.model.resource import JOBS, PODS
from headstay.plan.raycluster.settings import Settings

pytestmark = pytest.mark.looptime


async def has_pods(of: World, count: int, node_type: str = "") -> bool:
    return len(await of.pods(node_type)) == count


async def test_the_finalizer_is_written_before_any_child() -> None:
    async with world() as w:
        await w.apply_sample()
        await w.until(lambda: has_pods(w, 2))
        assert w.client.writes[:4] == ["patch RayCluster", "create Service", "create Pod", "create Pod"]
        assert w.events.reasons()[:3] == ["CreatedService", "CreatedHeadPod", "CreatedWorkerPod"]
        (head,) = await w.pods("head")
        assert head["metadata"]["name"].startswith(f"{NAME}-head-")
        assert len(head["metadata"]["name"]) == len(f"{NAME}-head-") + 5


async def test_a_complete_cluster_is_ready_and_then_costs_no_write() -> None:
    async with world() as w:
        await w.complete()
        await w.settle()
        before = list(w.client.writes)
        await w.settle(1000)
        assert w.client.writes == before
        status = await w.status()
        assert (status["desiredWorkerReplicas"], status["readyWorkerReplicas"]) == (1, 1)
        assert status["head"]["serviceName"] == f"{NAME}-head-svc"


async def test_making_a_cluster_takes_few_writes() -> None:
    """Finalizer, Service, two Pods, and a status for: made, Pods running one after the other."""
    async with world() as w:
        await w.complete()
        await w.settle()
        assert len(w.client.writes) <= 8, w.client.writes


async def test_a_deleted_cluster_is_cleaned_and_gone_without_polling() -> None:
    async with world() as w:
        await w.complete()
        await w.delete_cluster()
        await w.until(w.has_job, seconds=2)
        assert await w.pods() == []
        await w.end_job("Complete")
        await w.until(w.is_gone, seconds=2)


async def test_a_failed_cleanup_lets_go_all_the_same() -> None:
    async with world() as w:
        await w.complete()
        await w.delete_cluster()
        await w.until(w.has_job, seconds=2)
        await w.end_job("Failed")
        await w.until(w.is_gone, seconds=2)
        assert "RedisCleanupIncomplete" in w.events.reasons()


async def test_a_job_left_by_an_earlier_cluster_of_the_same_name_is_waited_for() -> None:
    async with world() as w:
        await w.complete()
        left = {
            "metadata": {"name": f"{NAME}-redis-cleanup", "namespace": "default"},
            "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "a", "image": "b"}]}}},
        }
        await w.user.create(JOBS, {"apiVersion": "batch/v1", "kind": "Job"} | left)
        await w.delete_cluster()
        await w.settle(20)
        assert not await w.is_gone()
        assert "FailedToCreateRedisCleanupJob" not in w.events.reasons()
        await w.user.delete(JOBS, "default", f"{NAME}-redis-cleanup")

        async def ours() -> bool:
            return any("ownerReferences" in job["metadata"] for job in await w.jobs())

        await w.until(ours, seconds=5)


async def test_a_job_that_never_ends_holds_for_the_deadline_only() -> None:
    async with world(Settings()) as w:
        await w.complete()
        patch = {"metadata": {"annotations": {"ray.io/gcs-ft-deletion-timeout": "1"}}}
        await w.user.patch(RAYCLUSTERS, "default", NAME, patch)
        await w.delete_cluster()
        await w.until(w.is_gone, seconds=100_000)
        assert "ForceDeletedStuckCluster" in w.events.reasons()


async def test_beside_kuberay_an_overdue_deletion_is_kuberay_s_too() -> None:
    async with world(Settings()) as w:
        await w.complete()
        await w.stop()
        await w.delete_cluster()
        w.beside, w.ahead = "kuberay-operator", timedelta(hours=1)
        w.client.writes.clear()
        await w.start()
        await w.settle(1000)
        assert not await w.is_gone()
        assert set(w.client.writes) <= {"patch RayCluster/status"}
        await w.stop()
        w.beside = ""
        await w.start()
        await w.until(w.is_gone)


async def test_mandatory_cleanup_blocks_and_prints_a_command_that_unblocks() -> None:
    async with world(Settings(cleanup_mode="Mandatory")) as w:
        await w.complete()
        await w.delete_cluster()
        await w.until(w.has_job, seconds=2)
        await w.end_job("Failed")
        await w.settle(1000)
        condition = await w.condition("headstay.io/RedisCleanupBlocked")
        assert "kubectl patch rayclusters.ray.io" in condition["message"]
        patch = [{"op": "remove", "path": "/metadata/finalizers"}]
        await w.user.patch(RAYCLUSTERS, "default", NAME, patch, patch_type="json")
        await w.until(w.is_gone, seconds=2)


@pytest.mark.parametrize("kind", ["create Pod", "create Service", "create Job"])
async def test_a_lost_answer_makes_no_twin(kind: str) -> None:
    async with world() as w:
        lost: list[str] = []

        def lose_once(what: str, _: Obj) -> bool:
            if what == kind and not lost:
                lost.append(what)
                return True
            return False

        w.client.lose = lose_once
        await w.complete()
        assert (len(await w.pods("head")), len(await w.pods("worker")), len(await w.services())) == (1, 1, 1)
        await w.delete_cluster()
        await w.until(w.has_job)
        await w.settle()
        assert len(await w.jobs()) == 1
        assert lost


async def test_a_watch_that_lags_makes_no_twin() -> None:
    async with world() as w:
        w.client.hold_pods = True
        await w.apply_sample()
        await w.until(lambda: has_pods(w, 2))
        for replicas in (2, 3, 2):
            patch = [{"op": "replace", "path": "/spec/workerGroupSpecs/0/replicas", "value": replicas}]
            await w.user.patch(RAYCLUSTERS, "default", NAME, patch, patch_type="json")
            await w.settle(2)
        await w.settle(120)
        assert (len(await w.pods("head")), len(await w.pods("worker"))) == (1, 1)
        w.client.hold_pods = False
        await w.until(lambda: has_pods(w, 3))
        await w.settle(120)
        assert (len(await w.pods("head")), len(await w.pods("worker"))) == (1, 2)


async def test_an_operator_that_crashes_after_any_write_is_continued_by_the_next() -> None:
    async with world() as w:
        await w.stop()
        await w.apply_sample()
        for writes in range(1, 8):
            target = len(w.client.writes) + 1
            await w.start()
            for _ in range(200):
                await w.settle(0.01)
                if len(w.client.writes) >= target:
                    break
            await w.stop()
            assert len(await w.pods("head")) <= 1, f"after {writes} crashes"
            assert len(await w.pods("worker")) <= 1, f"after {writes} crashes"
        await w.start()
        await w.until(lambda: has_pods(w, 2))


async def test_a_refused_pod_shows_in_status_and_event_and_is_tried_again() -> None:
    async with world() as w:
        quota = StatusError(403, "Forbidden", 'pods "x" is forbidden: exceeded quota: small')
        w.client.refuse = lambda what, _: quota if what == "create Pod" else None
        await w.apply_sample()

        async def failed() -> bool:
            return (await w.condition("ReplicaFailure")).get("reason") == "FailedCreateHeadPod"

        await w.until(failed)
        assert "exceeded quota" in (await w.condition("ReplicaFailure"))["message"]
        assert "FailedToCreateHeadPod" in w.events.reasons()
        w.client.refuse = lambda _what, _obj: None
        await w.until(lambda: has_pods(w, 2), seconds=2000)
        await w.settle()
        assert await w.condition("ReplicaFailure") == {}


async def test_a_refusal_in_ever_other_words_is_retried_with_back_off() -> None:
    async with world() as w:
        tries = 0

        def refuse(what: str, _: Obj) -> StatusError | None:
            nonlocal tries
            if what != "create Pod":
                return None
            tries += 1
            return StatusError(403, "Forbidden", f"exceeded quota: {tries} Pods asked for")

        w.client.refuse = refuse
        await w.apply_sample()
        await w.settle(3600)
        assert 5 < tries < 150
        names = {event.note.split(":")[0] for event in w.events.said if event.reason == "FailedToCreateHeadPod"}
        assert len(names) == 1, "the same Pod is asked for again, so that Events add up"


async def test_a_failed_head_is_replaced_and_its_workers_stay() -> None:
    async with world() as w:
        await w.complete()
        (old,) = await w.pods("head")
        (worker,) = await w.pods("worker")
        await w.pod_status(old, phase="Failed")

        async def replaced() -> bool:
            heads = await w.pods("head")
            return [head["metadata"]["uid"] for head in heads] != [old["metadata"]["uid"]] and len(heads) == 1

        await w.until(replaced)
        assert [found["metadata"]["uid"] for found in await w.pods("worker")] == [worker["metadata"]["uid"]]


async def test_a_deleted_head_comes_back_with_a_new_uid() -> None:
    async with world() as w:
        await w.complete()
        (old,) = await w.pods("head")
        await w.user.delete(PODS, "default", old["metadata"]["name"])
        await w.until(lambda: has_pods(w, 1, "head"))
        (new,) = await w.pods("head")
        assert new["metadata"]["uid"] != old["metadata"]["uid"]


async def test_an_invalid_cluster_is_told_once_and_works_when_repaired() -> None:
    async with world() as w:
        await w.apply_sample(gcsFaultToleranceOptions={"redisAddress": "redis:6379"})
        await w.settle(1000)
        assert w.events.reasons() == ["InvalidRayClusterSpec"]
        assert await w.pods() == []
        found = await w.cluster()
        assert found is not None
        assert "finalizers" not in found["metadata"]
        patch = [{"op": "remove", "path": "/spec/gcsFaultToleranceOptions"}]
        await w.user.patch(RAYCLUSTERS, "default", NAME, patch, patch_type="json")
        await w.until(lambda: has_pods(w, 2))


async def test_a_cluster_made_invalid_can_still_be_deleted() -> None:
    async with world() as w:
        await w.complete()
        patch = {"spec": {"gcsFaultToleranceOptions": {"redisAddress": "redis:6379"}}}
        await w.user.patch(RAYCLUSTERS, "default", NAME, patch)
        await w.delete_cluster()
        await w.until(w.has_job, seconds=2)
        await w.end_job("Complete")
        await w.until(w.is_gone, seconds=2)


async def test_without_cleanup_there_is_no_finalizer() -> None:
    async with world(Settings(redis_cleanup=False)) as w:
        await w.complete()
        found = await w.cluster()
        assert found is not None
        assert REDIS_CLEANUP_FINALIZER not in found["metadata"].get("finalizers", [])


async def test_suspend_and_resume() -> None:
    async with world() as w:
        await w.complete()
        await w.user.patch(RAYCLUSTERS, "default", NAME, {"spec": {"suspend": True}})

        async def suspended() -> bool:
            return (await w.status()).get("state") == "suspended" and not await w.pods()

        await w.until(suspended)
        await w.user.patch(RAYCLUSTERS, "default", NAME, {"spec": {"suspend": False}})
        await w.until(lambda: has_pods(w, 2))
        await w.run_pods()
        await w.until(w.is_ready)


async def test_a_head_of_another_operator_is_adopted_without_a_restart() -> None:
    async with world() as w:
        await w.complete()
        (head,) = await w.pods("head")
        theirs = {"ray.io/kuberay-version": "v1.7.0", "ray.io/upgrade-strategy-recreate-hash": "THEIRS"}
        await w.user.patch(PODS, "default", head["metadata"]["name"], {"metadata": {"annotations": theirs}})
        await w.user.patch(RAYCLUSTERS, "default", NAME, {"spec": {"upgradeStrategy": {"type": "Recreate"}}})

        async def adopted() -> bool:
            (found,) = await w.pods("head")
            return bool(found["metadata"]["annotations"]["ray.io/kuberay-version"] == w.settings.version)

        await w.until(adopted)
        await w.settle()
        (same,) = await w.pods("head")
        assert same["metadata"]["uid"] == head["metadata"]["uid"]
        await w.user.patch(RAYCLUSTERS, "default", NAME, {"spec": {"rayVersion": "2.59.0"}})

        async def recreated() -> bool:
            uids = [found["metadata"]["uid"] for found in await w.pods("head")]
            return len(uids) == 1 and uids != [head["metadata"]["uid"]]

        await w.until(recreated)


async def test_scaling_follows_the_spec() -> None:
    async with world() as w:
        await w.complete()
        for replicas in (4, 2):
            patch = [{"op": "replace", "path": "/spec/workerGroupSpecs/0/replicas", "value": replicas}]
            await w.user.patch(RAYCLUSTERS, "default", NAME, patch, patch_type="json")
            expected = replicas
            await w.until(lambda expected=expected: has_pods(w, expected, "worker"))  # type: ignore[misc]
            await w.settle()
            assert len(await w.pods("worker")) == replicas
