"""Paying debts, and an operator that dies while it does. Redis is played: what it holds, and whether it answers."""

import asyncio
from datetime import UTC, datetime

import msgspec
import pytest
from tests.unit.controllers.world import World, world

from headstay.controllers.debts import DebtController
from headstay.controllers.redis_access import CleaningError, RedisAccess
from headstay.model.errors import StatusError
from headstay.model.resource import CONFIGMAPS
from headstay.plan.debts import DEBT, ConfigMap, Debt, document, read
from headstay.plan.raycluster.settings import Settings
from headstay.plan.raycluster.storage import Storage
from headstay.runtime.events import EventRecorder

pytestmark = pytest.mark.looptime

OWED = Debt("default", "gone", "uid-1", Storage(namespace="uid-1", host="redis.default"), "why", datetime.now(UTC))


class Redis(RedisAccess):
    def __init__(self) -> None:
        self.keys = 3
        self.away = False
        self.tries = 0
        self.cleaned = asyncio.Event()

    async def clean(self, storage: Storage, namespace: str, *, password: str = "", seconds: float) -> int:
        self.tries += 1
        if self.away:
            raise CleaningError("Redis is away")
        removed, self.keys = self.keys, 0
        self.cleaned.set()
        return removed


def payer(w: World, redis: Redis) -> DebtController:
    controller = DebtController(
        w.client,
        EventRecorder(w.client, "test"),
        Settings(redis_access=True),
        namespace="default",
        now=lambda: datetime.now(UTC),
    )
    controller._redis = redis
    return controller


async def owed(w: World) -> list[Debt]:
    page = await w.user.list_page(CONFIGMAPS, "default", label_selector=DEBT)
    return [read(msgspec.json.decode(item, type=ConfigMap)) for item in page.items]


async def nothing_owed(w: World) -> bool:
    return not await owed(w)


async def test_an_operator_that_dies_between_cleaning_and_removing_the_debt_is_continued() -> None:
    async with world() as w:
        await w.user.create(CONFIGMAPS, document(OWED, "default"))
        redis = Redis()
        refuse = StatusError(503, "ServiceUnavailable", "not now")

        async def refused(*_: object, **__: object) -> None:
            raise refuse

        first = payer(w, redis)
        # It dies before this gets through.
        first._remove = refused  # type: ignore[method-assign]
        dying = asyncio.create_task(first.run())
        await redis.cleaned.wait()
        dying.cancel()
        await asyncio.wait({dying})
        assert len(await owed(w)) == 1
        running = asyncio.create_task(payer(w, redis).run())
        await w.until(lambda: nothing_owed(w), seconds=10)
        running.cancel()
        await asyncio.wait({running})
        assert (redis.keys, redis.tries >= 2) == (0, True)


async def test_a_redis_that_is_away_is_asked_ever_less_often_and_the_debt_says_so() -> None:
    async with world() as w:
        await w.user.create(CONFIGMAPS, document(OWED, "default"))
        redis = Redis()
        redis.away = True
        running = asyncio.create_task(payer(w, redis).run())
        await w.until(lambda: has_tried(w), seconds=10)
        await w.settle(20)
        running.cancel()
        await asyncio.wait({running})
        (debt,) = await owed(w)
        assert (debt.tries, debt.last_error, redis.tries) == (1, "Redis is away", 1)
        again = asyncio.create_task(payer(w, redis).run())
        await w.settle(20)
        again.cancel()
        await asyncio.wait({again})
        assert redis.tries == 1, "a restart does not make it hurry"


async def has_tried(w: World) -> bool:
    return any(debt.tries for debt in await owed(w))
