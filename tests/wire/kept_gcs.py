"""A real gcs_server under the keeper, without the rest of Ray: what the keeper does is seen in a second."""

import base64
import http.client
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
from tests.ports import free_port
from tests.wire.redis_servers import Server

from headstay.keeper.launch import write_shim
from headstay.local.config import LocalConfig
from headstay.model.keeper_state import KeeperState


def installed_ray(version: str) -> Path:
    """Its `ray` package in the image cache, put there if need be: the binary in it runs outside its image too."""
    environments = LocalConfig().cache_dir / "images" / "environments"
    pattern = f"ray-{version}-*/lib/python3.*/site-packages/ray"
    if not any(environments.glob(pattern)):
        command = [str(Path(sys.prefix) / "bin" / "headstay"), "images", "prepare", f"rayproject/ray:{version}"]
        subprocess.run(command, check=True, timeout=600)
    return next(environments.glob(pattern))


class KeptGcs:
    def __init__(self, process: "subprocess.Popen[bytes]", port: int, state_port: int, log: Path) -> None:
        self.process = process
        self.port = port
        self.state_port = state_port
        self._log = log

    @property
    def log(self) -> str:
        return self._log.read_text() if self._log.exists() else ""

    def get(self, path: str, timeout: float = 35) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.state_port, timeout=timeout)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def state(self, query: str = "") -> KeeperState:
        status, body = self.get(f"/v1/state{query}")
        assert status == 200, body
        return msgspec.json.decode(body, type=KeeperState)

    def until(self, holds: Callable[[KeeperState], bool], seconds: float = 90) -> KeeperState:
        """The first state that holds."""
        end = time.monotonic() + seconds
        seen: KeeperState | None = None
        while time.monotonic() < end:
            try:
                seen = self.state()
            except OSError:
                seen = None
            if seen is not None and holds(seen):
                return seen
            time.sleep(0.02)
        raise AssertionError(f"not within {seconds} s: {seen}\n{self.log}")

    def serving(self, revivals: int = 0, seconds: float = 90) -> KeeperState:
        return self.until(lambda s: s.gcs.phase == "Serving" and len(s.revivals) == revivals, seconds)

    def gcs(self) -> int:
        """The process id of the GCS that runs now."""
        (found,) = self.children()
        return found

    def children(self) -> list[int]:
        text = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [int(word) for word in text.split()]

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        os.kill(self.gcs(), number)


@contextmanager
def kept_gcs(
    directory: Path,
    redis: Server,
    *,
    ray: str = "2.60.0",
    namespace: str = "ns",
    redis_options: tuple[str, ...] = (),
    environ: dict[str, str] | None = None,
    program: Path | None = None,
) -> Iterator[KeptGcs]:
    """`program` is another gcs_server than Ray's."""
    package = installed_ray(ray)
    port, state_port = free_port(), free_port()
    logs = directory / f"keeper-{port}"
    logs.mkdir()
    arguments = [
        f"--log_dir={logs}",
        f"--config_list={base64.b64encode(b'{}').decode()}",
        f"--gcs_server_port={port}",
        "--metrics-agent-port=0",
        "--node-ip-address=127.0.0.1",
        "--session-name=session_of_a_test",
        "--redis_address=127.0.0.1",
        f"--redis_port={redis.port}",
        "--redis_enable_ssl=false",
        *redis_options,
    ]
    executable = program or package / "core" / "src" / "ray" / "gcs" / "gcs_server"
    environment = {
        "PATH": os.environ["PATH"],
        "RAY_external_storage_namespace": namespace,
        "HEADSTAY_KEEPER_PORT": str(state_port),
        "HEADSTAY_KEEPER_LOG": str(logs / "keeper.log"),
        **(environ or {}),
    }
    with (logs / "stderr").open("wb") as errors:
        process = subprocess.Popen(
            [write_shim(str(executable), "incarnation-of-a-test", ray), *arguments],
            env=environment,
            stdout=errors,
            stderr=errors,
            cwd=logs,
        )
    try:
        yield KeptGcs(process, port, state_port, logs / "keeper.log")
    finally:
        process.kill()
        process.wait(timeout=10)
