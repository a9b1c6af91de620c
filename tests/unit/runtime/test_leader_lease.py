"""Two candidates, one Lease, in virtual time; at no moment may two of them believe that they lead."""

import asyncio
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.unit.runtime.scripted import SILENCE, ScriptedClient, page

from headstay.model.errors import StatusError
from headstay.model.objects import Obj
from headstay.model.resource import CONFIGMAPS, Resource
from headstay.runtime.client import TransportError
from headstay.runtime.errors import Transient
from headstay.runtime.fencing import FencedClient
from headstay.runtime.lease import LeaderLease, LeadershipLostError, Timing

pytestmark = pytest.mark.looptime


def loop_time() -> float:
    return asyncio.get_running_loop().time()


class Leases:
    """The one Lease as a server keeps it, with compare-and-swap."""

    def __init__(self) -> None:
        self.lease: Obj | None = None
        self.version = 0

    def get(self) -> Obj:
        if self.lease is None:
            raise StatusError(404, "NotFound", "no such lease")
        return deepcopy(self.lease)

    def create(self, lease: Obj) -> Obj:
        if self.lease is not None:
            raise StatusError(409, "AlreadyExists", "it is there")
        return self._put(lease)

    def update(self, lease: Obj) -> Obj:
        if self.lease is None:
            raise StatusError(404, "NotFound", "no such lease")
        if lease["metadata"].get("resourceVersion") != self.lease["metadata"]["resourceVersion"]:
            raise StatusError(409, "Conflict", "it has changed")
        return self._put(lease)

    def _put(self, lease: Obj) -> Obj:
        self.version += 1
        self.lease = deepcopy(lease)
        self.lease["metadata"]["resourceVersion"] = str(self.version)
        return deepcopy(self.lease)

    @property
    def holder(self) -> str:
        found: str = (self.lease or {}).get("spec", {}).get("holderIdentity", "")
        return found


class Line(ScriptedClient):
    """One candidate's connection: it can be cut, and answers can be lost on the way back."""

    def __init__(self, leases: Leases) -> None:
        super().__init__([page(1)], [[SILENCE]])
        self.leases = leases
        self.cut = False
        self.hangs = False
        self.lose_answers = False
        self.written: list[float] = []

    async def _way(self) -> None:
        await asyncio.sleep(0.01)
        if self.hangs:
            await asyncio.Event().wait()
        if self.cut:
            raise TransportError("cut")

    def _answer(self, found: Obj) -> Obj:
        if self.lose_answers:
            raise TransportError("the answer was lost")
        return found

    async def get(self, *_: Any, **__: Any) -> Obj:
        await self._way()
        return self._answer(self.leases.get())

    async def create(self, resource: Resource, obj: Obj, **_: Any) -> Obj:
        await self._way()
        if resource == CONFIGMAPS:
            self.written.append(loop_time())
            return obj
        return self._answer(self.leases.create(obj))

    async def update(self, resource: Resource, obj: Obj, **_: Any) -> Obj:
        await self._way()
        return self._answer(self.leases.update(obj))


class Candidate:
    def __init__(self, leases: Leases, name: str, *, clock_error: float = 0.0, last_words: float = 0.0) -> None:
        self.line = Line(leases)
        epoch = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=clock_error)
        self.lease = LeaderLease(self.line, "default", "operator", name, now=lambda: epoch, draw=lambda: 0.5)
        self.last_words = last_words
        self.working = False
        self.ended_at: float | None = None
        self.began_at: float | None = None

    async def work(self) -> None:
        self.working, self.began_at = True, loop_time()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(self.last_words)
            self.working, self.ended_at = False, loop_time()

    def start(self) -> "asyncio.Task[None]":
        return asyncio.create_task(self.lease.run(self.work))


async def stop(*tasks: "asyncio.Task[None]") -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def never_two(seconds: float, *candidates: Candidate) -> None:
    """Lets `seconds` pass and looks all the time."""
    end = loop_time() + seconds
    while loop_time() < end:
        assert sum(candidate.lease.holds for candidate in candidates) <= 1
        assert sum(candidate.working for candidate in candidates) <= 1
        await asyncio.sleep(0.1)


async def test_the_first_candidate_leads_and_renews() -> None:
    leases = Leases()
    one = Candidate(leases, "one")
    task = one.start()
    await asyncio.sleep(60)
    assert one.working
    assert leases.holder == "one"
    assert leases.lease is not None
    spec = leases.lease["spec"]
    assert spec["leaseDurationSeconds"] == 15
    assert spec["leaseTransitions"] == 0
    assert leases.version > 20
    await stop(task)


