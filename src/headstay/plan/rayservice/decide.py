"""The one decision about a RayService: everything observed goes in, one plan comes out.

The order is KubeRay's: whose it is, deletion, finalizer, validity, suspension, the initializing timeout, RayClusters,
the head's label, Serve, Services. What is not in use any more is retired in every case; traffic of what is in use is
looked after even while the spec is invalid.
"""

from dataclasses import replace
from datetime import datetime

from headstay.model.rayservice import INCREMENTAL, RAYSERVICE_FINALIZER, READY, RayService
from headstay.model.timestamps import parse
from headstay.plan.raycluster.beside import MANAGED_BY_KUBERAY, kuberay_condition
from headstay.plan.raycluster.plan import EventDraft
from headstay.plan.raycluster.settings import Settings
from headstay.plan.rayservice import conditions as words
from headstay.plan.rayservice.clusters import Generations, live_annotations, promoted, retirement
from headstay.plan.rayservice.deployment import deployment, refusal
from headstay.plan.rayservice.ending import LOOK_AGAIN_SECONDS, has_finalizer, plan_deletion, plan_suspension
from headstay.plan.rayservice.plan import Names, Observed, Plan, SetFinalizers
from headstay.plan.rayservice.traffic import MayServe, head_labels, services, serving_cluster
from headstay.plan.rayservice.validation import initializing_timeout, validate


def nobody_knows(_head: object) -> None:
    """Stands where nobody watches the heads: their proxies' own health decides."""


def plan_rayservice(observed: Observed, settings: Settings, now: datetime, may_serve: MayServe = nobody_knows) -> Plan:
    service = observed.service
    if observed.beside and service.managed_by_us:
        return _stand_aside(observed)
    if not service.managed_by_us:
        return Plan(f"managed by {service.spec['managedBy']}")
    if service.deleting:
        return plan_deletion(observed, settings)
    if not has_finalizer(service):
        finalizers = (*service.metadata.finalizers, RAYSERVICE_FINALIZER)
        return Plan("adding the finalizer before any RayCluster", (SetFinalizers(finalizers),))
    names = promoted(observed)
    plan = _reconcile(observed, settings, now, names, may_serve)
    retired, due = retirement(observed, plan.names or names, now)
    times = [seconds for seconds in (plan.requeue_after, due) if seconds is not None]
    return replace(
        plan,
        actions=(*plan.actions, *retired),
        requeue_after=min(times, default=None),
        obsolete=(*plan.obsolete, MANAGED_BY_KUBERAY),
    )


def _reconcile(observed: Observed, settings: Settings, now: datetime, names: Names, may_serve: MayServe) -> Plan:
    service = observed.service
    if (ended := plan_suspension(observed, settings)) is not None:
        return ended
    broken_rule = validate(service)
    if broken_rule is not None:
        kept = head_labels(observed, names, may_serve)
        ready = words.invalid(broken_rule.note)
        wait = LOOK_AGAIN_SECONDS if names.active else None
        return Plan(broken_rule.note, kept, (broken_rule,), requeue_after=wait, names=names, conditions=(ready,))
    if (given_up := _initializing_too_long(service, now)) is not None:
        return given_up
    generations = Generations(observed, settings, names)
    names = generations.names
    target = serving_cluster(observed, names)
    actions = (
        *live_annotations(observed),
        *generations.actions,
        *head_labels(observed, names, may_serve),
        *(services(observed, target, settings) if target is not None else ()),
        *deployment(observed, names),
    )
    return Plan(
        generations.why or _situation(observed, names),
        actions,
        _complaints(service),
        requeue_after=LOOK_AGAIN_SECONDS,
        names=names,
        conditions=(words.upgrading(names.active, names.pending),),
    )


def _initializing_too_long(service: RayService, now: datetime) -> Plan | None:
    """For good: only another RayService begins anew."""
    ready = service.condition(READY)
    if ready is None:
        return None
    if ready.reason == words.TIMED_OUT:
        return Plan("it took too long to initialize", names=Names())
    seconds = initializing_timeout(service)
    if (
        seconds is None
        or ready.status == "True"
        or ready.reason != words.INITIALIZING
        or not ready.last_transition_time
    ):
        return None
    if (now - parse(ready.last_transition_time)).total_seconds() <= seconds:
        return None
    condition = words.timed_out(seconds)
    event = EventDraft("Warning", "RayServiceInitializingTimeout", "Reconcile", condition["message"])
    return Plan("it took too long to initialize", events=(event,), names=Names(), conditions=(condition,))


def _situation(observed: Observed, names: Names) -> str:
    waiting = observed.find(names.pending) or observed.find(names.active)
    if waiting is None:
        return "as it should be"
    if why := refusal(observed.service, waiting):
        return f"Serve refused the configuration: {why}"
    if not waiting.head_ready:
        return f"waiting for the head of RayCluster {waiting.name}"
    if waiting.applications is None:
        return f"no answer from the dashboard of RayCluster {waiting.name}: {waiting.silence}"
    if names.pending and not waiting.all_running:
        told = ", ".join(f"{name} is {found['status']}" for name, found in waiting.applications.statuses.items())
        return f"waiting for the applications of RayCluster {waiting.name}: {told or 'there are none yet'}"
    if names.pending:
        return f"waiting for the Serve proxies of RayCluster {waiting.name} to be Ready"
    return "as it should be"


def _complaints(service: RayService) -> tuple[EventDraft, ...]:
    """Parts of the surface that are accepted and not acted on, said aloud."""
    found = []
    if service.upgrade_type == INCREMENTAL:
        what = "the upgrade is made as NewCluster: all traffic moves at once, no Gateway and no HTTPRoute are made"
        found.append((f"upgradeStrategy.type {INCREMENTAL}", what))
    found += [
        (field, "it is deprecated and has no effect in KubeRay 1.7 either")
        for field in ("serviceUnhealthySecondThreshold", "deploymentUnhealthySecondThreshold")
        if service.spec.get(field) is not None
    ]
    return tuple(
        EventDraft("Warning", "FeatureNotSupported", "Reconcile", f"{field} is not acted on by this operator: {what}")
        for field, what in found
    )


def _stand_aside(observed: Observed) -> Plan:
    condition = kuberay_condition(observed.beside, "RayServices")
    return Plan(
        "a KubeRay operator is running",
        events=(EventDraft("Warning", "ManagedByKubeRay", "Reconcile", condition["message"]),),
        names=Names(observed.service.active, observed.service.pending),
        conditions=(condition,),
        conditions_only=True,
    )
