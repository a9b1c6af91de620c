"""The built-in kinds of Kubernetes v1.32 that this server serves. What is not in this table is not there.

The order is that of a real server's discovery: kubectl resolves short names and kinds to the first that fits.
"""

from typing import Any

from headstay.local.server import autoscaling
from headstay.local.server.conversion import convert_event
from headstay.local.server.seams import Kind, Strategy
from headstay.model.resource import Resource

_GROUPS = (
    "",
    "apps",
    "events.k8s.io",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "autoscaling",
    "batch",
    "networking.k8s.io",
    "policy",
    "rbac.authorization.k8s.io",
    "storage.k8s.io",
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "scheduling.k8s.io",
    "coordination.k8s.io",
    "discovery.k8s.io",
)
_ALL = ("all",)
_CREATE_ONLY = ("create",)

GENERATION_COUNTED = frozenset(
    {
        ("apps", "deployments"),
        ("apps", "replicasets"),
        ("apps", "statefulsets"),
        ("apps", "daemonsets"),
        ("batch", "jobs"),
        ("batch", "cronjobs"),
        ("networking.k8s.io", "ingresses"),
        ("networking.k8s.io", "ingressclasses"),
        ("networking.k8s.io", "networkpolicies"),
        ("policy", "poddisruptionbudgets"),
        ("discovery.k8s.io", "endpointslices"),
        ("scheduling.k8s.io", "priorityclasses"),
        ("apiextensions.k8s.io", "customresourcedefinitions"),
        ("admissionregistration.k8s.io", "validatingadmissionpolicies"),
        ("admissionregistration.k8s.io", "validatingadmissionpolicybindings"),
    }
)
"""Built-in kinds whose metadata.generation a real server counts; all custom kinds are counted too."""

RETURNS_DELETED_OBJECT = frozenset(
    {"pods", "services", "serviceaccounts", "persistentvolumes", "persistentvolumeclaims"}
)
"""Core resources whose DELETE answers with the object in place of a Status."""

_POD_FIELDS = (
    "spec.nodeName",
    "spec.restartPolicy",
    "spec.schedulerName",
    "spec.serviceAccountName",
    "spec.hostNetwork",
    "status.phase",
    "status.podIP",
    "status.nominatedNodeName",
)
_EVENT_FIELDS = (
    "involvedObject.kind",
    "involvedObject.namespace",
    "involvedObject.name",
    "involvedObject.uid",
    "involvedObject.apiVersion",
    "involvedObject.resourceVersion",
    "involvedObject.fieldPath",
    "reason",
    "reportingComponent",
    "source",
    "type",
)


def _kind(group: str, version: str, plural: str, kind: str, singular: str = "", **options: Any) -> Kind:
    namespaced = options.pop("namespaced", True)
    resource = Resource(group, version, plural, kind, namespaced=namespaced)
    return Kind(resource, singular or kind.lower(), **options)


def _core() -> list[Kind]:
    def core(plural: str, kind: str, *short: str, **options: Any) -> Kind:
        return _kind("", "v1", plural, kind, short_names=short, **options)

    no_collection = ("create", "delete", "get", "list", "patch", "update", "watch")
    return [
        core("configmaps", "ConfigMap", "cm"),
        core("endpoints", "Endpoints", "ep", singular="endpoints"),
        core("events", "Event", "ev", selectable_fields=_EVENT_FIELDS),
        core("limitranges", "LimitRange", "limits"),
        core(
            "namespaces",
            "Namespace",
            "ns",
            namespaced=False,
            has_status=True,
            subresources=("finalize",),
            selectable_fields=("status.phase",),
            verbs=no_collection,
        ),
        core("nodes", "Node", "no", namespaced=False, has_status=True, selectable_fields=("spec.unschedulable",)),
        core("persistentvolumeclaims", "PersistentVolumeClaim", "pvc", has_status=True),
        core("persistentvolumes", "PersistentVolume", "pv", namespaced=False, has_status=True),
        core(
            "pods",
            "Pod",
            "po",
            has_status=True,
            categories=_ALL,
            selectable_fields=_POD_FIELDS,
            subresources=("attach", "binding", "eviction", "exec", "log", "portforward"),
        ),
        core("resourcequotas", "ResourceQuota", "quota", has_status=True),
        core("secrets", "Secret", selectable_fields=("type",)),
        core("serviceaccounts", "ServiceAccount", "sa", subresources=("token",)),
        core(
            "services",
            "Service",
            "svc",
            has_status=True,
            categories=_ALL,
            selectable_fields=("spec.clusterIP", "spec.type"),
        ),
    ]


