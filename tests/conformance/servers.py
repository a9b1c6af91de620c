"""A server under test: its processes, each in a session of its own, and a kubeconfig to reach it.

Somebody else on the machine may end such a process. Everything after that would look like a difference between the
two servers, so `check` says which process died, and what it said last.
"""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple


class ServerDied(Exception):  # noqa: N818 it is what happened, not an error in a call
    pass


class Part(NamedTuple):
    name: str
    process: subprocess.Popen[bytes]
    log: Path


class Server:
    """`environ` is what a transcript's steps may have to know of it."""

    def __init__(self, name: str, folder: Path, **environ: str) -> None:
        self.name = name
        self.folder = folder
        self.kubeconfig = folder / "kubeconfig"
        self.environ = environ
        self._parts: list[Part] = []

    def start(self, name: str, *command: str | Path, environ: dict[str, str] | None = None) -> None:
        """The kernel ends the process with ours, however ours ends."""
        log = self.folder / f"{name}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "TERM", *command],
                env=os.environ | (environ or {}),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self._parts.append(Part(name, process, log))

    def check(self) -> None:
        for part in self._parts:
            code = part.process.poll()
            if code is not None:
                how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
                said = part.log.read_text(errors="replace")[-2000:]
                raise ServerDied(f"{part.name} of the {self.name} server has ended ({how}). It said last:\n{said}")

    def wait_until(self, ready: Callable[[], bool], what: str, *, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while not ready():
            self.check()
            if time.monotonic() > deadline:
                logs = "\n".join(f"{part.name}: {part.log.read_text(errors='replace')[-1000:]}" for part in self._parts)
                raise TimeoutError(f"the {self.name} server: {what} not so after {seconds} s\n{logs}")
            time.sleep(0.1)

    def kubectl(self, *arguments: str) -> bool:
        command = ["kubectl", f"--kubeconfig={self.kubeconfig}", *arguments]
        return self.kubeconfig.is_file() and subprocess.run(command, capture_output=True, check=False).returncode == 0

    def stop(self) -> None:
        """Last started, first ended; a Popen that was reaped already takes no signal."""
        for part in reversed(self._parts):
            part.process.terminate()
            try:
                part.process.wait(timeout=15)
            except subprocess.TimeoutExpired:
                part.process.kill()
                part.process.wait(timeout=15)


@contextmanager
def running(server: Server) -> Iterator[Server]:
    try:
        yield server
    finally:
        server.stop()
