"""How the controllers record Events: a draft of the plan, about a RayCluster."""

from typing import Protocol

from headstay.model.ray import RAYCLUSTERS, RayCluster
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
