"""Debts against the API: written before the finalizer goes, once, and never in its way for ever."""

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from tests.unit.controllers.world import NAME, World, world

from headstay.model.errors import Cause, StatusError
from headstay.model.objects import Obj
from headstay.model.ray import RAYCLUSTERS
from headstay.model.resource import CONFIGMAPS
from headstay.plan.debts import DEBT

pytestmark = pytest.mark.looptime

TERMINATING = StatusError(
    403,
    "Forbidden",
    "jobs.batch is forbidden: unable to create new content in namespace default because it is being terminated",
    causes=(Cause("NamespaceTerminating", "namespace default is being terminated", "metadata.namespace"),),
)
BUSY = StatusError(503, "ServiceUnavailable", "the server is currently unable to handle the request")
QUOTA = StatusError(403, "Forbidden", "exceeded quota: none, requested: count/jobs.batch=1, used: 0, limited: 0")


async def debts(w: World) -> list[Obj]:
    page = await w.user.list_page(CONFIGMAPS, "default", label_selector=DEBT)
    return [msgspec.json.decode(item) for item in page.items]


def refusing(**answers: StatusError) -> Callable[[str, Obj], StatusError | None]:
    """`create_Job=...` refuses that."""
    return lambda what, _obj: answers.get(what.replace(" ", "_"))


async def test_a_failed_cleanup_is_owed() -> None:
    async with world() as w:
        await w.complete()
        await w.delete_cluster()
        await w.until(w.has_job, seconds=2)
        await w.end_job("Failed")
        await w.until(w.is_gone, seconds=2)
        (debt,) = await debts(w)
        assert "no luck" in debt["data"]["reason"]
        written = w.client.writes.index("create ConfigMap")
        assert "patch RayCluster" in w.client.writes[written:], "the finalizer went after the debt was written"
        assert "RedisDebtRecorded" in w.events.reasons()


async def test_a_namespace_that_is_being_deleted_is_not_held_up_for_a_job() -> None:
    async with world() as w:
        await w.complete()
        w.client.refuse = refusing(create_Job=TERMINATING)
        await w.delete_cluster()
        await w.until(w.is_gone, seconds=5)
        (debt,) = await debts(w)
        assert "takes no cleanup Job" in debt["data"]["reason"]


async def test_an_operator_whose_own_namespace_goes_too_waits_for_no_debt() -> None:
    async with world() as w:
        await w.complete()
        w.client.refuse = refusing(create_Job=TERMINATING, create_ConfigMap=TERMINATING)
        await w.delete_cluster()
        await w.until(w.is_gone, seconds=5)
        assert "FailedToRecordRedisDebt" in w.events.reasons()


async def test_a_job_that_is_refused_holds_no_longer_than_the_deadline() -> None:
    """Also when the back-off between the tries has grown beyond it."""
    async with world() as w:
        await w.complete()
        patch = {"metadata": {"annotations": {"ray.io/gcs-ft-deletion-timeout": "2"}}}
        await w.user.patch(RAYCLUSTERS, "default", NAME, patch)
        w.client.refuse = refusing(create_Job=QUOTA)
        await w.delete_cluster()
        await w.until(w.is_gone, seconds=100_000)
        (debt,) = await debts(w)
        assert "exceeded quota" in debt["data"]["reason"]


async def test_a_debt_that_cannot_be_written_holds_until_the_deadline_and_no_longer() -> None:
    async with world() as w:
        await w.complete()
        patch = {"metadata": {"annotations": {"ray.io/gcs-ft-deletion-timeout": "2"}}}
        await w.user.patch(RAYCLUSTERS, "default", NAME, patch)
        w.client.refuse = refusing(create_ConfigMap=QUOTA)
        await w.delete_cluster()
        await w.until(w.has_job, seconds=2)
        await w.end_job("Failed")
        await w.settle(0.5)
        assert not await w.is_gone()
        await w.until(w.is_gone, seconds=100_000)
        assert "FailedToRecordRedisDebt" in w.events.reasons()
        assert await debts(w) == []


async def test_a_debt_is_not_forfeit_for_a_server_that_is_busy_when_the_deadline_passes() -> None:
    async with world() as w:
        await w.complete()
        patch = {"metadata": {"annotations": {"ray.io/gcs-ft-deletion-timeout": "2"}}}
        await w.user.patch(RAYCLUSTERS, "default", NAME, patch)
        asked: list[str] = []

        def busy_at_first(what: str, _obj: Obj) -> StatusError | None:
            if what != "create ConfigMap":
                return None
            asked.append(what)
            return BUSY if len(asked) < 4 else None

        w.client.refuse = busy_at_first
        await w.delete_cluster()
        await w.until(w.is_gone, seconds=100_000)
        assert len(await debts(w)) == 1


@pytest.mark.parametrize("ending", ["Complete", "Failed"])
async def test_an_operator_killed_after_any_write_of_a_deletion_owes_once_and_makes_one_job(ending: str) -> None:
    async with world() as w:
        await w.complete()
        jobs: set[str] = set()
        await w.stop()
        await w.delete_cluster()
        for _ in range(20):
            await run_for_one_write(w)
            found = await w.jobs()
            jobs |= {job["metadata"]["uid"] for job in found}
            if found and not found[0]["status"].get("conditions"):
                await w.end_job(ending)
            if await w.is_gone():
                break
        assert await w.is_gone()
        assert len(jobs) == 1
        assert len(await debts(w)) == (1 if ending == "Failed" else 0)


async def run_for_one_write(w: World) -> None:
    """Starts an operator and kills it right after its next write."""
    target = len(w.client.writes) + 1
    await w.start()
    for _ in range(500):
        await asyncio.sleep(0.01)
        if len(w.client.writes) >= target or await w.is_gone():
            break
    await w.stop()


async def test_a_lost_answer_writes_no_second_debt() -> None:
    async with world() as w:
        await w.complete()
        lost: list[Any] = []

        def lose(what: str, obj: Obj) -> bool:
            if what == "create ConfigMap" and not lost:
                lost.append(obj)
                return True
            return False

        w.client.lose = lose
        await w.delete_cluster()
        await w.until(w.has_job, seconds=2)
        await w.end_job("Failed")
        await w.until(w.is_gone, seconds=60)
        assert len(await debts(w)) == len(lost) == 1
