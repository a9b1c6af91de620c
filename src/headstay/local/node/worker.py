"""One Pod on this node: asks `decide` what is next, does it, and writes down what became of it.

Invariants: at most one start or kill of a container at a time; the record is saved after every change and before the
API is told; whatever fails here is tried again and never takes another Pod down with it. What takes long (images,
grace periods, hooks) runs in tasks of its own, so the Pod can be deleted meanwhile.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

import msgspec

from headstay.local.node import build, cgroups, podspec, rotation, sandbox
from headstay.local.node.context import Context
from headstay.local.node.decide import Step, decide
from headstay.local.node.engine import ContainerState, EngineError
from headstay.local.node.events import pod_subject
from headstay.local.node.podspec import PodDocument
from headstay.local.node.process import ContainerProcess
from headstay.local.node.records import PodRecord
from headstay.local.node.starting import Sandbox
from headstay.local.node.status import pod_status, status_patch
from headstay.local.node.volumes import VolumeError
from headstay.model.errors import StatusError
from headstay.model.resource import PODS
from headstay.runtime.client import TransportError

log = logging.getLogger(__name__)
_RETRY_FIRST = 1.0
_RETRY_MOST = 60.0
_ROUNDS = 10
_CGROUP_TRIES = 20
_CGROUP_PAUSE = 0.1


class PodWorker:
    def __init__(self, context: Context, record: PodRecord, on_removed: Callable[[str], None]) -> None:
        self.record = record
        self.pod: PodDocument | None = None
        self._context = context
        self._on_removed = on_removed
        self.gone = False
        self._wake = asyncio.Event()
        self._removed = False
        self._shared: Sandbox | None = None
        self._failures = 0
        self._told_refusal = False
        self._released = False
        self._processes: dict[str, ContainerProcess] = {}

    def update(self, pod: PodDocument | None) -> None:
        """The Pod as the API has it now; None when it is gone from there."""
        if pod is not None:
            self.pod = pod
        elif self.pod is not None:
            self.gone = True
        self.wake()

    def wake(self) -> None:
        self._wake.set()

    async def run(self) -> None:
        """Until the Pod is off this node, or the daemon ends: then containers go on without us."""
        delay: float | None = 0.0
        try:
            while not self._removed:
                await self._wait(delay)
                try:
                    delay = await self._sync()
                    self._failures = 0
                except Exception as error:  # noqa: BLE001 (the worker loop: one Pod's trouble is its own)
                    delay = min(_RETRY_FIRST * 2**self._failures, _RETRY_MOST)
                    self._failures += 1
                    self._tell_failure(error)
        finally:
            for process in self._processes.values():
                await process.close()

    async def _wait(self, delay: float | None) -> None:
        try:
            async with asyncio.timeout(delay):
                await self._wake.wait()
        except TimeoutError:
            pass
        self._wake.clear()

    async def _sync(self) -> float | None:
        """Everything that can be done now; returns the seconds until something is due by itself."""
        if self.pod is None and not self.gone:
            return None  # taken over, and the API has not said yet what it wants of it
        now = self._context.clock()
        self._admit(now)
        for _ in range(_ROUNDS):
            now = self._context.clock()
            decision = decide(None if self.gone else self.pod, self.record, now)
            if not any([await self._do(step) for step in decision.steps]):
                break
        if self._removed:
            return None
        if self.record.outcome is not None and not self._alive and not self._released:
            await self._release()
        retry = await self.write_status()
        due = [moment for moment in (decision.wake_at, retry) if moment is not None]
        return max(0.0, (min(due) - now).total_seconds()) if due else None

    def _admit(self, now: datetime) -> None:
        pod = self.pod
        if pod is None or self.gone:
            return
        if self.record.started_at is None:
            self.record.started_at = now
            refused = podspec.refusals(pod)
            self.record.refusal = f"unsupported by this node: {', '.join(refused)}" if refused else ""
            if pod.status.get("phase") in {"Succeeded", "Failed"}:
                self.record.outcome = (
                    pod.status["phase"],
                    pod.status.get("reason") or "",
                    pod.status.get("message") or "",
                )
            self.save()
        if self.record.refusal and not self._told_refusal:
            self._told_refusal = True
            self._context.events.say(pod_subject(pod.metadata), "Warning", "Unsupported", self.record.refusal)

    async def _do(self, step: Step) -> bool:
        """True where the decision should be asked again at once."""
        match step.do:
            case "start":
                if (shared := await self._prepare()) is not None:
                    self._process(step.container).start(shared)
            case "kill":
                self._process(step.container).stop(step.reason)
            case "finish":
                self.record.outcome = step.outcome
                self.save()
                await self._give_up_starts()
                return True
            case "remove":
                if await self._give_up_starts():
                    return True
                await self._remove()
        return False

    async def _prepare(self) -> Sandbox | None:
        """Address, files and volumes: once, before the first container starts."""
        pod = self.pod
        if self._shared is not None or pod is None:
            return self._shared
        attachment = await self._context.network.attach(pod.metadata.uid, pod.hostname)
        self.record.address = str(attachment.address)
        directory = self._context.checkpoints.directory(pod.metadata.uid) / "etc"
        texts = sandbox.files(pod, self.record.address, self._context.config.bridge_address)
        await asyncio.to_thread(sandbox.write_files, directory, texts)
        volumes = await self._context.volumes.ensure(pod)
        self.record.sandbox_ready = True
        self._shared = Sandbox(self.record.address, attachment.namespace_path, volumes)
        self.save()
        return self._shared

    async def _give_up_starts(self) -> bool:
        """Ends starts that are under way; True if one of them could only be ended after its container ran."""
        for process in self._processes.values():
            await process.cancel_start()
        return self._alive

    def _process(self, name: str) -> ContainerProcess:
        if name not in self._processes:
            self._processes[name] = ContainerProcess(self._context, self, name)
        return self._processes[name]

    def retry_configuration(self) -> None:
        """A ConfigMap or Secret of the Pod's namespace has changed."""
        for process in self._processes.values():
            process.retry_configuration()
        self.wake()

    async def refresh_volumes(self) -> None:
        """After a ConfigMap or Secret has changed, or a token is due."""
        if self._shared is not None and self.pod is not None and self.record.outcome is None:
            try:
                await self._context.volumes.refresh(self.pod)
            except VolumeError as error:
                self._context.events.say(pod_subject(self.pod.metadata), "Warning", "FailedMount", str(error))

    def rotate_logs(self) -> None:
        directory = self._context.checkpoints.directory(self.record.uid)
        for known in self.record.containers.values():
            path = build.log_path(directory, known.name, known.restarts)
            if known.phase == "running" and rotation.is_due(path):
                rotation.rotate(path, self._context.engine.control_pipe(known.id))

    def adopt(self, states: Iterable[ContainerState]) -> list[str]:
        """Takes over containers that outlived the daemon; the ids of those that are not this Pod's any more."""
        by_id = {state.id: state for state in states}
        for state in by_id.values():
            name, attempt = state.labels.get("container") or "", int(state.labels.get("attempt") or 0)
            known = self.record.container(name)
            if state.alive and known.phase != "running" and attempt >= known.restarts:
                # Started just before the daemon died, or the record is lost.
                known.id, known.restarts, known.phase, known.ever_started = state.id, attempt, "running", True
                known.image_id = state.labels.get("image-id") or ""
        for known in list(self.record.containers.values()):
            if known.phase == "running":
                self._process(known.name).adopt(by_id.pop(known.id, None))
        return list(by_id)

    async def write_status(self) -> datetime | None:
        """Tells the API what it does not know yet; the time of another try where that failed."""
        pod = self.pod
        if pod is None or self.gone:
            return None
        wanted = pod_status(pod, self.record, str(self._context.host_address), self._context.clock())
        patch = status_patch(pod, wanted)
        if patch is None:
            return None
        document = {"metadata": {"uid": pod.metadata.uid}, "status": patch}
        try:
            written = await self._context.client.patch(
                PODS, *pod.key, document, patch_type="strategic", subresource="status"
            )
        except StatusError as error:
            if error.reason in {"NotFound", "Conflict"}:
                return None
            log.warning("status of %s: %s", pod.key, error)
            return self._context.clock() + timedelta(seconds=_RETRY_FIRST)
        except TransportError as error:
            log.warning("status of %s: %s", pod.key, error)
            return self._context.clock() + timedelta(seconds=_RETRY_FIRST)
        self._take(msgspec.convert(written, PodDocument))
        return None

    def _take(self, written: PodDocument) -> None:
        """What we have just written, unless the watch has brought something newer meanwhile."""
        pod = self.pod
        if pod is not None and written.metadata.uid == pod.metadata.uid and _age(written) >= _age(pod):
            self.pod = written

    async def _remove(self) -> None:
        """The last of the Pod: what it had on the machine, then its object."""
        for process in self._processes.values():
            await process.close()
        self._processes.clear()
        await self.write_status()
        await self._release()
        await self._context.volumes.remove(self.record.uid)
        if self.pod is not None and not self.gone:
            try:
                await self._context.client.delete(PODS, *self.pod.key, uid=self.record.uid, grace_period_seconds=0)
            except StatusError as error:
                if error.reason not in {"NotFound", "Conflict"}:
                    raise
        self._removed = True
        self._on_removed(self.record.uid)

    async def _release(self) -> None:
        """Gives back the address and the control groups. conmon may need a moment to leave them."""
        await self._context.network.detach(self.record.uid)
        group = f"{self._context.config.cgroup_parent}/pod{self.record.uid}"
        for _ in range(_CGROUP_TRIES):
            if not await asyncio.to_thread(cgroups.remove, group):
                break
            await asyncio.sleep(_CGROUP_PAUSE)
        self._shared, self._released, self.record.sandbox_ready = None, True, False
        self.save()

    @property
    def _alive(self) -> bool:
        return any(known.phase == "running" for known in self.record.containers.values())

    def save(self) -> None:
        self._context.checkpoints.save(self.record)

    def _tell_failure(self, error: Exception) -> None:
        reason = "FailedMount" if isinstance(error, VolumeError) else "FailedSync"
        if not isinstance(error, VolumeError | EngineError | TransportError | StatusError):
            log.error("Pod %s", self.record.uid, exc_info=error)
        if self.pod is not None:
            self._context.events.say(pod_subject(self.pod.metadata), "Warning", reason, str(error) or repr(error))


def _age(pod: PodDocument) -> int:
    version = pod.metadata.resource_version
    return int(version) if version.isdigit() else 0
