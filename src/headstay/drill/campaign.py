"""One fault after the other on one place, each recorded as a run.

    make the cluster --> [ prepare --> run --> (spoiled? make it anew) ] ... --> remove

A run that is cut short, for whatever reason, heals what it broke and is kept with the reason.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Protocol

from headstay.drill.faults import KINDS
from headstay.drill.faults.kind import Scene
from headstay.drill.history import Run
from headstay.drill.kube import DrillError, ExecError
from headstay.drill.load import Load
from headstay.drill.onlooker import Onlooker
from headstay.drill.place import Place, storage_namespace
from headstay.drill.recorder import Recorder
from headstay.drill.run import NotDoneError, OneRun
from headstay.drill.schedule import Planned
from headstay.drill.workload import Workload
from headstay.model.errors import StatusError
from headstay.model.resource import PODS
from headstay.runtime.client import TransportError

WHOLE_BOUND = 600.0
"""For a cluster that is made: images may have to be pulled."""
FRESH_BOUND = 180.0
CONNECT_BOUND = 180.0
RUNS_A_CLUSTER = 25
"""Ray keeps the worker process of an actor that was being made when its GCS died, for good. Each answers the next fault

too, and after some fifty runs a new actor took twice as long (docs/drills.md).
"""
INTERRUPTED = "interrupted"


class Watcher(Protocol):
    """Who is told how it goes."""

    def says(self, text: str) -> None: ...
    def began(self, planned: Planned) -> None: ...
    def ended(self, run: Run) -> None: ...


@dataclass
class Campaign:
    """`go` does all that is planned. `runs` grows while it does; `problem` is why it stopped before the end, or ""."""

    place: Place
    planned: Sequence[Planned]
    folder: Path
    watcher: Watcher
    operators: bool
    runs: list[Run] = field(default_factory=list)
    problem: str = ""
    _onlooker: Onlooker | None = None
    _workload: Workload | None = None
    _load: Load | None = None
    _recovery: str = ""
    _spoiled: bool = False
    _runs_here: int = 0

    async def go(self) -> None:
        """Cancelling it ends the run that is on, heals, and stops the workload; the place is the caller's to remove."""
        try:
            for planned in self.planned:
                await self._prepare(planned)
                await self._run(planned)
        except (DrillError, ExecError, StatusError, TransportError) as error:
            self.problem = str(error)
            raise error if isinstance(error, DrillError) else DrillError(self.problem) from error
        except asyncio.CancelledError:
            self.problem = INTERRUPTED
            raise
        finally:
            await self._stop()

    async def _run(self, planned: Planned) -> None:
        assert self._onlooker is not None and self._workload is not None  # noqa: S101, PT018  (prepared)
        head = self._onlooker.head()
        scene = Scene(
            kube=self.place.kube,
            onlooker=self._onlooker,
            own=self.place.own,
            storage_namespace=await storage_namespace(self.place.kube, head.seen.name) if head else "",
            draw=Random(planned.seed),  # noqa: S311  (which worker, not a secret)
            avoid=self._workload.place_of_driver(),
            clock=self._workload.clock,
        )
        self.watcher.began(planned)
        recorder = Recorder(self.folder, planned, time.time())
        one = OneRun(planned, scene, self._workload, recorder, self._load)
        early = "the drill failed"
        try:
            await one.go()
            early = ""
        except NotDoneError as error:
            early = str(error)
        except asyncio.CancelledError:
            early = INTERRUPTED
            raise
        finally:
            self._workload.detach()
            if self._load is not None:
                self._load.detach()
            self._onlooker.listen(None)
            run = recorder.close(time.time(), early)
            self.runs.append(run)
            self.watcher.ended(run)
        spent = any(KINDS[step.name].spends for step in planned.combination.steps)
        self._runs_here += 1
        self._spoiled = not one.well or spent or (self.place.own and self._runs_here >= RUNS_A_CLUSTER)

    async def _prepare(self, planned: Planned) -> None:
        """The target is whole, its head has never restarted, the workload runs. Makes it anew where it must be."""
        if planned.recovery != self._recovery or self._spoiled:
            await self._stop()
            await (self.place.make if planned.recovery != self._recovery else self.place.remake)(planned.recovery)
            self._recovery, self._spoiled, self._runs_here = planned.recovery, False, 0
            await self._start()
            return
        if not self.place.own and any(KINDS[step.name].own_only for step in planned.combination.steps):
            return  # it will be skipped, and nothing has to be touched for that
        try:
            await self._fresh()
        except ExecError as error:
            if not self.place.own:
                raise
            self.watcher.says(f"The cluster does not come to rest: {error}")
            self._spoiled = True
            await self._prepare(planned)

    async def _start(self) -> None:
        kube = self.place.kube
        self._onlooker = Onlooker(kube.client, kube.namespace, self.place.shape, operators=self.operators)
        await self._onlooker.start()
        await self._until(self._onlooker.missing, WHOLE_BOUND, "the cluster to be whole")
        self._workload = Workload(kube, self._onlooker)
        self._workload.start()
        if self.place.shape.serve:
            self._load = Load(kube, self._onlooker)
            await self._load.start()
            await self._load.ready(CONNECT_BOUND)
        await self._settled(self._workload)

    async def _fresh(self) -> None:
        """A head with restarts in its past would be started again with Kubernetes' back-off in the figure."""
        assert self._onlooker is not None and self._workload is not None  # noqa: S101, PT018  (started)
        head = self._onlooker.head()
        if head is not None and head.seen.restarts:
            # A head under `ray start --block` may sit out its whole grace period; nobody measures this one.
            await self.place.kube.delete(PODS, head.seen.name, uid=head.seen.uid, grace=1)
            await self._until(lambda: "the old head" if self._there(head.seen.uid) else "", FRESH_BOUND, "a new head")
        await self._until(self._onlooker.missing, FRESH_BOUND, "the cluster to be whole")
        await self._settled(self._workload)

    def _there(self, uid: str) -> bool:
        return self._onlooker is not None and any(pod.seen.uid == uid for pod in self._onlooker.pods())

    async def _settled(self, workload: Workload) -> None:
        await workload.ready(CONNECT_BOUND)
        end_at = time.monotonic() + FRESH_BOUND
        while True:
            try:
                await workload.ensure_counters()
            except ExecError:
                if time.monotonic() > end_at:
                    raise
                await asyncio.sleep(1)
                await workload.ready(CONNECT_BOUND)
            else:
                return

    async def _until(self, missing: Callable[[], str], bound: float, what: str) -> None:
        end_at, said = time.monotonic() + bound, ""
        while why := missing():
            if time.monotonic() > end_at:
                raise ExecError(f"waited {bound:.0f} s for {what}: {why}")
            if why != said:
                self.watcher.says(f"Waiting: {why}")
                said = why
            await asyncio.sleep(0.2)

    async def _stop(self) -> None:
        if self._load is not None:
            await self._load.stop()
            self._load = None
        if self._workload is not None:
            if not self.place.own:
                await self._clean(self._workload)
            await self._workload.stop()
            self._workload = None
        if self._onlooker is not None:
            await self._onlooker.stop()
            self._onlooker = None

    async def _clean(self, workload: Workload) -> None:
        """Somebody's cluster is left without our actors and keys."""
        try:
            await workload.clean(sorted(workload.counters))
        except ExecError as error:
            self.watcher.says(f"Counters and keys of the drill may be left in the target: {error}")
