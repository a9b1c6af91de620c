"""Real Redis servers and Sentinels for a test, spoken to with redis-cli: the cleaner's client is what is tested."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.ports import free_port


@dataclass
class Server:
    port: int
    process: subprocess.Popen[bytes]
    cli_arguments: list[str] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def cli(self, *words: str, account: tuple[str, str] | None = None) -> str:
        login = ["--no-auth-warning", "--user", account[0], "--pass", account[1]] if account else self.cli_arguments
        done = subprocess.run(
            ["redis-cli", "-p", str(self.port), *login, *words], capture_output=True, text=True, timeout=60, check=True
        )
        return done.stdout.strip()

    def names(self) -> set[str]:
        return set(self.cli("KEYS", "*").split())

    def calls(self, command: str) -> int:
        """How often the server ran it."""
        for line in self.cli("INFO", "commandstats").splitlines():
            if line.startswith(f"cmdstat_{command}:"):
                return int(line.split("calls=")[1].split(",")[0])
        return 0

    def fill(self, key: str, fields: int, size: int = 10) -> None:
        script = "for i=1,tonumber(ARGV[1]) do redis.call('HSET',KEYS[1],'field'..i,string.rep('x',ARGV[2])) end"
        self.cli("EVAL", script, "1", key, str(fields), str(size))

    def stop(self, number: signal.Signals = signal.SIGKILL) -> None:
        self.process.send_signal(number)
        self.process.wait(timeout=10)


@contextmanager
def redis_server(
    directory: Path,
    *arguments: str,
    password: str = "",
    port: int = 0,
    cli: list[str] | None = None,
    tls: bool = False,
) -> Iterator[Server]:
    port = port or free_port()
    if password:
        arguments = (*arguments, "--requirepass", password)
    login = cli or (["--no-auth-warning", "-a", password] if password else [])
    ports = ["--port", "0", "--tls-port", str(port)] if tls else ["--port", str(port)]
    command = ["redis-server", *ports, "--bind", "127.0.0.1", "--save", "", *arguments]
    if "--cluster-enabled" in arguments:
        command += ["--cluster-port", str(free_port())]
    with _running(command, directory, port) as process:
        yield Server(port, process, login)


@contextmanager
def sentinel(directory: Path, *primaries: Server, password: str = "") -> Iterator[Server]:
    port = free_port()
    lines = [f"port {port}", "bind 127.0.0.1", f"dir {directory}"]
    if password:
        lines.append(f"requirepass {password}")
    for index, primary in enumerate(primaries):
        lines += [
            f"sentinel monitor main{index} 127.0.0.1 {primary.port} 1",
            f"sentinel down-after-milliseconds main{index} 300",
            f"sentinel failover-timeout main{index} 2000",
            *([f"sentinel auth-pass main{index} {password}"] if password else []),
        ]
    configuration = directory / f"sentinel-{port}.conf"
    configuration.write_text("\n".join(lines) + "\n")
    with _running(["redis-server", str(configuration), "--sentinel"], directory, port) as process:
        yield Server(port, process, ["--no-auth-warning", "-a", password] if password else [])


@contextmanager
def _running(command: list[str], directory: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(command, cwd=directory, stdout=subprocess.DEVNULL, env={"PATH": os.environ["PATH"]})
    try:
        until(lambda: _listens(port), "redis-server did not start")
        yield process
    finally:
        process.kill()
        process.wait(timeout=10)


def until(holds: object, otherwise: str, seconds: float = 20) -> None:
    assert callable(holds)
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, otherwise
        time.sleep(0.02)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
