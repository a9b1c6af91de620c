"""One API over a store in memory, with a clock that tests set."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from headstay.local.server.assembly import build_api
from headstay.local.server.inprocess import InProcessClient
from headstay.local.server.rest import Api


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def api(clock: Clock) -> Iterator[Api]:
    built = build_api(clock=clock)
    yield built
    built.close()


@pytest.fixture
def client(api: Api) -> InProcessClient:
    return InProcessClient(api)
