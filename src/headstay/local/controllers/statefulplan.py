"""Pure: what a StatefulSet needs next. Pods have ordinals and keep their names, so nothing can be made twice.

Invariant under OrderedReady: at most one Pod is being made, deleted or replaced at a time, and none above one that is
not healthy; the highest ordinal goes first when shrinking and updating.
"""

import re
from copy import deepcopy
from datetime import datetime
from typing import NamedTuple

from headstay.local.controllers.podstate import FINISHED, available, next_available
from headstay.local.controllers.revisions import Revisions
from headstay.local.controllers.workloads import StatefulSet, StatefulSetStatus
from headstay.model.meta import Pod
from headstay.model.objects import Obj

REVISION_LABEL = "controller-revision-hash"
NAME_LABEL = "statefulset.kubernetes.io/pod-name"
INDEX_LABEL = "apps.kubernetes.io/pod-index"

_MEMBER = re.compile(r"^(.*)-(\d+)$")


class New(NamedTuple):
    """A Pod to make: its ordinal, and the name of the revision whose template it gets."""

    ordinal: int
    revision: str


class Plan(NamedTuple):
    """`reason` says what is waited for, where something is."""

    create: list[New]
    delete: list[Pod]
    reason: str = ""


def ordinal_of(stateful_set: StatefulSet, pod: Pod) -> int | None:
    """None for a Pod whose name is not one of the set's."""
    match = _MEMBER.match(pod.metadata.name)
    return int(match[2]) if match and match[1] == stateful_set.metadata.name else None


def pod_name(stateful_set: StatefulSet, ordinal: int) -> str:
    return f"{stateful_set.metadata.name}-{ordinal}"


def ordinals(stateful_set: StatefulSet) -> range:
    start = stateful_set.spec.ordinals.start
    return range(start, start + stateful_set.spec.replicas)


def plan_stateful_set(stateful_set: StatefulSet, pods: dict[int, Pod], revisions: Revisions, now: datetime) -> Plan:
    """The next step: fill and repair, then shrink, then update; each only when what comes before it is done."""
    one_by_one = stateful_set.spec.pod_management_policy != "Parallel"
    plan = _fill(stateful_set, pods, revisions, now, one_by_one=one_by_one)
    if plan.reason and one_by_one:
        return plan
    shrink = _shrink(stateful_set, pods, one_by_one=one_by_one)
    plan = Plan(plan.create, plan.delete + shrink.delete, plan.reason or shrink.reason)
    if plan.create or plan.delete or (shrink.reason and one_by_one):
        return plan
    if stateful_set.spec.update_strategy.type != "RollingUpdate":
        return plan
    return _update(stateful_set, pods, revisions, now)


def _fill(
    stateful_set: StatefulSet, pods: dict[int, Pod], revisions: Revisions, now: datetime, *, one_by_one: bool
) -> Plan:
    create: list[New] = []
    delete: list[Pod] = []
    reason = ""
    for ordinal in ordinals(stateful_set):
        pod = pods.get(ordinal)
        name = pod_name(stateful_set, ordinal)
        if pod is None:
            create.append(New(ordinal, _revision_for(stateful_set, revisions, ordinal)))
            why = f"{name} is made"
        elif pod.metadata.deletion_timestamp is not None:
            why = f"{name} is being deleted"
        elif pod.status.phase in FINISHED:
            delete.append(pod)
            why = f"{name} has {pod.status.phase.lower()} and is replaced"
        elif not _healthy(stateful_set, pod, now):
            why = f"{name} is not available yet"
        else:
            continue
        reason = reason or why
        if one_by_one:
            break
    return Plan(create, delete, reason)


def _shrink(stateful_set: StatefulSet, pods: dict[int, Pod], *, one_by_one: bool) -> Plan:
    wanted = ordinals(stateful_set)
    condemned = [pods[ordinal] for ordinal in sorted(pods, reverse=True) if ordinal not in wanted]
    going = [pod for pod in condemned if pod.metadata.deletion_timestamp is not None]
    if one_by_one and going:
        return Plan([], [], f"{going[0].metadata.name} is being deleted")
    standing = [pod for pod in condemned if pod.metadata.deletion_timestamp is None]
    reason = f"{standing[0].metadata.name} is one too many" if standing else ""
    return Plan([], standing[:1] if one_by_one else standing, reason)


def _partition(stateful_set: StatefulSet) -> int:
    rolling = stateful_set.spec.update_strategy.rolling_update
    return rolling.partition if rolling else 0


def _update(stateful_set: StatefulSet, pods: dict[int, Pod], revisions: Revisions, now: datetime) -> Plan:
    """One Pod at a time from the highest ordinal down to the partition, while all it has passed are healthy."""
    start = stateful_set.spec.ordinals.start + _partition(stateful_set)
    for ordinal in reversed(ordinals(stateful_set)):
        if ordinal < start:
            break
        pod = pods[ordinal]
        name = pod.metadata.name
        if pod.metadata.labels.get(REVISION_LABEL) != revisions.update and pod.metadata.deletion_timestamp is None:
            return Plan([], [pod], f"{name} is not of revision {revisions.update}")
        if not _healthy(stateful_set, pod, now):
            return Plan([], [], f"{name} is not available yet")
    return Plan([], [])


