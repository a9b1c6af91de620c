"""The Ingress to the head's dashboard, or on OpenShift the Route, where `headGroupSpec.enableIngress` asks for one.

Ray runs as well without it, so it comes last and never stands in the way of a Pod. What others add to it (annotations
of certificate managers, an ingress class by default) stays; what the RayCluster says is put right when it drifts.
"""

from typing import NamedTuple

from headstay.model.objects import LAST_APPLIED, Obj
from headstay.model.ray import (
    API_VERSION,
    APP_NAME,
    APPLICATION,
    CLUSTER,
    COMPONENT,
    CREATED_BY,
    DASHBOARD_PORT,
    HEAD,
    IDENTIFIER,
    INGRESS_CLASS,
    Ingress,
    RayCluster,
    Route,
)
from headstay.model.ray_names import head_ingress, head_route, head_service, identifier
from headstay.model.resource import INGRESSES, ROUTES, Resource
from headstay.plan.raycluster.plan import Create, EventDraft, Observed, Update
from headstay.plan.raycluster.services import head_ports

_OURS = "headstay.io/"
"""What Headstay notes on a RayCluster, and is asked there, says nothing to an Ingress and would change it often."""


class Finding(NamedTuple):
    actions: tuple[Create | Update, ...] = ()
    event: EventDraft | None = None


def entrance_step(observed: Observed) -> Finding:
    if not observed.cluster.head_group.get("enableIngress"):
        return Finding()
    return _ingress_step(observed) if observed.routes is None else _route_step(observed, observed.routes)


def _ingress_step(observed: Observed) -> Finding:
    cluster = observed.cluster
    wanted = ingress_for(cluster)
    name = wanted["metadata"]["name"]
    found = next((entry for entry in observed.ingresses if entry.metadata.name == name), None)
    place = f"{cluster.namespace}/{name}"
    refused = EventDraft(
        "Warning",
        "FailedToCreateIngress",
        "Create",
        f"Failed to create Ingress {place}: {{error}}; the cluster runs on",
    )
    if found is None:
        made = EventDraft("Normal", "CreatedIngress", "Create", f"Created Ingress {place}")
        return Finding((Create(INGRESSES, wanted, made, refused, dispensable=True),))
    if not any(owner.uid == cluster.metadata.uid for owner in found.metadata.owner_references):
        why = f"an Ingress of that name belongs to somebody else ({API_VERSION} RayCluster is no owner of it)"
        return Finding(event=refused._replace(note=refused.note.replace("{error}", f"{why}; rename or remove it")))
    patch = _drift(found, wanted)
    if not patch:
        return Finding()
    update = Update(
        INGRESSES,
        found.metadata,
        patch,
        EventDraft("Normal", "UpdatedIngress", "Update", f"Updated Ingress {place}"),
        EventDraft("Warning", "FailedToUpdateIngress", "Update", f"Failed to update Ingress {place}: {{error}}"),
    )
    return Finding((update,))


def _route_step(observed: Observed, routes: tuple[Route, ...]) -> Finding:
    """As KubeRay does, one that is there is left as it is: OpenShift and its users write into a Route's spec."""
    cluster = observed.cluster
    wanted = route_for(cluster)
    name = wanted["metadata"]["name"]
    found = next((entry for entry in routes if entry.metadata.name == name), None)
    place = f"{cluster.namespace}/{name}"
    refused = EventDraft(
        "Warning", "FailedToCreateRoute", "Create", f"Failed to create Route {place}: {{error}}; the cluster runs on"
    )
    passed_over = None
    if cluster.head_group.get("ingressOptions"):
        passed_over = EventDraft(
            "Warning",
            "FeatureNotSupported",
            "Reconcile",
            f"headGroupSpec.ingressOptions is not acted on for Route {place}: OpenShift chooses its host; "
            "edit the Route, or set USE_INGRESS_ON_OPENSHIFT=true for the operator to get an Ingress",
        )
    if found is None:
        made = EventDraft("Normal", "CreatedRoute", "Create", f"Created Route {place}")
        return Finding((Create(ROUTES, wanted, made, refused, dispensable=True),), passed_over)
    if not any(owner.uid == cluster.metadata.uid for owner in found.metadata.owner_references):
        why = f"a Route of that name belongs to somebody else ({API_VERSION} RayCluster is no owner of it)"
        return Finding(event=refused._replace(note=refused.note.replace("{error}", f"{why}; rename or remove it")))
    return Finding(event=passed_over)


def ingress_for(cluster: RayCluster) -> Obj:
    options = cluster.head_group.get("ingressOptions") or {}
    service = {"name": head_service(cluster), "port": {"number": _dashboard_port(cluster)}}
    path = {
        "path": options.get("path") or "/",
        "pathType": options.get("pathType") or "Prefix",
        "backend": {"service": service},
    }
    rule: Obj = {"host": options["host"]} if options.get("host") else {}
    spec: Obj = {"rules": [rule | {"http": {"paths": [path]}}]}
    if options.get("tls"):
        spec["tls"] = options["tls"]
    if INGRESS_CLASS in cluster.annotations:
        spec["ingressClassName"] = cluster.annotations[INGRESS_CLASS]
    return _object(INGRESSES, cluster, head_ingress(cluster.name), spec, not_copied={LAST_APPLIED, INGRESS_CLASS})


def route_for(cluster: RayCluster) -> Obj:
    spec: Obj = {
        "to": {"kind": "Service", "name": head_service(cluster), "weight": 100},
        "port": {"targetPort": _dashboard_port(cluster)},
        "wildcardPolicy": "None",
    }
    return _object(ROUTES, cluster, head_route(cluster.name), spec, not_copied={LAST_APPLIED})


def _dashboard_port(cluster: RayCluster) -> int:
    return head_ports(cluster).get("dashboard", DASHBOARD_PORT)


def _object(resource: Resource, cluster: RayCluster, name: str, spec: Obj, *, not_copied: set[str]) -> Obj:
    copied = {
        key: text for key, text in cluster.annotations.items() if key not in not_copied and not key.startswith(_OURS)
    }
    return {
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "metadata": {
            "name": name,
            "namespace": cluster.namespace,
            "labels": {
                CLUSTER: cluster.name,
                IDENTIFIER: identifier(cluster.name, HEAD),
                APP_NAME: APPLICATION,
                CREATED_BY: COMPONENT,
            },
            "annotations": copied,
            "ownerReferences": [cluster.owner_reference()],
        },
        "spec": spec,
    }


def _drift(found: Ingress, wanted: Obj) -> Obj:
    """The merge patch that puts the Ingress right, or {}."""
    metadata, spec = wanted["metadata"], wanted["spec"]
    patch: Obj = {}
    for field, present in (("labels", found.metadata.labels), ("annotations", found.metadata.annotations)):
        if missing := {key: text for key, text in metadata[field].items() if present.get(key) != text}:
            patch.setdefault("metadata", {})[field] = missing
    wrong: Obj = {}
    for field in ("rules", "tls"):
        if (found.spec.get(field) or None) != spec.get(field):
            wrong[field] = spec.get(field)
    class_name = spec.get("ingressClassName")
    if class_name is not None and found.spec.get("ingressClassName") != class_name:
        wrong["ingressClassName"] = class_name
    return patch | ({"spec": wrong} if wrong else {})
