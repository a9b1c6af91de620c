"""The status of a RayService, computed whole from what was observed and decided. An idle one costs no writes."""

from copy import deepcopy
from datetime import datetime

from headstay.model.objects import Obj
from headstay.model.ray import CLUSTER
from headstay.model.rayservice import READY, SUSPENDED, SUSPENDING, RayService
from headstay.model.timestamps import rfc3339
from headstay.plan.raycluster.conditions import remove_condition, set_condition
from headstay.plan.rayservice import conditions as words
from headstay.plan.rayservice.clusters import serve_service_name
from headstay.plan.rayservice.plan import Names, Observed, Plan

_STILL_INITIALIZING = frozenset({words.INITIALIZING, "ValidationFailed"})


def next_status(observed: Observed, plan: Plan, names: Names, now: datetime) -> Obj:
    service = observed.service
    status = deepcopy(service.status)
    conditions: list[Obj] = status.setdefault("conditions", [])
    if plan.conditions_only:
        for condition in plan.conditions:
            set_condition(conditions, condition, now)
        return status
    for kind in plan.obsolete:
        remove_condition(conditions, kind)
    _set_or_drop(status, "activeServiceStatus", _cluster_status(observed, names.active))
    _set_or_drop(status, "pendingServiceStatus", _cluster_status(observed, names.pending))
    endpoints = _endpoints(observed)
    status["numServeEndpoints"] = endpoints
    for condition in plan.conditions:
        set_condition(conditions, condition, now)
    if not any(condition["type"] == READY for condition in plan.conditions):
        _ready(conditions, service, endpoints if names.active else 0, plan.reason, now)
    ready = any(found["type"] == READY and found["status"] == "True" for found in conditions)
    status["serviceStatus"] = "Running" if ready else ""
    status["observedGeneration"] = service.metadata.generation
    status["lastUpdateTime"] = rfc3339(now)
    return status


def is_worth_writing(old: Obj, new: Obj) -> bool:
    return _essence(old) != _essence(new) or old.get("observedGeneration") != new.get("observedGeneration")


def _essence(status: Obj) -> Obj:
    """Without what changes by itself, and with blanks as if they were absent."""
    kept = {key: value for key, value in status.items() if key not in {"lastUpdateTime", "observedGeneration"}}
    for field in ("activeServiceStatus", "pendingServiceStatus"):
        if cluster := (kept.get(field) or {}).get("rayClusterStatus"):
            told = {key: value for key, value in cluster.items() if key != "lastUpdateTime"}
            kept[field] = kept[field] | {"rayClusterStatus": told}
    return {key: value for key, value in kept.items() if value not in ({}, [], "", 0)}


def _set_or_drop(status: Obj, field: str, value: Obj) -> None:
    if value:
        status[field] = value
    else:
        status.pop(field, None)


def _cluster_status(observed: Observed, name: str) -> Obj:
    """What is not known now stays as it was last told of the same cluster."""
    if not name:
        return {}
    before: Obj = next(
        (
            told
            for told in (
                observed.service.status.get(field) for field in ("activeServiceStatus", "pendingServiceStatus")
            )
            if told and told.get("rayClusterName") == name
        ),
        {},
    )
    shown: Obj = {key: before[key] for key in ("rayClusterStatus", "applicationStatuses") if before.get(key)}
    seen = observed.find(name)
    if seen is not None and seen.cluster.status:
        shown["rayClusterStatus"] = seen.cluster.status
    if seen is not None and seen.applications is not None:
        _set_or_drop(shown, "applicationStatuses", seen.applications.statuses)
    return {"rayClusterName": name} | shown


def _endpoints(observed: Observed) -> int:
    """Ready Pods that the serve Service selects now."""
    found = observed.service_named(serve_service_name(observed.service))
    seen = observed.find(found.spec.selector.get(CLUSTER, "")) if found is not None else None
    return len(seen.endpoints) if seen is not None else 0


def _ready(conditions: list[Obj], service: RayService, endpoints: int, why: str, now: datetime) -> None:
    if service.is_true(SUSPENDING) or service.is_true(SUSPENDED):
        return
    before = service.condition(READY)
    if before is not None and before.reason == words.TIMED_OUT:
        return
    if endpoints:
        set_condition(conditions, words.serving(endpoints), now)
    elif before is None or before.reason in _STILL_INITIALIZING:
        if before is not None and before.reason != words.INITIALIZING:
            remove_condition(conditions, READY)  # the time of an initializing timeout begins with the valid spec
        set_condition(conditions, words.initializing(f"RayService is initializing: {why}"), now)
    else:
        set_condition(conditions, words.serving(0), now)
