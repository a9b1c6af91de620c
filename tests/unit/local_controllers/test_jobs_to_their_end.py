import asyncio
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest
from tests.unit.local_controllers.workload_world import World, running, template

from headstay.local.controllers.jobindexes import format_indexes, parse_indexes
from headstay.local.controllers.jobplan import plan_job
from headstay.local.controllers.workloads import Job, JobSpec
from headstay.model.meta import ContainerState, ContainerStatus, ObjectMeta, Pod, PodStatus, StateTerminated
from headstay.model.objects import Obj, dig
from headstay.model.resource import JOBS, PODS
from headstay.model.timestamps import parse

pytestmark = pytest.mark.looptime

NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)


def spec(*, exit_after: str = "2", exit_code: str = "0", restart: str = "Never", **more: Any) -> Obj:
    return {"template": template(restart, exit_after=exit_after, exit_code=exit_code), **more}


async def conditions(world: World, name: str = "work") -> list[tuple[str, str]]:
    status = await world.status(JOBS, name)
    return [(c["type"], c["reason"]) for c in status.get("conditions") or [] if c["status"] == "True"]


def both(target: str, final: str, reason: str) -> list[tuple[str, str]]:
    return [(target, reason), (final, reason)]


async def test_a_job_that_succeeds_is_complete_with_counts_and_times() -> None:
    async with running() as world:
        await world.make(JOBS, "work", spec())
        await asyncio.sleep(2)
        status = await world.status(JOBS, "work")
        assert (status["active"], status["ready"], status["terminating"]) == (1, 1, 0)
        await asyncio.sleep(3)
        status = await world.status(JOBS, "work")
        assert status["succeeded"] == 1
        assert "active" not in status
        assert status["completionTime"] > status["startTime"]
        assert await conditions(world) == [
            ("SuccessCriteriaMet", "CompletionsReached"),
            ("Complete", "CompletionsReached"),
        ]
        (pod,) = await world.all(PODS)
        assert pod["metadata"]["labels"]["batch.kubernetes.io/job-name"] == "work"
        assert "Completed" in await world.reasons()


async def test_completions_are_reached_with_no_more_than_parallelism_at_once() -> None:
    async with running() as world:
        await world.make(JOBS, "work", spec(completions=5, parallelism=2))
        for _ in range(60):
            await asyncio.sleep(0.5)
            phases = [dig(pod, "status", "phase") for pod in await world.all(PODS)]
            assert sum(phase not in ("Succeeded", "Failed") for phase in phases) <= 2
        assert (await world.status(JOBS, "work"))["succeeded"] == 5
        assert len(await world.all(PODS)) == 5


async def test_failures_are_retried_after_10_20_40_seconds_until_the_back_off_limit() -> None:
    async with running() as world:
        await world.make(JOBS, "work", spec(exit_code="1", backoffLimit=3))
        await asyncio.sleep(300)
        created = [parse(pod["metadata"]["creationTimestamp"]) for pod in await world.all(PODS)]
        created.sort()
        gaps = [(later - earlier).total_seconds() for earlier, later in pairwise(created)]
        assert len(created) == 4
        assert gaps == pytest.approx([13, 23, 43], abs=1.5)
        assert await conditions(world) == [
            ("FailureTarget", "BackoffLimitExceeded"),
            ("Failed", "BackoffLimitExceeded"),
        ]
        status = await world.status(JOBS, "work")
        assert status["failed"] == 4
        assert "completionTime" not in status
        assert "BackoffLimitExceeded" in await world.reasons()


async def test_a_back_off_limit_of_zero_allows_no_retry() -> None:
    async with running() as world:
        await world.make(JOBS, "work", spec(exit_code="1", backoffLimit=0))
        await asyncio.sleep(60)
        assert len(await world.all(PODS)) == 1
        assert ("Failed", "BackoffLimitExceeded") in await conditions(world)


async def test_past_its_deadline_a_job_stops_its_pods_and_has_failed_when_they_have_ended() -> None:
    async with running() as world:
        slow = spec(exit_after="1000", activeDeadlineSeconds=30)
        slow["template"]["metadata"]["annotations"]["sim/stop-after"] = "10"
        await world.make(JOBS, "work", slow)
        await asyncio.sleep(32)
        assert await conditions(world) == [("FailureTarget", "DeadlineExceeded")]
        assert (await world.status(JOBS, "work"))["terminating"] == 1
        await asyncio.sleep(15)
        assert await conditions(world) == [("FailureTarget", "DeadlineExceeded"), ("Failed", "DeadlineExceeded")]
        status = await world.status(JOBS, "work")
        assert (status["failed"], status["terminating"]) == (1, 0)
        assert await world.names(PODS) == []


async def test_a_finished_job_goes_after_its_time_to_live() -> None:
    async with running() as world:
        await world.make(JOBS, "work", spec(ttlSecondsAfterFinished=60))
        await asyncio.sleep(50)
        assert await world.exists(JOBS, "work")
        await asyncio.sleep(20)
        assert not await world.exists(JOBS, "work")
        assert await world.names(PODS) == []


