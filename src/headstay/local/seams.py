"""The interfaces between the rooms of the local Kubernetes, in one place.

server  <- node:    `PodStreams` (logs, exec, attach, port-forward) for the Pod subresources
node    <- network: `PodNetwork` (an address and a network namespace for each Pod)
server  <- auth:    `User`, `Attributes`, `Authorizer`
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from pathlib import Path
from typing import NamedTuple, Protocol


@dataclass(frozen=True)
class User:
    """Who asks. The local controllers and the node agent act as `SYSTEM`."""

    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: dict[str, list[str]] = field(default_factory=dict)


SYSTEM = User("system:headstay", ("system:masters", "system:authenticated"))


class Attributes(NamedTuple):
    """What is asked, in RBAC's terms. For a non-resource URL `path` is set and the rest is empty."""

    verb: str
    group: str = ""
    version: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""


class Decision(NamedTuple):
    allowed: bool
    reason: str


class Authorizer(Protocol):
    def authorize(self, user: User, attributes: Attributes) -> Decision: ...


class PodAttachment(NamedTuple):
    """A Pod's place on the network: its address and the path of its network namespace."""

    address: IPv4Address
    namespace_path: Path


class PodNetwork(Protocol):
    async def attach(self, pod_uid: str, hostname: str) -> PodAttachment:
        """Gives the Pod a namespace and an address; the same ones when it already has them (after a restart)."""
        ...

    async def detach(self, pod_uid: str) -> None:
        """Takes both away. Detaching what is not attached is fine."""
        ...


class LogOptions(NamedTuple):
    container: str
    follow: bool = False
    previous: bool = False
    timestamps: bool = False
    tail_lines: int | None = None
    since_seconds: int | None = None
    since_time: str = ""
    limit_bytes: int | None = None


class ExecRequest(NamedTuple):
    container: str
    command: tuple[str, ...]
    stdin: bool = False
    stdout: bool = True
    stderr: bool = True
    tty: bool = False


class ExecSession(Protocol):
    """A command running in a container, or an attached container. With `tty`, stderr never yields."""

    async def write_stdin(self, data: bytes) -> None: ...

    async def close_stdin(self) -> None: ...

    def stdout(self) -> AsyncIterator[bytes]: ...

    def stderr(self) -> AsyncIterator[bytes]: ...

    def resize(self, width: int, height: int) -> None: ...

    async def wait(self) -> int:
        """The exit code, once the command has ended and its output has been read."""
        ...

    async def close(self) -> None:
        """Ends the session whatever its state; the command of an exec is killed, an attached container is not."""
        ...


class PodStreams(Protocol):
    """The node agent's side of the Pod subresources. `namespace` and `pod` name an existing Pod.

    Each raises `headstay.model.errors.StatusError` (BadRequest, NotFound) with kubectl's usual words, for
    example `container "x" in pod "y" is waiting to start: ContainerCreating`.
    """

    def logs(self, namespace: str, pod: str, options: LogOptions) -> AsyncIterator[bytes]: ...

    async def exec(self, namespace: str, pod: str, request: ExecRequest) -> ExecSession: ...

    async def attach(self, namespace: str, pod: str, request: ExecRequest) -> ExecSession: ...

    async def port_forward(
        self, namespace: str, pod: str, port: int
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]: ...
