"""What a decision is made of. The controller carries actions out in order and stops at the first that fails."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Literal, NamedTuple, TypeAlias

from headstay.model.head_report import HeadReport
from headstay.model.meta import ObjectMeta, Pod
from headstay.model.objects import Obj, ObjectKey
from headstay.model.ray import NODE_TYPE, Ingress, Job, RayCluster, Route, Service
from headstay.model.ray_nodes import RayNode
from headstay.model.resource import Resource
from headstay.plan.debts import Debt
from headstay.plan.raycluster.storage import Storage


class Holder(NamedTuple):
    """What may still touch the keys of a storage namespace: a head Pod, a cleanup that has not ended."""

    what: str
    key: ObjectKey
    cluster_uid: str
    head: bool = False


class TableRead(NamedTuple):
    """The GCS's node table as it was read once."""

    at: datetime
    nodes: tuple[RayNode, ...]


class Returns(NamedTuple):
    """What was read since the recovery `of`. Every reading that fails begins the evidence (`since`) anew.

    `alive` tells since when each address has been ALIVE in all readings.
    `replaced` are the times at which workers were deleted for it.
    """

    of: str
    first: datetime | None = None
    since: datetime | None = None
    before: TableRead | None = None
    last: TableRead | None = None
    alive: Mapping[str, datetime] = MappingProxyType({})
    why: str = ""
    replaced: tuple[datetime, ...] = ()


class Recovery(NamedTuple):
    """`seconds` has the phases whose times are known: detect (until the container ended, a new head was made, or the

    keeper was sure), restart (until the container or the GCS ran again), ready (until the Pod was Ready) and total.
    """

    how: str
    head: str
    seconds: dict[str, float]


@dataclass(frozen=True)
class Observed:
    """What the caches hold of one cluster.

    `pods` are all with its `ray.io/cluster` label. `deleting` are the uids of Pods that we asked to delete but whose
    deletion the cache may not show yet. `unsettled` are groups ("" is the head) with a creation the cache does not
    show yet: deciding on their Pods now would make twins. `jobs` clean Redis; `check_jobs` and their Pods ask it why a
    head cannot start, and count for nothing else.
    """

    cluster: RayCluster
    pods: tuple[Pod, ...] = ()
    services: tuple[Service, ...] = ()
    ingresses: tuple[Ingress, ...] = ()
    routes: tuple[Route, ...] | None = None
    """None where a Route is not what leads to the dashboard: anywhere but on OpenShift."""
    jobs: tuple[Job, ...] = ()
    check_jobs: tuple[Job, ...] = ()
    check_pods: tuple[Pod, ...] = ()
    deleting: frozenset[str] = frozenset()
    unsettled: frozenset[str] = frozenset()
    refusal: str = ""
    """What the cleanup was last answered, by the API or by Redis, as far as this process remembers."""
    rivals: tuple[RayCluster, ...] = ()
    """Other RayClusters that want or have claimed the same storage namespace, or the one this cluster has claimed."""
    holders: tuple[Holder, ...] = ()
    """Asked of the API itself, and only where `writer.wants_holders` says so."""
    beside: str = ""
    """The KubeRay operator that acts on the same objects, or ""."""
    storages: Mapping[str, Storage] = field(default_factory=dict)
    """By uid, what Pods and Jobs themselves say of where the keys are: of those that `places.unread` names."""
    report: HeadReport | None = None
    """What is known of the head's GCS, with the uid of the head Pod it is about."""
    returns: Returns | None = None
    """What the node table said since the last recovery."""
    lost: str = ""
    """Since when the head is not Ready, or was not before it last became so; "" where nobody looked."""
    proxy_answers: bool = False
    """Whether one of the Serve proxies that `plain_serve.proxies_to_ask` names has just answered."""

    def of_type(self, node_type: str) -> list[Pod]:
        return [pod for pod in self.pods if pod.metadata.labels.get(NODE_TYPE) == node_type]

    def terminating(self, pod: Pod) -> bool:
        return pod.metadata.deletion_timestamp is not None or pod.metadata.uid in self.deleting


class EventDraft(NamedTuple):
    """`{name}` in `note` stands for the name of the object acted on, `{error}` for what the API said."""

    type: Literal["Normal", "Warning"]
    reason: str
    action: str
    note: str