async def test_a_suspended_job_runs_nothing_and_starts_anew_when_resumed() -> None:
    async with running() as world:
        await world.make(JOBS, "work", spec(exit_after="100"))
        await asyncio.sleep(10)
        await world.patch(JOBS, "work", {"spec": {"suspend": True}})
        await asyncio.sleep(10)
        assert await world.names(PODS) == []
        assert await conditions(world) == [("Suspended", "JobSuspended")]
        first = (await world.status(JOBS, "work"))["startTime"]
        await world.patch(JOBS, "work", {"spec": {"suspend": False}})
        await asyncio.sleep(10)
        assert len(await world.names(PODS)) == 1
        assert (await world.status(JOBS, "work"))["startTime"] > first
        await asyncio.sleep(100)
        assert ("Complete", "CompletionsReached") in await conditions(world)


async def test_a_work_queue_job_makes_nothing_more_after_the_first_success() -> None:
    async with running() as world:
        await world.make(JOBS, "work", spec(parallelism=3))
        await asyncio.sleep(20)
        assert len(await world.all(PODS)) == 3
        assert ("Complete", "CompletionsReached") in await conditions(world)


async def test_an_indexed_job_gives_each_index_to_one_pod_and_retries_the_failed_one() -> None:
    async with running() as world:
        await world.make(JOBS, "work", spec(completions=3, parallelism=3, completionMode="Indexed"))
        await asyncio.sleep(1)
        pods = await world.all(PODS)
        index = "batch.kubernetes.io/job-completion-index"
        assert [pod["metadata"]["annotations"][index] for pod in pods] == ["0", "1", "2"]
        assert [pod["spec"]["hostname"] for pod in pods] == ["work-0", "work-1", "work-2"]
        assert dig(pods[1], "spec", "containers", 0, "env", 0, "name") == "JOB_COMPLETION_INDEX"
        assert pods[1]["metadata"]["name"].startswith("work-1-")
        await world.client.delete(PODS, "default", pods[1]["metadata"]["name"])
        await asyncio.sleep(20)
        status = await world.status(JOBS, "work")
        assert status["completedIndexes"] == "0-2"
        assert status["succeeded"] == 3


async def test_what_is_not_supported_is_refused_by_name() -> None:
    async with running() as world:
        policy = {"rules": [{"action": "FailJob", "onExitCodes": {"operator": "In", "values": [1]}}]}
        await world.make(JOBS, "work", spec(podFailurePolicy=policy))
        await asyncio.sleep(5)
        failed = await world.condition(JOBS, "work", "Failed")
        assert failed is not None
        assert (failed["reason"], failed["message"]) == ("Unsupported", "spec.podFailurePolicy is not supported here")
        assert await world.names(PODS) == []


async def test_a_refused_pod_is_said_and_not_counted_as_active() -> None:
    async with running() as world:
        broken = spec()
        broken["template"]["spec"]["serviceAccountName"] = "missing"
        await world.make(JOBS, "work", broken)
        await asyncio.sleep(20)
        assert "active" not in await world.status(JOBS, "work")
        assert "FailedCreate" in await world.reasons()


async def test_two_jobs_of_the_same_template_do_not_share_pods() -> None:
    async with running() as world:
        await world.make(JOBS, "one", spec())
        await world.make(JOBS, "two", spec())
        await asyncio.sleep(20)
        assert len(await world.all(PODS)) == 2
        assert (await world.status(JOBS, "one"))["succeeded"] == 1
        assert (await world.status(JOBS, "two"))["succeeded"] == 1


def pod(name: str, phase: str, ended: str = "") -> Pod:
    state = ContainerState(terminated=StateTerminated(finished_at=ended)) if ended else ContainerState()
    return Pod(
        ObjectMeta(name=name, uid=name),
        status=PodStatus(phase=phase, container_statuses=[ContainerStatus(state=state)]),
    )


async def test_a_success_resets_the_back_off_between_pods() -> None:
    job = Job(ObjectMeta(name="work"), JobSpec(completions=5, parallelism=1))
    ended = [pod("a", "Failed", "2026-01-01T11:59:50Z"), pod("b", "Succeeded", "2026-01-01T11:59:58Z")]
    assert plan_job(job, ended, NOW).create == [None]
    assert plan_job(job, [ended[0], pod("c", "Failed", "2026-01-01T11:59:55Z")], NOW).requeue_after == 15


async def test_restarts_within_a_pod_count_against_the_limit_when_it_restarts_on_failure() -> None:
    job = Job(ObjectMeta(name="work"), JobSpec(backoff_limit=2, completions=1, template=template("OnFailure")))
    restarted = pod("a", "Running")
    restarted.status.container_statuses[0].restart_count = 1
    assert plan_job(job, [restarted], NOW).delete == []
    restarted.status.container_statuses[0].restart_count = 2
    plan = plan_job(job, [restarted], NOW)
    assert plan.delete == [restarted]
    assert [said.reason for said in plan.said] == ["BackoffLimitExceeded"]


@pytest.mark.parametrize("text", ["", "0", "0,1", "0-2", "1,3-5,7,8", "0-100"])
async def test_indexes_survive_being_written_and_read(text: str) -> None:
    assert format_indexes(parse_indexes(text)) == text
