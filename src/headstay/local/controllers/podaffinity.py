"""Required affinity and anti-affinity between Pods: which of them may share a node, a zone, any labelled domain.

Rules as in kube-scheduler's InterPodAffinity filter. Preferences only score, and there is no scoring here. Topology
spread constraints compare domains with each other; on the one node there is, they always hold.
"""

from collections.abc import Mapping
from typing import Any

from headstay.local.controllers.schedulingviews import SchedulingNode, SchedulingPod
from headstay.local.controllers.snapshot import Snapshot
from headstay.model.selectors import structured_selector

NO_AFFINITY = "node(s) didn't match pod affinity rules"
NO_ANTI_AFFINITY = "node(s) didn't match pod anti-affinity rules"
NOT_WELCOME = "node(s) didn't satisfy existing pods anti-affinity rules"

Term = Mapping[str, Any]


def _terms(pod: SchedulingPod, kind: str) -> list[Term]:
    found: list[Term] = (pod.spec.affinity.get(kind) or {}).get("requiredDuringSchedulingIgnoredDuringExecution") or []
    return found


class Neighbours:
    """The other Pods of the cluster, as `pod` sees them and they see it."""

    def __init__(self, pod: SchedulingPod, cluster: Snapshot) -> None:
        self._pod = pod
        self._namespaces = cluster.namespaces
        self._others = cluster.others
        self._labels = {node.metadata.name: node.metadata.labels for node in cluster.nodes}

    def object_to(self, node: SchedulingNode) -> str:
        """Why `node` is no place for the Pod among the others, or ""."""
        if not all(self._attracted(term, node) for term in _terms(self._pod, "podAffinity")):
            return NO_AFFINITY
        for term in _terms(self._pod, "podAntiAffinity"):
            if any(self._picks(term, self._pod, other) for other in self._in_domain(term, node)):
                return NO_ANTI_AFFINITY
        for other in self._others.wary():
            for term in _terms(other, "podAntiAffinity"):
                if self._picks(term, other, self._pod) and self._shares_domain(term, node, other):
                    return NOT_WELCOME
        return ""

    def _attracted(self, term: Term, node: SchedulingNode) -> bool:
        if term.get("topologyKey") not in node.metadata.labels:
            return False
        if any(self._picks(term, self._pod, other) for other in self._in_domain(term, node)):
            return True
        # The first of a group that wants its own kind near has nobody to be near to yet.
        alone = not any(self._picks(term, self._pod, other) for other in self._others)
        return alone and self._picks(term, self._pod, self._pod)

    def _in_domain(self, term: Term, node: SchedulingNode) -> list[SchedulingPod]:
        return [other for other in self._others if self._shares_domain(term, node, other)]

    def _shares_domain(self, term: Term, node: SchedulingNode, other: SchedulingPod) -> bool:
        key = term.get("topologyKey") or ""
        value = node.metadata.labels.get(key)
        return value is not None and self._labels.get(other.spec.node_name, {}).get(key) == value

    def _picks(self, term: Term, owner: SchedulingPod, candidate: SchedulingPod) -> bool:
        """Whether `term`, written in `owner`, speaks of `candidate`."""
        selector = term.get("labelSelector")
        if selector is None or not self._in_scope(term, owner, candidate.metadata.namespace):
            return False
        return structured_selector(selector).matches(candidate.metadata.labels)

    def _in_scope(self, term: Term, owner: SchedulingPod, namespace: str) -> bool:
        named, selector = term.get("namespaces") or [], term.get("namespaceSelector")
        if not named and selector is None:
            return namespace == owner.metadata.namespace
        if namespace in named:
            return True
        return selector is not None and structured_selector(selector).matches(self._namespaces.get(namespace, {}))
