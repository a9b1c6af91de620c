import pytest
from tests.unit.strategies.world import World


@pytest.fixture
def world() -> World:
    return World()
