"""Where requests go: the head and the serve Service, and the head Pod's label.

Traffic moves once the pending cluster serves: all its applications run, and every proxy that Serve calls healthy is
behind a Pod that Kubernetes calls Ready. Sooner, and requests would find nobody.
"""

from collections.abc import Callable
from copy import deepcopy

from headstay.model.meta import Pod
from headstay.model.objects import Obj
from headstay.model.ray import CLUSTER, HEAD, IDENTIFIER, NODE_TYPE, ORIGINATED_FROM_CRD, ORIGINATED_FROM_NAME, SERVE
from headstay.model.ray import Service as ServiceView
from headstay.model.ray_names import identifier
from headstay.model.rayservice import RayService
from headstay.plan.raycluster.heads import alone
from headstay.plan.raycluster.services import head_service, serve_ports
from headstay.plan.raycluster.settings import Settings
from headstay.plan.rayservice.clusters import head_service_name, serve_service_name
from headstay.plan.rayservice.plan import (
    Action,
    CreateService,
    LabelHead,
    Names,
    Observed,
    Seen,
    UpdateService,
)

MayServe = Callable[[Pod], bool | None]
"""Whether a head may get requests, as far as whoever watches its GCS knows; None where nobody knows."""

_GIVEN_ONCE = frozenset({"ports", "clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"})

STRAGGLER_SECONDS = 60.0
"""For so long the traffic waits for the last proxies of a cluster that serves already."""


def serving_cluster(observed: Observed, names: Names) -> Seen | None:
    """The cluster that the Services should point at."""
    active, pending = observed.find(names.active), observed.find(names.pending)
    if pending is not None and not pending.cluster.deleting and _takes_over(active, pending):
        return pending
    return active


def _takes_over(active: Seen | None, pending: Seen) -> bool:
    if not pending.all_running:
        return False
    if active is None or not active.endpoints:
        return True
    return bool(pending.endpoints) and (_all_proxies_ready(pending) or pending.running_for >= STRAGGLER_SECONDS)


def _all_proxies_ready(seen: Seen) -> bool:
    """Of the workers: whether the head gets requests is another question."""
    known = seen.applications.proxies if seen.applications else frozenset()
    waiting = [
        pod
        for pod in seen.pods
        if pod.status.pod_ip in known and pod.metadata.labels.get(NODE_TYPE) != HEAD and not pod.ready
    ]
    return not waiting


def services(observed: Observed, target: Seen, settings: Settings) -> tuple[Action, ...]:
    service = observed.service
    wanted = [_head_service(service, target, settings)]
    if serve_ports(target.cluster):
        wanted.append(_serve_service(service, target))
    actions: list[Action] = []
    for obj in wanted:
        found = observed.service_named(obj["metadata"]["name"])
        if found is None:
            actions.append(CreateService(obj))
        elif found.spec.selector.get(CLUSTER) != target.name:
            actions.append(_repoint(found, obj, target))
    return tuple(actions)


def _repoint(found: ServiceView, wanted: Obj, target: Seen) -> UpdateService:
    """All that was asked for, as KubeRay does; addresses and node ports that it was given stay."""
    gone: Obj = {key: None for key in found.spec.selector if key not in wanted["spec"]["selector"]}
    patch: Obj = {key: value for key, value in wanted["spec"].items() if key not in _GIVEN_ONCE}
    patch["selector"] = wanted["spec"]["selector"] | gone
    if {port.name: port.port for port in found.spec.ports} != {
        port.get("name", ""): port["port"] for port in wanted["spec"]["ports"]
    }:
        patch["ports"] = wanted["spec"]["ports"]
    return UpdateService(found, {"spec": patch}, f"it now points at RayCluster {target.name}")


def _head_service(service: RayService, target: Seen, settings: Settings) -> Obj:
    obj = head_service(target.cluster, settings)
    metadata = obj["metadata"]
    metadata["name"] = head_service_name(service)
    metadata["labels"] = (metadata.get("labels") or {}) | {
        ORIGINATED_FROM_NAME: service.name,
        ORIGINATED_FROM_CRD: "RayService",
        NODE_TYPE: HEAD,
        IDENTIFIER: identifier(service.name, HEAD),
    }
    # The label by which a RayCluster finds its own Services.
    metadata["labels"].pop(CLUSTER, None)
    metadata["ownerReferences"] = [service.owner_reference()]
    return obj


def _serve_service(service: RayService, target: Seen) -> Obj:
    ports = [{"name": name, "port": port} for name, port in sorted(serve_ports(target.cluster).items())]
    obj = deepcopy(service.spec.get("serveService") or {})
    obj |= {"apiVersion": "v1", "kind": "Service"}
    obj.pop("status", None)
    metadata, spec = obj.setdefault("metadata", {}), obj.setdefault("spec", {})
    metadata["name"] = serve_service_name(service)
    metadata["namespace"] = service.namespace
    metadata["labels"] = (metadata.get("labels") or {}) | {
        ORIGINATED_FROM_NAME: service.name,
        ORIGINATED_FROM_CRD: "RayService",
        SERVE: f"{service.name}-serve",
    }
    metadata["ownerReferences"] = [service.owner_reference()]
    spec["selector"] = {CLUSTER: target.name, SERVE: "true"}
    spec["ports"] = ports
    if not spec.get("type") and (kind := target.cluster.head_group.get("serviceType")):
        spec["type"] = kind
    return obj


def head_labels(observed: Observed, names: Names, may_serve: MayServe) -> tuple[LabelHead, ...]:
    actions = []
    for name in (names.active, names.pending):
        seen = observed.find(name)
        if seen is None or seen.head is None:
            continue
        serves, why = _head_serves(observed.service, seen, seen.head, may_serve(seen.head))
        if serves is not None and seen.head.metadata.labels.get(SERVE) != str(serves).lower():
            actions.append(LabelHead(seen.head, serves, why))
    return tuple(actions)


def _head_serves(service: RayService, seen: Seen, head: Pod, allowed: bool | None) -> tuple[bool | None, str]:
    """None where it stays as it is."""
    if service.head_outside:
        return False, "excludeHeadPodFromServeSvc is true"
    if allowed is False and not alone(head, seen.pods):
        return False, "its GCS is gone"
    match seen.head_serves:
        case None:
            return None, ""
        case True:
            return True, "its Serve proxy answers"
        case False:
            return False, "its Serve proxy does not answer"
