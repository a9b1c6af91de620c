"""Which printer prints which kind."""

from datetime import datetime
from functools import lru_cache
from typing import Any

from headstay.local.server import codec
from headstay.local.server.kinds import Served
from headstay.local.server.printing import cluster, pods, rbac, services, workloads
from headstay.local.server.printing.custom import custom_printer
from headstay.local.server.printing.table import Printer
from headstay.local.server.versions import as_version
from headstay.model.objects import Obj

_BUILTIN: dict[str, Printer] = {
    "clusterrolebindings.rbac.authorization.k8s.io": rbac.BINDING,
    "clusterroles.rbac.authorization.k8s.io": rbac.CREATED_AT,
    "configmaps": cluster.CONFIG_MAP,
    "controllerrevisions.apps": workloads.CONTROLLER_REVISION,
    "cronjobs.batch": workloads.CRON_JOB,
    "customresourcedefinitions.apiextensions.k8s.io": rbac.CREATED_AT,
    "daemonsets.apps": workloads.DAEMON_SET,
    "deployments.apps": workloads.DEPLOYMENT,
    "endpoints": services.ENDPOINTS,
    "endpointslices.discovery.k8s.io": services.ENDPOINT_SLICE,
    "events": cluster.EVENT,
    "horizontalpodautoscalers.autoscaling": workloads.AUTOSCALER,
    "ingressclasses.networking.k8s.io": services.INGRESS_CLASS,
    "ingresses.networking.k8s.io": services.INGRESS,
    "jobs.batch": workloads.JOB,
    "leases.coordination.k8s.io": cluster.LEASE,
    "limitranges": rbac.CREATED_AT,
    "namespaces": cluster.NAMESPACE,
    "networkpolicies.networking.k8s.io": services.NETWORK_POLICY,
    "nodes": cluster.NODE,
    "persistentvolumeclaims": cluster.PERSISTENT_VOLUME_CLAIM,
    "persistentvolumes": cluster.PERSISTENT_VOLUME,
    "poddisruptionbudgets.policy": workloads.POD_DISRUPTION_BUDGET,
    "pods": pods.POD,
    "priorityclasses.scheduling.k8s.io": cluster.PRIORITY_CLASS,
    "replicasets.apps": workloads.REPLICA_SET,
    "resourcequotas": cluster.RESOURCE_QUOTA,
    "rolebindings.rbac.authorization.k8s.io": rbac.BINDING,
    "roles.rbac.authorization.k8s.io": rbac.CREATED_AT,
    "secrets": cluster.SECRET,
    "serviceaccounts": cluster.SERVICE_ACCOUNT,
    "services": services.SERVICE,
    "statefulsets.apps": workloads.STATEFUL_SET,
    "storageclasses.storage.k8s.io": cluster.STORAGE_CLASS,
}


def printer_of(served: Served) -> Printer:
    if served.custom:
        return _custom(codec.encode(served.columns))
    printer = _BUILTIN.get(served.table)
    if printer is None:
        return custom_printer(())
    return printer if served.storage == served.kind.resource else _through_storage(served, printer)


@lru_cache(maxsize=128)
def _custom(columns: bytes) -> Printer:
    return custom_printer(tuple(codec.decode(columns)))


def _through_storage(served: Served, printer: Printer) -> Printer:
    """One printer for all versions of a kind: events.k8s.io shows the columns of core Events."""

    def cells(obj: Obj, now: datetime) -> list[Any]:
        return printer.cells(as_version(served, obj, served.storage.api_version), now)

    return printer._replace(cells=cells)
