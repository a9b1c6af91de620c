"""Runs `ip`, `nft` and their kin off the event loop, each with a bound.

The command line tools are used rather than a netlink library: the library costs 27 MB and 0.3 s of every
daemon, while a batch of `ip` commands is one process of 3 ms.
"""

import asyncio
from collections.abc import Iterable
from typing import NamedTuple

TIMEOUT_SECONDS = 10.0


class NetworkError(OSError):
    """The machine refused a change to its network; the message says which and why."""


class Outcome(NamedTuple):
    code: int
    output: str
    errors: str


async def attempt(*argv: str, stdin: str = "", timeout: float = TIMEOUT_SECONDS) -> Outcome:
    """Runs to the end whatever the exit code. Raises NetworkError where it is missing or outlives `timeout`."""
    try:
        process = await asyncio.create_subprocess_exec(
            *argv, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
    except FileNotFoundError as error:
        raise NetworkError(f"the command {argv[0]!r} is not on this machine's PATH") from error
    try:
        output, errors = await asyncio.wait_for(process.communicate(stdin.encode()), timeout)
    except BaseException as error:
        # Cancelled or too slow: a half-done batch must not go on beside whatever is tried next.
        if process.returncode is None:
            process.kill()
            await process.wait()
        if isinstance(error, TimeoutError):
            raise NetworkError(f"`{' '.join(argv)}` did not end within {timeout:.0f} s") from error
        raise
    return Outcome(process.returncode or 0, output.decode(errors="replace"), errors.decode(errors="replace").strip())


async def run(*argv: str, stdin: str = "", timeout: float = TIMEOUT_SECONDS) -> str:
    """The output of a command that must succeed."""
    outcome = await attempt(*argv, stdin=stdin, timeout=timeout)
    if outcome.code != 0:
        raise NetworkError(f"`{' '.join(argv)}` failed: {outcome.errors or f'exit code {outcome.code}'}")
    return outcome.output


async def ip_batch(lines: Iterable[str]) -> None:
    """One `ip` process for all lines; it stops at the first that fails."""
    text = "".join(f"{line}\n" for line in lines)
    if text:
        await run("ip", "-batch", "-", stdin=text)
