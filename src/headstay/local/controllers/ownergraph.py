"""Pure: who owns whom, by uid, over every kind; fed by watches, asked by the garbage collector.

It may lag behind the server, so nothing is deleted on its word alone: it says where to look.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from headstay.model.meta import ObjectMeta, OwnerReference
from headstay.model.resource import Resource

ORPHAN = "orphan"
FOREGROUND = "foregroundDeletion"


class Node(NamedTuple):
    """An object that exists, as last seen."""

    resource: Resource
    metadata: ObjectMeta

    @property
    def uid(self) -> str:
        return self.metadata.uid

    @property
    def deleting_dependents(self) -> bool:
        return self.metadata.deletion_timestamp is not None and FOREGROUND in self.metadata.finalizers

    @property
    def orphaning(self) -> bool:
        return self.metadata.deletion_timestamp is not None and ORPHAN in self.metadata.finalizers

    def reference_to(self, owner: str) -> OwnerReference | None:
        return next((reference for reference in self.metadata.owner_references if reference.uid == owner), None)


class OwnerGraph:
    """`put` and `remove` return the uids of the objects that the change may concern."""

    def __init__(self) -> None:
        self._nodes: dict[str, Node] = {}
        self._dependents: dict[str, set[str]] = {}

    def __len__(self) -> int:
        return len(self._nodes)

    def get(self, uid: str) -> Node | None:
        return self._nodes.get(uid)

    def of_resource(self, resource: Resource) -> list[Node]:
        return [node for node in self._nodes.values() if node.resource == resource]

    def dependents(self, owner: str) -> list[Node]:
        """In a stable order, so that what happens first is reproducible."""
        found = [self._nodes[uid] for uid in self._dependents.get(owner, ())]
        return sorted(found, key=lambda node: (str(node.resource), node.metadata.namespace, node.metadata.name))

    def blocking(self, owner: str) -> list[Node]:
        """The dependents that a foreground deletion of `owner` has to wait for."""
        return [
            node
            for node in self.dependents(owner)
            if (reference := node.reference_to(owner)) is not None and reference.block_owner_deletion
        ]

    def put(self, node: Node) -> set[str]:
        old = self._nodes.get(node.uid)
        self._nodes[node.uid] = node
        before = _owners(old) if old else set()
        after = _owners(node)
        for owner in before - after:
            self._unlink(owner, node.uid)
        for owner in after - before:
            self._dependents.setdefault(owner, set()).add(node.uid)
        concerned = set(self._waiting(before | after))
        if node.deleting_dependents or node.orphaning or self.needs_a_look(node):
            concerned.add(node.uid)
        if node.deleting_dependents and not (old and old.deleting_dependents):
            concerned |= self._dependents.get(node.uid, set())
        return concerned

    def remove(self, uid: str) -> set[str]:
        """The dependents have lost an owner; an owner that waits may have lost what it waited for."""
        old = self._nodes.pop(uid, None)
        if old is None:
            return set()
        for owner in _owners(old):
            self._unlink(owner, uid)
        return set(self._dependents.get(uid, ())) | set(self._waiting(_owners(old)))

    def needs_a_look(self, node: Node) -> bool:
        """An owner is not known under that name where the node could have one, or waits for its dependents' end."""
        if node.metadata.deletion_timestamp is not None:
            return False
        return any(self._in_doubt(node, reference) for reference in node.metadata.owner_references)

    def _in_doubt(self, node: Node, reference: OwnerReference) -> bool:
        owner = self._nodes.get(reference.uid)
        if owner is None or owner.deleting_dependents:
            return True
        near = owner.metadata.namespace in {"", node.metadata.namespace}
        return not near or owner.metadata.name != reference.name

    def _waiting(self, owners: Iterable[str]) -> Iterator[str]:
        for uid in owners:
            owner = self._nodes.get(uid)
            if owner is not None and owner.deleting_dependents:
                yield uid

    def _unlink(self, owner: str, dependent: str) -> None:
        found = self._dependents.get(owner)
        if found is not None:
            found.discard(dependent)
            if not found:
                del self._dependents[owner]


def _owners(node: Node) -> set[str]:
    return {reference.uid for reference in node.metadata.owner_references}
