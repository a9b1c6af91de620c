"""Pure rules of a Deployment's rollout: which ReplicaSet is the new one, and how far each may grow or shrink now.

Invariants, for a rolling update: the sum of all sizes never exceeds replicas + maxSurge, and what is available never
falls below replicas - maxUnavailable by our doing. The terms and the arithmetic are Kubernetes' own.
"""

import hashlib
import math
from collections.abc import Iterable
from copy import deepcopy
from typing import Any, NamedTuple

import msgspec

from headstay.local.controllers.workloads import Deployment, ReplicaSet
from headstay.model.objects import LAST_APPLIED, Obj

HASH_LABEL = "pod-template-hash"
REVISION = "deployment.kubernetes.io/revision"
REVISION_HISTORY = "deployment.kubernetes.io/revision-history"
DESIRED = "deployment.kubernetes.io/desired-replicas"
MAXIMUM = "deployment.kubernetes.io/max-replicas"
NOT_COPIED = frozenset(
    {LAST_APPLIED, REVISION, REVISION_HISTORY, DESIRED, MAXIMUM, "deprecated.deployment.rollback.to"}
)
"""Annotations of a Deployment that its ReplicaSets do not take over."""

_DIGITS = str.maketrans("0123456789", "456789bcdf")
"""How Kubernetes spells a hash, so that it never makes a word: tools know ReplicaSets' names by these letters."""


class Observed(NamedTuple):
    """A Deployment with its ReplicaSets. `new` has its present template; it is None before it is made."""

    deployment: Deployment
    new: ReplicaSet | None
    old: list[ReplicaSet]

    @property
    def everything(self) -> list[ReplicaSet]:
        return [*self.old, *([self.new] if self.new else [])]


class Size(NamedTuple):
    """`replica_set` is to have `replicas` from now on."""

    replica_set: ReplicaSet
    replicas: int


def template_hash(template: Obj, collisions: int) -> str:
    """The value of `pod-template-hash`: the same for the same template, another after a collision."""
    text = msgspec.json.encode([_tidy(template), collisions], order="sorted")
    return str(int.from_bytes(hashlib.sha256(text).digest()[:4])).translate(_DIGITS)


def _tidy(value: Any) -> Any:
    """Without nulls, which mean the same as nothing."""
    if isinstance(value, dict):
        return {name: _tidy(part) for name, part in value.items() if part is not None}
    return [_tidy(part) for part in value] if isinstance(value, list) else value


def _without_hash(template: Obj) -> Any:
    tidy = _tidy(template)
    meta = dict(tidy.get("metadata") or {})
    meta["labels"] = {name: value for name, value in (meta.get("labels") or {}).items() if name != HASH_LABEL}
    return tidy | {"metadata": {name: part for name, part in meta.items() if part}}


def same_template(one: Obj, other: Obj) -> bool:
    return bool(_without_hash(one) == _without_hash(other))


def age(replica_set: ReplicaSet) -> tuple[str, str]:
    return (replica_set.metadata.creation_timestamp or "", replica_set.metadata.name)


def find_new(deployment: Deployment, replica_sets: Iterable[ReplicaSet]) -> ReplicaSet | None:
    """The oldest with the Deployment's template: a second one can only be a leftover of a collision."""
    return next(
        (
            found
            for found in sorted(replica_sets, key=age)
            if same_template(found.spec.template, deployment.spec.template)
        ),
        None,
    )


def revision(replica_set: ReplicaSet) -> int:
    text = replica_set.metadata.annotations.get(REVISION, "0")
    return int(text) if text.isdigit() else 0


def new_revision(seen: Observed) -> int:
    """One more than any old one has; an old ReplicaSet that is the new one again gets a new number."""
    return max(max(map(revision, seen.old), default=0) + 1, revision(seen.new) if seen.new else 0)


def size_annotations(deployment: Deployment) -> dict[str, str]:
    wanted = deployment.spec.replicas
    return {DESIRED: str(wanted), MAXIMUM: str(wanted + max_surge(deployment))}


def _copied_annotations(deployment: Deployment) -> dict[str, str]:
    return {name: value for name, value in deployment.metadata.annotations.items() if name not in NOT_COPIED}


