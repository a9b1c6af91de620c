"""The one decision about a RayCluster: everything observed goes in, one plan comes out.

The order is KubeRay's: whose it is, deletion, finalizer, validity, Services, Pods. Deletion comes before validity on
purpose: a spec that is refused must not keep its object from being deleted.
"""

from dataclasses import replace
from datetime import datetime

from headstay.model.ray import HEAD, HEADLESS_WORKER_SERVICE, NODE_TYPE, REDIS_CLEANUP_FINALIZER
from headstay.model.resource import SERVICES
from headstay.plan.raycluster.aftercare import aftercare
from headstay.plan.raycluster.beside import MANAGED_BY_KUBERAY, stand_aside
from headstay.plan.raycluster.cleanup import has_finalizer, plan_deletion, wants_finalizer
from headstay.plan.raycluster.cleanup_policy import policy_complaints
from headstay.plan.raycluster.features import unsupported
from headstay.plan.raycluster.head_names import gone_head
from headstay.plan.raycluster.in_place import has_gcs_service, recovery_complaints
from headstay.plan.raycluster.ingress import entrance_step
from headstay.plan.raycluster.places import due_note, note_before_head, note_with_finalizer
from headstay.plan.raycluster.plain_serve import bring_head_back
from headstay.plan.raycluster.plan import Action, Create, DeletePod, EventDraft, Observed, Plan, SetFinalizers, Update
from headstay.plan.raycluster.recovery import head_step, worker_step
from headstay.plan.raycluster.redis_check import REDIS_REACHABLE, redis_check
from headstay.plan.raycluster.services import (
    gcs_service,
    head_service,
    headless_service,
    needs_headless_worker_service,
    serve_ports,
    serve_service_for,
    wants_serve_service,
)
from headstay.plan.raycluster.settings import Settings
from headstay.plan.raycluster.upgrade import adopted_heads, outdated_pods
from headstay.plan.raycluster.validation import validate
from headstay.plan.raycluster.writer import AGAIN_SECONDS, CONFLICT, claiming, conflict, has_head, standing


def plan_raycluster(observed: Observed, settings: Settings, now: datetime) -> Plan:
    cluster = observed.cluster
    if observed.beside and cluster.managed_by_us:
        return stand_aside(observed)
    if cluster.deleting:
        return plan_deletion(observed, settings, now)
    if not cluster.managed_by_us:
        return Plan(f"managed by {cluster.spec['managedBy']}", status=False)
    if has_finalizer(cluster) and (note := due_note(observed, settings, now)):
        return Plan("noting where its heads write", note, status=False)
    refusal = validate(cluster)
    if refusal is not None:
        # Only a change of the object can help.
        routed = bring_head_back(observed, now)
        return Plan(refusal.note, routed.actions, (refusal,), requeue_after=routed.again, status=False)
    if wants_finalizer(cluster, settings) and not has_finalizer(cluster):
        finalizers = (*cluster.metadata.finalizers, REDIS_CLEANUP_FINALIZER)
        add = SetFinalizers(finalizers, annotations=note_with_finalizer(cluster, settings))
        return Plan("adding the Redis cleanup finalizer before any child", (add,), status=False)
    plan, services = _cared_for(observed, settings, now)
    plan = _with_entrance(observed, plan, settings)
    return replace(plan, actions=(*plan.actions, *services))


def _cared_for(observed: Observed, settings: Settings, now: datetime) -> tuple[Plan, tuple[Update, ...]]:
    """The plan, and what has to come last in it.

    What is written down of a recovery comes alone with the rest of its pass: the status follows in the next, which
    begins with a cache that shows it.
    """
    plan = _reconcile(observed, settings, now)
    care = aftercare(observed, settings, now)
    if not plan.status:
        return plan, ()
    times = [seconds for seconds in (plan.requeue_after, care.again) if seconds is not None]
    plan = replace(
        plan,
        actions=(*plan.actions, *care.actions),
        conditions=(*plan.conditions, *care.conditions),
        obsolete=(*plan.obsolete, *care.obsolete),
        requeue_after=min(times, default=None),
        reason=f"{plan.reason}; {care.why}" if care.why else plan.reason,
        replaces=care.replaces,
    )
    if care.journal is not None:
        plan = replace(plan, actions=(*plan.actions, care.journal), status=False)
    return plan, care.services


def _with_entrance(observed: Observed, plan: Plan, settings: Settings) -> Plan:
    """Last, so that an Ingress or Route that is refused costs no Pod; and told of what is not acted on, always."""
    entrance = entrance_step(observed)
    cluster = observed.cluster
    complaints = (
        *unsupported(cluster),
        *recovery_complaints(cluster, settings),
        *policy_complaints(cluster, settings),
    )
    events = (*complaints, *plan.events, *filter(None, [entrance.event]))
    obsolete = (*plan.obsolete, MANAGED_BY_KUBERAY)
    return replace(plan, actions=(*plan.actions, *entrance.actions), events=events, obsolete=obsolete)


