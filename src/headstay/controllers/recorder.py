"""How the controllers record Events: a draft of the plan, about a RayCluster or a RayService."""

import logging
from typing import Protocol

from headstay.model.objects import ObjectKey
from headstay.model.ray import RAYCLUSTERS, RayCluster, RayObject
from headstay.model.rayservice import RAYSERVICES, RayService
from headstay.plan.raycluster.plan import EventDraft
from headstay.runtime.events import EventRecorder, reference_to

log = logging.getLogger(__name__)


class Once:
    """One Event for one problem of one version of an object, however often it is looked at."""

    def __init__(self) -> None:
        self._told: dict[ObjectKey, tuple[tuple[str, int], set[EventDraft]]] = {}

    def is_news(self, about: RayObject, event: EventDraft) -> bool:
        """Whether it has not been told yet; from then on it has, and is in the log."""
        version = (about.metadata.uid, about.metadata.generation)
        if self._told.get(about.key, (None,))[0] != version:
            self._told[about.key] = (version, set())
        told = self._told[about.key][1]
        if event in told:
            return False
        told.add(event)
        log.log(logging.WARNING if event.type == "Warning" else logging.INFO, "%s", event.note)
        return True

    def forget(self, key: ObjectKey) -> None:
        """The object is gone from the API."""
        self._told.pop(key, None)


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
