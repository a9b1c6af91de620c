"""One container of a Pod, from start to end: its tasks, its probes, and what its record says of it.

    start -> running -> (probes, hooks) -> ended        stop: preStop, SIGTERM, grace, SIGKILL
The end is noticed by the kernel's word (`exits`), never by asking again and again. `close` leaves the container alone.
"""

import asyncio
import logging
from collections.abc import Coroutine
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

from headstay.local.node import build, exits, starting
from headstay.local.node.cgroups import OomVerdict
from headstay.local.node.container_probes import ContainerProbes
from headstay.local.node.containerspec import ContainerSpec
from headstay.local.node.context import Context
from headstay.local.node.decide import LOST, current_backoff, kill_deadline, next_backoff, policy_of, restarts
from headstay.local.node.engine import RUN_SECONDS, ContainerState, EngineError
from headstay.local.node.hooks import run_hook
from headstay.local.node.images import Image
from headstay.local.node.podspec import PodDocument
from headstay.local.node.probes import Target
from headstay.local.node.records import ContainerRecord, PodRecord, Termination
from headstay.local.node.starting import Sandbox, StartError, Teller
from headstay.model.objects import Obj, dig

log = logging.getLogger(__name__)
_CONFIG_RETRY = 5.0
_IMAGE_RETRY_FIRST = 10.0
_IMAGE_RETRY_MOST = 300.0
_SHOWN_AS_ERROR = 3.0
_KILL_SETTLES = 15.0
_MOST_MESSAGE = 4096
_FALLBACK_MESSAGE = 2048
_KILLED = 137
_START_ERROR = 128


class Owner(Protocol):
    """The Pod's worker, as its containers see it."""

    @property
    def record(self) -> PodRecord: ...

    @property
    def pod(self) -> PodDocument | None: ...

    @property
    def gone(self) -> bool: ...

    def save(self) -> None: ...

    def wake(self) -> None: ...


