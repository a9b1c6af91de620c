"""Deployments: a ReplicaSet for each revision of the Pod template, and the steps from the old ones to the new one.

Every reconcile does at most one kind of step (make, note, scale, clean up) from what is observed, then writes the
status once; each ReplicaSet is changed only as it was seen (its resourceVersion), so that a stale cache makes a
conflict, not a wrong size. A ReplicaSet's name comes from its template, so that it cannot be made twice.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Literal

from headstay.local.controllers import rollout
from headstay.local.controllers.informers import Informers
from headstay.local.controllers.owned import Owned, controller_reference, enqueue_owners
from headstay.local.controllers.ownwrites import by_controller
from headstay.local.controllers.podstate import FINISHED
from headstay.local.controllers.rollout import Observed, Size
from headstay.local.controllers.rolloutstatus import Step, complete, deadline_in, deployment_status
from headstay.local.controllers.status import write_status
from headstay.local.controllers.workloads import Deployment, ReplicaSet
from headstay.model.errors import StatusError, is_already_exists, is_not_found
from headstay.model.meta import Pod
from headstay.model.objects import Obj, ObjectKey, controller_of
from headstay.model.resource import DEPLOYMENTS, PODS, REPLICA_SETS
from headstay.model.selectors import structured_selector
from headstay.runtime.controller import Controller, Result
from headstay.runtime.events import EventRecorder, reference_to


class Deployments:
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
        self._deployments = informers.of(DEPLOYMENTS, Deployment)
        sets = informers.of(REPLICA_SETS, ReplicaSet)
        self._sets = Owned(self._client, sets, DEPLOYMENTS)
        pods = informers.of(PODS, Pod)
        self._pods = pods.cache
        self._pods.add_index("controller", by_controller)
        self.controller: Controller[ObjectKey] = Controller("deployment", self.reconcile, workers=5)
        self.controller.watches(self._deployments, lambda d: [ObjectKey(d.metadata.namespace, d.metadata.name)])
        enqueue_owners(self.controller, sets, self._deployments, DEPLOYMENTS.kind)
        self.controller.watches(pods, self._recreating)

    def _recreating(self, pod: Pod) -> list[ObjectKey]:
        """A Recreate Deployment waits for the end of its old Pods; for others the ReplicaSets' counts are enough."""
        owner = pod.metadata.controller()
        if owner is None or owner.kind != REPLICA_SETS.kind:
            return []
        found = self._sets.cache.get(ObjectKey(pod.metadata.namespace, owner.name))
        above = found.metadata.controller() if found else None
        key = ObjectKey(pod.metadata.namespace, above.name) if above else None
        deployment = self._deployments.cache.get(key) if key else None
        return [key] if key and deployment and not rollout.is_rolling(deployment) else []

    async def reconcile(self, key: ObjectKey) -> Result:
        deployment = self._deployments.cache.get(key)
        if deployment is None:
            return Result()
        selector = structured_selector(deployment.spec.selector)
        replica_sets = await self._sets.claimed(deployment.metadata, selector)
        new = rollout.find_new(deployment, replica_sets)
        seen = Observed(deployment, new, [found for found in replica_sets if found is not new])
        step = Step()
        if deployment.metadata.deletion_timestamp is None:
            step = await self._step(seen)
        now = self._now()
        status = deployment_status(seen, step, now)
        await write_status(self._client, DEPLOYMENTS, deployment.metadata, deployment.status, status)
        await self._note_on_deployment(deployment, step.revision)
        if step.failure is not None:
            raise step.failure
        wait = deadline_in(deployment, status, now)
        return Result(wait + 1, "the progress deadline") if wait is not None and wait >= 0 else Result()

    async def _step(self, seen: Observed) -> Step:
        deployment = seen.deployment
        if deployment.spec.paused or rollout.needs_scaling(deployment, seen.everything):
            await self._scale(deployment, rollout.spread(seen))
            if deployment.spec.paused:
                await self._clean_up(seen)
            return Step(rollout.new_revision(seen) if seen.new else 0)
        if not rollout.is_rolling(deployment) and await self._stop_old(seen):
            return Step()
        if seen.new is None:
            return await self._make_new(seen)
        step = Step(
            rollout.new_revision(seen), "FoundNewReplicaSet", f'Found new replica set "{seen.new.metadata.name}"'
        )
        if await self._note_on_new(seen, seen.new, step.revision):
            return step
        growing = rollout.grow_new(deployment, seen.new, seen.everything)
        shrinking = rollout.shrink_old(deployment, seen.new, seen.old) if rollout.is_rolling(deployment) else []
        if growing or shrinking:
            await self._scale(deployment, growing or shrinking)
        elif complete(deployment, deployment.status):
            await self._clean_up(seen)
        return step

    async def _stop_old(self, seen: Observed) -> bool:
        """Recreate: true while anything old still runs."""
        if running := rollout.active(seen.old):
            await self._scale(seen.deployment, [Size(found, 0) for found in running])
            return True
        return any(
            pod.status.phase not in FINISHED
            for found in seen.old
            for pod in self._pods.by_index("controller", found.metadata.uid)
        )

    async def _scale(self, deployment: Deployment, sizes: list[Size]) -> None:
        for found, replicas in sizes:
            meta, before = found.metadata, found.spec.replicas
            noted = rollout.size_annotations(deployment)
            if replicas == before and noted.items() <= meta.annotations.items():
                continue
            await self._patch_set(found, {"metadata": {"annotations": noted}, "spec": {"replicas": replicas}})
            if replicas != before:
                self._say_scaled(deployment, meta.name, before, replicas)

    async def _patch_set(self, found: ReplicaSet, patch: Obj) -> None:
        """Refused as a conflict when the ReplicaSet is not as we saw it any more."""
        meta = found.metadata
        patch.setdefault("metadata", {}).update(uid=meta.uid, resourceVersion=meta.resource_version)
        await self._client.patch(REPLICA_SETS, meta.namespace, meta.name, patch)

    def _say(self, deployment: Deployment, kind: Literal["Normal", "Warning"], reason: str, note: str) -> None:
        self._recorder.event(reference_to(DEPLOYMENTS, deployment.metadata), kind, reason, reason, note)

    def _say_scaled(self, deployment: Deployment, name: str, before: int, after: int) -> None:
        direction = "up" if after > before else "down"
        note = f"Scaled {direction} replica set {name} from {before} to {after}"
        self._say(deployment, "Normal", "ScalingReplicaSet", note)

    async def _make_new(self, seen: Observed) -> Step:
        deployment = seen.deployment
        document = rollout.replica_set_for(seen, controller_reference(DEPLOYMENTS, deployment.metadata))
        name, size = document["metadata"]["name"], document["spec"]["replicas"]
        try:
            await self._sets.create(deployment.metadata, document)
        except StatusError as error:
            if is_already_exists(error):
                return Step(collided=await self._is_foreign(deployment, name), failure=error)
            message = f'Failed to create new replica set "{name}": {error}'
            self._say(deployment, "Warning", "ReplicaSetCreateError", message)
            return Step(0, "ReplicaSetCreateError", str(error), failure=error)
        if size:
            self._say_scaled(deployment, name, 0, size)
        return Step(rollout.new_revision(seen), "NewReplicaSetCreated", f'Created new replica set "{name}"')

    async def _is_foreign(self, deployment: Deployment, name: str) -> bool:
        """Whether the name is taken by something that is not our ReplicaSet for this very template.

        If it is not, the cache lags and there is nothing to do; if it is, a new collisionCount makes another name.
        """
        try:
            found = await self._client.get(REPLICA_SETS, deployment.metadata.namespace, name)
        except StatusError as error:
            if is_not_found(error):
                return False
            raise
        ours = (controller_of(found) or {}).get("uid") == deployment.metadata.uid
        return not (ours and rollout.same_template(found["spec"]["template"], deployment.spec.template))

    async def _note_on_new(self, seen: Observed, new: ReplicaSet, number: int) -> bool:
        """The new ReplicaSet carries the highest revision: it may be an old one that a rollback has brought back."""
        wanted = rollout.set_annotations(seen.deployment, new, number)
        patch: Obj = {}
        if not wanted.items() <= new.metadata.annotations.items():
            patch["metadata"] = {"annotations": wanted}
        if new.spec.min_ready_seconds != seen.deployment.spec.min_ready_seconds:
            patch["spec"] = {"minReadySeconds": seen.deployment.spec.min_ready_seconds}
        if patch:
            await self._patch_set(new, patch)
        return bool(patch)

    async def _note_on_deployment(self, deployment: Deployment, number: int) -> None:
        """What `kubectl rollout history` and `undo` count from. Written after the status, whose version it changes."""
        meta = deployment.metadata
        if number and meta.annotations.get(rollout.REVISION) != str(number):
            patch = {"metadata": {"uid": meta.uid, "annotations": {rollout.REVISION: str(number)}}}
            await self._client.patch(DEPLOYMENTS, meta.namespace, meta.name, patch)

    async def _clean_up(self, seen: Observed) -> None:
        for found in rollout.obsolete(seen.deployment, seen.old):
            await self._sets.delete(found.metadata)
