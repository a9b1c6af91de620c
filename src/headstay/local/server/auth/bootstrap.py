"""The roles and bindings every Kubernetes comes with, as far as they mean something here.

The rules are those of Kubernetes 1.32. They are ensured at every start: what is missing is added, what an
administrator added stays, and an object annotated `rbac.authorization.kubernetes.io/autoupdate: "false"` is left
alone.
"""

from typing import Any

import msgspec

from headstay.model.objects import Obj, annotations
from headstay.model.resource import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, Resource
from headstay.runtime.client import Client

AUTO_UPDATE = "rbac.authorization.kubernetes.io/autoupdate"
_GROUP = "rbac.authorization.k8s.io"
_READ = ["get", "list", "watch"]
_WRITE = ["create", "delete", "deletecollection", "patch", "update"]
_HEALTH = ["/healthz", "/livez", "/readyz", "/version", "/version/"]


def roles() -> list[Obj]:
    return [
        _role("cluster-admin", [_rule("*", "*", ["*"]), {"nonResourceURLs": ["*"], "verbs": ["*"]}]),
        _role("system:discovery", [_urls(["/api", "/api/*", "/apis", "/apis/*", "/openapi", "/openapi/*", *_HEALTH])]),
        _role("system:public-info-viewer", [_urls(_HEALTH)]),
        _role("system:monitoring", [_urls(["/healthz", "/healthz/*", "/livez", "/livez/*", "/metrics", "/readyz"])]),
        _role(
            "system:service-account-issuer-discovery",
            [
                _urls(
                    [
                        f"{path}{end}"
                        for path in ("/.well-known/openid-configuration", "/openid/v1/jwks")
                        for end in ("", "/")
                    ]
                )
            ],
        ),
        _role(
            "system:basic-user",
            [
                _rule("authorization.k8s.io", "selfsubjectaccessreviews selfsubjectrulesreviews", ["create"]),
                _rule("authentication.k8s.io", "selfsubjectreviews", ["create"]),
            ],
        ),
        _aggregating("admin", into=""),
        _aggregating("edit", into="admin"),
        _aggregating("view", into="edit"),
        _part("admin", _ADMIN),
        _part("edit", _EDIT),
        _part("view", _VIEW),
    ]


def bindings() -> list[Obj]:
    everyone = ("system:authenticated",)
    return [
        _binding("cluster-admin", ("system:masters",)),
        _binding("system:basic-user", everyone),
        _binding("system:discovery", everyone),
        _binding("system:public-info-viewer", (*everyone, "system:unauthenticated")),
        _binding("system:monitoring", ("system:monitoring",)),
        _binding("system:service-account-issuer-discovery", ("system:serviceaccounts",)),
    ]


async def ensure_bootstrap(client: Client) -> None:
    """Makes what is missing, and completes what is incomplete. Safe to repeat."""
    for resource, wanted, part in (
        (CLUSTER_ROLES, roles(), "rules"),
        (CLUSTER_ROLE_BINDINGS, bindings(), "subjects"),
    ):
        page = await client.list_page(resource, label_selector="kubernetes.io/bootstrapping=rbac-defaults")
        found = {obj["metadata"]["name"]: obj for obj in map(msgspec.json.decode, page.items)}
        for obj in wanted:
            await _ensure(client, resource, obj, found.get(obj["metadata"]["name"]), part)


async def _ensure(client: Client, resource: Resource, wanted: Obj, found: Obj | None, part: str) -> None:
    if found is None:
        await client.create(resource, wanted)
        return
    missing = [entry for entry in wanted.get(part) or [] if entry not in (found.get(part) or [])]
    # An aggregated role's rules are its parts', whatever they say.
    if missing and "aggregationRule" not in wanted and annotations(found).get(AUTO_UPDATE) != "false":
        await client.update(resource, {**found, part: [*(found.get(part) or []), *missing]})


def _rule(group: str, resources: str, verbs: list[str]) -> Obj:
    return {"apiGroups": [group], "resources": resources.split(), "verbs": verbs}


def _urls(paths: list[str]) -> Obj:
    return {"nonResourceURLs": sorted(paths), "verbs": ["get"]}


