"""A whole cluster in one loop: API server, its controllers, nodes, one or two operators, and a user.

Everything that could differ from run to run is drawn from `random`, which the run seeds: delays, faults, uids, names.
"""

import asyncio
import random
import uuid
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from unittest import mock

import msgspec
from tests.sim import convergence
from tests.sim.heads import Ear, SimHeads
from tests.sim.judges import Judges
from tests.sim.kubelet import Ending, Habits, Kubelet
from tests.sim.manifests import cluster
from tests.sim.network import Weather, Write
from tests.sim.operators import Build, Process, Watched
from tests.sim.records import wanted_storage
from tests.sim.redis import place_of

from headstay.local.controllers.garbage import GarbageCollector
from headstay.local.controllers.informers import Informers
from headstay.local.controllers.jobs import Jobs
from headstay.local.server.assembly import build_api
from headstay.local.server.inprocess import InProcessClient
from headstay.local.server.store import Change
from headstay.model.errors import StatusError, is_conflict, is_not_found
from headstay.model.meta import Pod
from headstay.model.objects import Obj
from headstay.model.ray import HEAD, NODE_TYPE, RAYCLUSTERS, WORKER, Job
from headstay.model.ray_crds import raycluster_crd
from headstay.model.resource import (
    CONFIGMAPS,
    CUSTOM_RESOURCE_DEFINITIONS,
    EVENTS,
    INGRESSES,
    JOBS,
    LEASES,
    PODS,
    SERVICE_ACCOUNTS,
    SERVICES,
    Resource,
)
from headstay.plan.raycluster.settings import Settings
from headstay.runtime.events import EventRecorder
from headstay.runtime.fencing import FencedClient

_ROUTINE = frozenset(f"{resource.plural}.{resource.group}".rstrip(".") for resource in (LEASES, EVENTS))
SETTLED = 40.0
"""Long enough for a cluster to stand, an operator's death and its restart included."""
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


def clock() -> datetime:
    return EPOCH + timedelta(seconds=asyncio.get_running_loop().time())


@dataclass(frozen=True)
class Kit:
    """Which operator runs; the tests of the judges put a broken one here."""

    make: type[Watched] = Watched
    fence: Build = FencedClient
    operators: int = 1
    settings: Settings = Settings(redis_access=True)


T = TypeVar("T", bound="World")


