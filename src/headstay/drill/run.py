"""One run: the target is well, it is broken, it is well again (or not), and what was promised is read back."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from headstay.drill.expression import Step
from headstay.drill.faults import KINDS
from headstay.drill.faults.kind import Broken, Kind, Scene
from headstay.drill.history import Call, Fault, Note, Record
from headstay.drill.kube import ExecError
from headstay.drill.load import Load
from headstay.drill.milestones import from_history, from_keeper
from headstay.drill.recorder import Recorder
from headstay.drill.requests import CALM
from headstay.drill.schedule import Planned
from headstay.drill.wellness import NEEDED, NEEDED_OF_SERVE, Carried, Wellness
from headstay.drill.workload import Workload
from headstay.model.errors import StatusError
from headstay.model.keeper_state import KeeperState
from headstay.runtime.client import TransportError

PATIENCE = {"InPlace": 120.0, "RestartHead": 300.0}
"""So long, after the last fault was over, may the target take to be well again."""
_BEFORE = 60.0
_BEFORE_SERVE = 120.0
_ASLEEP = 0.05
_STALL = 1.0


class NotDoneError(Exception):
    """The run could not be done as planned; the text says why."""


@dataclass
class OneRun:
    """`go` does it once. `well` tells afterwards whether the target was well at the end."""

    planned: Planned
    scene: Scene
    workload: Workload
    recorder: Recorder
    load: Load | None = None
    well: bool = False
    _broken: dict[Step, Broken] = field(default_factory=dict)

    async def go(self) -> None:
        """Raises NotDoneError. Whatever was broken is healed when it returns, also when it is cancelled."""
        if await self._skipped():
            self.well = True
            return
        wellness = Wellness(max(kind.settle for kind, _ in self._kinds()), self.workload.counters, self._needed())
        counters = list(self.workload.counters)
        self._listen(wellness)
        watching = asyncio.create_task(self._note_stalls())
        try:
            await self._look_at_nodes()
            await self._begin_load()
            await self._well_before()
            await asyncio.sleep(self.planned.lead + self._calm)
            injected = await self._break(wellness)
            self.well = await self._until_well(wellness)
            await self._end_load()
        finally:
            watching.cancel()
            await self._heal_at_once()
            await self._stop_load()
        await self._last_reads(sorted({*counters, *self.workload.counters}))
        await self._milestones(injected)

    def _needed(self) -> Sequence[str]:
        return NEEDED_OF_SERVE if self.load else NEEDED

    @property
    def _calm(self) -> float:
        return CALM if self.load else 0.0

    async def _begin_load(self) -> None:
        if self.load is None:
            return
        try:
            await self.load.go(self.planned.rate)
        except ExecError as error:
            raise NotDoneError(f"no requests could be sent: {error}") from error

    async def _end_load(self) -> None:
        """After a while in which nothing else is asked; then nothing is under way, unless its end was not told."""
        if self.load is None:
            return
        try:
            await self.workload.probe(on=False)
        except ExecError as error:
            self._write(Note(time.time(), f"new actors may go on being asked for: {error}"))
        await asyncio.sleep(CALM)
        try:
            await self.load.rest()
        except ExecError as error:
            self._write(Note(time.time(), f"the load did not come to rest: {error}"))

    async def _stop_load(self) -> None:
        """Of a run that was cut short; nobody waits for answers."""
        if self.load is None:
            return
        try:
            await self.load.go(0)
        except ExecError as error:
            self._write(Note(time.time(), f"the load may go on: {error}"))

    async def _note_stalls(self) -> None:
        """A machine that stalls makes every time of the run a guess, and a reader has to know."""
        while True:
            asleep = time.monotonic()
            await asyncio.sleep(_ASLEEP)
            late = time.monotonic() - asleep - _ASLEEP
            if late > _STALL:
                text = f"the machine that the drill runs on stalled for {late:.1f} s"
                self._write(Note(time.time(), text, stalled=late))

    async def _skipped(self) -> bool:
        """A combination of which one part cannot be done is not done at all."""
        reasons = {}
        for step in self.planned.combination.steps:
            try:
                reason = await KINDS[step.name].refusal(self.scene)
            except (ExecError, StatusError, TransportError) as error:
                reason = f"whether it may be done could not be found out: {error}"
            if reason:
                reasons[step] = reason
        for step in self.planned.combination.steps if reasons else ():
            reason = reasons.get(step) or f"together with {next(iter(reasons))}, which cannot be done"
            self._write(Fault(str(step), "", time.time(), skipped=reason))
        return bool(reasons)

    def _kinds(self) -> Sequence[tuple[Kind, Step]]:
        return [(KINDS[step.name], step) for step in self.planned.combination.steps]

    def _listen(self, wellness: Wellness) -> None:
        def heard(record: Record) -> None:
            if isinstance(record, Call):
                wellness.call(record)

        self.recorder.listen(heard)
        self.workload.attach(self._write, wellness.lost)
        self.scene.onlooker.listen(self._write)
        if self.load is not None:
            self.load.attach(self._write)

    async def _well_before(self) -> None:
        """All that is needed is answered, and the last new actor has been, so that the next is asked for afterwards."""
        before, carried = Wellness(0, self.workload.counters, self._needed()), Carried()
        before.trouble(time.time() - 1)

        def heard(record: Record) -> None:
            if isinstance(record, Call):
                before.call(record)
                carried.call(record)

        def missing() -> str:
            now = time.time()
            return before.missing(now, self.scene.onlooker.missing()) or (carried.missing(now) if self.load else "")

        self.recorder.listen(heard)
        try:
            await self.workload.probe(on=True)
            end_at = time.time() + (_BEFORE_SERVE if self.load else _BEFORE)
            while why := missing():
                if time.time() > end_at:
                    raise NotDoneError(f"the target was not well in time before the fault: {why}")
                await asyncio.sleep(_ASLEEP)
            await self.workload.probe(on=False)
        except ExecError as error:
            raise NotDoneError(f"before the fault: {error}") from error
        while self.workload.asking() and time.time() < end_at:  # noqa: ASYNC110  (a time-out ends it, mostly)
            await asyncio.sleep(_ASLEEP)

    async def _break(self, wellness: Wellness) -> float:
        """Does all of it, one right after the other, and has new actors asked for from the first on."""
        injected = 0.0
        for kind, step in self._kinds():
            seconds = step.parameter if step.parameter is not None else kind.default or 0.0
            try:
                broken = await kind.inject(self.scene, seconds)
            except (ExecError, StatusError, TransportError) as error:
                raise NotDoneError(f"{step} could not be done: {error}") from error
            self._broken[step] = broken
            wellness.trouble(broken.at)
            if not injected:
                injected = broken.at
                await self._probe_from_now_on()
            self._write(Note(time.time(), f"{step} was done to {broken.target}: {broken.detail}"))
        return injected

    async def _probe_from_now_on(self) -> None:
        try:
            await self.workload.probe(on=True)
        except ExecError as error:
            self._write(Note(time.time(), f"new actors could not be asked for at once: {error}"))

    async def _until_well(self, wellness: Wellness) -> bool:
        healing = [asyncio.create_task(self._heal(step, at_once=False)) for step in list(self._broken)]
        try:
            patience = PATIENCE[self.planned.recovery]
            end_at: float | None = None
            while True:
                now, still = time.time(), ", ".join(map(str, self._broken))
                missing = wellness.missing(now, f"{still} is not over" if still else self.scene.onlooker.missing())
                if not missing:
                    return True
                end_at = end_at if end_at is not None or still else now + patience
                if end_at is not None and now > end_at:
                    self._write(Note(now, f"not well {patience:.0f} s after the fault was over: {missing}"))
                    return False
                await asyncio.sleep(_ASLEEP)
        finally:
            for task in healing:
                task.cancel()
            await asyncio.gather(*healing, return_exceptions=True)

    async def _heal(self, step: Step, *, at_once: bool) -> None:
        broken = self._broken[step]
        healed = await broken.heal(at_once) if broken.heal is not None else broken.at
        del self._broken[step]
        self._write(Fault(str(step), broken.target, broken.at, healed=healed, detail=broken.detail))

    async def _heal_at_once(self) -> None:
        """What a run that was cut short leaves broken. What cannot be reached heals by its lease."""
        for step in list(self._broken):
            try:
                await self._heal(step, at_once=True)
            except ExecError as error:
                broken = self._broken.pop(step)
                self._write(Fault(str(step), broken.target, broken.at, detail=f"{broken.detail}; {error}"))

    async def _last_reads(self, counters: list[str]) -> None:
        """Of every write that was acknowledged, and every counter that was there when the run began."""
        keys = [call.subject for call in self.recorder.calls("kv-put") if call.outcome == "ok"]
        try:
            await self.workload.probe(on=False)
            await self.workload.read(keys, counters, timeout=60 + 12 * len(counters))
        except ExecError as error:
            self._write(Note(time.time(), f"not everything could be read back: {error}"))
        await self._look_at_nodes()

    async def _look_at_nodes(self) -> None:
        onlooker = self.scene.onlooker
        try:
            onlooker.nodes = await self.workload.nodes()
        except ExecError as error:
            onlooker.nodes = {}
            self._write(Note(time.time(), f"the GCS's node table could not be read: {error}"))
        onlooker.look(force=True)

    async def _milestones(self, injected: float) -> None:
        found = from_history(self.recorder.records(), injected)
        head = self.scene.onlooker.head()
        try:
            state = msgspec.convert(await self.workload.keeper(), KeeperState)
        except (ExecError, msgspec.ValidationError):
            pass  # no keeper, or one that does not tell: the history has to do
        else:
            told = from_keeper(state, injected, self.scene.clock(head.seen.name) if head else 0.0)
            names = {phase.name for phase in told}
            found = [*told, *(phase for phase in found if phase.name not in names)]
        for phase in sorted(found, key=lambda phase: phase.at):
            self._write(phase)

    def _write(self, record: Record) -> None:
        self.recorder.write(record)
