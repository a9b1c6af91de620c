"""Carries out one action of a plan, with its precondition, and records what came of it."""

import asyncio
import logging
from collections.abc import Callable
from typing import NamedTuple

from headstay.controllers.cleanups import Cleanups, namespace_is_going
from headstay.controllers.debts import DebtBook
from headstay.controllers.expectations import Expectations
from headstay.controllers.recorder import Recorder
from headstay.controllers.redis_access import RedisAccess
from headstay.model.errors import StatusError, is_already_exists, is_conflict, is_not_found
from headstay.model.meta import Pod
from headstay.model.objects import Obj, ObjectKey, key_of
from headstay.model.ray import RAYCLUSTERS, RayCluster
from headstay.model.resource import PODS
from headstay.plan.raycluster.identity import CLUSTER_DOMAIN
from headstay.plan.raycluster.plan import (
    Action,
    Annotate,
    CleanRedis,
    Create,
    DeletePod,
    EventDraft,
    Label,
    MarkCluster,
    NoteStorage,
    RecordDebt,
    RecordRecoveries,
    Recovery,
    SetFinalizers,
    Update,
)
from headstay.runtime.client import Client, TransportError

log = logging.getLogger(__name__)

_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
_SUFFIX_LENGTH = 5
_LOOK_AGAIN_SECONDS = 1.0
_NAME_TAKEN_SECONDS = 2.0
_DISPENSABLE_SECONDS = 60.0


class Waiting(NamedTuple):
    """Not a failure: the action's turn has not come."""

    seconds: float
    reason: str