def _metadata(name: str, **labels: str) -> Obj:
    return {
        "name": name,
        "labels": {"kubernetes.io/bootstrapping": "rbac-defaults", **labels},
        "annotations": {AUTO_UPDATE: "true"},
    }


def _kind(kind: str, metadata: Obj, **rest: Any) -> Obj:
    return {"apiVersion": f"{_GROUP}/v1", "kind": kind, "metadata": metadata, **rest}


def _role(name: str, rules: list[Obj]) -> Obj:
    return _kind("ClusterRole", _metadata(name), rules=rules)


def _aggregating(name: str, *, into: str) -> Obj:
    labels = {f"{_GROUP}/aggregate-to-{into}": "true"} if into else {}
    selector = {"matchLabels": {f"{_GROUP}/aggregate-to-{name}": "true"}}
    rule = {"clusterRoleSelectors": [selector]}
    return _kind("ClusterRole", _metadata(name, **labels), aggregationRule=rule, rules=[])


def _part(of: str, rules: list[Obj]) -> Obj:
    labels = {f"{_GROUP}/aggregate-to-{of}": "true"}
    return _kind("ClusterRole", _metadata(f"system:aggregate-to-{of}", **labels), rules=rules)


def _binding(role: str, groups: tuple[str, ...]) -> Obj:
    subjects = [{"kind": "Group", "apiGroup": _GROUP, "name": group} for group in groups]
    reference = {"apiGroup": _GROUP, "kind": "ClusterRole", "name": role}
    return _kind("ClusterRoleBinding", _metadata(role), roleRef=reference, subjects=subjects)


_ADMIN = [
    _rule("authorization.k8s.io", "localsubjectaccessreviews", ["create"]),
    _rule(_GROUP, "rolebindings roles", [*_WRITE, *_READ]),
]

_EDIT = [
    _rule("", "pods/attach pods/exec pods/portforward pods/proxy secrets services/proxy", _READ),
    _rule("", "serviceaccounts", ["impersonate"]),
    _rule("", "pods pods/attach pods/exec pods/portforward pods/proxy", _WRITE),
    _rule("", "pods/eviction", ["create"]),
    _rule(
        "",
        "configmaps events persistentvolumeclaims replicationcontrollers replicationcontrollers/scale secrets "
        "serviceaccounts services services/proxy",
        _WRITE,
    ),
    _rule("", "serviceaccounts/token", ["create"]),
    _rule(
        "apps",
        "daemonsets deployments deployments/rollback deployments/scale replicasets replicasets/scale statefulsets "
        "statefulsets/scale",
        _WRITE,
    ),
    _rule("autoscaling", "horizontalpodautoscalers", _WRITE),
    _rule("batch", "cronjobs jobs", _WRITE),
    _rule("policy", "poddisruptionbudgets", _WRITE),
    _rule("networking.k8s.io", "ingresses networkpolicies", _WRITE),
    _rule("coordination.k8s.io", "leases", [*_WRITE, *_READ]),
]

_VIEW = [
    _rule(
        "",
        "configmaps endpoints persistentvolumeclaims persistentvolumeclaims/status pods replicationcontrollers "
        "replicationcontrollers/scale serviceaccounts services services/status",
        _READ,
    ),
    _rule(
        "",
        "bindings events limitranges namespaces/status pods/log pods/status replicationcontrollers/status "
        "resourcequotas resourcequotas/status",
        _READ,
    ),
    _rule("", "namespaces", _READ),
    _rule("discovery.k8s.io", "endpointslices", _READ),
    _rule(
        "apps",
        "controllerrevisions daemonsets daemonsets/status deployments deployments/scale deployments/status replicasets "
        "replicasets/scale replicasets/status statefulsets statefulsets/scale statefulsets/status",
        _READ,
    ),
    _rule("autoscaling", "horizontalpodautoscalers horizontalpodautoscalers/status", _READ),
    _rule("batch", "cronjobs cronjobs/status jobs jobs/status", _READ),
    _rule("policy", "poddisruptionbudgets poddisruptionbudgets/status", _READ),
    _rule("networking.k8s.io", "ingresses ingresses/status networkpolicies", _READ),
]
