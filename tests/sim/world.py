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
from typing import Any
from unittest import mock

from tests.sim.heads import Ear, SimHeads
from tests.sim.judges import Judges
from tests.sim.kubelet import Ending, Habits, Kubelet
from tests.sim.network import Weather, Write
from tests.sim.operators import Build, Process, Watched

from headstay.local.controllers.garbage import GarbageCollector
from headstay.local.controllers.informers import Informers
from headstay.local.controllers.jobs import Jobs
from headstay.local.server.assembly import build_api
from headstay.local.server.inprocess import InProcessClient
from headstay.local.server.store import Change
from headstay.model.errors import StatusError, is_conflict, is_not_found
from headstay.model.meta import Pod
from headstay.model.objects import Obj
from headstay.model.ray import HEAD, NODE_TYPE, RAYCLUSTERS, WORKER, RayCluster
from headstay.model.ray_crds import raycluster_crd
from headstay.model.resource import (
    CONFIGMAPS,
    CUSTOM_RESOURCE_DEFINITIONS,
    JOBS,
    PODS,
    SERVICE_ACCOUNTS,
    SERVICES,
    Resource,
)
from headstay.plan.debts import DEBT
from headstay.plan.raycluster.journal import read_journal
from headstay.plan.raycluster.settings import Settings
from headstay.runtime.events import EventRecorder
from headstay.runtime.fencing import FencedClient

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


def clock() -> datetime:
    return EPOCH + timedelta(seconds=asyncio.get_running_loop().time())


@dataclass(frozen=True)
class Kit:
    """Which operator runs; the tests of the judges put a broken one here."""

    make: type[Watched] = Watched
    fence: Build = FencedClient
    operators: int = 1


