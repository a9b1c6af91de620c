"""A history, sorted out: what checkers and figures both need to know of a run, found once."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TypeVar

from headstay.drill.history import Actor, Call, Fault, Look, Note, Phase, PodSeen, Run

T = TypeVar("T")
PROBE = "new-actor"
_CUT_OFF_S = 5.0
"""A call begun this near to the end and never answered says nothing: the end came before its time-out."""


@dataclass(frozen=True)
class Outage:
    """A stretch after the fault in which no new actor was answered. `ended` is None where the run ended first."""

    began: float
    ended: float | None


@dataclass(frozen=True)
class Life:
    """One Pod as all looks together show it."""

    pod: PodSeen
    first: float
    last: float
    restarts: tuple[float, ...]
    """When its container was first seen to have restarted, once for each restart."""
    gone: float | None
    """When it was first missed, or None if it was there to the end."""

    @property
    def unharmed(self) -> bool:
        return self.gone is None and not self.restarts


@dataclass(frozen=True)
class Reading:
    run: Run

    @cached_property
    def calls(self) -> tuple[Call, ...]:
        return tuple(sorted(self._all(Call), key=lambda call: call.began))

    @cached_property
    def by_operation(self) -> dict[str, list[Call]]:
        found: dict[str, list[Call]] = defaultdict(list)
        for call in self.calls:
            found[call.operation].append(call)
        return dict(found)

    @cached_property
    def by_subject(self) -> dict[str, list[Call]]:
        found: dict[str, list[Call]] = defaultdict(list)
        for call in self.calls:
            found[call.subject].append(call)
        return dict(found)

    @cached_property
    def faults(self) -> tuple[Fault, ...]:
        """Those that were done, in order."""
        return tuple(sorted((f for f in self._all(Fault) if not f.skipped), key=lambda fault: fault.injected))

    @cached_property
    def skipped(self) -> str:
        """Why the run did nothing, or ""."""
        reasons = [f"{fault.name}: {fault.skipped}" for fault in self._all(Fault) if fault.skipped]
        return "" if self.faults else "; ".join(reasons)

    @cached_property
    def looks(self) -> tuple[Look, ...]:
        return tuple(sorted(self._all(Look), key=lambda look: look.at))

    @cached_property
    def actors(self) -> dict[str, list[Actor]]:
        found: dict[str, list[Actor]] = defaultdict(list)
        for actor in sorted(self._all(Actor), key=lambda actor: actor.at):
            found[actor.name].append(actor)
        return dict(found)

    @cached_property
    def phases(self) -> tuple[Phase, ...]:
        return tuple(sorted(self._all(Phase), key=lambda phase: phase.at))

    @cached_property
    def notes(self) -> tuple[Note, ...]:
        return tuple(sorted(self._all(Note), key=lambda note: note.at))

    @cached_property
    def injected(self) -> float | None:
        """When the first fault was done."""
        return self.faults[0].injected if self.faults else None

    @cached_property
    def over(self) -> float | None:
        """When nothing was broken on purpose any longer. None if no fault was done or one was never healed."""
        if not self.faults or any(fault.healed is None for fault in self.faults):
            return None
        return max(fault.healed for fault in self.faults if fault.healed is not None)

    @cached_property
    def outages(self) -> tuple[Outage, ...]:
        """The first is from `injected` to the first answer of a new actor asked for after it. A later one is a stretch

        between two answers in which some new actor was refused or never answered.
        """
        if self.injected is None:
            return ()
        asked = [call for call in self.by_operation.get(PROBE, []) if call.began >= self.injected]
        answered = sorted((call.ended, call.began) for call in asked if call.outcome == "ok" and call.ended is not None)
        if not answered:
            return (Outage(self.injected, None),)
        ends = [ended for ended, _began in answered]
        refused = [call.began for call in asked if call.outcome != "ok" and not self.cut_off(call)]
        later = [Outage(a, b) for a, b in pairwise(ends) if any(a <= began < b for began in refused)]
        still = [Outage(ends[-1], None)] if any(began >= ends[-1] for began in refused) else []
        return (Outage(self.injected, ends[0]), *later, *still)

    @cached_property
    def back(self) -> float | None:
        """From when on new actors were answered for good. None if they were not at the end, or no fault was done."""
        return self.outages[-1].ended if self.outages else None

    @property
    def last_answer(self) -> float | None:
        """The end of the last outage that ended: from then on the cluster had recovered, for good or for a while."""
        return self.back if self.back is not None or len(self.outages) < 2 else self.outages[-1].began

    @cached_property
    def lives(self) -> tuple[Life, ...]:
        return tuple(self._lives())

    def unasked(self, outage: Outage) -> list[tuple[float, float]]:
        """The stretches of an outage, from and to, in which nobody was waiting for a new actor."""
        until = self.run.ended if outage.ended is None else outage.ended
        waited_until, found = outage.began, []
        for call in self.by_operation.get(PROBE, []):
            if call.began > until:
                break
            if call.began > waited_until:
                found.append((waited_until, call.began))
            waited_until = max(waited_until, until if call.ended is None else call.ended)
        return [*found, (waited_until, until)] if waited_until < until else found

    def stalls(self, outage: Outage) -> list[tuple[float, float]]:
        """The stretches of an outage in which the machine stood still: whoever asked, and who answered, perhaps too."""
        until = self.run.ended if outage.ended is None else outage.ended
        spans = [(max(note.at - note.stalled, outage.began), min(note.at, until)) for note in self.notes]
        return [(began, ended) for began, ended in spans if ended > began]

    def lives_of(self, role: str) -> list[Life]:
        return [life for life in self.lives if life.pod.role == role]

    def done(self, name: str) -> list[Fault]:
        """The faults of that name, with or without a parameter."""
        return [fault for fault in self.faults if fault.name == name or fault.name.startswith((f"{name}-", f"{name}:"))]

    def begun_afresh(self) -> list[Fault]:
        """The faults that give up on purpose all that the cluster remembers."""
        return [*self.done("redis-flush"), *self.done("upgrade")]

    def cut_off(self, call: Call) -> bool:
        return call.ended is None and call.began > self.run.ended - _CUT_OFF_S

    def since(self, at: float) -> float:
        """Seconds since the fault, or since the run began where there was none."""
        return at - (self.run.began if self.injected is None else self.injected)

    def looked(self, after: float) -> bool:
        return bool(self.looks) and self.looks[-1].at >= after

    def _all(self, kind: type[T]) -> Iterator[T]:
        return (record for record in self.run.records if isinstance(record, kind))

    def _lives(self) -> Iterator[Life]:
        seen: dict[str, list[tuple[float, PodSeen]]] = defaultdict(list)
        for look in self.looks:
            for pod in look.pods:
                seen[pod.uid].append((look.at, pod))
        for sightings in seen.values():
            first, last = sightings[0][0], sightings[-1][0]
            # A Pod that was there at the start may have a past; one that came later has none.
            known = sightings[0][1].restarts if first == self.looks[0].at else 0
            restarts: list[float] = []
            for at, pod in sightings:
                restarts += [at] * max(0, pod.restarts - known)
                known = max(known, pod.restarts)
            missed = next((look.at for look in self.looks if look.at > last), None)
            yield Life(sightings[-1][1], first, last, tuple(restarts), missed)
