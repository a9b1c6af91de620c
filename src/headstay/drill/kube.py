"""How a drill reaches the cluster: objects through our own client, processes through `kubectl exec`.

Objects by the client, because a watch tells the moment a Pod changed, and a refusal is an error with a reason. `exec`
by kubectl, because it speaks whatever stream protocol the server does, and every user has one that works.
"""

import asyncio
import contextlib
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from headstay.model.errors import StatusError
from headstay.model.objects import Obj
from headstay.model.resource import Resource
from headstay.runtime.client import Client, TransportError

FIELD_MANAGER = "headstay-drill"
_LEAVE = 2.0
_DECODER = msgspec.json.Decoder(dict[str, Any])


class DrillError(Exception):
    """The drill cannot go on; `hint` says what would help."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class ExecError(Exception):
    """A command in a container failed, or its answer did not come in time."""


@dataclass(frozen=True)
class Kube:
    """One namespace of one cluster. `kubectl` holds the options that lead kubectl to the same cluster as `client`."""

    client: Client
    namespace: str
    kubectl: tuple[str, ...] = ()

    def command(self, pod: str, container: str, *command: str) -> list[str]:
        found = shutil.which("kubectl")
        if found is None:
            raise DrillError("kubectl is not on PATH", hint="make install puts one there.")
        where = [f"--namespace={self.namespace}", pod, f"--container={container}"]
        return [found, *self.kubectl, "exec", "-i", *where, "--", *command]

    async def start(self, pod: str, container: str, *command: str, stdin: bytes = b"") -> asyncio.subprocess.Process:
        """In a session of its own: a Ctrl-C at the terminal is the drill's to answer, not kubectl's."""
        process = await asyncio.create_subprocess_exec(
            *self.command(pod, container, *command),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
            limit=2**20,
        )
        if stdin and process.stdin is not None:
            process.stdin.write(stdin)
        return process

    async def exec(self, pod: str, container: str, *command: str, stdin: bytes = b"", timeout: float = 30) -> str:
        """Its standard output. Raises ExecError."""
        process = await self.start(pod, container, *command)
        try:
            out, problem = await asyncio.wait_for(process.communicate(stdin), timeout)
        except TimeoutError as late:
            raise ExecError(f"exec in {pod}: no answer within {timeout:.0f} s") from late
        finally:
            await end(process)
        if process.returncode != 0:
            raise ExecError(f"exec in {pod}: {problem.decode(errors='replace').strip()[-300:]}")
        return out.decode(errors="replace")

    async def first_line(
        self, pod: str, container: str, *command: str, stdin: bytes = b"", timeout: float = 60
    ) -> tuple[str, asyncio.subprocess.Process]:
        """The first line it prints, as soon as it does, and the process, which may have more to say.

        Raises ExecError, and then the process has ended.
        """
        process = await self.start(pod, container, *command, stdin=stdin)
        problem = f"no answer within {timeout:.0f} s"
        try:
            assert process.stdout is not None and process.stderr is not None  # noqa: S101, PT018  (piped)
            line = await asyncio.wait_for(process.stdout.readline(), timeout)
            if line.strip():
                return line.decode(errors="replace"), process
            problem = (await asyncio.wait_for(process.stderr.read(), timeout)).decode(errors="replace").strip()[-300:]
        except TimeoutError:
            pass
        except BaseException:
            await end(process)
            raise
        await end(process)
        raise ExecError(f"exec in {pod}: {problem}")

    async def list(self, resource: Resource, namespace: str | None = None, *, selector: str = "") -> Sequence[Obj]:
        """`namespace` is the drill's own unless given; "" means all."""
        where = self.namespace if namespace is None else namespace
        page = await self.client.list_page(resource, where, label_selector=selector)
        return [_DECODER.decode(item) for item in page.items]

    async def apply(self, resource: Resource, obj: Obj) -> Obj:
        return await self.client.apply(resource, obj, field_manager=FIELD_MANAGER)

    async def find(self, resource: Resource, name: str) -> Obj | None:
        try:
            return await self.client.get(resource, self.namespace if resource.namespaced else "", name)
        except StatusError as error:
            if error.code == 404:
                return None
            raise

    async def delete(self, resource: Resource, name: str, *, uid: str = "", grace: int | None = None) -> None:
        """Fine if it is gone already."""
        where = self.namespace if resource.namespaced else ""
        try:
            await self.client.delete(resource, where, name, uid=uid, grace_period_seconds=grace)
        except StatusError as error:
            if error.code not in {404, 409}:
                raise

    async def gone(self, resource: Resource, name: str, timeout: float) -> bool:
        """Waits until there is no such object; False if `timeout` came first."""
        end_at = asyncio.get_running_loop().time() + timeout
        while asyncio.get_running_loop().time() < end_at:
            with contextlib.suppress(TransportError):
                if await self.find(resource, name) is None:
                    return True
            await asyncio.sleep(0.5)
        return False


_ending: set[asyncio.Task[None]] = set()


def end_later(process: asyncio.subprocess.Process) -> None:
    """Ends it without anybody waiting for that."""
    task = asyncio.create_task(end(process))
    _ending.add(task)
    task.add_done_callback(_ending.discard)


async def end(process: asyncio.subprocess.Process) -> None:
    """Ends a process of ours, if it has not ended: first by the end of its input, which its command sees as well."""
    if process.stdin is not None:
        process.stdin.close()
    try:
        await asyncio.wait_for(process.wait(), _LEAVE)
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