class World:
    kinds: tuple[Resource, ...] = (RAYCLUSTERS, PODS, SERVICES, JOBS, CONFIGMAPS)
    """What has owners or is one."""

    def __init__(self, kit: Kit, weather: Weather) -> None:
        self.kit = kit
        self.weather = weather
        self.api = build_api(clock=clock)
        self.user = InProcessClient(self.api)
        self.history: list[tuple[float, int, str, bool, int]] = []
        self.judges = Judges(self.api.store, lambda: asyncio.get_running_loop().time())
        self.api.store.on_change(self._record)
        self.cleanup: Ending | None = Ending(1.0)
        self.nodes = ("node-0", "node-1", "node-2")
        habits = Habits(
            ready_after=lambda _: random.uniform(0.2, 3.0),
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
        self.restart_after = 1.0
        self._seen_writes = 0
        self._tasks: list[asyncio.Task[Any]] = []

    def _ends(self, pod: Pod) -> Ending | None:
        return self.cleanup if any(owner.kind == "Job" for owner in pod.metadata.owner_references) else None

    def _record(self, change: Change) -> None:
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
            self._tasks.append(asyncio.create_task(work))
        for number in range(self.kit.operators):
            self._start_operator(f"operator-{number}")

    async def stop(self) -> None:
        for process in self.operators.values():
            process.kill()
        for task in self._tasks:
            if task.done() and not task.cancelled() and task.exception() is not None:
                raise task.exception() or AssertionError
            task.cancel()
        await asyncio.wait(self._tasks)

    def _start_operator(self, name: str) -> None:
        process = self._process(name)
        self.operators[name] = process
        process.start()
        self._tasks.append(asyncio.create_task(self._restart_when_ended(process)))

    def _process(self, name: str) -> Process:
        return Process(
            name,
            self.user,
            self.weather,
            self.judges,
            clock,
            landed=self._landed,
            settings=Settings(),
            make=self.kit.make,
            heads=lambda changed: Ear(self.heads, changed, self._addresses),
            fence=self.kit.fence,
        )

    async def _restart_when_ended(self, process: Process) -> None:
        """What a Deployment's kubelet does."""
        await process.ended.wait()
        await asyncio.sleep(self.restart_after)
        self._start_operator(process.name)

    def _landed(self, write: Write) -> bool:
        """Whether the answer of this write is to be lost."""
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

    async def edit(self, name: str, **spec: Any) -> None:
        """A merge patch of the spec, as `kubectl patch`."""
        await self._quietly(self.user.patch(RAYCLUSTERS, "default", name, {"spec": spec}))

    async def scale(self, name: str, group: str, replicas: int) -> None:
        try:
            found = await self.user.get(RAYCLUSTERS, "default", name)
        except StatusError as error:
            if is_not_found(error):
                return
            raise
        for spec in found["spec"]["workerGroupSpecs"]:
            if spec["groupName"] == group:
                spec["replicas"] = replicas
        await self.edit(name, workerGroupSpecs=found["spec"]["workerGroupSpecs"])

    async def delete(self, name: str) -> None:
        await self._quietly(self.user.delete(RAYCLUSTERS, "default", name))

    def debts(self) -> list[str]:
        """Where keys are owed for."""
        found = self.api.reader.list(CONFIGMAPS, "default")
        return [config["data"]["address"] for config in found if DEBT in (config["metadata"].get("labels") or {})]

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

    async def _quietly(self, call: Any) -> None:
        try:
            await call
        except StatusError as error:
            if not is_not_found(error) and not is_conflict(error):
                raise

    # --- the end -----------------------------------------------------------------------------------------------

    async def converge(self, wanted: set[str], seconds: float = 900.0) -> None:
        """Waits until the clusters named, and no others, are as their specs say, then that the operator rests."""
        loop = asyncio.get_running_loop()
        until, calm_since = loop.time() + seconds, loop.time()
        writes = self.judges.own_writes()
        while True:
            why = self.unlike(wanted) or self._caches_unlike_lists()
            if why or self.judges.own_writes() != writes:
                calm_since, writes = loop.time(), self.judges.own_writes()
            if loop.time() - calm_since >= _REST:
                break
            if loop.time() > until:
                self.judges.complain(f"not converged after {seconds:g} s: {why or 'the operator never rests'}")
                return
            await asyncio.sleep(1.0)
        for text in self.judges.orphans(self.api.store):
            self.judges.complain(text)

    def unlike(self, wanted: set[str]) -> str:
        """What is not yet as it should be, or ""."""
        found = self.judges.clusters()
        if set(found) != wanted:
            return f"there are clusters {sorted(found)}, not {sorted(wanted)}"
        for name, shown in sorted(found.items()):
            if shown.deleting:
                return f"{name} is still being deleted, finalizers {shown.metadata.finalizers}"
            if why := self._unlike_spec(name, shown.spec, shown.status) or self._unlike_records(shown):
                return f"{name}: {why}"
        store = self.api.store
        if not wanted and (left := [key.text for table in _CHILDREN for key, _ in store.entries(table)]):
            return f"left behind: {', '.join(left)}"
        return ""

    def _unlike_records(self, shown: RayCluster) -> str:
        found = [record for record in read_journal(shown) if record.how == "InPlace"]
        if len(found) != self.records.get(shown.name, 0):
            return f"recoveries written down: {[record.id for record in found]}, there were {self.records}"
        unfinished = [record.id for record in found if record.workers is None]
        return f"recoveries {unfinished} are not complete" if unfinished else ""

    def _unlike_spec(self, name: str, spec: Obj, status: Obj) -> str:
        suspended = bool(spec.get("suspend"))
        heads, workers = self.pods(name, HEAD), self.pods(name, WORKER)
        want_heads = 0 if suspended else 1
        if len(heads) != want_heads or not all(map(_ready, heads)):
            return f"{len(heads)} head Pods, {want_heads} wanted"
        for group in spec["workerGroupSpecs"]:
            of_group = [pod for pod in workers if pod["metadata"]["labels"]["ray.io/group"] == group["groupName"]]
            want = 0 if suspended else group["replicas"] * group.get("numOfHosts", 1)
            if len(of_group) != want or not all(map(_ready, of_group)):
                return f"{len(of_group)} Pods in group {group['groupName']}, {want} wanted"
        state = "suspended" if suspended else "ready"
        if status.get("state") != state:
            return f"state is {status.get('state')}, not {state}"
        if kept := [pod["metadata"]["name"] for pod in workers if pod["metadata"]["uid"] in self.must_go]:
            return f"{kept} did not come back to the GCS, and are still there"
        if not suspended and status.get("readyWorkerReplicas", 0) != len(workers):
            return f"status tells of {status.get('readyWorkerReplicas')} ready workers, there are {len(workers)}"
        images = {pod["spec"]["containers"][0]["image"] for pod in (*heads, *workers)}
        wants = {spec["headGroupSpec"]["template"]["spec"]["containers"][0]["image"]}
        return f"Pods run {sorted(images)}, not {sorted(wants)}" if images and images != wants else ""

    def _caches_unlike_lists(self) -> str:
        """Once nothing changes any more, what the leader holds must be what the server holds."""
        leader = self.leader
        if leader is None or leader.controller is None:
            return "nobody leads"
        for reflector in leader.controller.reflectors():
            table = f"{reflector.resource.plural}.{reflector.resource.group}".rstrip(".")
            held = {found.metadata.name: found.metadata.resource_version for found in reflector.cache.list()}
            listed = {key.name: str(entry.revision) for key, entry in self.api.store.entries(table)}
            selected = reflector.resource != RAYCLUSTERS
            if any(listed.get(name) != held[name] for name in held) or (len(held) < len(listed) and not selected):
                return f"the cache of {reflector.resource} holds {held}, the list {listed}"
        return ""


_REST = 20.0
_CHILDREN = ("pods", "services", "jobs.batch")


def _ready(pod: Obj) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or []
    ready = any(found["type"] == "Ready" and found["status"] == "True" for found in conditions)
    return ready and not pod["metadata"].get("deletionTimestamp")


def cluster(name: str, *, ft: bool = True, workers: int = 2, slices: int = 0, **spec: Any) -> Obj:
    """A RayCluster with one plain group, and one of two hosts a replica where `slices` is given."""

    def template(container: str) -> Obj:
        return {"spec": {"containers": [{"name": container, "image": "rayproject/ray:2.9.0"}]}}

    groups: list[Obj] = [{"groupName": "w", "replicas": workers, "template": template("w"), "rayStartParams": {}}]
    if slices:
        groups.append(
            {"groupName": "m", "replicas": slices, "numOfHosts": 2, "template": template("m"), "rayStartParams": {}}
        )
    for group in groups:
        group |= {"minReplicas": 0, "maxReplicas": 10}
    document: Obj = {
        "apiVersion": RAYCLUSTERS.api_version,
        "kind": RAYCLUSTERS.kind,
        "metadata": {
            "name": name,
            "namespace": "default",
            "annotations": {"ray.io/gcs-ft-deletion-timeout": "120"},
        },
        "spec": {
            "rayVersion": "2.9.0",
            "headGroupSpec": {"rayStartParams": {}, "template": template("head")},
            "workerGroupSpecs": groups,
            **spec,
        },
    }
    if ft:
        document["spec"]["gcsFaultToleranceOptions"] = {"redisAddress": "redis:6379"}
    return document


def seeded(seed: int) -> Any:
    """Makes uids and the server's own names part of the run."""
    random.seed(seed)
    uids = lambda: uuid.UUID(int=random.getrandbits(128), version=4)
    return mock.patch.multiple("headstay.local.server.writes", uuid=mock.Mock(uuid4=uids), secrets=random)


@asynccontextmanager
async def world(kit: Kit | None = None, weather: Weather | None = None) -> AsyncIterator[World]:
    found = World(kit or Kit(), weather or Weather())
    await found.start()
    try:
        yield found
    finally:
        await found.stop()
