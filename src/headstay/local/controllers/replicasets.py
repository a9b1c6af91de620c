"""ReplicaSets: as many active Pods as asked for.

Names are random, so this counts through `OwnWrites`: what it has just made or deleted counts at once, whatever the
cache says. Status is written last and only when it differs.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import NamedTuple

from headstay.local.controllers.informers import Informers
from headstay.local.controllers.owned import Owned, controller_reference, enqueue_owners, from_template
from headstay.local.controllers.podstate import active, available, by_least_missed, next_available, superset
from headstay.local.controllers.status import set_condition, write_status
from headstay.local.controllers.workloads import ReplicaSet, ReplicaSetStatus, WorkloadCondition
from headstay.model.errors import StatusError, is_not_found
from headstay.model.meta import Pod
from headstay.model.objects import ObjectKey
from headstay.model.resource import PODS, REPLICA_SETS
from headstay.model.selectors import structured_selector
from headstay.runtime.controller import Controller, Result
from headstay.runtime.events import EventRecorder, reference_to

BURST = 500
"""Pods made or deleted in one go; the rest follows in the next reconcile."""


class Plan(NamedTuple):
    create: int
    delete: list[Pod]


def plan_replicas(wanted: int, pods: list[Pod]) -> Plan:
    """How many Pods to make, or which to delete."""
    running = [pod for pod in pods if active(pod)]
    missing = wanted - len(running)
    if missing >= 0:
        return Plan(min(missing, BURST), [])
    return Plan(0, by_least_missed(running)[: min(-missing, BURST)])


def replica_set_status(
    replica_set: ReplicaSet, pods: list[Pod], now: datetime, failure: StatusError | None
) -> ReplicaSetStatus:
    spec = replica_set.spec
    running = [pod for pod in pods if active(pod)]
    wanted_labels = (spec.template.get("metadata") or {}).get("labels") or {}
    conditions = [c for c in replica_set.status.conditions if c.type != "ReplicaFailure"]
    if failure is not None:
        missing = spec.replicas - len(running)
        reason = "FailedCreate" if missing > 0 else "FailedDelete"
        condition = WorkloadCondition("ReplicaFailure", "True", reason, str(failure))
        conditions = set_condition(replica_set.status.conditions, condition, now)
    return ReplicaSetStatus(
        replicas=len(running),
        fully_labeled_replicas=sum(superset(pod.metadata.labels, wanted_labels) for pod in running),
        ready_replicas=sum(pod.ready for pod in running),
        available_replicas=sum(available(pod, spec.min_ready_seconds, now) for pod in running),
        observed_generation=replica_set.metadata.generation,
        conditions=conditions,
    )


class ReplicaSets:
    def __init__(
        self,
        informers: Informers,
        recorder: EventRecorder,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._client = informers.client
        self._recorder = recorder
        self._now = now
        self._sets = informers.of(REPLICA_SETS, ReplicaSet)
        pods = informers.of(PODS, Pod)
        self._pods = Owned(self._client, pods, REPLICA_SETS)
        self.controller: Controller[ObjectKey] = Controller("replicaset", self.reconcile, workers=5)
        self.controller.watches(self._sets, lambda found: [ObjectKey(found.metadata.namespace, found.metadata.name)])
        enqueue_owners(self.controller, pods, self._sets, REPLICA_SETS.kind)

    async def reconcile(self, key: ObjectKey) -> Result:
        replica_set = self._sets.cache.get(key)
        if replica_set is None:
            return Result()
        selector = structured_selector(replica_set.spec.selector)
        pods = await self._pods.claimed(replica_set.metadata, selector)
        failure: StatusError | None = None
        if replica_set.metadata.deletion_timestamp is None:
            failure = await self._act(replica_set, plan_replicas(replica_set.spec.replicas, pods))
        now = self._now()
        status = replica_set_status(replica_set, pods, now, failure)
        meta, old = replica_set.metadata, replica_set.status
        await write_status(self._client, REPLICA_SETS, meta, old, status, always=("replicas",))
        if failure is not None:
            raise failure
        wait = next_available(pods, replica_set.spec.min_ready_seconds, now)
        return Result(wait, "a Pod becomes available") if wait else Result()

    async def _act(self, replica_set: ReplicaSet, plan: Plan) -> StatusError | None:
        """Carries the plan out until something is refused; the refusal is for the status, then for the back-off."""
        try:
            for _ in range(plan.create):
                await self._create(replica_set)
            for pod in plan.delete:
                await self._delete(replica_set, pod)
        except StatusError as error:
            action, verb = ("FailedCreate", "creating") if plan.create else ("FailedDelete", "deleting")
            if is_not_found(error) or "being terminated" in str(error):
                return error  # the namespace is going, and soon this ReplicaSet with it: nothing worth an Event
            reference = reference_to(REPLICA_SETS, replica_set.metadata)
            self._recorder.event(reference, "Warning", action, action, f"Error {verb}: {error}")
            return error
        return None

    async def _create(self, replica_set: ReplicaSet) -> None:
        meta = replica_set.metadata
        owner = controller_reference(REPLICA_SETS, meta)
        document = from_template(replica_set.spec.template, owner, meta.namespace)
        document["metadata"]["generateName"] = f"{meta.name}-"
        made = await self._pods.create(meta, document)
        note = f"Created pod: {made['metadata']['name']}"
        self._recorder.event(reference_to(REPLICA_SETS, meta), "Normal", "SuccessfulCreate", "SuccessfulCreate", note)

    async def _delete(self, replica_set: ReplicaSet, pod: Pod) -> None:
        if await self._pods.delete(pod.metadata):
            reference, note = reference_to(REPLICA_SETS, replica_set.metadata), f"Deleted pod: {pod.metadata.name}"
            self._recorder.event(reference, "Normal", "SuccessfulDelete", "SuccessfulDelete", note)
