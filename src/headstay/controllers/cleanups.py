"""The two actions of a deletion that reach beyond the cluster's own objects: writing a debt, and cleaning from here."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace

from headstay.controllers.debts import DebtBook
from headstay.controllers.redis_access import CleaningError, RedisAccess
from headstay.model.errors import StatusError
from headstay.model.objects import ObjectKey
from headstay.model.ray import RayCluster
from headstay.plan.debts import Debt
from headstay.plan.raycluster.plan import Action, CleanRedis, EventDraft, RecordDebt, SetFinalizers
from headstay.runtime.client import TransportError
from headstay.runtime.errors import Transient

log = logging.getLogger(__name__)

CLEAN_SECONDS = 20.0
"""A worker of the RayCluster controller waits for it; what takes longer goes on as a debt."""

_PAUSES = (0.2, 1.0, 3.0)
"""Between tries to write a debt that nothing waits for."""
_NAMESPACE_GOES = "NamespaceTerminating"

Tell = Callable[[RayCluster, EventDraft, str, Exception | None], None]


class Cleanups:
    """`tell` records an Event about the cluster, with a name and an error to fill in."""

    def __init__(self, redis: RedisAccess, debts: DebtBook, tell: Tell) -> None:
        self._redis = redis
        self._debts = debts
        self._tell = tell
        self._refusals: dict[ObjectKey, str] = {}

    def refusal(self, cluster: ObjectKey) -> str:
        """What the last attempt was answered."""
        return self._refusals.get(cluster, "")

    def refused(self, cluster: ObjectKey, error: Exception) -> None:
        self._refusals[cluster] = str(error)

    def forget(self, cluster: ObjectKey) -> None:
        self._refusals.pop(cluster, None)

    async def record(self, cluster: RayCluster, action: RecordDebt) -> None:
        """Raises where the debt is required and cannot be written."""
        try:
            written = await self._write(action)
        except (StatusError, TransportError) as error:
            self._tell(cluster, action.failed, f"{self._debts.namespace}/{action.debt.name}", error)
            if action.required and not namespace_is_going(error):
                raise
        else:
            if written is not None:
                self._tell(cluster, action.recorded, f"{self._debts.namespace}/{written.name}", None)

    async def _write(self, action: RecordDebt) -> Debt | None:
        """Where nothing waits for the debt any longer it is tried a few times more: what is not written now is lost."""
        for pause in _PAUSES:
            try:
                return await self._debts.record(action.debt)
            except (StatusError, TransportError) as error:
                if action.required or namespace_is_going(error):
                    raise
            await asyncio.sleep(pause)
        return await self._debts.record(action.debt)

    async def clean(self, cluster: RayCluster, action: CleanRedis) -> tuple[Action, ...] | None:
        """None where the keys are gone, else what to do in place of all that follows; raises where that is nothing."""
        try:
            removed = await self._redis.clean(
                action.storage, cluster.namespace, password=action.password, seconds=CLEAN_SECONDS
            )
        except (CleaningError, StatusError, TransportError) as error:
            self.refused(cluster.key, error)
            if not action.otherwise:
                raise Transient(f"the keys in Redis could not be removed: {error}") from error
            return tuple(_filled(found, str(error)) for found in action.otherwise)
        self._tell(cluster, action.done, str(removed), None)
        return None


def namespace_is_going(error: Exception) -> bool:
    """Whether the API refuses for good, since the namespace is being deleted."""
    return isinstance(error, StatusError) and any(cause.reason == _NAMESPACE_GOES for cause in error.causes)


def _filled(action: Action, error: str) -> Action:
    """The same action with the error in the places that were left for it."""
    match action:
        case RecordDebt():
            reason = action.debt.reason.replace("{error}", error)
            return replace(action, debt=replace(action.debt, reason=reason))
        case SetFinalizers(done=EventDraft() as done):
            return replace(action, done=done._replace(note=done.note.replace("{error}", error)))
    return action
