"""What it takes to run the operator in a cluster: CRDs, permissions, a Deployment.

The chart (`charts/headstay`) says it, permissions in `templates/_rules.tpl`. Nobody who runs `headstay up` needs Helm:
`operator.json` beside this module is the chart's rendering, and so is `config/`. After a change of the chart,
`python config/generate.py` writes all of them; a test compares them with what Helm renders.
"""

from collections.abc import Iterator
from importlib.resources import files
from typing import Any, Literal, NamedTuple

import msgspec

from headstay import __version__
from headstay.model.objects import Obj
from headstay.model.ray_crds import crds
from headstay.model.resource import (
    CLUSTER_ROLE_BINDINGS,
    CLUSTER_ROLES,
    CUSTOM_RESOURCE_DEFINITIONS,
    DEPLOYMENTS,
    ROLE_BINDINGS,
    ROLES,
    SERVICE_ACCOUNTS,
    SERVICES,
    Resource,
)

DEPLOYMENT = "headstay-operator"
LEASE = "headstay-operator-leader"
IMAGE = f"headstay/operator:{__version__}"

Rendering = Literal["default", "up"]
"""The chart with its default values, or with those of `headstay up` (charts/headstay/ci/up-values.yaml)."""

_RESOURCES = {
    resource.kind: resource
    for resource in (
        SERVICE_ACCOUNTS,
        CLUSTER_ROLES,
        CLUSTER_ROLE_BINDINGS,
        ROLES,
        ROLE_BINDINGS,
        SERVICES,
        DEPLOYMENTS,
    )
}


class Manifest(NamedTuple):
    resource: Resource
    obj: Obj


def operator(namespace: str) -> Iterator[Manifest]:
    """All objects that `headstay up` installs, in the order in which to apply them."""
    yield from definitions()
    yield from rendered(namespace, "up")


def definitions() -> Iterator[Manifest]:
    for crd in crds():
        yield Manifest(CUSTOM_RESOURCE_DEFINITIONS, crd)


def permissions(namespace: str, rendering: Rendering = "default") -> Iterator[Manifest]:
    """The service account, its roles and their bindings."""
    return (found for found in rendered(namespace, rendering) if found.resource not in {SERVICES, DEPLOYMENTS})


def rendered(namespace: str, rendering: Rendering) -> Iterator[Manifest]:
    """The chart's objects, as if it had been rendered for that namespace."""
    renderings: dict[str, list[Any]] = msgspec.json.decode(files(__package__).joinpath("operator.json").read_bytes())
    for obj in renderings[rendering]:
        resource = _RESOURCES[obj["kind"]]
        if resource.namespaced:
            obj["metadata"]["namespace"] = namespace
        for subject in obj.get("subjects") or []:
            subject["namespace"] = namespace
        yield Manifest(resource, obj)
