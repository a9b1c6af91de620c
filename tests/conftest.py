"""looptime asks asyncio for "the current loop" around every test, plain ones too, and asyncio answers the first such
question by making a loop that nobody closes. Saying at the start that there is no current loop avoids that.
"""

import asyncio


def pytest_sessionstart() -> None:
    asyncio.set_event_loop(None)
