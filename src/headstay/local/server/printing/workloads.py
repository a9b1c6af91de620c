"""Deployments, ReplicaSets, StatefulSets, DaemonSets, Jobs, CronJobs, ControllerRevisions, autoscalers, budgets."""

from datetime import datetime
from typing import Any

from headstay.local.server.printing.ages import NONE, age, duration
from headstay.local.server.printing.table import AGE, NAME, Column, Printer
from headstay.local.server.printing.text import (
    CONTAINERS,
    IMAGES,
    SELECTOR,
    containers_and_images,
    created,
    label_text,
    name,
    number,
    selector,
    string,
)
from headstay.model.objects import Obj, controller_of, dig
from headstay.model.timestamps import parse

_INTEGER = "integer"


def _template(obj: Obj) -> list[str]:
    return containers_and_images(dig(obj, "spec", "template", "spec"))


def _deployment(obj: Obj, now: datetime) -> list[Any]:
    return [
        name(obj),
        f"{number(obj, 'status', 'readyReplicas')}/{number(obj, 'spec', 'replicas')}",
        number(obj, "status", "updatedReplicas"),
        number(obj, "status", "availableReplicas"),
        created(obj, now),
        *_template(obj),
        selector(obj),
    ]


def _replica_set(obj: Obj, now: datetime) -> list[Any]:
    return [
        name(obj),
        number(obj, "spec", "replicas"),
        number(obj, "status", "replicas"),
        number(obj, "status", "readyReplicas"),
        created(obj, now),
        *_template(obj),
        selector(obj),
    ]


def _stateful_set(obj: Obj, now: datetime) -> list[Any]:
    ready = f"{number(obj, 'status', 'readyReplicas')}/{number(obj, 'spec', 'replicas')}"
    return [name(obj), ready, created(obj, now), *_template(obj)]


def _daemon_set(obj: Obj, now: datetime) -> list[Any]:
    counts = (
        "desiredNumberScheduled",
        "currentNumberScheduled",
        "numberReady",
        "updatedNumberScheduled",
        "numberAvailable",
    )
    return [
        name(obj),
        *(number(obj, "status", count) for count in counts),
        label_text(dig(obj, "spec", "template", "spec", "nodeSelector")),
        created(obj, now),
        *_template(obj),
        selector(obj),
    ]


def _job(obj: Obj, now: datetime) -> list[Any]:
    return [
        name(obj),
        _job_status(obj),
        _completions(obj),
        _job_duration(obj, now),
        created(obj, now),
        *_template(obj),
        selector(obj),
    ]


def _job_status(obj: Obj) -> str:
    true = {c.get("type") for c in dig(obj, "status", "conditions") or [] if c.get("status") == "True"}
    for condition in ("Complete", "Failed"):
        if condition in true:
            return condition
    if obj["metadata"].get("deletionTimestamp"):
        return "Terminating"
    return next((c for c in ("Suspended", "FailureTarget", "SuccessCriteriaMet") if c in true), "Running")


def _completions(obj: Obj) -> str:
    done, wanted = number(obj, "status", "succeeded"), dig(obj, "spec", "completions")
    if wanted is not None:
        return f"{done}/{wanted}"
    parallelism = number(obj, "spec", "parallelism")
    return f"{done}/1 of {parallelism}" if parallelism > 1 else f"{done}/1"


def _job_duration(obj: Obj, now: datetime) -> str:
    started, ended = string(obj, "status", "startTime"), string(obj, "status", "completionTime")
    if not started:
        return ""
    return duration(((parse(ended) if ended else now) - parse(started)).total_seconds())


def _cron_job(obj: Obj, now: datetime) -> list[Any]:
    last = string(obj, "status", "lastScheduleTime")
    return [
        name(obj),
        string(obj, "spec", "schedule"),
        string(obj, "spec", "timeZone") or NONE,
        "True" if dig(obj, "spec", "suspend") else "False",
        len(dig(obj, "status", "active") or []),
        age(last, now) if last else NONE,
        created(obj, now),
        *containers_and_images(dig(obj, "spec", "jobTemplate", "spec", "template", "spec")),
        NONE,
    ]


