"""A storage namespace has one writer: which RayCluster may make a head Pod that writes into it.

Two GCSs on the same keys destroy each other's tables. So a cluster whose namespace others could name too (one that is
not just its own UID) claims it, in an annotation, before its first head:

    somebody else has it -- yes --> refused: a condition, an Event, no head Pod; looked at again
          | no
    claim written, and seen in the cache? -- no --> write it, and only that
          | yes
    still nobody else --> head Pod

Why two cannot both get in: a cache shows changes in the order in which they were made. Where it shows our own claim it
shows every earlier one; of two claims the later therefore sees the earlier. A stale cache, or a crash between any two
steps, only delays. Pods that may still touch the keys (a head on a lost node, a cleanup) are asked of the API itself.

What runs is never killed: an edit that leads into another's namespace counts from the next head Pod on.
"""

from typing import NamedTuple

from headstay.model.objects import Obj
from headstay.model.ray import (
    ENV_STORAGE_NAMESPACE,
    HEAD,
    REDIS_CLEANUP_FINALIZER,
    RayCluster,
    env_entry,
    ray_container,
)
from headstay.plan.raycluster.identity import StorageIdentity, storage_identity
from headstay.plan.raycluster.plan import EventDraft, Holder, MarkCluster, Observed
from headstay.plan.raycluster.settings import Settings
from headstay.plan.raycluster.validation import validate

WRITER = "headstay.io/storage-namespace-writer"
"""Annotation of a RayCluster: its own UID and the identity it writes, so that a copied manifest claims nothing."""
CONFLICT = "headstay.io/StorageNamespaceConflict"
AGAIN_SECONDS = 5.0


class Rival(NamedTuple):
    """Who has it and why that counts. `reason` is the condition's."""

    name: str
    reason: str
    why: str
    fix: str


class Standing(NamedTuple):
    """`claim` is None where it stays as it is, "" where it is given up. A `rival` keeps a new head from being made."""

    claim: str | None = None
    rival: Rival | None = None


def claim_value(cluster: RayCluster, text: str) -> str:
    return f"{cluster.metadata.uid} {text}"


def claim_of(cluster: RayCluster) -> str:
    """The text of the identity that the cluster has claimed, or ""."""
    uid, _, text = cluster.annotations.get(WRITER, "").partition(" ")
    return text if uid == cluster.metadata.uid else ""


def identities_of(cluster: RayCluster, settings: Settings) -> set[str]:
    """What the cluster wants and what it has claimed: the index that finds those who share."""
    wanted = storage_identity(cluster, settings.cluster_domain)
    texts = {claim_of(cluster), wanted.text if wanted and not wanted.pod_private else ""}
    return texts - {""}


def shared_identity(cluster: RayCluster, settings: Settings) -> StorageIdentity | None:
    """The identity, if others could have the same one. The default, its own UID, costs nothing to look after."""
    found = storage_identity(cluster, settings.cluster_domain)
    return None if found is None or found.pod_private or found.namespace == cluster.metadata.uid else found


def wants_holders(observed: Observed, settings: Settings) -> StorageIdentity | None:
    """The identity for which `Observed.holders` decides something now."""
    cluster = observed.cluster
    identity = shared_identity(cluster, settings)
    if identity is None or cluster.deleting or not cluster.managed_by_us or "" in observed.unsettled:
        return None
    if cluster.spec.get("suspend") or cluster.is_true("RayClusterSuspended"):
        return None
    if observed.of_type(HEAD):
        return None if claim_of(cluster) else identity
    return None if _rival(observed, identity, settings) else identity


def standing(observed: Observed, settings: Settings) -> Standing:
    cluster = observed.cluster
    identity = shared_identity(cluster, settings)
    claim, runs = claim_of(cluster), has_head(observed)
    if identity is None:
        return Standing("" if claim and not runs else None)
    rival = None if runs and claim == identity.text else _rival(observed, identity, settings)
    if runs:
        ours = any(holder.head and holder.cluster_uid == cluster.metadata.uid for holder in observed.holders)
        return Standing(identity.text if ours and not claim and rival is None else None, rival)
    if rival is not None:
        older_waits = rival.reason == "ClaimedTwice"
        return Standing("" if claim and not older_waits else None, rival)
    if holder := next((found for found in observed.holders if found.cluster_uid != cluster.metadata.uid), None):
        return Standing(rival=_held_by(holder))
    return Standing(identity.text if claim != identity.text else None)