@dataclass(frozen=True)
class Create:
    """`group` is set for Ray Pods: the controller expects to see the Pod before the group is decided on again.

    `unless` is a label selector asked of the API itself, not of the cache: where it matches a Pod, nothing is made.
    `failure` becomes the reason of condition ReplicaFailure. With `patient`, a name that is taken is waited for: what
    has it belongs to an earlier cluster and is about to be collected. A `dispensable` object that
    is refused is told of and tried again later; the pass does not fail for it. With `name_is_content`, a name that is
    taken is taken by the very same object. Where the API refuses because the namespace is being deleted, which is
    for good, `doomed` is done instead.
    """

    resource: Resource
    obj: Obj
    created: EventDraft
    failed: EventDraft
    group: str | None = None
    unless: str = ""
    failure: str = ""
    patient: bool = False
    dispensable: bool = False
    name_is_content: bool = False
    doomed: "tuple[Action, ...]" = ()


@dataclass(frozen=True)
class Update:
    """A merge patch of a dispensable object, if it is still the version that was observed."""

    resource: Resource
    of: ObjectMeta
    patch: Obj
    updated: EventDraft
    failed: EventDraft


@dataclass(frozen=True)
class DeletePod:
    pod: Pod
    deleted: EventDraft
    failed: EventDraft
    failure: str = ""


@dataclass(frozen=True)
class SetFinalizers:
    """Replaces the cluster's finalizers, if it is still the version that was observed.

    `annotations` are written with them. `outcome` is what a cleanup that ends with this counts as in the metrics.
    """

    finalizers: tuple[str, ...]
    done: EventDraft | None = None
    annotations: dict[str, str] = field(default_factory=dict)
    outcome: str = ""


@dataclass(frozen=True)
class MarkCluster:
    """Sets or removes (None) annotations of the cluster, if it is still the version that was observed.

    Alone in its pass: the next begins with a cache that shows them, and with it all that came before.
    """

    annotations: dict[str, str | None]


@dataclass(frozen=True)
class NoteStorage:
    """The same, of where the keys are."""

    annotations: dict[str, str | None]


@dataclass(frozen=True)
class RecordDebt:
    """Writes down that keys may remain, if it is not written yet. `{error}` in the debt's reason is filled in.

    Where it cannot be written, what comes after it has to wait, unless it is not `required` any more.
    """

    debt: Debt
    recorded: EventDraft
    failed: EventDraft
    required: bool = True


@dataclass(frozen=True)
class CleanRedis:
    """Removes the keys from here. Where that fails, `otherwise` is done in place of all that comes after.

    The password is the one that the spec holds in plain text; others are read from their Secret.
    """

    storage: Storage
    done: EventDraft
    password: str = field(default="", repr=False)
    otherwise: "tuple[Action, ...]" = ()


@dataclass(frozen=True)
class Annotate:
    """Sets annotations of a Pod; the others stay."""

    pod: Pod
    annotations: dict[str, str]


@dataclass(frozen=True)
class Label:
    """Sets labels of a Pod, or removes them (None); the others stay."""

    pod: Pod
    labels: dict[str, str | None]
    done: EventDraft | None = None


@dataclass(frozen=True)
class RecordRecoveries:
    """Writes the cluster's last recoveries, if it is still the version that was observed; then tells of what is new.

    In this order: whoever looks next takes what is written for told. `ended` are phases that a recovery told of before
    still had open, with their seconds.
    """

    annotations: dict[str, str]
    told: tuple[EventDraft, ...] = ()
    recovered: tuple[Recovery, ...] = ()
    ended: tuple[tuple[str, float], ...] = ()


Action: TypeAlias = (
    Annotate
    | CleanRedis
    | Create
    | DeletePod
    | Label
    | MarkCluster
    | NoteStorage
    | RecordDebt
    | RecordRecoveries
    | SetFinalizers
    | Update
)


@dataclass(frozen=True)
class Plan:
    """`incomplete` says why the cluster is not as it should be even if every action succeeds, or is empty.

    `status` is False where KubeRay leaves the status alone (an invalid spec, a finalizer just added). `conditions`
    are set on top of what the status says by itself, `obsolete` are the types to remove. With `conditions_only`
    nothing else of the status is touched. `replaces` counts workers that go because they did not come back.
    """

    reason: str
    actions: tuple[Action, ...] = ()
    events: tuple[EventDraft, ...] = ()
    requeue_after: float | None = None
    incomplete: str = ""
    status: bool = True
    conditions: tuple[Obj, ...] = field(default_factory=tuple)
    obsolete: tuple[str, ...] = ()
    conditions_only: bool = False
    replaces: int = 0
