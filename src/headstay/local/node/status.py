"""A Pod's status as its record says it. Pure, and computed whole each time; it is written only where it differs."""

from datetime import datetime

from headstay.local.node.decide import current_backoff, policy_of, restarts, succeeded
from headstay.local.node.podspec import PodDocument, is_sidecar, quality_of_service
from headstay.local.node.records import ContainerRecord, PodRecord, Termination
from headstay.model.objects import Obj
from headstay.model.timestamps import rfc3339

ENGINE = "podman"


def pod_status(pod: PodDocument, record: PodRecord, host_address: str, now: datetime) -> Obj:
    """The status to write: the agent's own fields. Conditions of others are not in it (they are merged by type)."""
    phase = _phase(pod, record)
    status: Obj = {
        "phase": phase,
        "conditions": _conditions(pod, record, phase, now),
        "hostIP": host_address,
        "hostIPs": [{"ip": host_address}],
        "qosClass": quality_of_service(pod),
        "containerStatuses": [_container(pod, c, record) for c in pod.containers],
    }
    if pod.init_containers:
        status["initContainerStatuses"] = [_container(pod, c, record) for c in pod.init_containers]
    if record.started_at is not None:
        status["startTime"] = rfc3339(record.started_at)
    if record.address:
        status["podIP"] = record.address
        status["podIPs"] = [{"ip": record.address}]
    reason, message = _why(record)
    if reason:
        status |= {"reason": reason, "message": message}
    return status


def status_patch(pod: PodDocument, wanted: Obj) -> Obj | None:
    """The strategic merge patch that makes the API say `wanted`, or None where it says so already."""
    there = {c.get("type"): _comparable(c) for c in pod.status.get("conditions") or []}
    patch: Obj = {key: value for key, value in wanted.items() if key != "conditions" and pod.status.get(key) != value}
    patch |= {key: None for key in ("reason", "message") if key in pod.status and key not in wanted}
    conditions = [
        {gone: None for gone in there.get(new["type"], {}) if gone not in new} | new
        for new in wanted["conditions"]
        if there.get(new["type"]) != new
    ]
    if conditions:
        patch["conditions"] = conditions
    return patch or None


def _comparable(condition: Obj) -> Obj:
    """Without nulls and the fields that only others write."""
    return {key: value for key, value in condition.items() if value is not None and key != "observedGeneration"}


def _why(record: PodRecord) -> tuple[str, str]:
    if record.refusal:
        return "Unsupported", record.refusal
    return (record.outcome[1], record.outcome[2]) if record.outcome is not None else ("", "")


def _phase(pod: PodDocument, record: PodRecord) -> str:
    if record.outcome is not None and not _any_running(record):
        return record.outcome[0]
    started = [record.container(container["name"]).ever_started for container in pod.containers]
    return "Running" if all(started) else "Pending"


def _any_running(record: PodRecord) -> bool:
    return any(one.phase == "running" for one in record.containers.values())


def _conditions(pod: PodDocument, record: PodRecord, phase: str, now: datetime) -> list[Obj]:
    names = [c["name"] for c in pod.containers] + [c["name"] for c in pod.init_containers if is_sidecar(c)]
    unready = [name for name in names if not record.container(name).ready]
    ended = phase in {"Succeeded", "Failed"}
    if ended:
        unready_why = ("PodCompleted" if phase == "Succeeded" else "PodFailed", "")
    else:
        unready_why = ("ContainersNotReady", f"containers with unready status: [{' '.join(unready)}]")
    containers_ready = not unready and not ended
    not_done = [c["name"] for c in pod.init_containers if not _init_done(c, record)]
    initial = (
        not not_done or phase == "Succeeded" or any(record.container(c["name"]).ever_started for c in pod.containers)
    )
    init_why = ("ContainersNotInitialized", f"containers with incomplete status: [{' '.join(not_done)}]")
    closed = _closed_gates(pod)
    gate_why = ("ReadinessGatesNotReady", f"readiness gates that are not True: [{' '.join(closed)}]")
    wanted = [
        ("PodReadyToStartContainers", record.sandbox_ready, ("", "")),
        ("Initialized", initial, init_why),
        ("Ready", containers_ready and not closed, gate_why if containers_ready else unready_why),
        ("ContainersReady", containers_ready, unready_why),
        ("PodScheduled", True, ("", "")),
    ]
    return [_condition(pod, kind, value, ("", "") if value else why, now) for kind, value, why in wanted]


