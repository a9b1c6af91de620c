"""How a RayService ends, for good or for a while: all its RayClusters go, at once and without a delay.

Each RayCluster looks after its own keys in Redis, within its own deadline; the RayService waits for them, so that who
deletes it knows that everything is gone when it is. In cleanup mode Mandatory a RayCluster has no deadline.
"""

from headstay.model.rayservice import RAYSERVICE_FINALIZER, SUSPENDED, SUSPENDING, RayService
from headstay.plan.raycluster.settings import Settings
from headstay.plan.rayservice import conditions as words
from headstay.plan.rayservice.clusters import live_annotations
from headstay.plan.rayservice.plan import Action, DeleteCluster, Names, Observed, Plan, SetFinalizers
from headstay.plan.rayservice.storage import recording

LOOK_AGAIN_SECONDS = 2.0


def has_finalizer(service: RayService) -> bool:
    return RAYSERVICE_FINALIZER in service.metadata.finalizers


def plan_deletion(observed: Observed, settings: Settings) -> Plan:
    """What the storage was is written down before the clusters go: afterwards nobody could tell."""
    service = observed.service
    if not has_finalizer(service):
        return Plan("being deleted; nothing of ours holds it")
    if observed.clusters:
        going: tuple[Action, ...] = (
            *recording(observed, settings),
            *live_annotations(observed),
            *_all_away(observed, "the RayService is deleted"),
        )
        return Plan("being deleted; its RayClusters go first", going, requeue_after=LOOK_AGAIN_SECONDS, in_order=True)
    rest = tuple(name for name in service.metadata.finalizers if name != RAYSERVICE_FINALIZER)
    return Plan(
        "being deleted; removing the finalizer", (*recording(observed, settings), SetFinalizers(rest)), in_order=True
    )


def plan_suspension(observed: Observed, settings: Settings) -> Plan | None:
    """None where the RayService is neither suspended nor about to be. It never turns back half-way."""
    service = observed.service
    names = Names(service.active, service.pending)
    if service.is_true(SUSPENDING):
        if observed.clusters:
            return Plan(
                "being suspended",
                (
                    *recording(observed, settings),
                    *live_annotations(observed),
                    *_all_away(observed, "the RayService is suspended"),
                ),
                requeue_after=LOOK_AGAIN_SECONDS,
                names=names,
                conditions=words.suspension(suspending=True, suspended=False, reason="SuspendInProgress"),
                in_order=True,
            )
        ready = words.not_serving_while("SuspendComplete", "RayService has been suspended")
        done = words.suspension(suspending=False, suspended=True, reason="SuspendComplete")
        return Plan("suspended", names=Names(), conditions=(*done, ready))
    if service.is_true(SUSPENDED):
        if service.suspend:
            away = _all_away(observed, "the RayService is suspended")
            return Plan("suspended", away, names=Names())
        resumed = words.suspension(suspending=False, suspended=False, reason="RayServiceResumed")
        # Anew, so that an initializing timeout counts from here.
        return Plan("resumed", names=Names(), conditions=(*resumed, words.initializing()), obsolete=("Ready",))
    if service.suspend:
        asked = words.suspension(suspending=True, suspended=False, reason="SuspendRequested")
        ready = words.not_serving_while("SuspendRequested", "RayService is being suspended")
        return Plan("to be suspended", names=names, conditions=(*asked, ready))
    return None


def _all_away(observed: Observed, why: str) -> tuple[DeleteCluster, ...]:
    return tuple(
        DeleteCluster(seen.cluster, why, even_if_used=True) for seen in observed.clusters if not seen.cluster.deleting
    )
