"""The one seam to the container engine: podman's command line, and the OCI runtime below it for `exec`.

Nothing of podman runs between two calls but one `conmon` a container, which outlives the daemon. All state is the
instance's own (`--root`, `--runroot`, `--tmpdir`), so two instances and the user's own podman never meet.
Why the command line and not the REST service: docs/decisions/podman-command-line.md.
"""

import asyncio
import json
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from headstay.local.config import LocalConfig
from headstay.local.node import command
from headstay.local.node.containerspec import LABEL, ContainerSpec, run_arguments
from headstay.model import timestamps

RUN_SECONDS = 60.0
QUERY_SECONDS = 30.0
_AT_ONCE = 4
_PULLS_AT_ONCE = 2
_MOST_RUNROOT = 50


class EngineError(Exception):
    """podman or the runtime refused, in its own words."""


class ContainerState(NamedTuple):
    """A container as podman sees it. `status` is created, running, paused, stopped, exited, ..."""

    id: str
    name: str
    labels: dict[str, str]
    status: str
    pid: int
    exit_code: int
    error: str
    started_at: datetime | None
    finished_at: datetime | None

    @property
    def alive(self) -> bool:
        return self.status in {"running", "paused"}

    @property
    def exit_is_known(self) -> bool:
        """It ran and has ended, or is about to have."""
        return self.status in {"exited", "removing", "stopped", "stopping"}

    @property
    def ended(self) -> bool:
        """`stopped` is not yet the end: conmon has seen the process die, podman has still to clean up after it."""
        return self.status in {"exited", "removing"}


class ExecResult(NamedTuple):
    code: int
    output: str


def runtime_name(cgroup_root: Path = Path("/sys/fs/cgroup")) -> str:
    """Prefer crun, where the machine has cgroup v2 alone; runc otherwise (crun refuses a hybrid layout)."""
    unified = (cgroup_root / "cgroup.controllers").exists()
    return "crun" if unified and shutil.which("crun") else "runc"


