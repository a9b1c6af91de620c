"""Making, deleting, adopting and releasing the objects that a workload controls (Pods, ReplicaSets).

Every delete and every change of an owner carries the uid of the object that was looked at, so that a successor of the
same name is never hit.
"""

from collections.abc import Iterable
from typing import Generic, NamedTuple, TypeVar

from headstay.local.controllers.ownwrites import OwnWrites, by_orphaned_namespace
from headstay.model.errors import StatusError, is_conflict, is_not_found
from headstay.model.meta import ObjectMeta
from headstay.model.objects import Obj, ObjectKey
from headstay.model.resource import Resource
from headstay.model.selectors import Selector
from headstay.runtime.cache import HasMetadata
from headstay.runtime.client import Client
from headstay.runtime.controller import Controller
from headstay.runtime.reflector import Reflector

T = TypeVar("T", bound=HasMetadata)
Owner = TypeVar("Owner", bound=HasMetadata)


class Claim(NamedTuple, Generic[T]):
    mine: list[T]
    adopt: list[T]
    release: list[T]


def claim(owner: ObjectMeta, selector: Selector, candidates: Iterable[T]) -> Claim[T]:
    """Who of `candidates` belongs to `owner`: a label may change under a controlled object, an orphan may match."""
    found: Claim[T] = Claim([], [], [])
    deleting = owner.deletion_timestamp is not None
    for item in candidates:
        matches = selector.matches(item.metadata.labels)
        controller = item.metadata.controller()
        if controller is not None and controller.uid == owner.uid:
            (found.mine if matches or deleting else found.release).append(item)
        elif controller is None and matches and not deleting and item.metadata.deletion_timestamp is None:
            found.adopt.append(item)
    return found


def controller_reference(resource: Resource, owner: ObjectMeta) -> Obj:
    return {
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "name": owner.name,
        "uid": owner.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }


def from_template(template: Obj, owner: Obj, namespace: str) -> Obj:
    """The Pod that a Pod template describes, without a name. Shares the template's parts: do not change them."""
    meta = template.get("metadata") or {}
    metadata: Obj = {"namespace": namespace, "ownerReferences": [owner]}
    for name in ("labels", "annotations", "finalizers"):
        if meta.get(name):
            metadata[name] = meta[name].copy()
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template.get("spec") or {}}


class Owned(Generic[T]):
    """The objects of one resource under the owners of another."""

    def __init__(self, client: Client, reflector: Reflector[T], owners: Resource) -> None:
        self._client = client
        self._resource = reflector.resource
        self._owners = owners
        self._writes = OwnWrites(reflector)
        self.cache = reflector.cache
        self.cache.add_index("orphans", by_orphaned_namespace)

    async def claimed(self, owner: ObjectMeta, selector: Selector) -> list[T]:
        """The owner's objects, after adopting and releasing; our own recent writes included."""
        candidates = self._writes.of(owner.uid) + self.cache.by_index("orphans", owner.namespace)
        found = claim(owner, selector, candidates)
        if found.adopt and await self._may_adopt(owner):
            for item in found.adopt:
                if await self._adopt(owner, item.metadata):
                    found.mine.append(item)
        for item in found.release:
            await self._release(owner, item.metadata)
        return found.mine

    async def create(self, owner: ObjectMeta, document: Obj) -> Obj:
        made = await self._client.create(self._resource, document)
        self._writes.made(owner.uid, made)
        return made

    async def delete(self, item: ObjectMeta) -> bool:
        """False when it was gone already, or another one has taken its name."""
        try:
            await self._client.delete(self._resource, item.namespace, item.name, uid=item.uid)
        except StatusError as error:
            if is_not_found(error) or is_conflict(error):
                return False
            raise
        self._writes.deleted(item.uid)
        return True

    async def _may_adopt(self, owner: ObjectMeta) -> bool:
        """Asked of the server, not of the cache: an owner that is being deleted must not take anything on."""
        try:
            found = (await self._client.get(self._owners, owner.namespace, owner.name))["metadata"]
        except StatusError as error:
            if is_not_found(error):
                return False
            raise
        return found["uid"] == owner.uid and not found.get("deletionTimestamp")

    async def _adopt(self, owner: ObjectMeta, item: ObjectMeta) -> bool:
        reference = controller_reference(self._owners, owner)
        return await self._patch_owners(item, reference)

    async def _release(self, owner: ObjectMeta, item: ObjectMeta) -> None:
        await self._patch_owners(item, {"$patch": "delete", "uid": owner.uid})

    async def _patch_owners(self, item: ObjectMeta, reference: Obj) -> bool:
        patch = {"metadata": {"uid": item.uid, "ownerReferences": [reference]}}
        try:
            await self._client.patch(self._resource, item.namespace, item.name, patch, patch_type="strategic")
        except StatusError as error:
            if is_not_found(error) or error.reason == "Invalid":  # gone, or somebody else has just adopted it
                return False
            raise
        return True


def enqueue_owners(
    controller: Controller[ObjectKey], reflector: Reflector[T], owners: Reflector[Owner], kind: str
) -> None:
    """Wakes the controlling owner of a changed object; for an orphan, every owner of its namespace."""

    def keys(item: T) -> list[ObjectKey]:
        reference = item.metadata.controller()
        namespace = item.metadata.namespace
        if reference is not None:
            return [ObjectKey(namespace, reference.name)] if reference.kind == kind else []
        if not item.metadata.labels:
            return []
        return [ObjectKey(namespace, owner.metadata.name) for owner in owners.cache.list(namespace)]

    controller.watches(reflector, keys)