def _reconcile(observed: Observed, settings: Settings, now: datetime) -> Plan:
    cluster = observed.cluster
    if last := gone_head(observed, settings):
        return Plan("noting which head it had", (last,), status=False)
    actions: list[Action] = list(_services(observed, settings))
    if cluster.is_true("RayClusterSuspending"):
        actions += _delete_all(observed, "the RayCluster is being suspended")
        return Plan("being suspended", tuple(actions))
    if cluster.is_true("RayClusterSuspended") or cluster.spec.get("suspend"):
        if cluster.is_true("RayClusterSuspended"):
            # A Pod that was on its way when the last one went, and that the cache shows only now.
            actions += _delete_all(observed, "the RayCluster is suspended")
        return Plan("suspended", tuple(actions), obsolete=(CONFLICT,))
    if why := outdated_pods(observed, settings):
        if observed.unsettled:
            # A Pod of the old spec that is not visible yet would outlive all others, and nobody would find it again.
            return Plan(f"{why}; waiting to see new Pods", tuple(actions), incomplete=why)
        actions += _delete_all(observed, why)
        return Plan(why, tuple(actions), incomplete=why)
    actions += adopted_heads(observed, settings)
    place = standing(observed, settings)
    if place.claim is not None:
        return Plan("claiming its storage namespace", (*actions, claiming(cluster, place.claim)), status=False)
    found = conflict(observed, place.rival, settings) if place.rival else None
    if found and not has_head(observed):
        return Plan(
            found[1].note,
            tuple(actions),
            events=(found[1],),
            requeue_after=AGAIN_SECONDS,
            incomplete=found[1].note,
            conditions=(found[0],),
            obsolete=(REDIS_REACHABLE,),
        )
    if not has_head(observed) and has_finalizer(cluster) and (note := note_before_head(observed, settings, now)):
        # Alone in its pass, like the claim: the head is made once the cache shows where it will write.
        return Plan("noting where its keys will be", (*actions, *note), status=False)
    reasons: list[str] = []
    head = head_step(observed, settings)
    steps = [head]
    if not head.stop:
        for group in cluster.worker_groups:
            steps.append(worker_step(observed, group, settings))
            if steps[-1].stop:
                break
    for step in steps:
        actions += step.actions
        if step.why:
            reasons.append(step.why)
    stopped = next((step.why for step in steps if step.stop), "")
    check = redis_check(observed, settings)
    actions += check.actions
    return Plan(
        "; ".join(reasons) or "as it should be",
        tuple(actions),
        events=tuple(filter(None, (check.event, found and found[1]))),
        requeue_after=settings.resync_seconds,
        incomplete=stopped,
        conditions=tuple(filter(None, (check.condition, found and found[0]))),
        obsolete=(*(() if check.holds else (REDIS_REACHABLE,)), *(() if found else (CONFLICT,))),
    )


def _services(observed: Observed, settings: Settings) -> list[Create]:
    """Made once and then left alone, so that a user may edit them."""
    cluster = observed.cluster
    present = {service.metadata.name for service in observed.services}
    wanted = [head_service(cluster, settings)]
    if has_gcs_service(cluster, settings):
        wanted.append(gcs_service(cluster))
    has_headless = any(HEADLESS_WORKER_SERVICE in service.metadata.labels for service in observed.services)
    if needs_headless_worker_service(cluster) and not has_headless:
        wanted.append(headless_service(cluster))
    if wants_serve_service(cluster) and serve_ports(cluster):
        wanted.append(serve_service_for(cluster))
    return [
        Create(
            SERVICES,
            service,
            EventDraft("Normal", "CreatedService", "Create", f"Created service {cluster.namespace}/{{name}}"),
            EventDraft(
                "Warning",
                "FailedToCreateService",
                "Create",
                f"Failed to create service {cluster.namespace}/{{name}}: {{error}}",
            ),
        )
        for service in wanted
        if service["metadata"]["name"] not in present
    ]


def _delete_all(observed: Observed, why: str) -> list[Action]:
    """The head last: it carries the mark that says why, so that whoever dies half-way knows what is left to do."""
    return [
        DeletePod(
            pod,
            EventDraft("Normal", "DeletedPod", "Delete", f"Deleted Pod {pod.metadata.namespace}/{{name}}: {why}"),
            EventDraft(
                "Warning",
                "FailedToDeletePodCollection",
                "Delete",
                f"Failed to delete Pod {pod.metadata.namespace}/{{name}} ({why}): {{error}}",
            ),
            failure="FailedDeleteAllPods",
        )
        for pod in sorted(observed.pods, key=lambda pod: pod.metadata.labels.get(NODE_TYPE) == HEAD)
        if not observed.terminating(pod)
    ]
