"""The CustomResourceDefinitions of group `ray.io`, as documents for the API server.

`v1` is stored; `v1alpha1` is served with the same schema and marked deprecated, so that a manifest of either
version applies and nothing needs converting.
"""

from typing import NamedTuple

from headstay.model.objects import Obj
from headstay.model.ray_schema import Schema, raycluster_spec, raycluster_status
from headstay.model.ray_schema_jobs import rayjob_spec, rayjob_status, rayservice_spec, rayservice_status

GROUP = "ray.io"


class _Column(NamedTuple):
    name: str
    path: str
    type: str = "string"
    priority: int = 0

    def document(self) -> Obj:
        column: Obj = {"jsonPath": self.path, "name": self.name, "type": self.type}
        return column | ({"priority": self.priority} if self.priority else {})


_AGE = _Column("age", ".metadata.creationTimestamp", "date")

_RAYCLUSTER_COLUMNS = (
    _Column("desired workers", ".status.desiredWorkerReplicas", "integer"),
    _Column("available workers", ".status.availableWorkerReplicas", "integer"),
    _Column("cpus", ".status.desiredCPU"),
    _Column("memory", ".status.desiredMemory"),
    _Column("gpus", ".status.desiredGPU"),
    _Column("tpus", ".status.desiredTPU", priority=1),
    _Column("status", ".status.state"),
    _AGE,
    _Column("head pod IP", ".status.head.podIP", priority=1),
    _Column("head service IP", ".status.head.serviceIP", priority=1),
)
_RAYSERVICE_COLUMNS = (
    _Column("service status", ".status.serviceStatus"),
    _Column("num serve endpoints", ".status.numServeEndpoints"),
)
_RAYJOB_COLUMNS = (
    _Column("job status", ".status.jobStatus"),
    _Column("deployment status", ".status.jobDeploymentStatus"),
    _Column("ray cluster name", ".status.rayClusterName"),
    _Column("start time", ".status.startTime"),
    _Column("end time", ".status.endTime"),
    _AGE,
)


def raycluster_crd() -> Obj:
    about = "A RayCluster is a Ray cluster on Kubernetes: one head Pod and groups of worker Pods."
    return _crd("RayCluster", about, raycluster_spec(), raycluster_status(), _RAYCLUSTER_COLUMNS)


def rayservice_crd() -> Obj:
    about = "A RayService is a Ray cluster and the Ray Serve applications on it."
    return _crd("RayService", about, rayservice_spec(), rayservice_status(), _RAYSERVICE_COLUMNS)


def rayjob_crd() -> Obj:
    about = "A RayJob is a Ray job and the cluster it runs on."
    return _crd("RayJob", about, rayjob_spec(), rayjob_status(), _RAYJOB_COLUMNS)


def crds() -> list[Obj]:
    return [raycluster_crd(), rayservice_crd(), rayjob_crd()]


def _crd(kind: str, about: str, spec: Schema, status: Schema, columns: tuple[_Column, ...]) -> Obj:
    schema: Schema = {
        "description": about,
        "type": "object",
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": spec,
            "status": status,
        },
    }
    common: Obj = {
        "schema": {"openAPIV3Schema": schema},
        "subresources": {"status": {}},
        "additionalPrinterColumns": [column.document() for column in columns],
    }
    plural = f"{kind.lower()}s"
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "names": {
                "categories": ["all"],
                "kind": kind,
                "listKind": f"{kind}List",
                "plural": plural,
                "singular": kind.lower(),
            },
            "scope": "Namespaced",
            "versions": [
                {"name": "v1", "served": True, "storage": True} | common,
                {
                    "name": "v1alpha1",
                    "served": True,
                    "storage": False,
                    "deprecated": True,
                    "deprecationWarning": f"{GROUP}/v1alpha1 {kind} is deprecated; use {GROUP}/v1",
                }
                | common,
            ],
        },
    }
