"""What a decision about a RayService is made of."""

from dataclasses import dataclass, field
from typing import TypeAlias

from headstay.model.meta import Pod
from headstay.model.objects import Obj
from headstay.model.ray import HEAD, NODE_TYPE, RayCluster, Service
from headstay.model.rayservice import RayService
from headstay.plan.raycluster.heads import gets_requests
from headstay.plan.raycluster.plan import EventDraft
from headstay.plan.rayservice.serving import Applications


@dataclass(frozen=True)
class Seen:
    """One RayCluster of the RayService, and what was seen of what it serves.

    `applications` is None where the dashboard gave no answer (`silence` says why): then nothing is concluded.
    `head_serves` is None where nobody knows whether the head's proxy answers. `running_for` is for how many seconds
    all applications have been seen running. `refusal` is what the dashboard has just said against the configuration
    whose hash is `refused`. `just_deployed` is the hash of the one it took moments ago: what it lists may lag behind.
    """

    cluster: RayCluster
    pods: tuple[Pod, ...] = ()
    applications: Applications | None = None
    silence: str = ""
    head_serves: bool | None = None
    running_for: float = 0.0
    refusal: str = ""
    refused: str = ""
    just_deployed: str = ""

    @property
    def name(self) -> str:
        return self.cluster.name

    @property
    def head(self) -> Pod | None:
        return next((pod for pod in self.pods if pod.metadata.labels.get(NODE_TYPE) == HEAD and _lives(pod)), None)

    @property
    def head_ready(self) -> bool:
        return self.head is not None and self.head.ready

    @property
    def all_running(self) -> bool:
        return self.applications is not None and self.applications.all_running

    @property
    def endpoints(self) -> list[Pod]:
        """The Pods that the serve Service sends requests to, once it points at this cluster."""
        return [pod for pod in self.pods if gets_requests(pod)]


def _lives(pod: Pod) -> bool:
    return pod.metadata.deletion_timestamp is None


@dataclass(frozen=True)
class Observed:
    """`fresh` is a name that no RayCluster has, for the case that one is needed.

    `record` is the storage namespace that a RayService of this name used last, "" where none is on record; it is looked
    up only where `storage.wants_record` says so.
    """

    service: RayService
    clusters: tuple[Seen, ...] = ()
    services: tuple[Service, ...] = ()
    fresh: str = ""
    record: str = ""
    beside: str = ""

    def find(self, name: str) -> Seen | None:
        return next((seen for seen in self.clusters if name and seen.name == name), None)

    def service_named(self, name: str) -> Service | None:
        return next((service for service in self.services if service.metadata.name == name), None)


@dataclass(frozen=True)
class CreateCluster:
    obj: Obj
    explained: EventDraft | None = None


@dataclass(frozen=True)
class UpdateCluster:
    """A merge patch, if it is still the version that was observed; with `why` it is told of."""

    cluster: RayCluster
    patch: Obj
    why: str = ""


@dataclass(frozen=True)
class DeleteCluster:
    """Never one that the RayService, asked once more, says it uses; `even_if_used` for the end of all of them."""

    cluster: RayCluster
    why: str
    even_if_used: bool = False


@dataclass(frozen=True)
class CreateService:
    obj: Obj


@dataclass(frozen=True)
class UpdateService:
    """A merge patch, if it is still the version that was observed."""

    of: Service
    patch: Obj
    why: str


@dataclass(frozen=True)
class LabelHead:
    pod: Pod
    serves: bool
    why: str


@dataclass(frozen=True)
class DeployServe:
    """The configuration goes to the cluster's dashboard; that it was accepted is then written on the cluster."""

    cluster: RayCluster
    head: Pod
    config: Obj
    hash: str


@dataclass(frozen=True)
class SetFinalizers:
    finalizers: tuple[str, ...]


@dataclass(frozen=True)
class RecordStorage:
    """Remembers a storage namespace beyond the RayService's end; "" forgets it."""

    given: str
    namespace: str


Action: TypeAlias = (
    CreateCluster
    | UpdateCluster
    | DeleteCluster
    | CreateService
    | UpdateService
    | LabelHead
    | DeployServe
    | SetFinalizers
    | RecordStorage
)


@dataclass(frozen=True)
class Names:
    """The RayClusters in use: the one that serves, and the one that will."""

    active: str = ""
    pending: str = ""


@dataclass(frozen=True)
class Plan:
    """`names` is None where the status is left alone. `conditions` are set, `obsolete` removed first.

    Actions stand by themselves: one that fails keeps no other from being done, unless they are to be done `in_order`.
    """

    reason: str
    actions: tuple[Action, ...] = ()
    events: tuple[EventDraft, ...] = ()
    requeue_after: float | None = None
    names: Names | None = None
    conditions: tuple[Obj, ...] = field(default_factory=tuple)
    obsolete: tuple[str, ...] = ()
    conditions_only: bool = False
    in_order: bool = False