def _workloads() -> list[Kind]:
    def apps(plural: str, kind: str, *short: str, **options: Any) -> Kind:
        return _kind("apps", "v1", plural, kind, short_names=short, **options)

    return [
        apps("controllerrevisions", "ControllerRevision"),
        apps("daemonsets", "DaemonSet", "ds", has_status=True, categories=_ALL),
        apps("deployments", "Deployment", "deploy", has_status=True, has_scale=True, categories=_ALL),
        apps(
            "replicasets",
            "ReplicaSet",
            "rs",
            has_status=True,
            has_scale=True,
            categories=_ALL,
            selectable_fields=("status.replicas",),
        ),
        apps("statefulsets", "StatefulSet", "sts", has_status=True, has_scale=True, categories=_ALL),
        _kind("batch", "v1", "cronjobs", "CronJob", short_names=("cj",), has_status=True, categories=_ALL),
        _kind(
            "batch",
            "v1",
            "jobs",
            "Job",
            has_status=True,
            categories=_ALL,
            selectable_fields=("status.successful",),
        ),
    ]


def _reviews() -> list[Kind]:
    authn, authz = "authentication.k8s.io", "authorization.k8s.io"
    return [
        _kind(authn, "v1", "selfsubjectreviews", "SelfSubjectReview", namespaced=False, verbs=_CREATE_ONLY),
        _kind(authn, "v1", "tokenreviews", "TokenReview", namespaced=False, verbs=_CREATE_ONLY),
        _kind(authz, "v1", "localsubjectaccessreviews", "LocalSubjectAccessReview", verbs=_CREATE_ONLY),
        _kind(authz, "v1", "selfsubjectaccessreviews", "SelfSubjectAccessReview", namespaced=False, verbs=_CREATE_ONLY),
        _kind(authz, "v1", "selfsubjectrulesreviews", "SelfSubjectRulesReview", namespaced=False, verbs=_CREATE_ONLY),
        _kind(authz, "v1", "subjectaccessreviews", "SubjectAccessReview", namespaced=False, verbs=_CREATE_ONLY),
    ]


def _policies() -> list[Kind]:
    rbac = "rbac.authorization.k8s.io"
    autoscalers: dict[str, Any] = {"short_names": ("hpa",), "has_status": True, "categories": _ALL}
    autoscaler = _kind("autoscaling", "v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler", **autoscalers)
    old = autoscaler.resource._replace(version="v1")
    return [
        autoscaler,
        autoscaler._replace(resource=old, storage=autoscaler.resource, convert=autoscaling.convert),
        _kind("networking.k8s.io", "v1", "ingressclasses", "IngressClass", namespaced=False),
        _kind("networking.k8s.io", "v1", "ingresses", "Ingress", short_names=("ing",), has_status=True),
        _kind("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy", short_names=("netpol",)),
        _kind("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget", short_names=("pdb",), has_status=True),
        _kind(rbac, "v1", "clusterrolebindings", "ClusterRoleBinding", namespaced=False),
        _kind(rbac, "v1", "clusterroles", "ClusterRole", namespaced=False),
        _kind(rbac, "v1", "rolebindings", "RoleBinding"),
        _kind(rbac, "v1", "roles", "Role"),
        _kind("storage.k8s.io", "v1", "storageclasses", "StorageClass", short_names=("sc",), namespaced=False),
        _kind(
            "apiextensions.k8s.io",
            "v1",
            "customresourcedefinitions",
            "CustomResourceDefinition",
            short_names=("crd", "crds"),
            namespaced=False,
            has_status=True,
            categories=("api-extensions",),
        ),
        _kind("scheduling.k8s.io", "v1", "priorityclasses", "PriorityClass", short_names=("pc",), namespaced=False),
        _kind("coordination.k8s.io", "v1", "leases", "Lease"),
        _kind("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice"),
    ]


def _admission() -> list[Kind]:
    def policy(plural: str, kind: str, **options: Any) -> Kind:
        categories = ("api-extensions",)
        group = "admissionregistration.k8s.io"
        return _kind(group, "v1", plural, kind, namespaced=False, categories=categories, **options)

    return [
        policy("validatingadmissionpolicies", "ValidatingAdmissionPolicy", has_status=True),
        policy("validatingadmissionpolicybindings", "ValidatingAdmissionPolicyBinding"),
    ]


def builtin_kinds(strategies: dict[tuple[str, str], Strategy]) -> list[Kind]:
    core_events = Resource("", "v1", "events", "Event")
    events = _kind(
        "events.k8s.io",
        "v1",
        "events",
        "Event",
        short_names=("ev",),
        storage=core_events,
        convert=convert_event,
        selectable_fields=(
            "regarding.kind",
            "regarding.name",
            "regarding.namespace",
            "regarding.uid",
            "reason",
            "type",
        ),
    )
    every = [*_core(), events, *_reviews(), *_workloads(), *_policies(), *_admission()]
    every.sort(key=lambda kind: _GROUPS.index(kind.resource.group))
    return [kind._replace(strategy=strategies.get((kind.resource.group, kind.resource.plural))) for kind in every]
