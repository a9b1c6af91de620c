"""What each built-in kind does differently: defaults, admission, allocation, and rules beyond its schema.

Defaults and messages are those of Kubernetes v1.32. A kind that is not in the table has no rules of its own.
"""

from ipaddress import IPv4Network

from headstay.local.config import LocalConfig
from headstay.local.server.seams import Strategy
from headstay.local.server.strategies.access import RoleBindings, Roles
from headstay.local.server.strategies.cluster import (
    ControllerRevisions,
    Nodes,
    PodDisruptionBudgets,
    PriorityClasses,
    ResourceQuotas,
)
from headstay.local.server.strategies.config import ConfigMaps, Secrets
from headstay.local.server.strategies.discovery import Endpoints, EndpointSlices, Leases
from headstay.local.server.strategies.events import CoreEvents, Events
from headstay.local.server.strategies.jobs import CronJobs, Jobs
from headstay.local.server.strategies.limits import LimitRanges
from headstay.local.server.strategies.networking import IngressClasses, Ingresses, NetworkPolicies
from headstay.local.server.strategies.pods import Pods
from headstay.local.server.strategies.services import Services
from headstay.local.server.strategies.storage import PersistentVolumeClaims, PersistentVolumes, StorageClasses
from headstay.local.server.strategies.workloads import DaemonSets, Deployments, ReplicaSets, StatefulSets

RBAC = "rbac.authorization.k8s.io"


def builtin_strategies(service_network: IPv4Network) -> dict[tuple[str, str], Strategy]:
    """By group and plural name. `service_network` is where ClusterIPs come from."""
    return {
        ("", "configmaps"): ConfigMaps(),
        ("", "endpoints"): Endpoints(),
        ("", "events"): CoreEvents(),
        ("", "limitranges"): LimitRanges(),
        ("", "nodes"): Nodes(),
        ("", "persistentvolumeclaims"): PersistentVolumeClaims(),
        ("", "persistentvolumes"): PersistentVolumes(),
        ("", "pods"): Pods(),
        ("", "resourcequotas"): ResourceQuotas(),
        ("", "secrets"): Secrets(),
        ("", "services"): Services(service_network),
        ("apps", "controllerrevisions"): ControllerRevisions(),
        ("apps", "daemonsets"): DaemonSets(),
        ("apps", "deployments"): Deployments(),
        ("apps", "replicasets"): ReplicaSets(),
        ("apps", "statefulsets"): StatefulSets(),
        ("batch", "cronjobs"): CronJobs(),
        ("batch", "jobs"): Jobs(),
        ("coordination.k8s.io", "leases"): Leases(),
        ("discovery.k8s.io", "endpointslices"): EndpointSlices(),
        ("events.k8s.io", "events"): Events(),
        ("networking.k8s.io", "ingressclasses"): IngressClasses(),
        ("networking.k8s.io", "ingresses"): Ingresses(),
        ("networking.k8s.io", "networkpolicies"): NetworkPolicies(),
        ("policy", "poddisruptionbudgets"): PodDisruptionBudgets(),
        (RBAC, "clusterrolebindings"): RoleBindings(namespaced=False),
        (RBAC, "clusterroles"): Roles(namespaced=False),
        (RBAC, "rolebindings"): RoleBindings(namespaced=True),
        (RBAC, "roles"): Roles(namespaced=True),
        ("scheduling.k8s.io", "priorityclasses"): PriorityClasses(),
        ("storage.k8s.io", "storageclasses"): StorageClasses(),
    }


BUILTIN: dict[tuple[str, str], Strategy] = builtin_strategies(LocalConfig().service_network)
