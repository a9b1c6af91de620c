"""What is told of a cluster without anything being done about it: that it was adopted, and that its head came back."""

import logging

from headstay.controllers.metrics import OperatorMetrics
from headstay.model.objects import ObjectKey
from headstay.plan.raycluster.adoption import adopted
from headstay.plan.raycluster.plan import Observed
from headstay.plan.raycluster.recoveries import HeadSeen, look_at_head
from headstay.plan.raycluster.settings import Settings

log = logging.getLogger(__name__)


class Onlooker:
    def __init__(self, settings: Settings, metrics: OperatorMetrics) -> None:
        self._settings = settings
        self._metrics = metrics
        self._met: set[ObjectKey] = set()
        self._heads: dict[ObjectKey, HeadSeen] = {}
        self._lost: dict[ObjectKey, str] = {}

    def look(self, observed: Observed) -> str:
        """Since when the head is not Ready, or was not before it last became so; "" where that was not seen."""
        self._greet(observed)
        self._count_recoveries(observed)
        return self._lost.get(observed.cluster.key, "")

    def forget(self, cluster: ObjectKey) -> None:
        """The cluster is gone from the API."""
        self._met.discard(cluster)
        self._heads.pop(cluster, None)
        self._metrics.storage.forget(cluster)
        self._lost.pop(cluster, None)

    def _greet(self, observed: Observed) -> None:
        """Tells a user who changes operators or versions, once, that nothing was restarted for it."""
        key = observed.cluster.key
        if key not in self._met and not observed.cluster.deleting and not observed.beside:
            self._met.add(key)
            if text := adopted(observed, self._settings):
                log.info("RayCluster %s: %s", key, text)

    def _count_recoveries(self, observed: Observed) -> None:
        key = observed.cluster.key
        look = look_at_head(observed, self._heads.get(key))
        if look.seen is None:
            self._heads.pop(key, None)
        else:
            self._heads[key] = look.seen
        if look.lost or look.recovery is not None:
            self._lost[key] = look.lost  # an earlier recovery's must not be taken for this one's
        if look.recovery is not None:
            self._metrics.recovered(look.recovery)
            spans = ", ".join(f"{phase} {seconds:.0f} s" for phase, seconds in look.recovery.seconds.items())
            head, how = look.recovery.head, look.recovery.how
            log.info("RayCluster %s: head %s was %s and is Ready (%s)", key, head, how, spans)