def set_annotations(deployment: Deployment, new: ReplicaSet, number: int) -> dict[str, str]:
    """What the new ReplicaSet's annotations should say; its earlier numbers are kept as its history."""
    wanted = _copied_annotations(deployment) | {REVISION: str(number)}
    before = revision(new)
    if 0 < before < number:
        past = new.metadata.annotations.get(REVISION_HISTORY, "")
        wanted[REVISION_HISTORY] = ",".join(filter(None, [past, str(before)]))
    return wanted


def replica_set_for(seen: Observed, owner: Obj) -> Obj:
    """The ReplicaSet to make for the Deployment's template."""
    deployment, meta = seen.deployment, seen.deployment.metadata
    hashed = template_hash(deployment.spec.template, deployment.status.collision_count or 0)
    template = deepcopy(deployment.spec.template)
    labels = template.setdefault("metadata", {}).setdefault("labels", {})
    labels[HASH_LABEL] = hashed
    selector = deepcopy(deployment.spec.selector)
    selector.setdefault("matchLabels", {})[HASH_LABEL] = hashed
    annotations = _copied_annotations(deployment) | size_annotations(deployment)
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": f"{meta.name}-{hashed}",
            "namespace": meta.namespace,
            "labels": dict(labels),
            "annotations": annotations | {REVISION: str(new_revision(seen))},
            "ownerReferences": [owner],
        },
        "spec": {
            "replicas": new_size(deployment, seen.everything, 0),
            "minReadySeconds": deployment.spec.min_ready_seconds,
            "selector": selector,
            "template": template,
        },
    }


def total(replica_sets: Iterable[ReplicaSet]) -> int:
    return sum(found.spec.replicas for found in replica_sets)


def active(replica_sets: Iterable[ReplicaSet]) -> list[ReplicaSet]:
    return [found for found in replica_sets if found.spec.replicas > 0]


def _resolve(value: int | str | None, of: int, default: str, *, up: bool) -> int:
    given = default if value is None else value
    if isinstance(given, int):
        return given
    part = int(given.rstrip("%")) * of / 100
    return math.ceil(part) if up else math.floor(part)


def _fenceposts(deployment: Deployment) -> tuple[int, int]:
    """(maxSurge, maxUnavailable) as numbers; never both 0, since then nothing could move."""
    rolling = deployment.spec.strategy.rolling_update
    wanted = deployment.spec.replicas
    surge = _resolve(rolling.max_surge if rolling else None, wanted, "25%", up=True)
    unavailable = _resolve(rolling.max_unavailable if rolling else None, wanted, "25%", up=False)
    return (surge, unavailable) if surge or unavailable else (0, 1)


def is_rolling(deployment: Deployment) -> bool:
    return deployment.spec.strategy.type == "RollingUpdate"


def max_surge(deployment: Deployment) -> int:
    return _fenceposts(deployment)[0] if is_rolling(deployment) else 0


def max_unavailable(deployment: Deployment) -> int:
    if not is_rolling(deployment) or not deployment.spec.replicas:
        return 0
    return min(_fenceposts(deployment)[1], deployment.spec.replicas)


def new_size(deployment: Deployment, everything: list[ReplicaSet], current: int) -> int:
    """How large the new ReplicaSet may be now, being `current`, beside all (`everything`, itself included)."""
    wanted = deployment.spec.replicas
    if not is_rolling(deployment):
        return wanted
    room = wanted + max_surge(deployment) - total(everything)
    return current if room <= 0 else current + min(room, wanted - current)


def grow_new(deployment: Deployment, new: ReplicaSet, everything: list[ReplicaSet]) -> list[Size]:
    wanted = deployment.spec.replicas
    if new.spec.replicas == wanted:
        return []
    target = wanted if new.spec.replicas > wanted else new_size(deployment, everything, new.spec.replicas)
    return [Size(new, target)] if target != new.spec.replicas else []


