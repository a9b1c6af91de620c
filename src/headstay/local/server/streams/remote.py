"""Exec and attach: a command in a container on one side, a client's channels on the other.

Whatever carries the channels, the rules are these. Output waits for the client (back-pressure up to the command's own
pipe). The exit code is reported once all output has been handed over. When the client goes first, an exec's command is
killed and an attached container is not, which `ExecSession.close` knows. There is no idle limit: a shell may be quiet
for a day; a peer that is gone is noticed by its closed connection.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from enum import IntEnum
from typing import Protocol

import msgspec

from headstay.local.seams import ExecRequest, ExecSession
from headstay.model.errors import StatusError
from headstay.model.objects import Obj

Resize = Callable[[int, int], None]


class Channel(IntEnum):
    """The numbers of the WebSocket protocols; over SPDY each is a stream of its own."""

    STDIN = 0
    STDOUT = 1
    STDERR = 2
    ERROR = 3
    RESIZE = 4


class TerminalSize(msgspec.Struct):
    width: int = msgspec.field(name="Width", default=0)
    height: int = msgspec.field(name="Height", default=0)


class Channels(Protocol):
    async def run(self, resize: Resize) -> None:
        """Reads the connection; returns when the client has gone."""
        ...

    def stdin(self) -> AsyncIterator[bytes]:
        """What the client typed, to the end of its input."""
        ...

    async def output(self, channel: Channel, data: bytes) -> None:
        """Raises ConnectionError when the client has gone."""
        ...

    async def finish(self, status: Obj) -> None:
        """Closes the outputs, reports `status`, and closes the connection once the client has all of it."""
        ...

    async def close(self) -> None: ...


async def serve(session: ExecSession, channels: Channels, request: ExecRequest) -> None:
    """Until the command has ended and the client knows, or the client has gone. Closes both."""
    reading = asyncio.create_task(channels.run(session.resize), name="remote: read")
    typing = asyncio.create_task(_type(session, channels, request), name="remote: stdin")
    working = asyncio.create_task(_work(session, channels, request), name="remote: output")
    try:
        await asyncio.wait((reading, working), return_when=asyncio.FIRST_COMPLETED)
        if working.done() and working.exception() is None:
            await channels.finish(working.result())
    except ConnectionError:
        pass  # The client went while we were saying goodbye.
    finally:
        for task in (reading, typing, working):
            task.cancel()
        results = await asyncio.gather(reading, typing, working, return_exceptions=True)
        await session.close()
        await channels.close()
    for result in results:
        if isinstance(result, Exception) and not isinstance(result, ConnectionError):
            raise result


async def _work(session: ExecSession, channels: Channels, request: ExecRequest) -> Obj:
    outputs = []
    if request.stdout:
        outputs.append((Channel.STDOUT, session.stdout()))
    if request.stderr and not request.tty:
        outputs.append((Channel.STDERR, session.stderr()))
    try:
        await asyncio.gather(*(_copy(source, channels, channel) for channel, source in outputs))
        return exit_status(await session.wait())
    except StatusError as error:
        return error.to_status()


async def _copy(source: AsyncIterator[bytes], channels: Channels, channel: Channel) -> None:
    async for data in source:
        await channels.output(channel, data)


async def _type(session: ExecSession, channels: Channels, request: ExecRequest) -> None:
    if not request.stdin:
        return
    try:
        async for data in channels.stdin():
            await session.write_stdin(data)
        await session.close_stdin()
    except ConnectionError:
        # The command has closed its input (`head -1`), or the client has gone; the other tasks see to that. What is
        # still typed is dropped, so that it does not hold up the connection.
        async for _ in channels.stdin():
            pass


def exit_status(code: int) -> Obj:
    """What the error channel says of a command that has ended."""
    if code == 0:
        return {"metadata": {}, "status": "Success"}
    return {
        "metadata": {},
        "status": "Failure",
        "message": f"command terminated with non-zero exit code: exit status {code}",
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]},
    }
