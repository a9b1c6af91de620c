"""Pods made of local processes and sockets, behind the real API server.

The processes, terminals, pipes and connections are real; only the container around them is missing.
"""

import asyncio
import fcntl
import os
import pty
import signal
import struct
import termios
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from headstay.local.config import LocalConfig
from headstay.local.control_plane import ControlPlane
from headstay.local.seams import ExecRequest, LogOptions
from headstay.local.server.auth.pki import Pki
from headstay.model.errors import StatusError
from headstay.model.objects import Obj
from headstay.model.resource import PODS, SERVICE_ACCOUNTS

CHUNK = 64 << 10


class ProcessSession:
    """A local process as an `ExecSession`. `kill` says whether closing the session ends the process."""

    def __init__(self, process: asyncio.subprocess.Process, *, kill: bool = True) -> None:
        self._process = process
        self._kill = kill

    async def write_stdin(self, data: bytes) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(data)
        await self._process.stdin.drain()

    async def close_stdin(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()

    def stdout(self) -> AsyncIterator[bytes]:
        return _chunks(self._process.stdout)

    def stderr(self) -> AsyncIterator[bytes]:
        return _chunks(self._process.stderr)

    def resize(self, width: int, height: int) -> None:
        pass

    async def wait(self) -> int:
        return await self._process.wait()

    async def close(self) -> None:
        if self._kill:
            await end(self._process)


class TerminalSession(ProcessSession):
    def __init__(self, process: asyncio.subprocess.Process, terminal: int) -> None:
        super().__init__(process)
        self._terminal = terminal
        self._read: asyncio.Queue[bytes] = asyncio.Queue()
        os.set_blocking(terminal, False)
        asyncio.get_running_loop().add_reader(terminal, self._readable)

    def _readable(self) -> None:
        try:
            data = os.read(self._terminal, CHUNK)
        except BlockingIOError:
            return
        except OSError:  # How a terminal says that its last user has gone.
            data = b""
        self._read.put_nowait(data)
        if not data:
            asyncio.get_running_loop().remove_reader(self._terminal)

    async def write_stdin(self, data: bytes) -> None:
        os.write(self._terminal, data)

    async def close_stdin(self) -> None:
        await self.write_stdin(b"\x04")

    async def stdout(self) -> AsyncIterator[bytes]:
        while data := await self._read.get():
            yield data

    def resize(self, width: int, height: int) -> None:
        if self._terminal >= 0:
            fcntl.ioctl(self._terminal, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))

    async def close(self) -> None:
        await super().close()
        if self._terminal >= 0:
            asyncio.get_running_loop().remove_reader(self._terminal)
            os.close(self._terminal)
            self._terminal = -1


async def end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        # It may have ended without our having been told.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    # Output that nobody will read keeps the pipes open, and `wait` waits for them too.
    for number in (1, 2):
        pipe = process._transport.get_pipe_transport(number)  # type: ignore[attr-defined]
        if pipe is not None:
            pipe.close()
    await process.wait()


async def _chunks(reader: asyncio.StreamReader | None) -> AsyncIterator[bytes]:
    assert reader is not None
    while data := await reader.read(CHUNK):
        yield data


class LocalStreams:
    """`PodStreams`. Container `attachable` is one process that all who attach share; `log` is the log of every Pod."""

    def __init__(self) -> None:
        self.log: list[bytes] = []
        self.log_grew = asyncio.Event()
        self.asked: list[LogOptions] = []
        self.followers = 0
        self.processes: list[asyncio.subprocess.Process] = []
        self.attachable: asyncio.subprocess.Process | None = None

    async def logs(self, namespace: str, pod: str, options: LogOptions) -> AsyncIterator[bytes]:
        self.asked.append(options)
        if options.container == "waiting":
            message = f'container "waiting" in pod "{pod}" is waiting to start: ContainerCreating'
            raise StatusError(400, "BadRequest", message)
        position = max(len(self.log) - options.tail_lines, 0) if options.tail_lines is not None else 0
        self.followers += 1
        try:
            while True:
                while position < len(self.log):
                    yield self.log[position]
                    position += 1
                if not options.follow:
                    return
                self.log_grew.clear()
                await self.log_grew.wait()
        finally:
            self.followers -= 1

    async def exec(self, namespace: str, pod: str, request: ExecRequest) -> ProcessSession:
        if request.container == "waiting":
            raise StatusError(400, "BadRequest", f'container "waiting" in pod "{pod}" is not running')
        if request.tty:
            return await self._terminal(request.command)
        process = await self._start(request.command)
        return ProcessSession(process)

    async def attach(self, namespace: str, pod: str, request: ExecRequest) -> ProcessSession:
        if self.attachable is None:
            self.attachable = await self._start(("sh", "-c", "while read l; do echo got $l; done"))
        return ProcessSession(self.attachable, kill=False)

    async def port_forward(
        self, namespace: str, pod: str, port: int
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", port)

    async def _start(self, command: tuple[str, ...]) -> asyncio.subprocess.Process:
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            *command, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True
        )
        self.processes.append(process)
        return process

    async def _terminal(self, command: tuple[str, ...]) -> TerminalSession:
        master, slave = pty.openpty()

        def control() -> None:
            os.setsid()
            fcntl.ioctl(slave, termios.TIOCSCTTY, 0)

        process = await asyncio.create_subprocess_exec(
            *command, stdin=slave, stdout=slave, stderr=slave, preexec_fn=control
        )
        os.close(slave)
        self.processes.append(process)
        return TerminalSession(process, master)

    async def close(self) -> None:
        for process in self.processes:
            await end(process)


def pod(name: str, *containers: str) -> Obj:
    entries = [{"name": container, "image": "x", "stdin": True} for container in containers]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"nodeName": "n", "containers": entries},
    }


def running(*containers: str) -> Obj:
    state = {"running": {"startedAt": "2026-01-02T03:04:05Z"}}
    rest = {"image": "x", "imageID": "x", "ready": True, "restartCount": 0, "state": state}
    conditions = [{"type": kind, "status": "True"} for kind in ("Ready", "ContainersReady")]
    return {
        "phase": "Running",
        "conditions": conditions,
        "containerStatuses": [{"name": container, **rest} for container in containers],
    }


class StreamServer:
    """The API server with Pods `one` (container `main`), `two` (containers `a` and `b`) and `slow` (container
    `waiting`); no controllers and no node, so they stay as they are.
    """

    def __init__(self, directory: Path, port: int) -> None:
        config = LocalConfig(instance="strm", state_dir=directory, run_dir=directory / "run", api_port=port)
        self.kubeconfig = config.kubeconfig
        self.streams = LocalStreams()
        self.plane = ControlPlane(config)
        self.pki = Pki.in_directory(config.pki_dir)

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[None]:
        try:
            await self.plane.start()
            await self._create_pods()
            await self.plane.serve("127.0.0.1", self.streams)
            yield
        finally:
            await self.plane.close()
            await self.streams.close()

    async def _create_pods(self) -> None:
        client = self.plane.client
        account = {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": "default", "namespace": "default"},
        }
        await client.create(SERVICE_ACCOUNTS, account)
        for name, containers in (("one", ("main",)), ("two", ("a", "b")), ("slow", ("waiting",))):
            created = await client.create(PODS, pod(name, *containers))
            await client.update(PODS, {**created, "status": running(*containers)}, subresource="status")