def _revision_for(stateful_set: StatefulSet, revisions: Revisions, ordinal: int) -> str:
    """A Pod below the partition, or not yet reached by the update, comes back as it was."""
    strategy, start = stateful_set.spec.update_strategy, stateful_set.spec.ordinals.start
    if strategy.type != "RollingUpdate":
        return revisions.update
    if strategy.rolling_update is None:
        reached = start + stateful_set.status.current_replicas
    else:
        reached = start + strategy.rolling_update.partition
    return revisions.current if ordinal < reached else revisions.update


def _healthy(stateful_set: StatefulSet, pod: Pod, now: datetime) -> bool:
    running = pod.status.phase == "Running" and pod.metadata.deletion_timestamp is None
    return running and available(pod, stateful_set.spec.min_ready_seconds, now)


def stateful_set_status(
    stateful_set: StatefulSet, pods: dict[int, Pod], revisions: Revisions, now: datetime
) -> StatefulSetStatus:
    spec = stateful_set.spec
    standing = [pod for pod in pods.values() if pod.metadata.deletion_timestamp is None]

    def of(revision: str) -> int:
        return sum(pod.metadata.labels.get(REVISION_LABEL) == revision for pod in standing)

    status = StatefulSetStatus(
        observed_generation=stateful_set.metadata.generation,
        replicas=len(pods),
        ready_replicas=sum(pod.status.phase == "Running" and pod.ready for pod in pods.values()),
        available_replicas=sum(_healthy(stateful_set, pod, now) for pod in pods.values()),
        current_replicas=of(revisions.current),
        updated_replicas=of(revisions.update),
        current_revision=revisions.current,
        update_revision=revisions.update,
        collision_count=stateful_set.status.collision_count or 0,
    )
    if spec.update_strategy.type == "RollingUpdate" and _rolled_out(spec.replicas, status):
        status.current_revision, status.current_replicas = status.update_revision, status.updated_replicas
    return status


def _rolled_out(replicas: int, status: StatefulSetStatus) -> bool:
    return status.updated_replicas == replicas == status.replicas == status.ready_replicas


def wait_for_available(stateful_set: StatefulSet, pods: dict[int, Pod], now: datetime) -> float | None:
    return next_available(pods.values(), stateful_set.spec.min_ready_seconds, now)


def pod_document(stateful_set: StatefulSet, new: New, template: Obj, owner: Obj) -> Obj:
    """The Pod of one ordinal: its name is its host name, and its claims stand in for volumes of the same names."""
    name = pod_name(stateful_set, new.ordinal)
    made = deepcopy(template)
    meta = made.get("metadata") or {}
    labels = (meta.get("labels") or {}) | {
        NAME_LABEL: name,
        INDEX_LABEL: str(new.ordinal),
        REVISION_LABEL: new.revision,
    }
    metadata: Obj = {"name": name, "namespace": stateful_set.metadata.namespace, "labels": labels}
    metadata |= {key: meta[key] for key in ("annotations", "finalizers") if meta.get(key)}
    spec = made.get("spec") or {}
    spec["hostname"], spec["subdomain"] = name, stateful_set.spec.service_name
    claims = {claim["metadata"]["name"]: claim_name(claim, name) for claim in stateful_set.spec.volume_claim_templates}
    volumes = [volume for volume in spec.get("volumes") or [] if volume["name"] not in claims]
    volumes += [{"name": name_, "persistentVolumeClaim": {"claimName": claim}} for name_, claim in claims.items()]
    if volumes:
        spec["volumes"] = volumes
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata | {"ownerReferences": [owner]}, "spec": spec}


def claim_name(claim: Obj, pod: str) -> str:
    return f"{claim['metadata']['name']}-{pod}"


def claim_documents(stateful_set: StatefulSet, ordinal: int) -> list[Obj]:
    """The PersistentVolumeClaims of one ordinal; they outlive the Pod unless the retention policy says otherwise."""
    documents = []
    for template in stateful_set.spec.volume_claim_templates:
        claim = deepcopy(template)
        claim.pop("status", None)
        claim |= {"apiVersion": "v1", "kind": "PersistentVolumeClaim"}
        meta = claim["metadata"]
        selected = stateful_set.spec.selector.get("matchLabels") or {}
        claim["metadata"] = {
            "name": claim_name(template, pod_name(stateful_set, ordinal)),
            "namespace": stateful_set.metadata.namespace,
            "labels": (meta.get("labels") or {}) | selected,
        } | ({"annotations": meta["annotations"]} if meta.get("annotations") else {})
        documents.append(claim)
    return documents
