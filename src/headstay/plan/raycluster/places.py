"""Where heads of a RayCluster may have written keys, remembered in its annotations until it is deleted.

The spec says where the next head writes. A running head goes on with what it was made with, and what an earlier one
wrote stays where it was. So a place is noted before a head is made with it, in a pass of its own:

    note and spec agree -- yes --> head Pod
          | no
    write the note: the new place, and the former one beside it; the head comes once the cache shows it

A head that was made without a note (KubeRay's) is read from the API and noted as soon as the spec stops saying where
it writes. What is noted may be too much, after a crash between note and head, and is never too little.

A former place is forgotten when another cluster claims it: the keys are that one's. There is room for MOST_FORMER;
before one more is noted, the oldest becomes a debt.
"""

from datetime import datetime

import msgspec

from headstay.model.meta import ObjectMeta
from headstay.model.ray import HEAD, RayCluster
from headstay.plan.debts import Debt
from headstay.plan.raycluster.cleanup_policy import cleanup_policy
from headstay.plan.raycluster.cleanup_words import debt_recorded, debt_refused
from headstay.plan.raycluster.identity import STORAGE_LABEL, storage_identity, storage_namespace, uses_redis
from headstay.plan.raycluster.plan import Action, NoteStorage, Observed, RecordDebt
from headstay.plan.raycluster.settings import Settings
from headstay.plan.raycluster.storage import STORAGE, Place, Storage, remembered_storage, storage_of
from headstay.plan.raycluster.writer import claim_of

FORMER = "headstay.io/redis-storage-former"
"""Annotation of a RayCluster: a JSON list of `Storage`, the oldest first."""
MOST_FORMER = 16


def former_storages(cluster: RayCluster) -> tuple[Storage, ...]:
    try:
        return msgspec.json.decode(cluster.annotations.get(FORMER, "[]"), type=tuple[Storage, ...])
    except msgspec.MsgspecError:
        return ()


def storage_texts(cluster: RayCluster) -> set[str]:
    """The identities of the former places: for the index that tells of clusters which claim one of them."""
    return {found.identity().text for found in former_storages(cluster) if found.host}


def note_with_finalizer(cluster: RayCluster, settings: Settings) -> dict[str, str]:
    """Only what nobody else can have: a name that others may choose too is noted once it is claimed."""
    storage = storage_of(cluster, settings.cluster_domain)
    own = storage is not None and storage.namespace == cluster.metadata.uid
    return {STORAGE: storage.to_json()} if storage is not None and own else {}


def unread(observed: Observed, settings: Settings) -> tuple[ObjectMeta, ...]:
    """Head Pods and cleanup Jobs whose own environment tells of a place that nothing else tells of."""
    cluster = observed.cluster
    domain = settings.cluster_domain
    wanted = storage_identity(cluster, domain)
    known = {found.identity().label for found in _noted(cluster)} | ({wanted.label} if wanted else set())
    jobs = [job.metadata for job in observed.jobs if _owned(job.metadata, cluster)]
    found = [*(pod.metadata for pod in observed.of_type(HEAD)), *jobs]
    return tuple(metadata for metadata in found if metadata.labels.get(STORAGE_LABEL, "") not in known)


def due_note(observed: Observed, settings: Settings, now: datetime) -> tuple[Action, ...]:
    """What to write of heads that run or ran; () where nothing new is known. Whatever the spec says: never refused."""
    cluster = observed.cluster
    wanted = storage_of(cluster, settings.cluster_domain)
    current, former = remembered_storage(cluster), former_storages(cluster)
    covered = _places(wanted, current, *former)
    fresh = [found for found in observed.storages.values() if found.place not in covered]
    kept = [found for found in former if not _is_taken(found, observed)]
    if not fresh and len(kept) == len(former):
        return ()
    if current is None and fresh:
        current = fresh.pop()
    return _written(observed, settings, now, current, [*kept, *fresh])


def note_before_head(observed: Observed, settings: Settings, now: datetime) -> tuple[Action, ...]:
    """What to write before a head is made as the spec says; () where that is noted already."""
    cluster = observed.cluster
    wanted = storage_of(cluster, settings.cluster_domain)
    current = remembered_storage(cluster)
    if wanted is None or wanted == current:
        return ()
    former = [*former_storages(cluster), *([current] if current is not None else [])]
    return _written(observed, settings, now, wanted, former)


def owed_storages(observed: Observed, settings: Settings) -> tuple[Storage, ...]:
    """Where keys may remain, first what the spec says. Empty where there are none to remain."""
    cluster = observed.cluster
    wanted = storage_of(cluster, settings.cluster_domain)
    found = _noted(cluster)
    places = _places(*found)
    found += [storage for storage in observed.storages.values() if storage.place not in places]
    if wanted is not None and not never_written(observed, settings):
        found = [wanted, *(storage for storage in found if storage.place != wanted.place)]
    if not found and not uses_redis(cluster):
        return (Storage(namespace=storage_namespace(cluster), credentials="lost"),)
    return tuple(found)


def never_written(observed: Observed, settings: Settings) -> bool:
    """Whether the spec names a place that no head of this cluster can have written: it was edited in and never used.

    Only where others could have written there. Keys under the cluster's own UID are its own, whoever made the head.
    """
    cluster = observed.cluster
    wanted = storage_of(cluster, settings.cluster_domain)
    identity = storage_identity(cluster, settings.cluster_domain)
    if wanted is None or identity is None or identity.namespace == cluster.metadata.uid:
        return False
    written = _places(*_noted(cluster), *observed.storages.values())
    return bool(written) and wanted.place not in written and claim_of(cluster) != identity.text


def _written(
    observed: Observed, settings: Settings, now: datetime, current: Storage | None, former: list[Storage]
) -> tuple[Action, ...]:
    places = {found.place: found for found in former if current is None or found.place != current.place}
    kept = list(places.values())
    dropped, kept = kept[:-MOST_FORMER], kept[-MOST_FORMER:]
    if cleanup_policy(observed.cluster, settings).who == "Retain":
        dropped = []  # forgotten, which keeps their keys
    why = f"the storage of this RayCluster was changed more than {MOST_FORMER} times"
    note = {FORMER: msgspec.json.encode(kept).decode() if kept else None}
    if current is not None:
        note[STORAGE] = current.to_json()
    return (*(debt_of(observed, storage, why, now) for storage in dropped), NoteStorage(note))


def debt_of(observed: Observed, storage: Storage, why: str, now: datetime, *, required: bool = True) -> RecordDebt:
    cluster = observed.cluster
    heads = tuple(pod.metadata.uid for pod in observed.of_type(HEAD))
    debt = Debt(cluster.namespace, cluster.name, cluster.metadata.uid, storage, why, now, heads)
    return RecordDebt(debt, debt_recorded(), debt_refused(storage), required=required)


def _noted(cluster: RayCluster) -> list[Storage]:
    current = remembered_storage(cluster)
    return [*([current] if current is not None else []), *former_storages(cluster)]


def _places(*storages: Storage | None) -> set[Place]:
    return {found.place for found in storages if found is not None}


def _is_taken(storage: Storage, observed: Observed) -> bool:
    text = storage.identity().text
    return bool(storage.host) and any(claim_of(other) == text and not other.deleting for other in observed.rivals)


def _owned(metadata: ObjectMeta, cluster: RayCluster) -> bool:
    return any(owner.uid == cluster.metadata.uid for owner in metadata.owner_references)
