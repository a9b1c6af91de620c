"""Sessions over real local processes, without a container around them."""

import asyncio
import os
import signal
from pathlib import Path

from headstay.local.node.sessions import PipeSession, TerminalSession

BOUND = 10.0
ENVIRONMENT = dict(os.environ)


async def everything(session: PipeSession | TerminalSession) -> bytes:
    return b"".join([data async for data in session.stdout()])


async def test_a_child_that_keeps_the_output_open_does_not_keep_the_session(tmp_path: Path) -> None:
    script = f"sleep 60 & echo $! > {tmp_path}/pid; echo started; exit 3"
    session = await PipeSession.start(["sh", "-c", script], ENVIRONMENT, stdin=False, pid_file=None)
    try:
        async with asyncio.timeout(BOUND):
            assert await everything(session) == b"started\n"
            assert await session.wait() == 3
    finally:
        await session.close()
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)


async def test_a_session_closes_at_once_though_nobody_reads_its_output() -> None:
    session = await PipeSession.start(["yes"], ENVIRONMENT, stdin=True, pid_file=None)
    await asyncio.sleep(0.3)
    before = set(asyncio.all_tasks())
    async with asyncio.timeout(2.0):
        await session.close()
        assert await session.wait() == 128 + signal.SIGKILL
    assert asyncio.all_tasks() <= before


async def test_closing_twice_is_fine() -> None:
    for kind in (PipeSession, TerminalSession):
        session = await kind.start(["sleep", "60"], ENVIRONMENT, stdin=True, pid_file=None)
        await session.close()
        await session.close()