def keys_left_to(observed: Observed, settings: Settings) -> str:
    """Which living RayCluster the keys of this deleted one belong to by now, or "": those are not to be cleaned."""
    cluster = observed.cluster
    identity = storage_identity(cluster, settings.cluster_domain)
    if identity is None or identity.pod_private:
        return ""
    was_writer = identity.namespace == cluster.metadata.uid or claim_of(cluster) == identity.text
    for other in _others(observed, identity, settings):
        claims = claim_of(other) == identity.text
        if was_writer:
            # While we have our finalizer nobody new is let in: who runs all the same ran before there were claims.
            theirs = _runs(other) and not other.deleting and claim_of(other) in {"", identity.text}
        else:
            theirs = claims or not other.deleting
        if theirs:
            return str(other.key)
    return ""


def conflict(observed: Observed, rival: Rival, settings: Settings) -> tuple[Obj, EventDraft]:
    """The condition and the Event that tell of it."""
    cluster = observed.cluster
    identity = storage_identity(cluster, settings.cluster_domain)
    namespace, address = (identity.namespace, identity.address) if identity else ("", "")
    fix = rival.fix or f"Give this RayCluster another one ({_where(cluster)}), or delete RayCluster {rival.name}"
    runs = has_head(observed)
    effect = "The head Pod that runs is left alone, but no new one will be made" if runs else "No head Pod is made"
    message = f'Storage namespace "{namespace}" in Redis {address} {rival.why}. {effect}. {fix}'
    condition = {"type": CONFLICT, "status": "True", "reason": rival.reason, "message": message}
    return condition, EventDraft("Warning", "StorageNamespaceConflict", "Reconcile", message)


def has_head(observed: Observed) -> bool:
    """Also one that is on its way, in or out."""
    return bool(observed.of_type(HEAD)) or "" in observed.unsettled


def claiming(cluster: RayCluster, text: str) -> MarkCluster:
    return MarkCluster({WRITER: claim_value(cluster, text) if text else None})


def _rival(observed: Observed, identity: StorageIdentity, settings: Settings) -> Rival | None:
    """The cluster that has the identity, or comes first for it."""
    cluster = observed.cluster
    for other in sorted(_others(observed, identity, settings), key=_age):
        name = str(other.key)
        claims, ours = claim_of(other) == identity.text, claim_of(cluster) == identity.text
        if other.deleting:
            if REDIS_CLEANUP_FINALIZER in other.metadata.finalizers:
                why = f"was RayCluster {name}'s, which is being deleted and may still remove its keys"
                return Rival(name, "BeingDeleted", why, "It goes on by itself once that RayCluster is gone")
        elif identity.namespace == other.metadata.uid:
            return _written_by(other)
        elif claims and ours and not _runs(other) and _age(cluster) < _age(other):
            # Both claimed before either saw the other: the younger gives way, and until it has we wait.
            return Rival(name, "ClaimedTwice", f"is claimed by RayCluster {name} too", "The younger one gives way")
        elif claims or (not ours and _comes_first(other, observed)):
            return _written_by(other)
    return None


def _comes_first(other: RayCluster, observed: Observed) -> bool:
    """Who runs, then who is older. Who runs on another claim, or cannot run, stands in nobody's way."""
    if claim_of(other) or not other.managed_by_us or validate(other) is not None:
        return False
    if _runs(other) != has_head(observed):
        return _runs(other)
    return _age(other) < _age(observed.cluster)


def _others(observed: Observed, identity: StorageIdentity, settings: Settings) -> list[RayCluster]:
    own = observed.cluster.metadata.uid
    return [
        other
        for other in observed.rivals
        if other.metadata.uid != own and identity.text in identities_of(other, settings)
    ]


def _runs(cluster: RayCluster) -> bool:
    return bool((cluster.status.get("head") or {}).get("podName"))


def _age(cluster: RayCluster) -> tuple[str, str]:
    return (cluster.metadata.creation_timestamp or "", cluster.metadata.uid)


def _written_by(other: RayCluster) -> Rival:
    return Rival(str(other.key), "HeldByAnotherCluster", f"belongs to RayCluster {other.key}", "")


def _held_by(holder: Holder) -> Rival:
    fix = "It goes on by itself once that is gone from the API"
    if holder.head:
        fix += (
            f"; if its node is lost for good: kubectl delete {holder.what.lower()} {holder.key.name} "
            f"-n {holder.key.namespace} --force"
        )
    why = f"{'may still be written' if holder.head else 'is being cleaned'} by {holder.what} {holder.key}"
    return Rival(str(holder.key), "HeldByPod" if holder.head else "BeingCleaned", why, fix)


def _where(cluster: RayCluster) -> str:
    if env_entry(ray_container(cluster.head_group), ENV_STORAGE_NAMESPACE) is not None:
        return f"the head container's {ENV_STORAGE_NAMESPACE}"
    if cluster.ft_options is not None:
        return "spec.gcsFaultToleranceOptions.externalStorageNamespace"
    return "annotation ray.io/external-storage-namespace"
