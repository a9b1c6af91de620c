"""A program of ours whose input and output are somebody else's terminal or pipes: exec and attach."""

import asyncio
import fcntl
import os
import pty
import struct
import termios
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from headstay.local.node.engine import kill_recorded

_BLOCK = 1 << 15
_BUFFERED = 64
_DRAIN_SECONDS = 1.0
_END_SECONDS = 5.0
_LOOK_SECONDS = 0.2
_FIRST_SIZE = (80, 24)


class PipeSession:
    """Without a terminal. A command's children that keep its output open do not keep the session open for long."""

    def __init__(self, process: asyncio.subprocess.Process, pid_file: Path | None) -> None:
        self._process = process
        self._pid_file = pid_file
        self._ended = asyncio.ensure_future(_exit_of(process))

    @classmethod
    async def start(
        cls, argv: Sequence[str], env: Mapping[str, str], *, stdin: bool, pid_file: Path | None
    ) -> "PipeSession":
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.PIPE if stdin else asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=env,
            start_new_session=True,
        )
        return cls(process, pid_file)

    async def write_stdin(self, data: bytes) -> None:
        """What a command that has ended no longer reads is dropped."""
        if self._process.stdin is not None and not self._process.stdin.is_closing():
            try:
                self._process.stdin.write(data)
                await self._process.stdin.drain()
            except (BrokenPipeError, ConnectionResetError):
                self._process.stdin.close()

    async def close_stdin(self) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()

    def stdout(self) -> AsyncIterator[bytes]:
        return self._read(self._process.stdout)

    def stderr(self) -> AsyncIterator[bytes]:
        return self._read(self._process.stderr)

    async def _read(self, stream: asyncio.StreamReader | None) -> AsyncIterator[bytes]:
        while stream is not None:
            reading = asyncio.ensure_future(stream.read(_BLOCK))
            await asyncio.wait([reading, self._ended], return_when=asyncio.FIRST_COMPLETED)
            if not reading.done():  # it has ended; what is still under way gets a moment
                await asyncio.wait([reading], timeout=_DRAIN_SECONDS)
            if not reading.done():
                reading.cancel()
                return
            if not (data := reading.result()):
                return
            yield data

    def resize(self, width: int, height: int) -> None:
        """Nothing has a size here."""

    async def wait(self) -> int:
        return exit_code(await asyncio.shield(self._ended))

    async def close(self) -> None:
        if self._pid_file is not None and self._process.returncode is None:
            kill_recorded(self._pid_file)
        await _stop(self._process, self._ended)
        if self._pid_file is not None:
            self._pid_file.unlink(missing_ok=True)


class TerminalSession:
    """With a terminal: the program gets the other end of a pseudo-terminal as its own."""

    def __init__(self, process: asyncio.subprocess.Process, master: int, pid_file: Path | None) -> None:
        self._process = process
        self._master = master
        self._pid_file = pid_file
        self._ended = asyncio.ensure_future(_exit_of(process))
        self._output: asyncio.Queue[bytes] = asyncio.Queue()
        self._reading = False
        self._read_on()

    @classmethod
    async def start(
        cls, argv: Sequence[str], env: Mapping[str, str], *, stdin: bool, pid_file: Path | None
    ) -> "TerminalSession":
        del stdin  # a terminal has both directions
        master, slave = pty.openpty()
        _set_size(master, *_FIRST_SIZE)
        os.set_blocking(master, False)
        try:
            # setsid makes the terminal the program's own, so that a change of its size reaches it as SIGWINCH.
            process = await asyncio.create_subprocess_exec(
                "setsid", "--ctty", *argv, stdin=slave, stdout=slave, stderr=slave, env=env
            )
        except BaseException:
            os.close(master)
            raise
        finally:
            os.close(slave)
        return cls(process, master, pid_file)

    def _read_on(self) -> None:
        if not self._reading and self._master >= 0:
            self._reading = True
            asyncio.get_running_loop().add_reader(self._master, self._readable)

    def _pause(self) -> None:
        if self._reading:
            self._reading = False
            asyncio.get_running_loop().remove_reader(self._master)

    def _readable(self) -> None:
        try:
            data = os.read(self._master, _BLOCK)
        except BlockingIOError:
            return
        except OSError:  # nobody has the other end open any more
            data = b""
        if not data or self._output.qsize() >= _BUFFERED:
            self._pause()
        self._output.put_nowait(data)

    async def write_stdin(self, data: bytes) -> None:
        while data and self._master >= 0:
            try:
                data = data[os.write(self._master, data) :]
            except BlockingIOError:
                await asyncio.sleep(0.01)
            except OSError:
                return

    async def close_stdin(self) -> None:
        """End of file, as a person types it."""
        await self.write_stdin(b"\x04")

    async def stdout(self) -> AsyncIterator[bytes]:
        while data := await self._output.get():
            yield data
            self._read_on()

    async def stderr(self) -> AsyncIterator[bytes]:
        nothing: tuple[bytes, ...] = ()
        for data in nothing:
            yield data

    def resize(self, width: int, height: int) -> None:
        if self._master >= 0:
            _set_size(self._master, width, height)

    async def wait(self) -> int:
        return exit_code(await asyncio.shield(self._ended))

    async def close(self) -> None:
        if self._pid_file is not None and self._process.returncode is None:
            kill_recorded(self._pid_file)
        self._pause()
        if self._master >= 0:
            os.close(self._master)
            self._master = -1
        self._output.put_nowait(b"")
        await _stop(self._process, self._ended)
        if self._pid_file is not None:
            self._pid_file.unlink(missing_ok=True)


def exit_code(code: int) -> int:
    """A program ended by signal N has the code 128 + N, as in a shell."""
    return 128 - code if code < 0 else code


def _set_size(terminal: int, width: int, height: int) -> None:
    size = struct.pack("HHHH", min(height, 0xFFFF), min(width, 0xFFFF), 0, 0)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, size)


async def _exit_of(process: asyncio.subprocess.Process) -> int:
    """`Process.wait` alone also waits for the ends of the pipes, which a child may hold or nobody may be reading."""
    waiting = asyncio.ensure_future(process.wait())
    try:
        while process.returncode is None:
            await asyncio.wait([waiting], timeout=_LOOK_SECONDS)
        return process.returncode
    finally:
        waiting.cancel()


async def _stop(process: asyncio.subprocess.Process, ended: "asyncio.Future[int]") -> None:
    if process.returncode is None:
        with suppress(ProcessLookupError):
            process.kill()
    await asyncio.wait([ended], timeout=_END_SECONDS)
    # asyncio closes a pipe only when somebody has read it to its end.
    for number in (0, 1, 2):
        pipe = process._transport.get_pipe_transport(number)  # type: ignore[attr-defined]  # noqa: SLF001
        if pipe is not None:
            pipe.close()