class Actor:
    """`draw` yields numbers in [0, 1) for the random ends of names; `cleaned` counts cleanups, by outcome.

    `recovered` counts recoveries, `phase_ended` the phases of which the end became known later.
    """

    def __init__(
        self,
        client: Client,
        recorder: Recorder,
        expectations: Expectations,
        draw: Callable[[], float],
        *,
        domain: str = CLUSTER_DOMAIN,
        debt_namespace: str = "default",
        cleaned: Callable[[str], None] = lambda _outcome: None,
        recovered: Callable[[Recovery], None] = lambda _recovery: None,
        phase_ended: Callable[[str, float], None] = lambda _phase, _seconds: None,
    ) -> None:
        self._client = client
        self._recorder = recorder
        self._expectations = expectations
        self._draw = draw
        self._refused: dict[ObjectKey, dict[str, str]] = {}
        self._cleaned = cleaned
        self._recovered = recovered
        self._phase_ended = phase_ended
        self._cleanups = Cleanups(RedisAccess(client, domain), DebtBook(client, debt_namespace), self._record)

    def cleanup_refusal(self, cluster: ObjectKey) -> str:
        """What the cleanup of this cluster was last answered, "" where nothing stood in its way."""
        return self._cleanups.refusal(cluster)

    def forget(self, cluster: ObjectKey) -> None:
        """The cluster is gone from the API."""
        self._refused.pop(cluster, None)
        self._cleanups.forget(cluster)

    async def act(self, cluster: RayCluster, action: Action) -> Waiting | None:
        """Raises what the API says, after recording it where the action has an Event for that."""
        match action:
            case Create():
                return await self._create(cluster, action)
            case DeletePod():
                await self._delete(cluster, action)
            case Annotate():
                await self._mark(action.pod, {"annotations": dict(action.annotations)})
            case Label():
                if await self._mark(action.pod, {"labels": dict(action.labels)}) and action.done is not None:
                    self._record(cluster, action.done, action.pod.metadata.name)
            case SetFinalizers():
                await self._set_finalizers(cluster, action)
            case Update():
                return await self._update(cluster, action)
            case MarkCluster() | NoteStorage():
                await self._set_annotations(cluster, action)
            case RecordRecoveries():
                await self._write_down(cluster, action)
            case RecordDebt():
                await self._cleanups.record(cluster, action)
            case CleanRedis():
                return await self._instead(cluster, await self._cleanups.clean(cluster, action))
        return None

    async def _instead(self, cluster: RayCluster, actions: tuple[Action, ...] | None) -> Waiting | None:
        """Carries `actions` out, if any, and then has no time for what stood after them."""
        for action in actions or ():
            if (wait := await self.act(cluster, action)) is not None:
                return wait
        return None if actions is None else Waiting(_LOOK_AGAIN_SECONDS, "took another way")

    async def _create(self, cluster: RayCluster, action: Create) -> Waiting | None:
        if action.unless:
            page = await self._client.list_page(PODS, cluster.namespace, label_selector=action.unless, limit=1)
            if page.items:
                return Waiting(_LOOK_AGAIN_SECONDS, f"a Pod that matches {action.unless} is still there")
        obj = action.obj
        metadata = obj["metadata"]
        drawn = not metadata.get("name")
        if drawn:
            # Chosen here and not by the server: if the answer gets lost, we know whom to look for.
            metadata["name"] = self._name(cluster, metadata["generateName"])
        name = metadata["name"]
        if action.group is not None:
            self._expectations.creating(cluster.key, action.group, name, _monotonic())
        try:
            await self._client.create(action.resource, obj)
        except StatusError as error:
            if action.group is not None:
                self._expectations.refused(cluster.key, action.group, name)
            if is_already_exists(error) and (action.name_is_content or await self._is_already_ours(cluster, action)):
                return None
            if is_already_exists(error) and action.patient:
                return Waiting(
                    _NAME_TAKEN_SECONDS, f"{action.resource.kind} {name} of an earlier cluster is still there"
                )
            if drawn and not is_already_exists(error):
                self._refused.setdefault(cluster.key, {})[metadata["generateName"]] = name
            self._record(cluster, action.failed, name, error)
            if action.doomed and namespace_is_going(error):
                return await self._instead(cluster, action.doomed)
            if action.patient:
                self._cleanups.refused(cluster.key, error)
            if action.dispensable:
                return Waiting(_DISPENSABLE_SECONDS, f"{action.resource.kind} {name} was refused: {error}")
            raise
        except TransportError as error:
            self._record(cluster, action.failed, name, error)
            raise
        self._record(cluster, action.created, name)
        return None

    async def _update(self, cluster: RayCluster, action: Update) -> Waiting | None:
        found = action.of
        metadata = (action.patch.get("metadata") or {}) | {"resourceVersion": found.resource_version}
        patch = action.patch | {"metadata": metadata}
        try:
            await self._client.patch(action.resource, found.namespace, found.name, patch)
        except StatusError as error:
            if is_not_found(error) or is_conflict(error):
                raise  # news are on their way
            self._record(cluster, action.failed, found.name, error)
            return Waiting(_DISPENSABLE_SECONDS, f"{action.resource.kind} {found.name} was refused: {error}")
        self._record(cluster, action.updated, found.name)
        return None

    def _name(self, cluster: RayCluster, prefix: str) -> str:
        """A fresh name, or the one just refused: a refusal said again is then the same Event and condition."""
        refused = self._refused.get(cluster.key, {}).pop(prefix, None)
        return refused or prefix + random_suffix(self._draw)

    async def _is_already_ours(self, cluster: RayCluster, action: Create) -> bool:
        """Whether the object in our way is the one we wanted to make: an earlier answer was lost, or the cache lags."""
        key: ObjectKey = key_of(action.obj)
        try:
            found = await self._client.get(action.resource, key.namespace, key.name)
        except StatusError as error:
            if is_not_found(error):
                return False
            raise
        owners = found["metadata"].get("ownerReferences") or []
        return any(owner.get("uid") == cluster.metadata.uid for owner in owners)

    async def _delete(self, cluster: RayCluster, action: DeletePod) -> None:
        metadata = action.pod.metadata
        try:
            await self._client.delete(PODS, metadata.namespace, metadata.name, uid=metadata.uid)
        except StatusError as error:
            if is_not_found(error):
                return
            self._record(cluster, action.failed, metadata.name, error)
            raise
        except TransportError as error:
            self._record(cluster, action.failed, metadata.name, error)
            raise
        self._expectations.deleting(cluster.key, metadata.uid)
        self._record(cluster, action.deleted, metadata.name)

    async def _mark(self, pod: Pod, change: Obj) -> bool:
        """Whether the Pod was still there. The uid is the precondition: one of the same name made since is another."""
        metadata = pod.metadata
        try:
            await self._client.patch(
                PODS, metadata.namespace, metadata.name, {"metadata": {"uid": metadata.uid} | change}
            )
        except StatusError as error:
            if not is_not_found(error):
                raise
            return False
        return True

    async def _set_annotations(self, cluster: RayCluster, action: MarkCluster | NoteStorage) -> None:
        metadata = {"annotations": action.annotations, "resourceVersion": cluster.metadata.resource_version}
        await self._client.patch(RAYCLUSTERS, cluster.namespace, cluster.name, {"metadata": metadata})

    async def _write_down(self, cluster: RayCluster, action: RecordRecoveries) -> None:
        metadata = {"annotations": action.annotations, "resourceVersion": cluster.metadata.resource_version}
        await self._client.patch(RAYCLUSTERS, cluster.namespace, cluster.name, {"metadata": metadata})
        for event in action.told:
            self._record(cluster, event, cluster.name)
        for recovery in action.recovered:
            self._recovered(recovery)
        for phase, seconds in action.ended:
            self._phase_ended(phase, seconds)

    async def _set_finalizers(self, cluster: RayCluster, action: SetFinalizers) -> None:
        """The Event comes first: with the last finalizer the object may go, and nothing can be said about it then."""
        if action.done is not None:
            self._record(cluster, action.done, cluster.name)
        metadata = {
            "finalizers": list(action.finalizers) or None,
            "resourceVersion": cluster.metadata.resource_version,
        } | ({"annotations": action.annotations} if action.annotations else {})
        try:
            await self._client.patch(RAYCLUSTERS, cluster.namespace, cluster.name, {"metadata": metadata})
        except StatusError as error:
            if not is_not_found(error):
                raise
        if action.outcome:
            self._cleaned(action.outcome)

    def _record(self, cluster: RayCluster, event: EventDraft, name: str, error: Exception | None = None) -> None:
        note = event.note.replace("{name}", name).replace("{error}", str(error))
        level = logging.WARNING if event.type == "Warning" else logging.INFO
        log.log(level, "RayCluster %s: %s", cluster.key, note)
        self._recorder.record(cluster, event._replace(note=note))


def random_suffix(draw: Callable[[], float]) -> str:
    """As Kubernetes makes them for `generateName`: no vowels, so that no words come out."""
    return "".join(_ALPHABET[int(draw() * len(_ALPHABET))] for _ in range(_SUFFIX_LENGTH))


def _monotonic() -> float:
    return asyncio.get_running_loop().time()