def shrink_old(deployment: Deployment, new: ReplicaSet, old: list[ReplicaSet]) -> list[Size]:
    """First what is unhealthy, which costs nobody anything, then as much as availability allows."""
    shrinking = sorted(active(old), key=age)
    if not shrinking:
        return []
    everything = [*old, new]
    at_least = deployment.spec.replicas - max_unavailable(deployment)
    new_not_available = new.spec.replicas - new.status.available_replicas
    may_go = total(everything) - at_least - new_not_available
    if may_go <= 0:
        return []
    sizes = {found.metadata.uid: found.spec.replicas for found in shrinking}
    for found in shrinking:
        unhealthy = min(may_go, found.spec.replicas - found.status.available_replicas)
        if unhealthy > 0:
            sizes[found.metadata.uid] -= unhealthy
            may_go -= unhealthy
    spare = sum(found.status.available_replicas for found in everything) - at_least
    for found in shrinking:
        healthy = min(max(0, spare), sizes[found.metadata.uid])
        sizes[found.metadata.uid] -= healthy
        spare -= healthy
    return [
        Size(found, sizes[found.metadata.uid])
        for found in shrinking
        if sizes[found.metadata.uid] != found.spec.replicas
    ]


def needs_scaling(deployment: Deployment, replica_sets: list[ReplicaSet]) -> bool:
    """`replicas` was changed since a ReplicaSet was last sized: that is spread before any rollout goes on."""
    return any(
        found.metadata.annotations.get(DESIRED, str(deployment.spec.replicas)) != str(deployment.spec.replicas)
        for found in active(replica_sets)
    )


def spread(seen: Observed) -> list[Size]:
    """The sizes after a change of `replicas`, in proportion where a rollout is under way."""
    deployment, new, old = seen
    wanted = deployment.spec.replicas
    running = active(seen.everything)
    only = running[0] if len(running) == 1 else None
    if not running:
        only = new or max(old, key=age, default=None)
    if only is not None:
        return [Size(only, wanted)]
    if new is not None and _saturated(deployment, new):
        return [Size(found, 0) for found in active(old)]
    if is_rolling(deployment):
        return _in_proportion(deployment, running)
    return [Size(found, found.spec.replicas) for found in running]


def _saturated(deployment: Deployment, new: ReplicaSet) -> bool:
    wanted = deployment.spec.replicas
    desired = new.metadata.annotations.get(DESIRED)
    return desired == str(wanted) and new.spec.replicas == wanted == new.status.available_replicas


def _in_proportion(deployment: Deployment, running: list[ReplicaSet]) -> list[Size]:
    wanted = deployment.spec.replicas
    allowed = wanted + max_surge(deployment) if wanted > 0 else 0
    to_add = allowed - total(running)
    # Growing favours the youngest of the largest, shrinking the oldest of the largest.
    by_age = sorted(running, key=age, reverse=to_add > 0)
    ordered = sorted(by_age, key=lambda found: -found.spec.replicas)
    sizes: list[Size] = []
    left = to_add
    for found in ordered:
        share = _share(deployment, found, to_add, left)
        sizes.append(Size(found, max(0, found.spec.replicas + share)))
        left -= share
    if left and sizes:
        first = sizes[0]
        sizes[0] = Size(first.replica_set, max(0, first.replicas + left))
    return sizes


def _share(deployment: Deployment, found: ReplicaSet, to_add: int, left: int) -> int:
    if not to_add or not left or not found.spec.replicas:
        return 0
    if not deployment.spec.replicas:
        return -found.spec.replicas
    target = deployment.spec.replicas + max_surge(deployment)
    before = found.metadata.annotations.get(MAXIMUM, "")
    basis = int(before) if before.isdigit() and int(before) else target
    share = math.floor(found.spec.replicas * target / basis + 0.5) - found.spec.replicas
    return min(share, left) if to_add > 0 else max(share, left)


def obsolete(deployment: Deployment, old: list[ReplicaSet]) -> list[ReplicaSet]:
    """Old ReplicaSets beyond revisionHistoryLimit that run nothing, the oldest revisions first."""
    limit = deployment.spec.revision_history_limit
    standing = [found for found in old if found.metadata.deletion_timestamp is None]
    surplus = 0 if limit is None else len(standing) - limit
    if surplus <= 0:
        return []
    return [found for found in sorted(standing, key=revision)[:surplus] if _at_rest(found)]


def _at_rest(found: ReplicaSet) -> bool:
    seen = found.status.observed_generation >= found.metadata.generation
    return seen and not found.spec.replicas and not found.status.replicas
