"""The Pod subresources of this node: logs, exec, attach, port-forward. Refusals are in kubectl's usual words."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta
from pathlib import Path

from headstay.local.node import build, netns, sessions
from headstay.local.node import logs as logfile
from headstay.local.node.context import Context
from headstay.local.node.podspec import PodDocument
from headstay.local.node.records import ContainerRecord
from headstay.local.node.status import container_state
from headstay.local.node.worker import PodWorker
from headstay.local.seams import ExecRequest, ExecSession, LogOptions
from headstay.model import timestamps
from headstay.model.errors import StatusError
from headstay.model.objects import ObjectKey

_DEFAULT_CONTAINER = "kubectl.kubernetes.io/default-container"


class NodeStreams:
    """Implements `PodStreams`."""

    def __init__(self, context: Context, find: Callable[[ObjectKey], PodWorker | None]) -> None:
        self._context = context
        self._find = find

    async def logs(self, namespace: str, pod: str, options: LogOptions) -> AsyncIterator[bytes]:
        worker, document = self._pod(namespace, pod)
        name = choose_container(document, options.container)
        known = worker.record.container(name)
        attempt = self._attempt(document, worker, known, options)
        path = build.log_path(self._context.checkpoints.directory(document.metadata.uid), name, attempt)
        if not await asyncio.to_thread(path.exists):
            return
        wanted = self._selection(options)
        if options.follow and not options.previous:
            async for text in logfile.follow(path, wanted, lambda: _is_over(known, attempt)):
                yield text
        else:
            for text in logfile.read(path, wanted):
                yield text

    def _attempt(self, document: PodDocument, worker: PodWorker, known: ContainerRecord, options: LogOptions) -> int:
        pod = document.metadata.name
        if options.previous:
            if known.restarts == 0:
                raise bad_request(f'previous terminated container "{known.name}" in pod "{pod}" not found')
            return known.restarts - 1
        if not known.ever_started:
            waiting = container_state(document, known.name, worker.record).get("waiting") or {}
            reason = waiting.get("reason") or "ContainerCreating"
            why = "trying and failing to pull image" if "ImagePull" in reason else reason
            raise bad_request(f'container "{known.name}" in pod "{pod}" is waiting to start: {why}')
        return known.restarts

    def _selection(self, options: LogOptions) -> logfile.Selection:
        since: datetime | None = None
        if options.since_time:
            since = timestamps.parse(options.since_time)
        elif options.since_seconds is not None:
            since = self._context.clock() - timedelta(seconds=options.since_seconds)
        return logfile.Selection(options.tail_lines, since, options.timestamps, options.limit_bytes)

    async def exec(self, namespace: str, pod: str, request: ExecRequest) -> ExecSession:
        known = self._running(namespace, pod, request.container)
        pid_file = self._context.config.run_dir / f"exec-{os.urandom(8).hex()}"
        engine = self._context.engine
        argv = engine.exec_argv(known.id, request.command, tty=request.tty, pid_file=pid_file)
        return await _start(argv, engine.environment, request, pid_file)

    async def attach(self, namespace: str, pod: str, request: ExecRequest) -> ExecSession:
        known = self._running(namespace, pod, request.container)
        engine = self._context.engine
        flags = ["--sig-proxy=false", "--detach-keys=", *([] if request.stdin else ["--no-stdin"])]
        return await _start([*engine.base, "attach", *flags, known.id], engine.environment, request, None)

    async def port_forward(
        self, namespace: str, pod: str, port: int
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        worker, document = self._pod(namespace, pod)
        if not any(known.phase == "running" for known in worker.record.containers.values()):
            raise bad_request(f"unable to forward port because pod is not running. Current status={_phase(document)}")
        try:
            # The same namespace for the whole life of the Pod: asking again is how the network tells its path.
            place = await self._context.network.attach(document.metadata.uid, document.hostname)
            return await netns.connect(place.namespace_path, port)
        except (OSError, TimeoutError, netns.NamespaceError) as error:
            raise StatusError(
                500, "InternalError", f"failed to connect to localhost:{port} inside pod {document.key}: {error}"
            ) from error

    def _pod(self, namespace: str, pod: str) -> tuple[PodWorker, PodDocument]:
        worker = self._find(ObjectKey(namespace, pod))
        if worker is None or worker.pod is None:
            raise StatusError(404, "NotFound", f'pods "{pod}" not found on this node')
        return worker, worker.pod

    def _running(self, namespace: str, pod: str, container: str) -> ContainerRecord:
        worker, document = self._pod(namespace, pod)
        name = choose_container(document, container)
        known = worker.record.container(name)
        if known.phase != "running":
            raise StatusError(
                500,
                "InternalError",
                f'unable to upgrade connection: container not found ("{name}" in pod {document.key})',
            )
        return known


async def _start(argv: list[str], env: dict[str, str], request: ExecRequest, pid_file: Path | None) -> ExecSession:
    kind = sessions.TerminalSession if request.tty else sessions.PipeSession
    return await kind.start(argv, env, stdin=request.stdin, pid_file=pid_file)


def choose_container(pod: PodDocument, wanted: str) -> str:
    """The one asked for, the one the Pod names as its default, or the only one."""
    names = [str(container["name"]) for container in pod.all_containers]
    if wanted:
        if wanted not in names:
            raise bad_request(f"container {wanted} is not valid for pod {pod.metadata.name}")
        return wanted
    default = pod.metadata.annotations.get(_DEFAULT_CONTAINER)
    if default in names:
        return str(default)
    if len(pod.containers) == 1:
        return str(pod.containers[0]["name"])
    choice = " ".join(str(container["name"]) for container in pod.containers)
    raise bad_request(f"a container name must be specified for pod {pod.metadata.name}, choose one of: [{choice}]")


def bad_request(message: str) -> StatusError:
    return StatusError(400, "BadRequest", message)


def _is_over(known: ContainerRecord, attempt: int) -> bool:
    return known.restarts != attempt or known.phase != "running"


def _phase(pod: PodDocument) -> str:
    return str(pod.status.get("phase") or "Unknown")
