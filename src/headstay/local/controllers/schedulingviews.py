"""What scheduling reads of Pods, nodes and namespaces."""

from typing import Any

import msgspec

from headstay.model.meta import Condition, ObjectMeta, View

FINISHED = frozenset({"Succeeded", "Failed"})


class Toleration(View):
    key: str = ""
    operator: str = "Equal"
    value: str = ""
    effect: str = ""


class HostPort(View):
    host_port: int = 0
    protocol: str = "TCP"
    host_ip: str = msgspec.field(default="", name="hostIP")


class Resources(View):
    requests: dict[str, str | int | float] = msgspec.field(default_factory=dict)


class Container(View):
    resources: Resources = msgspec.field(default_factory=Resources)
    restart_policy: str = ""
    ports: list[HostPort] = msgspec.field(default_factory=list)


class ClaimVolume(View):
    claim_name: str = ""


class Volume(View):
    persistent_volume_claim: ClaimVolume | None = None


class SchedulingGate(View):
    name: str = ""


class PodSpec(View):
    node_name: str = ""
    scheduler_name: str = "default-scheduler"
    node_selector: dict[str, str] = msgspec.field(default_factory=dict)
    affinity: dict[str, Any] = msgspec.field(default_factory=dict)
    tolerations: list[Toleration] = msgspec.field(default_factory=list)
    containers: list[Container] = msgspec.field(default_factory=list)
    init_containers: list[Container] = msgspec.field(default_factory=list)
    overhead: dict[str, str | int | float] = msgspec.field(default_factory=dict)
    scheduling_gates: list[SchedulingGate] = msgspec.field(default_factory=list)
    volumes: list[Volume] = msgspec.field(default_factory=list)
    priority: int = 0
    preemption_policy: str = ""


class PodStatus(View):
    phase: str = ""
    conditions: list[Condition] = msgspec.field(default_factory=list)


class SchedulingPod(View):
    metadata: ObjectMeta = msgspec.field(default_factory=ObjectMeta)
    spec: PodSpec = msgspec.field(default_factory=PodSpec)
    status: PodStatus = msgspec.field(default_factory=PodStatus)

    @property
    def occupies(self) -> bool:
        """Whether it holds its requests on its node."""
        return bool(self.spec.node_name) and self.status.phase not in FINISHED


class Taint(View):
    key: str = ""
    value: str = ""
    effect: str = ""


class NodeSpec(View):
    unschedulable: bool = False
    taints: list[Taint] = msgspec.field(default_factory=list)


class NodeStatus(View):
    allocatable: dict[str, str | int | float] = msgspec.field(default_factory=dict)


class SchedulingNode(View):
    metadata: ObjectMeta = msgspec.field(default_factory=ObjectMeta)
    spec: NodeSpec = msgspec.field(default_factory=NodeSpec)
    status: NodeStatus = msgspec.field(default_factory=NodeStatus)