def _controller_revision(obj: Obj, now: datetime) -> list[Any]:
    owner = controller_of(obj)
    controller = NONE
    if owner:
        group = owner["apiVersion"].rpartition("/")[0]
        controller = f"{owner['kind'].lower()}{'.' + group if group else ''}/{owner['name']}"
    return [name(obj), controller, number(obj, "revision"), created(obj, now)]


def _budget(obj: Obj, now: datetime) -> list[Any]:
    return [
        name(obj),
        string(obj, "spec", "minAvailable") or "N/A",
        string(obj, "spec", "maxUnavailable") or "N/A",
        number(obj, "status", "disruptionsAllowed"),
        created(obj, now),
    ]


def _autoscaler(obj: Obj, now: datetime) -> list[Any]:
    reference = dig(obj, "spec", "scaleTargetRef") or {}
    minimum = dig(obj, "spec", "minReplicas")
    return [
        name(obj),
        f"{reference.get('kind', '')}/{reference.get('name', '')}",
        _targets(obj),
        "<unset>" if minimum is None else str(minimum),
        number(obj, "spec", "maxReplicas"),
        number(obj, "status", "currentReplicas"),
        created(obj, now),
    ]


def _targets(obj: Obj) -> str:
    """Resource metrics as `cpu: <unknown>/80%`; others by their type, since nothing here measures them."""
    found = []
    for metric in dig(obj, "spec", "metrics") or []:
        resource = metric.get("resource") or {}
        target = resource.get("target") or {}
        utilization = target.get("averageUtilization")
        wanted = f"{utilization}%" if utilization is not None else target.get("averageValue")
        found.append(f"{resource['name']}: <unknown>/{wanted}" if resource else f"<unknown>/{metric.get('type')}")
    return ", ".join(found) or NONE


_PODS_OF = (CONTAINERS, IMAGES, SELECTOR)
DEPLOYMENT = Printer(
    (
        NAME,
        Column("Ready", description="Number of the pod with ready state"),
        Column("Up-to-date"),
        Column("Available"),
        AGE,
        *_PODS_OF,
    ),
    _deployment,
)
REPLICA_SET = Printer(
    (NAME, Column("Desired", _INTEGER), Column("Current", _INTEGER), Column("Ready", _INTEGER), AGE, *_PODS_OF),
    _replica_set,
)
STATEFUL_SET = Printer((NAME, Column("Ready"), AGE, CONTAINERS, IMAGES), _stateful_set)
DAEMON_SET = Printer(
    (
        NAME,
        Column("Desired", _INTEGER),
        Column("Current", _INTEGER),
        Column("Ready", _INTEGER),
        Column("Up-to-date", _INTEGER),
        Column("Available", _INTEGER),
        Column("Node Selector"),
        AGE,
        *_PODS_OF,
    ),
    _daemon_set,
)
JOB = Printer((NAME, Column("Status"), Column("Completions"), Column("Duration"), AGE, *_PODS_OF), _job)
CRON_JOB = Printer(
    (
        NAME,
        Column("Schedule"),
        Column("Timezone"),
        Column("Suspend", "boolean"),
        Column("Active", _INTEGER),
        Column("Last Schedule"),
        AGE,
        *_PODS_OF,
    ),
    _cron_job,
)
CONTROLLER_REVISION = Printer((NAME, Column("Controller"), Column("Revision"), AGE), _controller_revision)
POD_DISRUPTION_BUDGET = Printer(
    (NAME, Column("Min Available"), Column("Max Unavailable"), Column("Allowed Disruptions", _INTEGER), AGE), _budget
)
AUTOSCALER = Printer(
    (
        NAME,
        Column("Reference"),
        Column("Targets"),
        Column("MinPods"),
        Column("MaxPods"),
        Column("Replicas"),
        AGE,
    ),
    _autoscaler,
)