def _init_done(container: Obj, record: PodRecord) -> bool:
    known = record.container(container["name"])
    return known.started if is_sidecar(container) else succeeded(known)


def _closed_gates(pod: PodDocument) -> list[str]:
    there = {c.get("type"): c.get("status") for c in pod.status.get("conditions") or []}
    gates = [gate["conditionType"] for gate in pod.spec.get("readinessGates") or []]
    return [gate for gate in gates if there.get(gate) != "True"]


def _condition(pod: PodDocument, kind: str, value: bool, why: tuple[str, str], now: datetime) -> Obj:
    old: Obj = next((c for c in pod.status.get("conditions") or [] if c.get("type") == kind), {})
    status = "True" if value else "False"
    since = old.get("lastTransitionTime") if old.get("status") == status else None
    condition: Obj = {"type": kind, "status": status, "lastTransitionTime": since or rfc3339(now)}
    return condition | ({"reason": why[0]} if why[0] else {}) | ({"message": why[1]} if why[1] else {})


def container_state(pod: PodDocument, name: str, record: PodRecord) -> Obj:
    """The `state` of one container by its name."""
    container = next(one for one in pod.all_containers if one["name"] == name)
    return _state(pod, container, record.container(name), record)


def _container(pod: PodDocument, container: Obj, record: PodRecord) -> Obj:
    known = record.container(container["name"])
    state = _state(pod, container, known, record)
    last = known.termination if "waiting" in state and known.termination else known.last
    status: Obj = {
        "name": known.name,
        "image": container.get("image") or "",
        "imageID": known.image_id,
        "ready": succeeded(known) if container in pod.init_containers and not is_sidecar(container) else known.ready,
        "restartCount": known.restarts,
        "started": known.started,
        "state": state,
        "lastState": {"terminated": _terminated(last)} if last else {},
    }
    if known.id:
        status["containerID"] = f"{ENGINE}://{known.id}"
    return status


def _state(pod: PodDocument, container: Obj, known: ContainerRecord, record: PodRecord) -> Obj:
    if known.phase == "running":
        return {"running": {"startedAt": rfc3339(known.started_at)} if known.started_at else {}}
    stops = record.outcome is not None or pod.metadata.deletion_timestamp is not None
    if known.phase == "terminated" and known.termination is not None:
        if stops or not restarts(policy_of(pod, container), known):
            return {"terminated": _terminated(known.termination)}
        if known.reason:
            return {"waiting": _waiting(known.reason, known.message)}
        if wait := current_backoff(known):
            text = f"back-off {_duration(wait)} restarting failed container={known.name} pod={pod.metadata.name}"
            return {"waiting": _waiting("CrashLoopBackOff", f"{text}_{pod.metadata.namespace}({pod.metadata.uid})")}
        return {"terminated": _terminated(known.termination)}
    if record.refusal:
        return {"waiting": _waiting("Unsupported", record.refusal)}
    if known.reason:
        return {"waiting": _waiting(known.reason, known.message)}
    return {"waiting": _waiting("PodInitializing" if pod.init_containers else "ContainerCreating", "")}


def _waiting(reason: str, message: str) -> Obj:
    return {"reason": reason} | ({"message": message} if message else {})


def _terminated(ended: Termination) -> Obj:
    found: Obj = {
        "exitCode": ended.exit_code,
        "reason": ended.reason,
        "startedAt": rfc3339(ended.started_at or ended.finished_at),
        "finishedAt": rfc3339(ended.finished_at),
    }
    found |= {"containerID": f"{ENGINE}://{ended.container_id}"} if ended.container_id else {}
    return found | ({"message": ended.message} if ended.message else {})


def _duration(seconds: float) -> str:
    """As Go prints it: 10s, 1m20s, 5m0s."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