class Engine:
    def __init__(self, config: LocalConfig) -> None:
        self._config = config
        self._runtime = runtime_name()
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._pulls = asyncio.Semaphore(_PULLS_AT_ONCE)
        self._under_way: set[asyncio.Task[command.Completed]] = set()
        self.root = config.state_dir / "podman" / "storage"
        self.runroot = config.state_dir / "podman" / "run"
        self.tmpdir = config.run_dir / "podman"
        self._settings = config.run_dir / "containers.conf"

    def prepare(self) -> None:
        """Directories, and settings that keep the user's own podman settings out."""
        if len(str(self.runroot)) > _MOST_RUNROOT:
            most = _MOST_RUNROOT - len("/podman/run")
            raise EngineError(f"podman needs a state directory of at most {most} characters: {self._config.state_dir}")
        for directory in (self.root, self.runroot, self.tmpdir):
            directory.mkdir(parents=True, exist_ok=True, mode=0o711)
        # Locks of our own: podman's usual ones are shared by everybody on the machine, and bounded.
        self._settings.write_text('[engine]\nevents_logger = "none"\nlock_type = "file"\n')

    @property
    def base(self) -> list[str]:
        return [
            "podman",
            f"--root={self.root}",
            f"--runroot={self.runroot}",
            f"--tmpdir={self.tmpdir}",
            f"--runtime={self._runtime}",
            "--cgroup-manager=cgroupfs",
            "--events-backend=none",
            "--log-level=error",
        ]

    @property
    def environment(self) -> dict[str, str]:
        kept = {key: os.environ[key] for key in ("PATH", "HOME", "SSL_CERT_FILE") if key in os.environ}
        return {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"} | kept | {"CONTAINERS_CONF": str(self._settings)}

    async def _podman(
        self, *arguments: str, timeout: float = QUERY_SECONDS, env: Mapping[str, str] | None = None
    ) -> command.Completed:
        """A caller that is cancelled does not cut podman short: it would leave half a container."""
        running = asyncio.create_task(self._bounded(arguments, timeout, env or {}))
        self._under_way.add(running)
        running.add_done_callback(self._under_way.discard)
        try:
            return await asyncio.shield(running)
        except command.CommandTimeoutError as error:
            raise EngineError(f"podman {arguments[0]}: {error}") from error

    async def _bounded(self, arguments: Sequence[str], timeout: float, env: Mapping[str, str]) -> command.Completed:
        # A registry that does not answer must not keep containers from starting and ending.
        async with self._pulls if arguments[0] == "pull" else self._slots:
            # conmon leaves a file named `oom` in the folder it was started in.
            folder = self.tmpdir if self.tmpdir.is_dir() else None
            return await command.run(
                [*self.base, *arguments], timeout=timeout, env=self.environment | dict(env), cwd=folder
            )

    async def settle(self) -> None:
        """Waits for what callers that are gone have left under way; every command has its own bound."""
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=RUN_SECONDS)

    async def run(self, spec: ContainerSpec) -> str:
        """Creates and starts a container and returns its id. What could not be started is removed again."""
        try:
            arguments, secret_env = run_arguments(spec)
        except ValueError as error:
            raise EngineError(str(error)) from error
        done = await self._podman(*arguments, timeout=RUN_SECONDS, env=secret_env)
        if done.code != 0:
            await self.remove(spec.name)
            raise EngineError(_plain(done.words))
        return done.stdout.decode().split()[-1]

    async def containers(self) -> list[ContainerState]:
        """Every container of this instance, whatever its state, half-removed ones included."""
        done = await self._podman("ps", "--all", "--no-trunc", "--format=json")
        if done.code != 0:
            raise EngineError(f"podman ps: {done.words}")
        return [parse_listed(document) for document in json.loads(done.stdout or b"[]") or []]

    async def identities(self) -> list[str]:
        """The id of every container of this instance."""
        done = await self._podman("ps", "--all", "--quiet", "--no-trunc")
        if done.code != 0:
            raise EngineError(f"podman ps: {done.words}")
        return done.stdout.decode().split()

    async def inspect(self, container: str) -> ContainerState | None:
        done = await self._podman("container", "inspect", container)
        if done.code != 0:
            if re.search(r"no such|not known", done.words):  # the latter: a removal of it was cut short
                return None
            raise EngineError(f"podman inspect {container}: {done.words}")
        return parse_state(json.loads(done.stdout)[0])

    async def kill(self, container: str, signal: str) -> None:
        """Sends a signal to the container's first process; a container that has ended already is fine."""
        done = await self._podman("kill", f"--signal={signal}", container)
        if done.code != 0 and not re.search(
            r"no such|not running|can only kill running|no container", done.words, re.IGNORECASE
        ):
            raise EngineError(f"podman kill {container}: {done.words}")

    async def stop_all(self, grace: float) -> None:
        """Asks every container to end, and waits for as long as that takes, up to `grace` seconds."""
        await self._podman("kill", "--all", "--signal=TERM")
        deadline = asyncio.get_running_loop().time() + grace
        while any(state.alive for state in await self.containers()):
            if asyncio.get_running_loop().time() > deadline:
                return
            await asyncio.sleep(0.1)

    async def remove_all(self) -> None:
        """Kills and removes every container of this instance."""
        done = await self._podman("rm", "--all", "--force", "--time=0", "--volumes", timeout=RUN_SECONDS)
        if done.code != 0:
            raise EngineError(f"podman rm: {done.words}")

    async def remove(self, container: str) -> None:
        """Kills and removes, with the private layers; a container that is gone already is fine."""
        done = await self._podman("rm", "--force", "--ignore", "--time=0", "--volumes", container, timeout=RUN_SECONDS)
        if done.code != 0:
            raise EngineError(f"podman rm {container}: {done.words}")

    async def version(self) -> str:
        """The version of podman, "" if it does not say."""
        said = (await self._podman("--version")).stdout.decode().split()
        return said[-1] if said else ""

    def control_pipe(self, container: str) -> Path:
        """Where a container's conmon takes orders."""
        return self.root / "overlay-containers" / container / "userdata" / "ctl"

    async def image_exists(self, image: str) -> bool:
        return (await self._podman("image", "exists", image)).code == 0

    async def pull(self, image: str, *, timeout: float, auth_file: Path | None = None) -> str:
        """Pulls from a registry, or loads what a transport such as `oci-archive:` names; returns the image id."""
        auth = [f"--authfile={auth_file}"] if auth_file else []
        done = await self._podman("pull", "--quiet", *auth, image, timeout=timeout)
        if done.code != 0:
            raise EngineError(_plain(done.words))
        return done.stdout.decode().split()[-1]

    async def tag(self, image: str, name: str) -> None:
        done = await self._podman("tag", image, name)
        if done.code != 0:
            raise EngineError(f"podman tag {image}: {done.words}")

    async def image_config(self, image: str) -> dict[str, Any]:
        """`Id`, and `Config` with Entrypoint, Cmd, Env, User, WorkingDir."""
        done = await self._podman("image", "inspect", image)
        if done.code != 0:
            raise EngineError(f"podman image inspect {image}: {done.words}")
        found: dict[str, Any] = json.loads(done.stdout)[0]
        return found

    def exec_argv(
        self, container: str, argv: Sequence[str], *, tty: bool = False, pid_file: Path | None = None
    ) -> list[str]:
        """The runtime's own `exec`: the container's user, environment, capabilities and cgroup, in a third of
        the time that `podman exec` takes and with no process of its own left behind.
        """
        flags = [*(["--tty"] if tty else []), *(["--pid-file", str(pid_file)] if pid_file else [])]
        quiet = ["--log=/dev/null"] if self._runtime == "runc" else []  # it says the same in plain words on stderr
        return [self._runtime, *quiet, "exec", *flags, container, *argv]

    async def exec(self, container: str, argv: Sequence[str], *, timeout: float) -> ExecResult:
        """Runs a command to its end inside a container. TimeoutError at the bound, with the command killed."""
        pid_file = self._config.run_dir / f"exec-{os.urandom(8).hex()}"
        try:
            done = await command.run(
                self.exec_argv(container, argv, pid_file=pid_file), timeout=timeout, env=self.environment
            )
        except command.CommandTimeoutError as error:
            kill_recorded(pid_file)
            raise TimeoutError(f"command {' '.join(argv)!r} timed out after {timeout:g}s") from error
        except asyncio.CancelledError:
            kill_recorded(pid_file)
            raise
        finally:
            pid_file.unlink(missing_ok=True)
        return ExecResult(done.code, (done.stdout + done.stderr).decode(errors="replace"))


