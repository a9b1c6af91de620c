"""Running other programs: never without a bound, never through a shell."""

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

_STOP_SECONDS = 5.0


class Completed(NamedTuple):
    code: int
    stdout: bytes
    stderr: bytes

    @property
    def words(self) -> str:
        """What the program said went wrong: its last line of stderr, else of stdout."""
        text = self.stderr.decode(errors="replace").strip() or self.stdout.decode(errors="replace").strip()
        return text.splitlines()[-1].strip() if text else f"exit code {self.code} and no message"


class CommandTimeoutError(Exception):
    """The program was still running at its bound and has been killed."""


async def run(
    argv: Sequence[str],
    *,
    timeout: float,
    env: Mapping[str, str] | None = None,
    on_line: Callable[[str], None] | None = None,
    cwd: Path | None = None,
) -> Completed:
    """Runs to the end and returns all it said. `on_line` gets each line of stderr as it comes.

    A process cut short (bound reached, or the caller cancelled) is killed with its whole process group.
    """
    process = await asyncio.create_subprocess_exec(
        *argv,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=env,
        cwd=cwd,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(timeout):
            if on_line is None:
                stdout, stderr = await process.communicate()
            else:
                stdout, stderr = await _read_lines(process, on_line)
    except TimeoutError as error:
        raise CommandTimeoutError(f"{argv[0]} had not finished after {timeout:g} s") from error
    finally:
        if process.returncode is None:
            await _kill(process)
    return Completed(process.returncode or 0, stdout, stderr)


async def _read_lines(process: asyncio.subprocess.Process, on_line: Callable[[str], None]) -> tuple[bytes, bytes]:
    assert process.stdout is not None  # noqa: S101 (both are pipes, see run)
    assert process.stderr is not None  # noqa: S101
    collected = bytearray()

    async def lines(stream: asyncio.StreamReader) -> None:
        async for line in stream:
            collected.extend(line)
            on_line(line.decode(errors="replace").rstrip())

    stdout, _ = await asyncio.gather(process.stdout.read(), lines(process.stderr))
    await process.wait()
    return stdout, bytes(collected)


async def _kill(process: asyncio.subprocess.Process) -> None:
    try:
        os.killpg(process.pid, 9)
    except ProcessLookupError:
        return
    async with asyncio.timeout(_STOP_SECONDS):
        await process.wait()
