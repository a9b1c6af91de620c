"""The status of a RayCluster, computed whole from what was observed and from how the pass went.

`Provisioned` and `state` are sticky, as in KubeRay: they tell that the cluster once was complete; whether the head is
well now is `HeadPodReady`. Time is only written into what changes anyway, so an idle cluster costs no writes.
"""

from copy import deepcopy
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from headstay.model.meta import Pod
from headstay.model.objects import Obj
from headstay.model.ray import HEAD, NODE_TYPE, WORKER, Service
from headstay.model.ray_names import head_service as head_service_name
from headstay.model.timestamps import rfc3339
from headstay.plan.raycluster.cleanup import CLEANUP_BLOCKED
from headstay.plan.raycluster.conditions import remove_condition, set_condition
from headstay.plan.raycluster.plan import Observed, Plan
from headstay.plan.raycluster.replicas import desired_resources, totals

_NOT_WORTH_A_WRITE = ("lastUpdateTime", "observedGeneration", "desiredCPU", "desiredMemory", "desiredGPU", "desiredTPU")

_COUNTS = ("readyWorkerReplicas", "availableWorkerReplicas")


class Failure(NamedTuple):
    """What stopped the pass. `reason` is that of condition ReplicaFailure, or "" where it has none."""

    reason: str
    message: str


def next_status(observed: Observed, plan: Plan, failure: Failure | None, now: datetime) -> Obj:
    cluster = observed.cluster
    status = deepcopy(cluster.status)
    conditions: list[Obj] = status.setdefault("conditions", [])
    if plan.conditions_only:
        for condition in plan.conditions:
            set_condition(conditions, condition, now)
        return status
    _replica_failure(conditions, plan, failure, now)
    _counts(status, observed)
    complete = failure is None and not plan.incomplete
    if complete and len(observed.pods) == status["desiredWorkerReplicas"] + 1 and all_running(observed.pods):
        status["state"] = "ready"
        status.pop("reason", None)
    heads = observed.of_type(HEAD)
    head = heads[0] if heads else None
    set_condition(conditions, _head_ready(head), now)
    _provisioned(conditions, observed, now)
    _suspension(conditions, observed, now)
    for kind in plan.obsolete:
        remove_condition(conditions, kind)
    for condition in plan.conditions:
        set_condition(conditions, condition, now)
    if not any(condition["type"] == CLEANUP_BLOCKED for condition in plan.conditions):
        remove_condition(conditions, CLEANUP_BLOCKED)
    if cluster.spec.get("suspend") and not observed.pods:
        status["state"] = "suspended"
    _head_and_endpoints(status, head, _head_service(observed))
    status["observedGeneration"] = cluster.metadata.generation
    status["lastUpdateTime"] = rfc3339(now)
    if status.get("state") and status.get("state") != cluster.status.get("state"):
        times = status.setdefault("stateTransitionTimes", {})
        times[status["state"]] = rfc3339(now)
    return status


def is_worth_writing(old: Obj, new: Obj) -> bool:
    """Whether anything changed that somebody waits for."""
    return _without(old, _NOT_WORTH_A_WRITE) != _without(new, _NOT_WORTH_A_WRITE) or "observedGeneration" not in old


def seconds_to_hold(old: Obj, new: Obj, now: datetime) -> float:
    """How long a status worth writing may wait, at most a second: while workers trickle in, a count alone is written
    once in each second of the clock. What anybody acts on, the last worker included, is never held; nor is a status
    without counts, which says why there are none.
    """
    if new.get("readyWorkerReplicas") == new.get("desiredWorkerReplicas") or old.get("lastUpdateTime") != rfc3339(now):
        return 0.0
    return 0.0 if is_worth_writing({**old, **{name: new[name] for name in _COUNTS}}, new) else _rest_of_second(now)


def _rest_of_second(now: datetime) -> float:
    return (1_000_000 - now.microsecond) / 1e6


def _without(status: Obj, fields: tuple[str, ...]) -> Obj:
    return {key: value for key, value in status.items() if key not in fields and value not in ({}, [], "", 0)}


def all_running(pods: tuple[Pod, ...]) -> bool:
    """All Running, none known to be unready, and at least one there."""
    return bool(pods) and all(
        pod.status.phase == "Running" and (pod.condition("Ready") is None or pod.ready) for pod in pods
    )


def _replica_failure(conditions: list[Obj], plan: Plan, failure: Failure | None, now: datetime) -> None:
    if failure is None and not plan.incomplete:
        remove_condition(conditions, "ReplicaFailure")
    elif failure is not None and failure.reason:
        condition = {"type": "ReplicaFailure", "status": "True", "reason": failure.reason, "message": failure.message}
        set_condition(conditions, condition, now)