class ContainerProcess:
    def __init__(self, context: Context, owner: Owner, name: str) -> None:
        self._context = context
        self._owner = owner
        self._name = name
        self._start_task: asyncio.Task[None] | None = None
        self._stop_task: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._probes: ContainerProbes | None = None
        self._watch: exits.ExitWatch | None = None
        self._ended = asyncio.Event()
        self._killed_by_us = False
        self._podman_is_at_it = False
        self._given_up = False

    @property
    def known(self) -> ContainerRecord:
        return self._owner.record.container(self._name)

    def _document(self) -> Obj:
        pod = self._owner.pod
        containers = pod.all_containers if pod is not None else []
        return next((one for one in containers if one["name"] == self._name), {"name": self._name})

    def _tell(self) -> Teller | None:
        return Teller(self._context, self._owner.pod, self._document()) if self._owner.pod is not None else None

    # starting

    def start(self, shared: Sandbox) -> None:
        """Begins to start it, unless that is under way."""
        if self._start_task is None or self._start_task.done():
            self._start_task = asyncio.create_task(self._start(shared), name=f"start {self._name}")

    async def _start(self, shared: Sandbox) -> None:
        pod, container, known = self._owner.pod, self._document(), self.known
        if pod is None:
            return
        tell = Teller(self._context, pod, container)
        attempt = known.restarts + 1 if known.ever_started else known.restarts
        try:
            image = await starting.obtain_image(self._context, pod, container, tell)
            spec = await starting.configure(self._context, pod, container, image=image, shared=shared, attempt=attempt)
        except StartError as error:
            await self._try_again(error, tell)
            return
        self._begin_attempt(attempt, image)
        starting.prepare_files(spec, known)
        self._podman_is_at_it = True
        try:
            identity = await self._context.engine.run(spec)
        except EngineError as error:
            self._refused(str(error), tell)
            return
        finally:
            self._podman_is_at_it = False
        tell("Normal", "Created", f"Created container: {self._name}")
        self._running(identity, spec)
        tell("Normal", "Started", f"Started container {self._name}")
        if not self._given_up:
            await self._after_start(container, tell)

    async def _try_again(self, error: StartError, tell: Teller) -> None:
        known = self.known
        known.start_failures += 1
        delay = _CONFIG_RETRY
        if "Image" in error.reason:
            delay = min(_IMAGE_RETRY_FIRST * 2 ** (known.start_failures - 1), _IMAGE_RETRY_MOST)
        else:
            tell("Warning", "Failed", f"Error: {error.message}")
        known.reason, known.message = error.reason, error.message
        known.retry_at = self._context.clock() + timedelta(seconds=delay)
        self._owner.save()
        self._owner.wake()
        if error.reason == "ErrImagePull":
            await asyncio.sleep(_SHOWN_AS_ERROR)
            image = self._document().get("image") or ""
            known.reason = "ImagePullBackOff"
            known.message = f'Back-off pulling image "{image}": ErrImagePull: {error.message}'
            tell("Normal", "BackOff", f'Back-off pulling image "{image}"')
            self._owner.wake()

    def _begin_attempt(self, attempt: int, image: Image) -> None:
        known = self.known
        if known.termination is not None:
            known.backoff_seconds = next_backoff(known)
            known.backoff_set_at = self._context.clock()
            known.last = known.termination
        known.restarts = attempt
        known.image_id = image.id
        known.reason = known.message = ""
        known.retry_at = None
        known.start_failures = 0
        known.started = known.ready = False

    def _refused(self, message: str, tell: Teller) -> None:
        """As a container that ended at once: it is tried again with back-off, and the reason can be seen."""
        now = self._context.clock()
        known = self.known
        known.phase, known.ever_started, known.id, known.pid = "terminated", True, "", 0
        known.termination = Termination(_START_ERROR, "StartError", now, now, message)
        tell("Warning", "Failed", f"Error: {message}")
        self._owner.save()
        self._owner.wake()

    def _running(self, identity: str, spec: ContainerSpec) -> None:
        known = self.known
        known.phase, known.ever_started, known.id = "running", True, identity
        known.started_at, known.termination = self._context.clock(), None
        known.pid = _read_pid(spec.log_path.with_suffix(".pid"))
        self._owner.save()
        self._owner.wake()
        self._follow(known.pid)

    def _follow(self, pid: int) -> None:
        self._ended.clear()
        self._killed_by_us = False
        identity = self.known.id
        self._watch = exits.ExitWatch(pid, lambda verdict: self._spawn(self._end(identity, verdict)))

    async def _after_start(self, container: Obj, tell: Teller) -> None:
        if hook := dig(container, "lifecycle", "postStart"):
            outcome = await run_hook(hook, self._target(container))
            if not outcome.success:
                tell("Warning", "FailedPostStartHook", f"PostStartHook failed: {outcome.output}")
                self.stop("its postStart hook failed")
                return
        if self.known.phase == "running":
            self._start_probes(container)

    def _target(self, container: Obj) -> Target:
        ports = {port["name"]: port["containerPort"] for port in container.get("ports") or [] if port.get("name")}
        return Target(self._context.engine, self.known.id, self._owner.record.address, ports)

    def _start_probes(self, container: Obj) -> None:
        self._probes = ContainerProbes(self.known, container, self._target(container), self)
        self._probes.start(self._context.clock())

    def probed(self) -> None:
        """A probe has changed the record."""
        self._owner.save()
        self._owner.wake()

    def unhealthy(self, text: str) -> None:
        if (tell := self._tell()) is not None and not self._stopping:
            tell("Warning", "Unhealthy", text)

    # stopping and ending

    @property
    def _stopping(self) -> bool:
        return self._stop_task is not None and not self._stop_task.done()

    def stop(self, reason: str, grace: int | None = None) -> None:
        """Begins to stop it, unless that is under way."""
        if self.known.phase == "running" and not self._stopping:
            self._stop_task = asyncio.create_task(self._stop(reason, grace), name=f"stop {self._name}")

    async def _stop(self, reason: str, grace: int | None) -> None:
        since, container = self._context.clock(), self._document()
        if tell := self._tell():
            tell("Normal", "Killing", reason if "probe" in reason else f"Stopping container {self._name}")
        if hook := dig(container, "lifecycle", "preStop"):
            left = (self._deadline(since, grace) - since).total_seconds()
            outcome = await run_hook(hook, self._target(container), left)
            if not outcome.success and tell:
                tell("Warning", "FailedPreStopHook", f"PreStopHook failed: {outcome.output}")
        await self._signal("TERM")
        while not self._ended.is_set() and self._context.clock() < self._deadline(since, grace):
            await self._wait_for_end(min(1.0, (self._deadline(since, grace) - self._context.clock()).total_seconds()))
        if not self._ended.is_set():
            self._killed_by_us = True
            await self._signal("KILL")
            await self._wait_for_end(_KILL_SETTLES)
        if not self._ended.is_set():
            await self._context.engine.remove(self.known.id)
            self._terminated(self.known.id, Termination(_KILLED, "Error", self._context.clock()))

    def _deadline(self, since: datetime, grace: int | None) -> datetime:
        return kill_deadline(None if self._owner.gone else self._owner.pod, since, grace)

    async def _signal(self, name: str) -> None:
        try:
            await self._context.engine.kill(self.known.id, name)
        except EngineError as error:
            log.warning("%s", error)

    async def _wait_for_end(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(max(0.0, seconds)):
                await self._ended.wait()
        except TimeoutError:
            return

    async def _end(self, identity: str, verdict: OomVerdict) -> None:
        """The kernel says it has ended; podman says how."""
        self._stop_probes()
        state = await exits.ended(self._context.engine, identity)
        oom = verdict == "yes" or (
            verdict == "maybe" and state is not None and state.exit_code == _KILLED and not self._killed_by_us
        )
        self._terminated(identity, self._termination(identity, state, oom=oom))
        self._tell_backoff()
        await self._remove(identity)

    async def _remove(self, identity: str) -> None:
        try:
            await self._context.engine.remove(identity)
        except EngineError as error:
            log.warning("%s", error)

    def _tell_backoff(self) -> None:
        pod, tell = self._owner.pod, self._tell()
        if pod is None or tell is None or self._owner.gone or pod.metadata.deletion_timestamp is not None:
            return
        if restarts(policy_of(pod, self._document()), self.known) and current_backoff(self.known):
            text = f"Back-off restarting failed container {self._name} in pod {pod.metadata.name}"
            tell("Warning", "BackOff", f"{text}_{pod.metadata.namespace}({pod.metadata.uid})")

    def retry_configuration(self) -> None:
        """Something it may have waited for has changed: do not wait for the next try."""
        if self.known.reason == "CreateContainerConfigError":
            self.known.retry_at = None

    def _termination(self, identity: str, state: ContainerState | None, *, oom: bool) -> Termination:
        now, known = self._context.clock(), self.known
        if state is None or not state.ended:
            message = "The container could not be located when the pod was terminated"
            return Termination(_KILLED, LOST, now, known.started_at, message, identity)
        code = state.exit_code
        reason = "OOMKilled" if oom else "Completed" if code == 0 else "Error"
        message = self._message(failed=code != 0)
        return Termination(code, reason, state.finished_at or now, known.started_at, message, identity)

    def _message(self, *, failed: bool) -> str:
        """What the container left in its termination message, or the end of its log where it asks for that."""
        directory = self._context.checkpoints.directory(self._owner.record.uid)
        attempt = self.known.restarts
        text = _tail(build.termination_path(directory, self._name, attempt), _MOST_MESSAGE)
        if not text and failed and self._document().get("terminationMessagePolicy") == "FallbackToLogsOnError":
            lines = _tail(build.log_path(directory, self._name, attempt), 4 * _FALLBACK_MESSAGE).splitlines()
            text = "\n".join(line.split(" ", 3)[-1] for line in lines[-80:])[-_FALLBACK_MESSAGE:]
        return text

    def _terminated(self, identity: str, termination: Termination) -> None:
        known = self.known
        if known.id != identity:
            return
        known.phase, known.pid, known.termination = "terminated", 0, termination
        known.started = known.ready = False
        self._stop_probes()
        self._ended.set()
        self._owner.save()
        self._owner.wake()

    # taking over, letting go

    def adopt(self, state: ContainerState | None) -> None:
        """Goes on with a container that outlived the daemon; `state` None: podman does not know it any more."""
        known = self.known
        if state is not None and state.alive:
            known.pid = state.pid
            known.started_at = known.started_at or state.started_at
            self._follow(state.pid)
            if self._owner.pod is not None:
                self._start_probes(self._document())
        elif state is not None and state.exit_is_known:
            self._spawn(self._end(known.id, "no"))
        else:  # the machine was switched off, or somebody removed it
            self._terminated(known.id, self._termination(known.id, None, oom=False))
            if state is not None:
                self._spawn(self._remove(known.id))

    def _stop_probes(self) -> None:
        if self._probes is not None:
            self._probes.stop()

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def cancel_start(self) -> None:
        """Gives up a start that is under way. While podman is at it, it is waited for: the container may then run."""
        task = self._start_task
        if task is None or task.done():
            return
        self._given_up = True
        if self._podman_is_at_it:
            await asyncio.wait([task], timeout=RUN_SECONDS)
        await _cancelled(task)
        self._start_task, self._given_up = None, False

    async def close(self) -> None:
        """Ends all that watches the container; the container itself goes on."""
        if self._watch is not None:
            self._watch.close()
        self._stop_probes()
        for task in (self._start_task, self._stop_task, *self._tasks):
            if task is not None:
                await _cancelled(task)


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])


def _read_pid(path: Path) -> int:
    try:
        return int(path.read_text())
    except (FileNotFoundError, ValueError):
        return 0


def _tail(path: Path, size: int) -> str:
    try:
        with path.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - size))
            return file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""
