"""The rules of an aggregated ClusterRole: those of every ClusterRole its selectors find, and what these find in turn.

Resolved to the bottom, so that one pass is enough however roles are nested. The order is the one that Kubernetes
arrives at: by name at each level.
"""

from collections.abc import Iterator, Sequence

from headstay.model.objects import Obj, labels
from headstay.model.selectors import structured_selector


def aggregated_rules(role: Obj, cluster_roles: Sequence[Obj]) -> list[Obj]:
    """Each rule once. Rules written into an aggregating role do not count."""
    by_name = sorted(cluster_roles, key=lambda obj: str(obj["metadata"]["name"]))
    found: list[Obj] = []
    for rule in _rules(role, by_name, {role["metadata"]["name"]}):
        if rule not in found:
            found.append(rule)
    return found


def _rules(role: Obj, cluster_roles: Sequence[Obj], seen: set[str]) -> Iterator[Obj]:
    """`seen` are the names already taken in: roles that select each other end there."""
    aggregation = role.get("aggregationRule")
    if not aggregation:
        yield from role.get("rules") or []
        return
    selectors = [structured_selector(selector) for selector in aggregation.get("clusterRoleSelectors") or []]
    for other in cluster_roles:
        name = other["metadata"]["name"]
        if name not in seen and any(selector.matches(labels(other)) for selector in selectors):
            seen.add(name)
            yield from _rules(other, cluster_roles, seen)
