"""The probes of one running container, and what their results change in its record.

    startup first, alone; then readiness and liveness side by side
A container without a probe of a kind passes it: started at once, ready when started.
"""

import asyncio
from datetime import datetime
from typing import Protocol

from headstay.local.node.probes import ProbeKind, Report, Target, run_probe
from headstay.local.node.records import ContainerRecord
from headstay.model.objects import Obj, dig


class Probed(Protocol):
    """The container's process, as its probes see it."""

    def probed(self) -> None: ...

    def unhealthy(self, text: str) -> None: ...

    def stop(self, reason: str, grace: int | None = None) -> None: ...


class ContainerProbes:
    def __init__(self, known: ContainerRecord, container: Obj, target: Target, owner: Probed) -> None:
        self._known = known
        self._container = container
        self._target = target
        self._owner = owner
        self._tasks: list[asyncio.Task[None]] = []
        self._stopped = False
        self._began = 0.0

    def start(self, now: datetime) -> None:
        known = self._known
        ran = (now - known.started_at).total_seconds() if known.started_at else 0.0
        self._began = asyncio.get_running_loop().time() - ran
        if self._container.get("startupProbe") and not known.started:
            self._probe("startup", state=False)
        else:
            self._started()

    def stop(self) -> None:
        self._stopped = True
        for task in self._tasks:
            task.cancel()
        self._tasks.clear()

    def _started(self) -> None:
        self._known.started = True
        if self._container.get("livenessProbe"):
            self._probe("liveness", state=True)
        if self._container.get("readinessProbe"):
            self._probe("readiness", state=self._known.ready)
        else:
            self._known.ready = True
        self._owner.probed()

    def _probe(self, kind: ProbeKind, *, state: bool) -> None:
        ran = asyncio.get_running_loop().time() - self._began
        probing = run_probe(kind, self._container[f"{kind}Probe"], self._target, self._report, waited=ran, state=state)
        self._tasks.append(asyncio.create_task(probing, name=f"{kind} probe of {self._known.name}"))

    def _report(self, report: Report) -> None:
        known = self._known
        if self._stopped or known.phase != "running":
            return
        if not report.outcome.success:
            self._owner.unhealthy(f"{report.kind.capitalize()} probe failed: {report.outcome.output}")
        if report.kind == "readiness" and report.changed is not None and known.ready != report.changed:
            known.ready = report.changed
            self._owner.probed()
        elif report.kind != "readiness" and report.changed is False:
            grace = dig(self._container, f"{report.kind}Probe", "terminationGracePeriodSeconds")
            self._owner.stop(f"Container {known.name} failed {report.kind} probe, will be restarted", grace)
        elif report.kind == "startup" and report.changed:
            self._started()
