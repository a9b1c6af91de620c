"""Views of metadata and Pods: the fields we read, decoded straight from JSON by msgspec.

Unknown fields are dropped, so a view is never written back. `forbid_unknown_fields` stays off on purpose.
"""

from typing import Any

import msgspec


class View(msgspec.Struct, rename="camel", omit_defaults=True, gc=False):
    """Base of all views: camelCase on the wire, snake_case here."""


class OwnerReference(View):
    api_version: str = ""
    kind: str = ""
    name: str = ""
    uid: str = ""
    controller: bool = False
    block_owner_deletion: bool = False


class ObjectMeta(View):
    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None
    deletion_grace_period_seconds: int | None = None
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    finalizers: list[str] = []
    owner_references: list[OwnerReference] = []

    def controller(self) -> OwnerReference | None:
        return next((owner for owner in self.owner_references if owner.controller), None)


class Named(View):
    """Any object, seen by its metadata alone."""

    metadata: ObjectMeta = msgspec.field(default_factory=ObjectMeta)
    api_version: str = ""
    kind: str = ""


class Condition(View):
    type: str = ""
    status: str = "Unknown"
    reason: str = ""
    message: str = ""
    last_transition_time: str | None = None
    observed_generation: int = 0


class StateRunning(View):
    started_at: str | None = None


class StateWaiting(View):
    reason: str = ""
    message: str = ""


class StateTerminated(View):
    exit_code: int = 0
    reason: str = ""
    message: str = ""
    started_at: str | None = None
    finished_at: str | None = None


class ContainerState(View):
    running: StateRunning | None = None
    waiting: StateWaiting | None = None
    terminated: StateTerminated | None = None


class ContainerStatus(View):
    name: str = ""
    ready: bool = False
    restart_count: int = 0
    state: ContainerState = msgspec.field(default_factory=ContainerState)
    last_state: ContainerState = msgspec.field(default_factory=ContainerState)


class PodStatus(View):
    phase: str = ""
    reason: str = ""
    message: str = ""
    pod_ip: str = msgspec.field(default="", name="podIP")
    host_ip: str = msgspec.field(default="", name="hostIP")
    start_time: str | None = None
    conditions: list[Condition] = []
    container_statuses: list[ContainerStatus] = []
    init_container_statuses: list[ContainerStatus] = []


class ContainerPort(View):
    name: str = ""
    container_port: int = 0
    protocol: str = "TCP"


class ContainerSummary(View):
    name: str = ""
    image: str = ""
    ports: list[ContainerPort] = []


class PodSpecSummary(View):
    """What the control plane reads of a Pod's spec; the node agent reads the whole document instead."""

    node_name: str = ""
    restart_policy: str = "Always"
    hostname: str = ""
    subdomain: str = ""
    service_account_name: str = ""
    containers: list[ContainerSummary] = []


class Pod(View):
    metadata: ObjectMeta = msgspec.field(default_factory=ObjectMeta)
    spec: PodSpecSummary = msgspec.field(default_factory=PodSpecSummary)
    status: PodStatus = msgspec.field(default_factory=PodStatus)

    def condition(self, kind: str) -> Condition | None:
        return next((c for c in self.status.conditions if c.type == kind), None)

    @property
    def ready(self) -> bool:
        found = self.condition("Ready")
        return found is not None and found.status == "True"

    @property
    def ray_container(self) -> ContainerStatus | None:
        """Of the spec's first container, which is Ray's: a kubelet lists statuses by name, not in the spec's order."""
        name = self.spec.containers[0].name if self.spec.containers else ""
        return next((status for status in self.status.container_statuses if status.name == name), None)


class ListMeta(View):
    resource_version: str = ""
    continue_: str = msgspec.field(default="", name="continue")


class RawList(View):
    """A list whose items are decoded later, each by its own view."""

    metadata: ListMeta = msgspec.field(default_factory=ListMeta)
    items: list[msgspec.Raw] = []


def to_builtins(view: msgspec.Struct) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.to_builtins(view)
    return found
