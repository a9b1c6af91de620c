"""How the controllers record Events: a draft of the plan, about a RayCluster or a RayService."""

from typing import Protocol

from headstay.model.ray import RAYCLUSTERS, RayCluster
from headstay.model.rayservice import RAYSERVICES, RayService
from headstay.plan.raycluster.plan import EventDraft
from headstay.runtime.events import EventRecorder, reference_to


class Recorder(Protocol):
    def record(self, cluster: RayCluster, event: EventDraft) -> None:
        """Returns at once; an Event that cannot be written is logged and lost."""
        ...


class ClusterEvents:
    """Events written through a recorder of the runtime."""

    def __init__(self, recorder: EventRecorder) -> None:
        self._recorder = recorder

    def record(self, cluster: RayCluster, event: EventDraft) -> None:
        regarding = reference_to(RAYCLUSTERS, cluster.metadata)
        self._recorder.event(regarding, event.type, event.reason, event.action, event.note)


class ServiceRecorder(Protocol):
    def record(self, service: RayService, event: EventDraft) -> None:
        """As `Recorder`, about a RayService."""
        ...


class ServiceEvents:
    """Events written through a recorder of the runtime."""

    def __init__(self, recorder: EventRecorder) -> None:
        self._recorder = recorder

    def record(self, service: RayService, event: EventDraft) -> None:
        regarding = reference_to(RAYSERVICES, service.metadata)
        self._recorder.event(regarding, event.type, event.reason, event.action, event.note)
