"""Who gets requests of a RayCluster that a user made, through the Service of annotation ray.io/enable-serve-service.

KubeRay's Service, and so ours, selects every Pod of the cluster: the head has no label of which the loss would take it
out. So the Service changes, whoever made it: while the GCS is gone it selects workers, by a label that each of them
has. One that its user has changed is left alone.
"""

from datetime import datetime, timedelta
from typing import NamedTuple

from headstay.model.meta import Pod
from headstay.model.objects import Obj
from headstay.model.ray import CLUSTER, NODE_TYPE, SERVE, WORKER, Service
from headstay.model.ray_names import serve_service
from headstay.model.resource import SERVICES
from headstay.plan.raycluster.heads import SILENT_SECONDS, Routing, http_url, routing, the_head
from headstay.plan.raycluster.identity import ft_enabled
from headstay.plan.raycluster.plan import EventDraft, Observed, Update
from headstay.plan.raycluster.services import serve_ports, wants_serve_service
from headstay.plan.raycluster.settings import Settings
from headstay.plan.raycluster.validation import validate

WITHOUT_HEAD = "headstay.io/serve-without-head"
"""On a Service from which we took the head: it comes back, whoever leads by then."""
_ASKED_AT_MOST = 16
_ASK_AGAIN_SECONDS = 2.0
_ASK_AGAIN_AT_LAST = 30.0
"""Proxies that are out of reach keep whoever asks waiting for a second, each time."""


class Routed(NamedTuple):
    """`again` is in how many seconds the answer may change if nothing else does."""

    actions: tuple[Update, ...] = ()
    again: float | None = None


def proxies_to_ask(observed: Observed, settings: Settings, now: datetime) -> tuple[str, ...]:
    """Workers' Serve proxies, of which one has to answer before the head goes.

    Such a worker is Ready without one. Then the head's is all there is, and it answers without a GCS.
    """
    service = _service(observed)
    if service is None or _without_head(service) or _outlook(observed, service, settings, now).serve is not False:
        return ()
    if validate(observed.cluster) is not None:
        return ()
    ports = serve_ports(observed.cluster)
    port = ports.get("serve") or next(iter(ports.values()), 0)
    return tuple(http_url(pod, port) for pod in _ready_workers(observed, service)[:_ASKED_AT_MOST]) if port else ()


def route_around_head(observed: Observed, settings: Settings, now: datetime) -> Routed:
    service = _service(observed)
    if service is None:
        return Routed()
    if _without_head(service):
        return bring_head_back(observed, now)
    found = _outlook(observed, service, settings, now)
    if found.serve is not False:
        return Routed(again=found.again)
    if observed.proxy_answers:
        return Routed((_workers_alone(service),))
    waited = (now - observed.report.since).total_seconds() if observed.report is not None else 0.0
    return Routed(again=min(max(waited / 5, _ASK_AGAIN_SECONDS), _ASK_AGAIN_AT_LAST))


def bring_head_back(observed: Observed, now: datetime) -> Routed:
    """Where it was taken out and the reason is over: also in a cluster whose spec has become invalid since."""
    service = _service(observed)
    if service is None or not _without_head(service):
        return Routed()
    why, again = _why_back(observed, service, now)
    return Routed((_with_head(service, why),)) if why else Routed(again=again)


def _service(observed: Observed) -> Service | None:
    name, uid = serve_service(observed.cluster.name), observed.cluster.metadata.uid
    return next(
        (
            service
            for service in observed.services
            if service.metadata.name == name and any(owner.uid == uid for owner in service.metadata.owner_references)
        ),
        None,
    )


def _without_head(service: Service) -> bool:
    return WITHOUT_HEAD in service.metadata.annotations


def _outlook(observed: Observed, service: Service, settings: Settings, now: datetime) -> Routing:
    """Whether a head that gets requests may go on; None also where it is not ours to decide, or nobody else would."""
    cluster, head, report = observed.cluster, the_head(observed), observed.report
    if not wants_serve_service(cluster) or not _is_kuberay_s(service, cluster.name):
        return Routing(None)
    if head is None or not head.ready or report is None or report.pod_uid != head.metadata.uid:
        return Routing(None)
    return routing(report, settings.gcs_grace_seconds, now) if _ready_workers(observed, service) else Routing(None)


def _why_back(observed: Observed, service: Service, now: datetime) -> tuple[str, float | None]:
    """Why the head gets requests again, or "", and in how many seconds that may change by itself."""
    head, report = the_head(observed), observed.report
    if not ft_enabled(observed.cluster):
        return "the cluster has no GCS fault tolerance", None
    if service.spec.selector.get(NODE_TYPE) != WORKER:
        return "somebody changed the selector", None
    if not _ready_workers(observed, service):
        return "no worker is Ready", None
    if head is None or report is None or report.pod_uid != head.metadata.uid:
        return "", None
    if report.gcs == "Unknown":
        left = (report.since + timedelta(seconds=SILENT_SECONDS) - now).total_seconds()
        return ("", left) if left > 0 else ("nothing is known of its GCS", None)
    return "its GCS serves" if report.gcs == "Serving" else "", None


def _is_kuberay_s(service: Service, cluster: str) -> bool:
    """KubeRay 1.0 put ray.io/serve on the Pods of such a cluster, and asked for it."""
    return service.spec.selector in ({CLUSTER: cluster}, {CLUSTER: cluster, SERVE: "true"})


def _ready_workers(observed: Observed, service: Service) -> list[Pod]:
    """Those that get requests."""
    return [
        pod
        for pod in observed.of_type(WORKER)
        if pod.ready
        and pod.status.pod_ip
        and not observed.terminating(pod)
        and service.spec.selector.items() <= pod.metadata.labels.items()
    ]


def _workers_alone(service: Service) -> Update:
    patch = {"metadata": {"annotations": {WITHOUT_HEAD: "true"}}, "spec": {"selector": {NODE_TYPE: WORKER}}}
    return _update(service, patch, "the head gets no requests, its GCS is gone")


def _with_head(service: Service, why: str) -> Update:
    patch: Obj = {"metadata": {"annotations": {WITHOUT_HEAD: None}}}
    if service.spec.selector.get(NODE_TYPE) == WORKER:
        patch["spec"] = {"selector": {NODE_TYPE: None}}
    return _update(service, patch, f"the head gets requests again, {why}")


def _update(service: Service, patch: Obj, why: str) -> Update:
    place = f"{service.metadata.namespace}/{service.metadata.name}"
    refused = f"Failed to update Service {place} ({why}): {{error}}"
    return Update(
        SERVICES,
        service.metadata,
        patch,
        EventDraft("Normal", "UpdatedService", "Update", f"Updated Service {place}: {why}"),
        EventDraft("Warning", "FailedToUpdateService", "Update", refused),
    )
