"""Empties a namespace that is being deleted, says what is left and why, and lets it go.

The namespace itself is held by the finalizer `kubernetes` in its `spec`, which only this controller takes away, and
only after a pass in which every kind was listed and found empty. Kinds come and go with their CRDs, so they are asked
for anew in each pass. (The system's own namespaces are made by the API server, as in Kubernetes.)
"""

from collections import Counter
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec

from headstay.local.controllers.informers import Informers
from headstay.model.errors import StatusError, is_not_found
from headstay.model.meta import Named
from headstay.model.objects import Obj, ObjectKey
from headstay.model.resource import NAMESPACES, Resource
from headstay.model.timestamps import rfc3339
from headstay.runtime.client import Client
from headstay.runtime.controller import Controller, Result

FINALIZER = "kubernetes"
LOOK_AGAIN_SECONDS = 0.5


class Remains(NamedTuple):
    """What one pass over all kinds left behind."""

    objects: Counter[str]
    """By kind, as `pods.` or `rayclusters.ray.io`."""
    finalizers: Counter[str]
    failures: list[str]

    @property
    def nothing(self) -> bool:
        return not self.objects and not self.failures


class _Verdict(NamedTuple):
    type: str
    status: bool
    reason: str
    message: str


def verdicts(remains: Remains) -> list[_Verdict]:
    """The conditions of a namespace on its way out, in Kubernetes' words and order."""
    objects = ", ".join(f"{kind} has {count} resource instances" for kind, count in sorted(remains.objects.items()))
    finalizers = ", ".join(
        f"{finalizer} in {count} resource instances" for finalizer, count in sorted(remains.finalizers.items())
    )
    failures = "; ".join(remains.failures)
    return [
        _Verdict(
            "NamespaceDeletionDiscoveryFailure", False, "ResourcesDiscovered", "All resources successfully discovered"
        ),
        _Verdict(
            "NamespaceDeletionGroupVersionParsingFailure",
            False,
            "ParsedGroupVersions",
            "All legacy kube types successfully parsed",
        ),
        _Verdict("NamespaceDeletionContentFailure", True, "ContentDeletionFailed", failures)
        if failures
        else _Verdict(
            "NamespaceDeletionContentFailure",
            False,
            "ContentDeleted",
            "All content successfully deleted, may be waiting on finalization",
        ),
        _Verdict("NamespaceContentRemaining", True, "SomeResourcesRemain", f"Some resources are remaining: {objects}")
        if objects
        else _Verdict("NamespaceContentRemaining", False, "ContentRemoved", "All content successfully removed"),
        _Verdict(
            "NamespaceFinalizersRemaining",
            True,
            "SomeFinalizersRemain",
            f"Some content in the namespace has finalizers remaining: {finalizers}",
        )
        if finalizers
        else _Verdict(
            "NamespaceFinalizersRemaining",
            False,
            "ContentHasNoFinalizers",
            "All content-preserving finalizers finished",
        ),
    ]


def with_conditions(conditions: list[Obj], remains: Remains, now: str) -> list[Obj]:
    """`conditions` with the verdicts; a condition that says the same keeps its time."""
    by_type = {condition["type"]: condition for condition in conditions}
    for verdict in verdicts(remains):
        status = "True" if verdict.status else "False"
        old = by_type.get(verdict.type)
        changed = old is None or (old["status"], old.get("message")) != (status, verdict.message)
        by_type[verdict.type] = {
            "type": verdict.type,
            "status": status,
            "reason": verdict.reason,
            "message": verdict.message,
            "lastTransitionTime": now if changed or old is None else old["lastTransitionTime"],
        }
    return list(by_type.values())


class NamespaceController:
    def __init__(
        self,
        client: Client,
        informers: Informers,
        served: Callable[[], Iterable[Resource]],
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`served`: every resource that can be listed and deleted right now. Cluster-scoped ones are passed over."""
        self._client = client
        self._served = served
        self._now = now
        self._namespaces = informers.of(NAMESPACES, Named)
        self._controller: Controller[str] = Controller("namespaces", self._reconcile, workers=4)
        self._controller.watches(self._namespaces, lambda n: [n.metadata.name] if n.metadata.deletion_timestamp else [])

    async def run(self) -> None:
        """Until cancelled; the reflectors are the informers' owner's to run."""
        await self._controller.run()

    async def _reconcile(self, name: str) -> Result:
        held = self._namespaces.cache.get(ObjectKey("", name))
        if held is None or held.metadata.deletion_timestamp is None:
            return Result()
        try:
            return await self._empty(name, held.metadata.uid)
        except StatusError as error:
            if is_not_found(error):
                return Result()
            raise

    async def _empty(self, name: str, uid: str) -> Result:
        # Read anew, since what follows destroys: the name may belong to a younger namespace by now.
        namespace = await self._client.get(NAMESPACES, "", name)
        if namespace["metadata"]["uid"] != uid or not namespace["metadata"].get("deletionTimestamp"):
            return Result()
        finalizers = (namespace.get("spec") or {}).get("finalizers") or []
        if FINALIZER not in finalizers:
            return Result()
        remains = await self._delete_all(name)
        await self._say(namespace, remains)
        if not remains.nothing:
            return Result(LOOK_AGAIN_SECONDS, "waiting for what is in the namespace to go")
        latest = await self._client.get(NAMESPACES, "", name)
        latest["spec"]["finalizers"] = [finalizer for finalizer in finalizers if finalizer != FINALIZER]
        await self._client.update(NAMESPACES, latest, subresource="finalize")
        return Result()

    async def _delete_all(self, name: str) -> Remains:
        remains = Remains(Counter(), Counter(), [])
        # One version of each kind, since all versions are the same objects. And never a cluster-scoped one: it has no
        # namespace to be confined to, so that deleting "all of it in here" would mean all of it.
        kinds = {(one.group, one.plural): one for one in self._served() if one.namespaced}
        for resource in kinds.values():
            try:
                left = await self._delete_kind(resource, name)
            except StatusError as error:
                if not is_not_found(error):  # its CRD has gone in the meantime
                    remains.failures.append(f"{resource}: {error.message}")
                continue
            if left:
                remains.objects[f"{resource.plural}.{resource.group}"] += len(left)
            remains.finalizers.update(finalizer for one in left for finalizer in one.metadata.finalizers)
        return remains

    async def _delete_kind(self, resource: Resource, name: str) -> list[Named]:
        """Deletes all of a kind; gives what has not gone at once. Repeating it shortens nobody's grace period."""
        if not await self._list(resource, name):
            return []
        if not name or not resource.namespaced:
            raise ValueError(f"{resource} cannot be emptied within namespace {name!r}")
        await self._client.delete_collection(resource, name, propagation="Background")
        return await self._list(resource, name)

    async def _list(self, resource: Resource, name: str) -> list[Named]:
        page = await self._client.list_page(resource, name)
        return [msgspec.json.decode(item, type=Named) for item in page.items]

    async def _say(self, namespace: Obj, remains: Remains) -> None:
        """Not for a namespace that is empty at the first look: it is gone before anybody could read it."""
        status = namespace.get("status") or {}
        old = status.get("conditions") or []
        if remains.nothing and not old:
            return
        new = with_conditions(old, remains, rfc3339(self._now()))
        if new != old:
            changed = namespace | {"status": status | {"conditions": new}}
            await self._client.update(NAMESPACES, changed, subresource="status")