def kill_recorded(pid_file: Path) -> None:
    """Kills the session of an exec that has not ended yet: the runtime wrote its leader's pid to `pid_file`."""
    try:
        os.killpg(int(pid_file.read_text()), 9)
    except (FileNotFoundError, ValueError, ProcessLookupError):
        return


def parse_state(document: dict[str, Any]) -> ContainerState:
    state = document["State"]
    return ContainerState(
        id=document["Id"],
        name=document["Name"],
        labels=_own_labels((document.get("Config") or {}).get("Labels")),
        status=state["Status"],
        pid=state.get("Pid") or 0,
        exit_code=state.get("ExitCode") or 0,
        error=state.get("Error") or "",
        started_at=_moment(state.get("StartedAt")),
        finished_at=_moment(state.get("FinishedAt")),
    )


def parse_listed(document: dict[str, Any]) -> ContainerState:
    """One entry of `podman ps --format json`, which knows less precisely when, and calls an ended container stopped."""
    status = document["State"]
    return ContainerState(
        id=document["Id"],
        name=(document.get("Names") or [""])[0],
        labels=_own_labels(document.get("Labels")),
        status="exited" if document.get("Exited") and status == "stopped" else status,
        pid=document.get("Pid") or 0,
        exit_code=document.get("ExitCode") or 0,
        error="",
        started_at=datetime.fromtimestamp(max(document.get("StartedAt") or 0, 0), UTC),
        finished_at=datetime.fromtimestamp(max(document.get("ExitedAt") or 0, 0), UTC),
    )


def _own_labels(labels: Mapping[str, str] | None) -> dict[str, str]:
    return {key.removeprefix(LABEL): value for key, value in (labels or {}).items() if key.startswith(LABEL)}


def _moment(text: str | None) -> datetime | None:
    """As podman writes it: with nanoseconds, and the year 1 for never."""
    if not text or text.startswith("0001-"):
        return None
    return timestamps.parse(re.sub(r"(\.\d{6})\d+", r"\1", text))


def _plain(words: str) -> str:
    return re.sub(r"^Error:\s*", "", words)
