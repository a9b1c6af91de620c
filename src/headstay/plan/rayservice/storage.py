"""Which storage namespace a new RayCluster gets, and what is remembered of it beyond the RayService's end.

A RayService that is deleted with its keys retained, or suspended, and made again goes on in the storage namespace that
was last in use: not in the one that the manifest names, which an earlier generation left behind. That holds for each
RayCluster until one has served: where the first never gets ready, the next one inherits the same keys, once the first
is gone and without its cleaning them.
"""

from headstay.model.ray import REDIS_CLEANUP_FINALIZER
from headstay.plan.raycluster.cleanup_policy import CLEANUP_POLICY, keeps_keys
from headstay.plan.raycluster.plan import EventDraft
from headstay.plan.raycluster.settings import Settings
from headstay.plan.rayservice.generations import (
    INHERITED,
    Generation,
    effective_namespace,
    given_namespace,
    later_namespace,
)
from headstay.plan.rayservice.plan import Observed, RecordStorage, Seen


def wants_record(observed: Observed) -> bool:
    """Whether `Observed.record` decides something now."""
    service = observed.service
    if not given_namespace(service):
        return False
    ends = service.deleting or service.suspend or service.is_true("Suspending")
    return ends or (not service.active and observed.find(service.pending) is None)


def generation(observed: Observed, name: str) -> tuple[Generation, EventDraft | None]:
    """The cluster of that name to create, and what there is to explain about it."""
    given = given_namespace(observed.service)
    if not given:
        return Generation(name), None
    inherits = not observed.service.active and bool(observed.record)
    first = not observed.service.active and all(seen.name == name for seen in observed.clusters)
    if observed.record == given if inherits else first:
        return Generation(name, inherited=inherits), None
    if inherits:
        chosen = observed.record
        why = f'goes on in storage namespace "{chosen}", which this RayService used last'
    else:
        chosen = later_namespace(given, name)
        why = (
            f'gets storage namespace "{chosen}": on the keys of "{given}" it would wake up with the state of an '
            "earlier RayCluster of this RayService, which may still write them"
        )
    explained = EventDraft("Normal", "StorageNamespaceChosen", "Create", f"RayCluster {name} {why}")
    return Generation(name, chosen, inherits), explained


def leaves_its_keys(observed: Observed, seen: Seen) -> bool:
    """Given up, or deleted, on inherited keys before anybody served: they are still what was retained."""
    service = observed.service
    if service.active or INHERITED not in seen.cluster.annotations:
        return False
    return seen.cluster.deleting or seen.name != service.pending


def predecessor(observed: Observed, name: str) -> str:
    """The RayCluster that leaves its keys to the one of that name, and may still write or clean them; "" for none."""
    return next(
        (
            seen.name
            for seen in observed.clusters
            if seen.name != name
            and leaves_its_keys(observed, seen)
            and (not seen.cluster.deleting or REDIS_CLEANUP_FINALIZER in seen.cluster.metadata.finalizers)
        ),
        "",
    )


def recording(observed: Observed, settings: Settings) -> tuple[RecordStorage, ...]:
    """For a RayService whose clusters are about to go. Once the one in use is gone, what was written stands."""
    given, active = given_namespace(observed.service), observed.find(observed.service.active)
    if not given or active is None:
        return ()
    wanted = effective_namespace(active.cluster) if _keys_stay(observed, active, settings) else ""
    return (RecordStorage(given, wanted),) if wanted != observed.record else ()


def _keys_stay(observed: Observed, active: Seen, settings: Settings) -> bool:
    """As the RayCluster's own cleanup will read it: what the RayService says reaches it first (`live_annotations`)."""
    asked = (
        observed.service.annotations if CLEANUP_POLICY in observed.service.annotations else active.cluster.annotations
    )
    return not settings.redis_cleanup or keeps_keys(asked)