def _counts(status: Obj, observed: Observed) -> None:
    workers = observed.of_type(WORKER)
    running = [pod for pod in workers if pod.status.phase == "Running"]
    total = totals(observed.cluster)
    resources = desired_resources(observed.cluster)
    status["readyWorkerReplicas"] = sum(1 for pod in running if pod.ready)
    status["availableWorkerReplicas"] = len(running)
    status["desiredWorkerReplicas"] = total.desired
    status["minWorkerReplicas"] = total.lowest
    status["maxWorkerReplicas"] = total.highest
    status["desiredCPU"] = _decimal_text(resources.cpu)
    status["desiredMemory"] = _binary_text(resources.memory)
    status["desiredGPU"] = _decimal_text(resources.gpu)
    status["desiredTPU"] = _decimal_text(resources.tpu)


def _decimal_text(amount: Decimal) -> str:
    """`3`, `1500m`: Kubernetes' canonical decimal form down to milli."""
    if amount == amount.to_integral_value():
        return str(int(amount))
    return f"{int((amount * 1000).to_integral_value())}m"


def _binary_text(amount: Decimal) -> str:
    whole = int(amount)
    for suffix, shift in (("Ti", 40), ("Gi", 30), ("Mi", 20), ("Ki", 10)):
        if whole and whole % (1 << shift) == 0:
            return f"{whole >> shift}{suffix}"
    return str(whole)


def _head_ready(head: Pod | None) -> Obj:
    condition: Obj = {
        "type": "HeadPodReady",
        "status": "False",
        "reason": "HeadPodNotFound",
        "message": "Head Pod not found",
    }
    if head is None:
        return condition
    found = head.condition("Ready")
    if found is None:
        return condition | {"reason": "Unknown", "message": ""}
    reason, message = found.reason, found.message
    if reason == "ContainersNotReady" and (detail := _trouble(head)):
        reason = detail[0] or reason
        message = f"{message}; {detail[1]}" if message else detail[1]
    if not reason:
        reason = "HeadPodRunningAndReady" if found.status == "True" else "Unknown"
    return {"type": "HeadPodReady", "status": found.status, "reason": reason, "message": message}


def _trouble(pod: Pod) -> tuple[str, str] | None:
    """Reason and text of the first container that waits or has ended."""
    for status in pod.status.container_statuses:
        state = status.state.waiting or status.state.terminated
        if state is not None:
            return state.reason, f"{status.name}: {state.message or state.reason}"
    return None


def _provisioned(conditions: list[Obj], observed: Observed, now: datetime) -> None:
    if observed.cluster.is_true("RayClusterProvisioned") or observed.cluster.is_true("RayClusterSuspended"):
        return
    done = all_running(observed.pods)
    condition = {
        "type": "RayClusterProvisioned",
        "status": "True" if done else "False",
        "reason": "AllPodRunningAndReadyFirstTime" if done else "RayClusterPodsProvisioning",
        "message": "All Ray Pods are ready for the first time" if done else "RayCluster Pods are being provisioned",
    }
    set_condition(conditions, condition, now)


def _suspension(conditions: list[Obj], observed: Observed, now: datetime) -> None:
    """Suspending -> (no Pod left) -> Suspended -> (spec.suspend false) -> neither. It never turns back half-way."""
    cluster = observed.cluster
    wanted = cluster.spec.get("suspend")
    suspending, suspended = cluster.is_true("RayClusterSuspending"), cluster.is_true("RayClusterSuspended")
    if suspending:
        if not observed.pods:
            message = "RayCluster has been suspended"
            reset = {"status": "False", "reason": "RayClusterPodsProvisioning", "message": message}
            set_condition(conditions, {"type": "RayClusterProvisioned"} | reset, now)
            suspending, suspended = False, True
    elif suspended:
        suspended = wanted is not False
    else:
        suspending = bool(wanted)
    for kind, holds in (("RayClusterSuspending", suspending), ("RayClusterSuspended", suspended)):
        entry = {"type": kind, "status": "True" if holds else "False", "reason": kind, "message": ""}
        set_condition(conditions, entry, now)


def head_services(observed: Observed) -> list[Service]:
    return [service for service in observed.services if service.metadata.labels.get(NODE_TYPE) == HEAD]


def _head_service(observed: Observed) -> Service | None:
    """Ours by name: a user may give Services of their own the same labels."""
    found = head_services(observed)
    name = head_service_name(observed.cluster)
    return next((service for service in found if service.metadata.name == name), found[0] if found else None)


def _head_and_endpoints(status: Obj, head: Pod | None, service: Service | None) -> None:
    info: Obj = {}
    if head is not None:
        info |= {"podName": head.metadata.name} | ({"podIP": head.status.pod_ip} if head.status.pod_ip else {})
    if service is not None:
        info["serviceName"] = service.metadata.name
        headless = service.spec.cluster_ip == "None"
        address = (head.status.pod_ip if head else "") if headless else service.spec.cluster_ip
        if address:
            info["serviceIP"] = address
        endpoints = {port.name: str(port.node_port or port.target_port) for port in service.spec.ports if port.name}
        status["endpoints"] = {name: port for name, port in endpoints.items() if port != "0"}
    status["head"] = info
