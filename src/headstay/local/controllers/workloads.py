"""Views of the workload kinds: the fields their controllers read. Templates stay whole documents."""

# ruff: noqa: RUF012 (msgspec copies mutable defaults)

from typing import Any

import msgspec

from headstay.model.meta import ObjectMeta, View
from headstay.model.objects import Obj


class WorkloadCondition(View):
    """A condition as workloads write them: Deployments and Jobs have times that Pods' conditions lack."""

    type: str = ""
    status: str = ""
    reason: str = ""
    message: str = ""
    last_transition_time: str | None = None
    last_update_time: str | None = None
    last_probe_time: str | None = None


class ReplicaSetSpec(View):
    replicas: int = 1
    min_ready_seconds: int = 0
    selector: Obj = {}
    template: Obj = {}


class ReplicaSetStatus(View):
    replicas: int = 0
    fully_labeled_replicas: int = 0
    ready_replicas: int = 0
    available_replicas: int = 0
    observed_generation: int = 0
    conditions: list[WorkloadCondition] = []


class ReplicaSet(View):
    metadata: ObjectMeta = msgspec.field(default_factory=ObjectMeta)
    spec: ReplicaSetSpec = msgspec.field(default_factory=ReplicaSetSpec)
    status: ReplicaSetStatus = msgspec.field(default_factory=ReplicaSetStatus)


class RollingUpdate(View):
    max_surge: int | str | None = None
    max_unavailable: int | str | None = None


class DeploymentStrategy(View):
    type: str = "RollingUpdate"
    rolling_update: RollingUpdate | None = None


class DeploymentSpec(View):
    replicas: int = 1
    selector: Obj = {}
    template: Obj = {}
    strategy: DeploymentStrategy = msgspec.field(default_factory=DeploymentStrategy)
    min_ready_seconds: int = 0
    revision_history_limit: int | None = None
    paused: bool = False
    progress_deadline_seconds: int | None = None


class DeploymentStatus(View):
    observed_generation: int = 0
    replicas: int = 0
    updated_replicas: int = 0
    ready_replicas: int = 0
    available_replicas: int = 0
    unavailable_replicas: int = 0
    collision_count: int | None = None
    conditions: list[WorkloadCondition] = []


class Deployment(View):
    metadata: ObjectMeta = msgspec.field(default_factory=ObjectMeta)
    spec: DeploymentSpec = msgspec.field(default_factory=DeploymentSpec)
    status: DeploymentStatus = msgspec.field(default_factory=DeploymentStatus)


class StatefulRollingUpdate(View):
    partition: int = 0
    max_unavailable: int | str | None = None


class StatefulUpdateStrategy(View):
    type: str = "RollingUpdate"
    rolling_update: StatefulRollingUpdate | None = None


class ClaimRetention(View):
    when_deleted: str = "Retain"
    when_scaled: str = "Retain"


class Ordinals(View):
    start: int = 0


class StatefulSetSpec(View):
    replicas: int = 1
    selector: Obj = {}
    template: Obj = {}
    service_name: str = ""
    pod_management_policy: str = "OrderedReady"
    update_strategy: StatefulUpdateStrategy = msgspec.field(default_factory=StatefulUpdateStrategy)
    volume_claim_templates: list[Obj] = []
    revision_history_limit: int | None = None
    min_ready_seconds: int = 0
    persistent_volume_claim_retention_policy: ClaimRetention = msgspec.field(default_factory=ClaimRetention)
    ordinals: Ordinals = msgspec.field(default_factory=Ordinals)


class StatefulSetStatus(View):
    observed_generation: int = 0
    replicas: int = 0
    ready_replicas: int = 0
    current_replicas: int = 0
    updated_replicas: int = 0
    available_replicas: int = 0
    current_revision: str = ""
    update_revision: str = ""
    collision_count: int | None = None


class StatefulSet(View):
    metadata: ObjectMeta = msgspec.field(default_factory=ObjectMeta)
    spec: StatefulSetSpec = msgspec.field(default_factory=StatefulSetSpec)
    status: StatefulSetStatus = msgspec.field(default_factory=StatefulSetStatus)


class ControllerRevision(View):
    metadata: ObjectMeta = msgspec.field(default_factory=ObjectMeta)
    revision: int = 0
    data: Any = None


class JobSpec(View):
    parallelism: int = 1
    completions: int | None = None
    active_deadline_seconds: int | None = None
    backoff_limit: int = 6
    ttl_seconds_after_finished: int | None = None
    completion_mode: str = "NonIndexed"
    suspend: bool = False
    selector: Obj = {}
    template: Obj = {}
    pod_failure_policy: Obj | None = None
    success_policy: Obj | None = None
    backoff_limit_per_index: int | None = None
    managed_by: str = ""
    pod_replacement_policy: str = ""


class JobStatus(View):
    active: int = 0
    ready: int = 0
    terminating: int = 0
    succeeded: int = 0
    failed: int = 0
    start_time: str | None = None
    completion_time: str | None = None
    completed_indexes: str = ""
    conditions: list[WorkloadCondition] = []


class Job(View):
    metadata: ObjectMeta = msgspec.field(default_factory=ObjectMeta)
    spec: JobSpec = msgspec.field(default_factory=JobSpec)
    status: JobStatus = msgspec.field(default_factory=JobStatus)