class World:
    """`kill_after`, `lose_answer_of` and `hold` are numbers of a write of the operator, counted from 1; 0 is none."""

    kinds: tuple[Resource, ...] = (RAYCLUSTERS, PODS, SERVICES, JOBS, CONFIGMAPS, INGRESSES)
    """What has owners or is one."""

    def __init__(self, kit: Kit, weather: Weather) -> None:
        self.kit = kit
        self.weather = weather
        self.api = build_api(clock=clock)
        self.user = InProcessClient(self.api)
        self.history: list[tuple[float, int, str, bool, int]] = []
        self.changes = 0
        self.judges = Judges(self.api.store, lambda: asyncio.get_running_loop().time(), clock)
        self.api.store.on_change(self._record)
        self.cleanup: Ending | None = Ending(1.0)
        self.nodes = ("node-0", "node-1", "node-2")
        habits = Habits(
            ready_after=self._ready_after,
            stop_after=lambda _: random.uniform(0.1, 3.0),
            ends=self._ends,
        )
        self.kubelet = Kubelet(self.user, habits, nodes=self.nodes, now=clock)
        self.heads = SimHeads(clock)
        self.records: dict[str, int] = {}
        self.must_go: set[str] = set()
        self.operators: dict[str, Process] = {}
        self.kill_after = 0
        self.lose_answer_of = 0
        self.hold = 0
        self.hold_for = 15.0
        self.restart_after = 1.0
        self._sent_writes = 0
        self._seen_writes = 0
        self.tasks: list[asyncio.Task[Any]] = []

    def _ready_after(self, _: Pod) -> float | None:
        return random.uniform(0.2, 3.0)

    def _ends(self, pod: Pod) -> Ending | None:
        return self.cleanup if any(owner.kind == "Job" for owner in pod.metadata.owner_references) else None

    def _record(self, change: Change) -> None:
        if change.key.table not in _ROUTINE:
            self.changes += 1
        at = asyncio.get_running_loop().time()
        digest = zlib.crc32(change.entry.value)
        self.history.append((at, change.entry.revision, change.key.text, change.deleted, digest))

    # --- the machinery -----------------------------------------------------------------------------------------

    async def start(self) -> None:
        await self.user.create(CUSTOM_RESOURCE_DEFINITIONS, raycluster_crd())
        meta = {"name": "default", "namespace": "default"}
        await self.user.create(SERVICE_ACCOUNTS, {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta})
        await self.kubelet.register()
        informers = Informers(InProcessClient(self.api, field_manager="controllers"))
        jobs = Jobs(informers, EventRecorder(self.user, "job-controller", now=clock), now=clock)
        garbage = GarbageCollector(informers.client, lambda: self.kinds)
        for work in (informers.run(), jobs.controller.run(), garbage.run(), self.kubelet.run()):
            self.tasks.append(asyncio.create_task(work))
        for number in range(self.kit.operators):
            self._start_operator(f"operator-{number}")

    async def stop(self) -> None:
        for process in self.operators.values():
            process.kill()
        for task in self.tasks:
            if task.done() and not task.cancelled() and task.exception() is not None:
                raise task.exception() or AssertionError
            task.cancel()
        await asyncio.wait(self.tasks)

    def _start_operator(self, name: str) -> None:
        process = self._process(name)
        self.operators[name] = process
        process.start()
        self.tasks.append(asyncio.create_task(self._restart_when_ended(process)))

    def _process(self, name: str) -> Process:
        return Process(
            name,
            self.user,
            self.weather,
            self.judges,
            clock,
            wire=self,
            settings=self.kit.settings,
            make=self.kit.make,
            heads=lambda changed: Ear(self.heads, changed, self._addresses),
            fence=self.kit.fence,
        )

    async def _restart_when_ended(self, process: Process) -> None:
        """What a Deployment's kubelet does."""
        await process.ended.wait()
        await asyncio.sleep(self.restart_after)
        self._start_operator(process.name)

    # --- the wire (`network.Wire`) -----------------------------------------------------------------------------

    def leaves(self, write: Write) -> float:
        if not write.counts:
            return 0.0
        self._sent_writes += 1
        makes_a_pod = write.verb == "create" and write.resource == PODS
        if self._sent_writes == self.hold:
            self.kill(write.process)
            seconds = self.hold_for
        elif makes_a_pod and self.weather.strays and random.random() < self.weather.strays:
            seconds = random.uniform(1.0, 60.0)
        else:
            return 0.0
        self.judges.astray.add(write.name)
        return seconds

    def refused(self, write: Write) -> None:
        self.judges.refused(write)

    def landed(self, write: Write) -> bool:
        self.judges.landed(write)
        if not write.counts:
            return False
        self._seen_writes += 1
        if self._seen_writes == self.kill_after:
            self.kill(write.process)
        return self._seen_writes == self.lose_answer_of

    @property
    def leader(self) -> Process | None:
        return next((found for found in self.operators.values() if found.leads), None)

    def kill_in(self, writes: int) -> None:
        """Kills whoever makes the write that comes after so many."""
        self.kill_after = self._seen_writes + writes

    def kill(self, name: str) -> None:
        self.judges.log.append(f"{asyncio.get_running_loop().time():.3f} {name} is killed")
        self.operators[name].kill()

    # --- the user ----------------------------------------------------------------------------------------------

    async def create(self, name: str, **more: Any) -> None:
        while True:
            try:
                await self.user.create(RAYCLUSTERS, cluster(name, **more))
            except StatusError as error:
                if error.reason != "AlreadyExists":
                    raise
                await asyncio.sleep(1)
            else:
                return

    async def annotate(self, name: str, **annotations: str) -> None:
        await self._quietly(self.user.patch(RAYCLUSTERS, "default", name, {"metadata": {"annotations": annotations}}))

    async def edit(self, name: str, **spec: Any) -> None:
        """A merge patch of the spec, as `kubectl patch`."""
        await self._quietly(self.user.patch(RAYCLUSTERS, "default", name, {"spec": spec}))

    async def scale(self, name: str, group: str, replicas: int) -> None:
        await self.edit_group(name, group, replicas=replicas)

    async def edit_group(self, name: str, group: str, **fields: Any) -> None:
        try:
            found = await self.user.get(RAYCLUSTERS, "default", name)
        except StatusError as error:
            if is_not_found(error):
                return
            raise
        for spec in found["spec"]["workerGroupSpecs"]:
            if spec["groupName"] == group:
                spec.update(fields)
        await self.edit(name, workerGroupSpecs=found["spec"]["workerGroupSpecs"])

    async def delete(self, name: str) -> None:
        await self._quietly(self.user.delete(RAYCLUSTERS, "default", name))

    async def delete_job(self, name: str) -> None:
        """A cleanup Job, so that it is made again."""
        self.judges.job_removed(name)
        await self._quietly(self.user.delete(JOBS, "default", name, propagation="Background"))

    async def drop_ingress(self, name: str) -> None:
        await self._quietly(self.user.delete(INGRESSES, "default", name))

    async def pay_by_hand(self) -> None:
        """As the command in the debt does."""
        for debt in list(self.judges.redis.debts.values()):
            storage = place_of(debt)
            users = [found for found in self.judges.live_clusters.values() if wanted_storage(found) == storage]
            if users or self.judges.writers_of(storage):
                continue
            self.judges.redis.keys.pop(storage, None)
            await self._quietly(self.user.delete(CONFIGMAPS, "default", debt["metadata"]["name"]))

    def expect(self, holds: bool, what: str) -> None:
        """Asked in the middle of a run, where no judge looks."""
        if not holds:
            self.judges.complain(f"expected that {what}")

    def jobs(self) -> list[str]:
        return [key.name for key, _ in self.api.store.entries("jobs.batch")]

    def failed_jobs(self) -> list[str]:
        jobs = [msgspec.json.decode(entry.value, type=Job) for _, entry in self.api.store.entries("jobs.batch")]
        return [job.metadata.name for job in jobs if (outcome := job.outcome()) and outcome.type == "Failed"]

    def pods(self, name: str, node_type: str) -> list[Obj]:
        found = self.judges.pods_of(name)
        return [pod for pod in found if pod["metadata"]["labels"].get(NODE_TYPE) == node_type]

    async def delete_pod(self, name: str, node_type: str) -> None:
        for pod in self.pods(name, node_type)[:1]:
            await self._quietly(self.user.delete(PODS, "default", pod["metadata"]["name"]))

    async def fail_pod(self, name: str, node_type: str) -> None:
        for pod in self.pods(name, node_type)[:1]:
            await self.kubelet.fail("default", pod["metadata"]["name"])

    async def crash_pod(self, name: str, node_type: str) -> None:
        for pod in self.pods(name, node_type)[:1]:
            await self.kubelet.crash("default", pod["metadata"]["name"])

    def revive_gcs(self, name: str) -> None:
        """The GCS of the head dies and is brought back in place; that has to be written down, once."""
        for pod in self.pods(name, HEAD):
            self.heads.revive(pod["metadata"]["uid"])
            self.records[name] = self.records.get(name, 0) + 1

    def lose_worker(self, name: str) -> None:
        """One whose node the GCS will not see again; its Pod has to go."""
        for pod in self.pods(name, WORKER)[:1]:
            self.heads.lost.add(pod["status"]["podIP"])
            self.must_go.add(pod["metadata"]["uid"])

    def _addresses(self, name: str) -> list[tuple[str, bool]]:
        pods = [(pod, pod["metadata"]["labels"].get(NODE_TYPE) == HEAD) for pod in self.judges.pods_of(name)]
        return [(pod["status"]["podIP"], head) for pod, head in pods if (pod.get("status") or {}).get("podIP")]

    def unlike(self, wanted: set[str]) -> str:
        """What is not yet as it should be, or ""."""
        return convergence.unlike(self, wanted)

    async def converge(self, wanted: set[str], seconds: float = 900.0) -> None:
        await convergence.converge(self, wanted, seconds)

    async def _quietly(self, call: Any) -> None:
        try:
            await call
        except StatusError as error:
            if not is_not_found(error) and not is_conflict(error):
                raise


def seeded(seed: int) -> Any:
    """Makes uids and the server's own names part of the run."""
    random.seed(seed)
    uids = lambda: uuid.UUID(int=random.getrandbits(128), version=4)
    return mock.patch.multiple("headstay.local.server.writes", uuid=mock.Mock(uuid4=uids), secrets=random)


@asynccontextmanager
async def running(found: T) -> AsyncIterator[T]:
    with (
        mock.patch("headstay.controllers.redis_access.clean", found.judges.redis.clean),
        # A sixth of the run's time, for fields that neither operator nor judges read.
        mock.patch("headstay.local.server.assembly.track"),
    ):
        await found.start()
        try:
            yield found
        finally:
            await found.stop()


@asynccontextmanager
async def world(kit: Kit | None = None, weather: Weather | None = None) -> AsyncIterator[World]:
    async with running(World(kit or Kit(), weather or Weather())) as found:
        yield found
