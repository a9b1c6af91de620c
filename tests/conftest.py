"""looptime asks asyncio for "the current loop" around every test, plain ones too, and asyncio answers the first such
question by making a loop that nobody closes. Saying at the start that there is no current loop avoids that.
"""

import asyncio

from hypothesis import HealthCheck, settings

# How fast an example is drawn or run says how busy the machine is.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


def pytest_sessionstart() -> None:
    asyncio.set_event_loop(None)
