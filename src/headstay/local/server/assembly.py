"""Puts an API server's core together: one entry point for the daemon, the tests and the tools."""

from collections.abc import Callable
from datetime import UTC, datetime
from ipaddress import IPv4Network
from pathlib import Path

from headstay.local.config import LocalConfig
from headstay.local.server.admission.plugin import AdmissionPolicies
from headstay.local.server.builtin import builtin_kinds
from headstay.local.server.codec import labels_of
from headstay.local.server.kinds import Kinds
from headstay.local.server.namespaces import NamespaceStrategy
from headstay.local.server.patch.managed import track
from headstay.local.server.requests import Call, Target
from headstay.local.server.rest import Api
from headstay.local.server.schema.crd import CustomResourceDefinitionStrategy
from headstay.local.server.schema.kinds import KindSchemas
from headstay.local.server.store import Store
from headstay.local.server.strategies import builtin_strategies
from headstay.local.server.strategies.admissionpolicies import Bindings, Policies
from headstay.local.server.writes import Track, Tracked
from headstay.model.resource import ADMISSION_GROUP, ADMISSION_POLICIES, ADMISSION_POLICY_BINDINGS, NAMESPACES

MEMORY = ":memory:"
DEFAULT_SERVICE_NETWORK = LocalConfig().service_network
SYSTEM_NAMESPACES = ("kube-system", "kube-public", "kube-node-lease", "default")


def system_clock() -> datetime:
    return datetime.now(UTC)


def build_api(
    database: Path | str = MEMORY,
    clock: Callable[[], datetime] = system_clock,
    service_network: IPv4Network = DEFAULT_SERVICE_NETWORK,
) -> Api:
    """The API over `database`, which is made where it does not exist. ClusterIPs come from `service_network`."""
    if isinstance(database, Path):
        database.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    schemas = KindSchemas()
    strategies = builtin_strategies(service_network) | {
        ("", "namespaces"): NamespaceStrategy(),
        ("apiextensions.k8s.io", "customresourcedefinitions"): CustomResourceDefinitionStrategy(schemas.structural),
        (ADMISSION_GROUP, ADMISSION_POLICIES.plural): Policies(),
        (ADMISSION_GROUP, ADMISSION_POLICY_BINDINGS.plural): Bindings(),
    }
    store = Store(database, labels_of)
    api = Api(store, Kinds(builtin_kinds(strategies)), schemas, clock, _tracker(schemas))
    policies = AdmissionPolicies(api.reader)
    store.on_change(policies.changed)
    api.writer.judge = policies.admit
    _make_system_namespaces(api)
    return api


def _make_system_namespaces(api: Api) -> None:
    """A real API server makes these itself; all else of a cluster is made by controllers."""
    served = api.served(NAMESPACES)
    for name in SYSTEM_NAMESPACES:
        if api.store.get(Target(served, "", name).key) is None:
            namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
            api.create(Target(served), namespace, Call(field_manager="kube-apiserver"))


def _tracker(schemas: KindSchemas) -> Track:
    def keep(write: Tracked) -> None:
        """Managed fields of every write but an apply, which has set them already."""
        if write.is_apply:
            return
        resource = write.served.kind.resource
        track(
            schemas.of(resource.group, resource.version, resource.kind),
            write.old,
            write.new,
            manager=write.call.field_manager or "unknown",
            api_version=resource.api_version,
            subresource=write.subresource,
            now=write.now,
        )

    return keep
