"""The garbage collector: objects whose owners are gone go too, in the order that was asked for.

    background  the owner goes at once, its dependents after it
    foreground  the owner keeps `foregroundDeletion` until every dependent that blocks it is gone
    orphan      the owner keeps `orphan` until its dependents have forgotten it

Invariants: an object is deleted only after the server itself has said that none of its owners exists (same uid) or
that those which do are being deleted in the foreground; deletes carry the uid; what cannot be judged (an owner of an
unknown kind) is kept.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable

import msgspec

from headstay.local.controllers.monitors import Monitors
from headstay.local.controllers.ownergraph import FOREGROUND, ORPHAN, Node, OwnerGraph
from headstay.model.errors import StatusError, is_not_found
from headstay.model.meta import Named, ObjectMeta, OwnerReference, to_builtins
from headstay.model.objects import Obj
from headstay.model.resource import Resource
from headstay.runtime.client import Client, Propagation
from headstay.runtime.controller import Controller, Result

log = logging.getLogger(__name__)

UNSYNCED_RETRY = 0.5
UNKNOWN_KIND_RETRY = 300.0


class GarbageCollector:
    """`resources` gives every kind that is served now and can be listed, watched and deleted."""

    def __init__(self, client: Client, resources: Callable[[], Iterable[Resource]], *, workers: int = 5) -> None:
        self._client = client
        self._resources = resources
        self._graph = OwnerGraph()
        self._monitors = Monitors(client, resources, self._changed)
        self._controller: Controller[str] = Controller("garbage-collector", self.reconcile, workers=workers)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._monitors.run(), name="garbage-monitors")
            group.create_task(self._controller.run(), name="garbage-collector")

    def _changed(self, resource: Resource, old: Named | None, new: Named | None) -> None:
        if new is not None:
            concerned = self._graph.put(Node(resource, new.metadata))
        else:
            concerned = self._graph.remove(old.metadata.uid) if old else set()
        for uid in sorted(concerned):
            self._controller.enqueue(uid)

    async def reconcile(self, uid: str) -> Result:
        node = self._graph.get(uid)
        if node is None:
            return Result()
        if not self._monitors.synced:
            return Result(UNSYNCED_RETRY, f"not every kind is listed yet: {', '.join(self._monitors.unsynced())}")
        if node.orphaning:
            await self._orphan_dependents(node)
        elif node.deleting_dependents:
            await self._delete_dependents(node)
        if self._graph.needs_a_look(node):
            return await self._judge(node)
        return Result()

    async def _orphan_dependents(self, owner: Node) -> None:
        for dependent in self._graph.dependents(owner.uid):
            await self._forget_owners(dependent.resource, dependent.metadata, {owner.uid})
        await self._remove_finalizer(owner, ORPHAN)

    async def _delete_dependents(self, owner: Node) -> None:
        if not self._graph.blocking(owner.uid):
            await self._remove_finalizer(owner, FOREGROUND)
            return
        for dependent in self._graph.dependents(owner.uid):
            if not dependent.deleting_dependents:
                self._controller.enqueue(dependent.uid)

    async def _judge(self, node: Node) -> Result:
        """Deletes `node` if nobody that lasts owns it; otherwise it forgets the owners that do not last."""
        live = await self._live(node.resource, node.metadata.namespace, node.metadata.name)
        if live is None or live.uid != node.uid:
            return Result()
        if live.deletion_timestamp is not None:
            return Result()
        solid, absent, waiting = False, set(), set()
        for reference in live.owner_references:
            state = await self._owner_state(node.resource, live.namespace, reference)
            if state == "unknown":
                text = f"{node.resource} {live.namespace}/{live.name} has an owner of unknown kind {reference.kind}"
                return Result(UNKNOWN_KIND_RETRY, text)
            solid = solid or state == "solid"
            if state == "absent":
                absent.add(reference.uid)
            elif state == "waiting":
                waiting.add(reference.uid)
        if solid:
            await self._forget_owners(node.resource, live, absent | waiting)
        elif absent or waiting:
            await self._delete(node, live, waiting)
        return Result()

    async def _owner_state(self, resource: Resource, namespace: str, reference: OwnerReference) -> str:
        """`solid`, `absent`, `waiting` (being deleted in the foreground, for its dependents) or `unknown`."""
        owner = self._resource_of(reference)
        if owner is None or (owner.namespaced and not resource.namespaced):
            return "unknown"
        live = await self._live(owner, namespace if owner.namespaced else "", reference.name)
        if live is None or live.uid != reference.uid:
            return "absent"
        deleting = live.deletion_timestamp is not None and FOREGROUND in live.finalizers
        return "waiting" if deleting else "solid"

    async def _delete(self, node: Node, live: ObjectMeta, waiting: set[str]) -> None:
        propagation: Propagation = "Background"
        if waiting and (dependents := self._graph.dependents(node.uid)):
            # The owner waits for this one, so this one waits for its own; a circle is cut open here.
            propagation = "Foreground"
            if any(dependent.deleting_dependents for dependent in dependents):
                await self._unblock(node.resource, live)
                live.resource_version = ""  # has just changed by our own hand
        elif ORPHAN in live.finalizers:
            propagation = "Orphan"
        elif FOREGROUND in live.finalizers:
            propagation = "Foreground"
        try:
            await self._client.delete(
                node.resource,
                live.namespace,
                live.name,
                uid=live.uid,
                resource_version=live.resource_version,
                propagation=propagation,
            )
        except StatusError as error:
            if not is_not_found(error):
                raise  # a conflict: it has changed, perhaps its owners; look again
        log.debug("%s %s/%s goes after its owners (%s)", node.resource, live.namespace, live.name, propagation)

    async def _unblock(self, resource: Resource, live: ObjectMeta) -> None:
        references = [to_builtins(reference) | {"blockOwnerDeletion": False} for reference in live.owner_references]
        await self._patch_metadata(resource, live, {"ownerReferences": references})

    async def _forget_owners(self, resource: Resource, seen: ObjectMeta, owners: set[str]) -> None:
        kept = [to_builtins(reference) for reference in seen.owner_references if reference.uid not in owners]
        if len(kept) != len(seen.owner_references):
            await self._patch_metadata(resource, seen, {"ownerReferences": kept or None})

    async def _remove_finalizer(self, node: Node, finalizer: str) -> None:
        live = await self._live(node.resource, node.metadata.namespace, node.metadata.name)
        if live is None or live.uid != node.uid or finalizer not in live.finalizers:
            return
        kept = [name for name in live.finalizers if name != finalizer]
        await self._patch_metadata(node.resource, live, {"finalizers": kept or None})

    async def _patch_metadata(self, resource: Resource, seen: ObjectMeta, changes: Obj) -> None:
        """Refused as a conflict when it is not as we saw it any more; then it is looked at again."""
        patch = {"metadata": changes | {"uid": seen.uid, "resourceVersion": seen.resource_version}}
        try:
            await self._client.patch(resource, seen.namespace, seen.name, patch)
        except StatusError as error:
            if not is_not_found(error):
                raise

    async def _live(self, resource: Resource, namespace: str, name: str) -> ObjectMeta | None:
        try:
            found = await self._client.get(resource, namespace, name)
        except StatusError as error:
            if is_not_found(error):
                return None
            raise
        return msgspec.convert(found["metadata"], ObjectMeta)

    def _resource_of(self, reference: OwnerReference) -> Resource | None:
        group = reference.api_version.rpartition("/")[0]
        same = [found for found in self._resources() if (found.group, found.kind) == (group, reference.kind)]
        exact = (found for found in same if found.api_version == reference.api_version)
        return next(exact, same[0] if same else None)