async def test_a_clean_stop_ends_the_work_before_it_gives_the_lease_up_and_the_next_leads_soon() -> None:
    leases = Leases()
    one, other = Candidate(leases, "one", last_words=3), Candidate(leases, "other")
    first = one.start()
    await never_two(5, one, other)
    second = other.start()
    await never_two(5, one, other)
    stopped_at = loop_time()
    first.cancel()
    await never_two(10, one, other)
    assert other.working
    assert one.ended_at is not None
    assert other.began_at is not None
    assert other.began_at >= one.ended_at >= stopped_at + 3
    assert other.began_at - one.ended_at < 3
    assert leases.lease is not None
    assert leases.lease["spec"]["leaseTransitions"] == 1
    await stop(first, second)


@pytest.mark.parametrize("fault", ["cut", "hangs"])
async def test_a_leader_that_is_cut_off_stops_before_another_one_starts(fault: str) -> None:
    leases = Leases()
    one, other = Candidate(leases, "one", last_words=1), Candidate(leases, "other")
    first, second = one.start(), None
    await asyncio.sleep(5)
    second = other.start()
    await never_two(5, one, other)
    cut_at = loop_time()
    setattr(one.line, fault, True)
    await never_two(40, one, other)
    with pytest.raises(LeadershipLostError):
        await first
    assert one.ended_at is not None
    assert other.began_at is not None
    assert one.ended_at <= cut_at + 10 + 1.5 + 1.01
    assert other.began_at > one.ended_at
    assert other.working
    await stop(second)


async def test_clocks_that_are_hours_apart_change_nothing() -> None:
    leases = Leases()
    one = Candidate(leases, "one", clock_error=-7200)
    other = Candidate(leases, "other", clock_error=7200)
    first, second = one.start(), other.start()
    await never_two(60, one, other)
    assert one.working != other.working
    await stop(first, second)


async def test_two_candidates_that_start_together_make_one_leader() -> None:
    leases = Leases()
    candidates = [Candidate(leases, name) for name in "abcde"]
    tasks = [candidate.start() for candidate in candidates]
    await never_two(30, *candidates)
    assert sum(candidate.working for candidate in candidates) == 1
    await stop(*tasks)


async def test_a_lost_answer_to_a_renewal_that_arrived_is_no_loss() -> None:
    leases = Leases()
    one = Candidate(leases, "one")
    task = one.start()
    await asyncio.sleep(5)
    one.line.lose_answers = True
    await asyncio.sleep(6)
    one.line.lose_answers = False
    await asyncio.sleep(30)
    assert one.working
    await stop(task)


async def test_a_lease_taken_away_by_hand_ends_the_leader_at_its_next_renewal() -> None:
    leases = Leases()
    one = Candidate(leases, "one")
    task = one.start()
    await asyncio.sleep(5)
    stolen = leases.get()
    stolen["spec"]["holderIdentity"] = "admin"
    leases.update(stolen)
    await asyncio.sleep(3)
    assert not one.working
    with pytest.raises(LeadershipLostError):
        await task
    assert leases.holder == "admin", "what is not ours is not released"


async def test_a_deleted_lease_is_made_again_by_its_leader() -> None:
    leases = Leases()
    one = Candidate(leases, "one")
    task = one.start()
    await asyncio.sleep(5)
    leases.lease = None
    await asyncio.sleep(5)
    assert one.working
    assert leases.holder == "one"
    await stop(task)


async def test_work_that_fails_gives_the_lease_up_and_says_why() -> None:
    leases = Leases()
    one = Candidate(leases, "one")

    async def fail() -> None:
        await asyncio.sleep(1)
        raise ZeroDivisionError("a bug")

    with pytest.raises(ZeroDivisionError):
        await one.lease.run(fail)
    assert leases.holder == ""
    assert not one.lease.holds


async def test_a_fenced_client_writes_only_while_it_leads() -> None:
    leases = Leases()
    one = Candidate(leases, "one")
    fenced = FencedClient(one.line, one.lease)
    document: Obj = {"metadata": {"name": "a", "namespace": "default"}}
    with pytest.raises(Transient, match="does not hold the lease"):
        await fenced.create(CONFIGMAPS, document)
    task = one.start()
    await asyncio.sleep(5)
    await fenced.create(CONFIGMAPS, document)
    one.line.hangs = True
    began = loop_time()
    with pytest.raises(TransportError, match="leadership ended"):
        await fenced.create(CONFIGMAPS, document)
    assert loop_time() - began <= 10
    with pytest.raises(Transient):
        await fenced.create(CONFIGMAPS, document)
    assert len(one.line.written) == 1
    await stop(task)


async def test_a_timing_that_could_not_be_safe_is_refused() -> None:
    with pytest.raises(ValueError, match="must hold"):
        Timing(call=3).check()
    with pytest.raises(ValueError, match="must hold"):
        LeaderLease(Line(Leases()), "default", "x", "me", timing=Timing(renew_deadline=20))
