"""StatefulSets: Pods with stable names, in order, each with claims of its own that outlive it."""

from collections.abc import Callable
from datetime import UTC, datetime

from headstay.local.controllers.informers import Informers
from headstay.local.controllers.owned import Owned, controller_reference, enqueue_owners
from headstay.local.controllers.revisions import Revisions, revisions_of
from headstay.local.controllers.statefulplan import (
    REVISION_LABEL,
    New,
    Plan,
    claim_documents,
    ordinal_of,
    ordinals,
    plan_stateful_set,
    pod_document,
    stateful_set_status,
    wait_for_available,
)
from headstay.local.controllers.status import write_status
from headstay.local.controllers.workloads import ControllerRevision, StatefulSet
from headstay.model.errors import StatusError, is_already_exists, is_not_found
from headstay.model.meta import ObjectMeta, Pod
from headstay.model.objects import Obj, ObjectKey
from headstay.model.resource import CONTROLLER_REVISIONS, PERSISTENT_VOLUME_CLAIMS, PODS, STATEFUL_SETS
from headstay.model.selectors import structured_selector
from headstay.runtime.controller import Controller, Result
from headstay.runtime.errors import Transient
from headstay.runtime.events import EventRecorder, EventType, reference_to


class StatefulSets:
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
        self._sets = informers.of(STATEFUL_SETS, StatefulSet)
        pods = informers.of(PODS, Pod)
        revisions = informers.of(CONTROLLER_REVISIONS, ControllerRevision)
        self._pods = Owned(self._client, pods, STATEFUL_SETS)
        self._revisions = Owned(self._client, revisions, STATEFUL_SETS)
        self.controller: Controller[ObjectKey] = Controller("statefulset", self.reconcile, workers=5)
        self.controller.watches(self._sets, lambda found: [ObjectKey(found.metadata.namespace, found.metadata.name)])
        enqueue_owners(self.controller, pods, self._sets, STATEFUL_SETS.kind)
        enqueue_owners(self.controller, revisions, self._sets, STATEFUL_SETS.kind)

    async def reconcile(self, key: ObjectKey) -> Result:
        stateful_set = self._sets.cache.get(key)
        if stateful_set is None:
            return Result()
        selector = structured_selector(stateful_set.spec.selector)
        claimed = await self._pods.claimed(stateful_set.metadata, selector)
        pods = {at: pod for pod in claimed if (at := ordinal_of(stateful_set, pod)) is not None}
        known = await self._revisions.claimed(stateful_set.metadata, selector)
        in_use = {pod.metadata.labels.get(REVISION_LABEL, "") for pod in pods.values()}
        revisions = revisions_of(stateful_set, known, in_use)
        now = self._now()
        plan = Plan([], [])
        if stateful_set.metadata.deletion_timestamp is None:
            await self._keep_revisions(stateful_set, revisions)
            plan = plan_stateful_set(stateful_set, pods, revisions, now)
        failure = await self._act(stateful_set, plan, revisions)
        status = stateful_set_status(stateful_set, pods, revisions, now)
        await write_status(
            self._client, STATEFUL_SETS, stateful_set.metadata, stateful_set.status, status, always=("replicas",)
        )
        if failure is not None:
            raise failure
        wait = wait_for_available(stateful_set, pods, now)
        return Result(wait, plan.reason) if wait else Result(reason=plan.reason)

    async def _keep_revisions(self, stateful_set: StatefulSet, revisions: Revisions) -> None:
        meta = stateful_set.metadata
        if revisions.create is not None:
            document = revisions.create
            document["metadata"]["ownerReferences"] = [controller_reference(STATEFUL_SETS, meta)]
            try:
                await self._revisions.create(meta, document)
            except StatusError as error:
                if not is_already_exists(error):
                    raise  # its name comes from the template: what is there already is the same, and seen soon
        if revisions.renumber is not None:
            found, number = revisions.renumber
            patch = {"metadata": {"uid": found.metadata.uid}, "revision": number}
            await self._client.patch(CONTROLLER_REVISIONS, meta.namespace, found.metadata.name, patch)
        for spare in revisions.obsolete:
            await self._revisions.delete(spare.metadata)

    async def _act(self, stateful_set: StatefulSet, plan: Plan, revisions: Revisions) -> StatusError | None:
        try:
            for new in plan.create:
                await self._create(stateful_set, new, revisions)
            for pod in plan.delete:
                await self._delete(stateful_set, pod)
        except StatusError as error:
            if not is_not_found(error) and "being terminated" not in str(error):
                action = "FailedCreate" if plan.create else "FailedDelete"
                self._say(stateful_set, "Warning", action, f"{action}: {error}")
            return error
        return None

    async def _create(self, stateful_set: StatefulSet, new: New, revisions: Revisions) -> None:
        meta = stateful_set.metadata
        owner = controller_reference(STATEFUL_SETS, meta)
        document = pod_document(stateful_set, new, revisions.templates[new.revision], owner)
        name = document["metadata"]["name"]
        for claim in claim_documents(stateful_set, new.ordinal):
            await self._keep_claim(stateful_set, claim)
        try:
            await self._pods.create(meta, document)
        except StatusError as error:
            if is_already_exists(error):
                raise Transient(f"Pod {name} is there already, and not (yet) ours") from error
            raise
        self._say(
            stateful_set, "Normal", "SuccessfulCreate", f"create Pod {name} in StatefulSet {meta.name} successful"
        )

    async def _keep_claim(self, stateful_set: StatefulSet, claim: Obj) -> None:
        meta = claim["metadata"]
        if stateful_set.spec.persistent_volume_claim_retention_policy.when_deleted == "Delete":
            meta["ownerReferences"] = [controller_reference(STATEFUL_SETS, stateful_set.metadata)]
        try:
            found = await self._client.get(PERSISTENT_VOLUME_CLAIMS, meta["namespace"], meta["name"])
        except StatusError as error:
            if not is_not_found(error):
                raise
            await self._client.create(PERSISTENT_VOLUME_CLAIMS, claim)
            note = f"create Claim {meta['name']} in StatefulSet {stateful_set.metadata.name} success"
            self._say(stateful_set, "Normal", "SuccessfulCreate", note)
            return
        if found["metadata"].get("deletionTimestamp"):
            raise Transient(f"claim {meta['name']} is being deleted")

    async def _delete(self, stateful_set: StatefulSet, pod: Pod) -> None:
        at = ordinal_of(stateful_set, pod)
        surplus = at is not None and at not in ordinals(stateful_set)
        if surplus and stateful_set.spec.persistent_volume_claim_retention_policy.when_scaled == "Delete":
            await self._leave_claims_to(stateful_set, pod.metadata, at or 0)
        if await self._pods.delete(pod.metadata):
            name = pod.metadata.name
            note = f"delete Pod {name} in StatefulSet {stateful_set.metadata.name} successful"
            self._say(stateful_set, "Normal", "SuccessfulDelete", note)

    async def _leave_claims_to(self, stateful_set: StatefulSet, pod: ObjectMeta, ordinal: int) -> None:
        """whenScaled: Delete. The claims become the Pod's, and go with it."""
        owner = {"apiVersion": "v1", "kind": "Pod", "name": pod.name, "uid": pod.uid, "controller": True}
        for claim in claim_documents(stateful_set, ordinal):
            meta = claim["metadata"]
            try:
                await self._client.patch(
                    PERSISTENT_VOLUME_CLAIMS,
                    meta["namespace"],
                    meta["name"],
                    {"metadata": {"ownerReferences": [owner | {"blockOwnerDeletion": True}]}},
                )
            except StatusError as error:
                if not is_not_found(error):
                    raise

    def _say(self, stateful_set: StatefulSet, type_: EventType, reason: str, note: str) -> None:
        self._recorder.event(reference_to(STATEFUL_SETS, stateful_set.metadata), type_, reason, reason, note)
