"""Pods, as kubectl's users know them: READY, STATUS and RESTARTS are computed from many fields at once."""

from datetime import datetime
from typing import Any, NamedTuple

from headstay.local.server.printing.ages import age
from headstay.local.server.printing.table import AGE, NAME, Column, Printer
from headstay.local.server.printing.text import created, name, number, or_none, string
from headstay.model.objects import Obj, dig
from headstay.model.timestamps import parse

_TERMINAL = {"Succeeded", "Failed"}


class PodText(NamedTuple):
    ready: str
    status: str
    restarts: str


class _Counted(NamedTuple):
    """What a walk over container statuses found; `last` is when a container last ended before it was restarted."""

    reason: str
    ready: int
    restarts: int
    last: str


def pod_text(pod: Obj, now: datetime) -> PodText:
    spec, status = pod.get("spec") or {}, pod.get("status") or {}
    reason = string(status, "reason") or string(status, "phase")
    scheduled = _condition(status, "PodScheduled")
    if scheduled and scheduled.get("reason") == "SchedulingGated":
        reason = "SchedulingGated"
    sidecars = {c["name"] for c in spec.get("initContainers") or [] if c.get("restartPolicy") == "Always"}
    init, initializing = _walk_init(spec, status, sidecars, reason)
    counted = init
    if not initializing or _is_true(status, "Initialized"):
        counted = _walk_main(status, sidecars, init)
    reason = _deleted_reason(pod, counted.reason)
    total = len(spec.get("containers") or []) + len(sidecars)
    restarts = str(counted.restarts)
    if counted.restarts and counted.last:
        restarts = f"{counted.restarts} ({age(counted.last, now)} ago)"
    return PodText(f"{counted.ready}/{total}", reason, restarts)


def _walk_init(spec: Obj, status: Obj, sidecars: set[str], reason: str) -> tuple[_Counted, bool]:
    """The init containers up to the first that is not done, which says what the Pod waits for."""
    ready, restarts, last = 0, 0, ""
    total = len(spec.get("initContainers") or [])
    for index, container in enumerate(status.get("initContainerStatuses") or []):
        restarts += number(container, "restartCount")
        last = _later(last, container)
        terminated = dig(container, "state", "terminated")
        waiting = string(container, "state", "waiting", "reason")
        if terminated and not terminated.get("exitCode"):
            continue
        if container.get("name") in sidecars and container.get("started"):
            ready += 1 if container.get("ready") else 0
            continue
        if terminated:
            found = f"Init:{_terminated_reason(terminated)}"
        elif waiting and waiting != "PodInitializing":
            found = f"Init:{waiting}"
        else:
            found = f"Init:{index}/{total}"
        return _Counted(found, ready, restarts, last), True
    return _Counted(reason, ready, restarts, last), False


def _walk_main(status: Obj, sidecars: set[str], init: _Counted) -> _Counted:
    """Past initialization the restarts of plain init containers no longer count."""
    kept = [c for c in status.get("initContainerStatuses") or [] if c.get("name") in sidecars]
    restarts, last = sum(number(c, "restartCount") for c in kept), ""
    for container in kept:
        last = _later(last, container)
    reason, ready, running = init.reason, init.ready, False
    for container in reversed(status.get("containerStatuses") or []):
        restarts += number(container, "restartCount")
        last = _later(last, container)
        terminated = dig(container, "state", "terminated")
        if waiting := string(container, "state", "waiting", "reason"):
            reason = waiting
        elif terminated:
            reason = _terminated_reason(terminated)
        elif container.get("ready") and dig(container, "state", "running") is not None:
            running = True
            ready += 1
    if reason == "Completed" and running:
        reason = "Running" if _is_true(status, "Ready") else "NotReady"
    return _Counted(reason, ready, restarts, last)


def _terminated_reason(terminated: Obj) -> str:
    if reason := string(terminated, "reason"):
        return reason
    if signal := terminated.get("signal"):
        return f"Signal:{signal}"
    return f"ExitCode:{terminated.get('exitCode', 0)}"


def _deleted_reason(pod: Obj, reason: str) -> str:
    status = pod.get("status") or {}
    if not pod["metadata"].get("deletionTimestamp"):
        return reason
    if status.get("reason") == "NodeLost":
        return "Unknown"
    return reason if status.get("phase") in _TERMINAL else "Terminating"


def _later(last: str, container: Obj) -> str:
    ended = string(container, "lastState", "terminated", "finishedAt")
    if not ended or (last and parse(ended) <= parse(last)):
        return last
    return ended


def _condition(status: Obj, kind: str) -> Obj | None:
    return next((c for c in status.get("conditions") or [] if c.get("type") == kind), None)


def _is_true(status: Obj, kind: str) -> bool:
    found = _condition(status, kind)
    return found is not None and found.get("status") == "True"


def _readiness_gates(pod: Obj) -> str:
    gates = dig(pod, "spec", "readinessGates") or []
    if not gates:
        return "<none>"
    passed = sum(1 for gate in gates if _is_true(pod.get("status") or {}, gate.get("conditionType", "")))
    return f"{passed}/{len(gates)}"


def _cells(pod: Obj, now: datetime) -> list[Any]:
    text = pod_text(pod, now)
    return [
        name(pod),
        text.ready,
        text.status,
        text.restarts,
        created(pod, now),
        or_none(string(pod, "status", "podIP")),
        or_none(string(pod, "spec", "nodeName")),
        or_none(string(pod, "status", "nominatedNodeName")),
        _readiness_gates(pod),
    ]


def _row_conditions(pod: Obj) -> list[Obj]:
    messages = {"Succeeded": "The pod has completed successfully.", "Failed": "The pod failed."}
    phase = string(pod, "status", "phase")
    if phase not in messages:
        return []
    return [{"type": "Completed", "status": "True", "reason": phase, "message": messages[phase]}]


POD = Printer(
    (
        NAME,
        Column("Ready", description="The aggregate readiness state of this pod for accepting traffic."),
        Column("Status", description="The aggregate status of the containers in this pod."),
        Column("Restarts", description="The number of times the containers in this pod have been restarted."),
        AGE,
        Column("IP", priority=1),
        Column("Node", priority=1),
        Column("Nominated Node", priority=1),
        Column("Readiness Gates", priority=1),
    ),
    _cells,
    _row_conditions,
)
