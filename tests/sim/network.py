"""The network between one process and the API server: a Client that delays, refuses, loses and cuts.

A request that has left is out of the process's hands: it is carried by a task of the network, and lands whatever
becomes of the process that sent it. What fails, and when, is drawn from the one `random` of the run.
"""

import asyncio
import contextvars
import random
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeAlias, TypeVar

from headstay.local.server.inprocess import InProcessClient
from headstay.model.errors import StatusError
from headstay.model.objects import Obj
from headstay.model.resource import EVENTS, LEASES, Resource
from headstay.runtime.client import Page, TransportError, WatchEvent

T = TypeVar("T")
Carry: TypeAlias = Callable[[], Awaitable[T]]

_NETWORK = contextvars.Context()


@dataclass
class Weather:
    """Chances of a request (or a watch event) to meet each fault. All zero is a calm network."""

    refused: float = 0.0
    cut: float = 0.0
    answer_lost: float = 0.0
    late: float = 0.0
    slow: float = 0.0
    watch_dropped: float = 0.0
    watch_expired: float = 0.0
    watch_lags: float = 0.0
    strays: float = 0.0

    def calm(self) -> None:
        for name in vars(self):
            setattr(self, name, 0.0)


@dataclass(frozen=True)
class Write:
    """A write: one that leaves, or has landed. One that is `astray` lands when its sender may be no more."""

    at: float
    process: str
    verb: str
    resource: Resource
    name: str
    astray: bool = False

    @property
    def counts(self) -> bool:
        """Writes of the operator's own work: neither Events nor its Lease."""
        return self.resource not in {EVENTS, LEASES}


class Wire(Protocol):
    """Hears of the writes of all processes."""

    def leaves(self, write: Write) -> float:
        """For how many seconds it is to stay on its way, while its sender gets no answer; 0 for a write like others."""
        ...

    def landed(self, write: Write) -> bool:
        """Whether its answer is to be lost."""
        ...

    def refused(self, write: Write) -> None:
        """Its sender was told that it failed, which may not be true."""
        ...


class Network:
    """Implements `runtime.client.Client` for one process. `cut_off` ends all calls."""

    def __init__(
        self,
        server: InProcessClient,
        process: str,
        weather: Weather,
        wire: Wire,
    ) -> None:
        self._server = server
        self._process = process
        self._weather = weather
        self._wire = wire
        self.cut_off = False

    # --- reading ---------------------------------------------------------------------------------------------

    async def get(self, resource: Resource, namespace: str, name: str, *, subresource: str = "") -> Obj:
        return await self._send(lambda: self._server.get(resource, namespace, name, subresource=subresource))

    async def list_page(self, resource: Resource, namespace: str = "", **more: Any) -> Page:
        return await self._send(lambda: self._server.list_page(resource, namespace, **more))

    async def watch(
        self,
        resource: Resource,
        namespace: str = "",
        *,
        resource_version: str,
        label_selector: str = "",
        field_selector: str = "",
        timeout_seconds: int,
    ) -> AsyncGenerator[WatchEvent, None]:
        self._check()
        await asyncio.sleep(random.uniform(0.001, 0.01))
        weather = self._weather
        if random.random() < weather.watch_expired:
            raise StatusError(410, "Expired", "too old resource version")
        lag = random.uniform(0.5, 20.0) if random.random() < weather.watch_lags else 0.0
        stream = self._server.watch(
            resource,
            namespace,
            resource_version=resource_version,
            label_selector=label_selector,
            field_selector=field_selector,
            timeout_seconds=timeout_seconds,
        )
        async with aclosing(stream):
            async for event in stream:
                if lag and weather.watch_lags:
                    await asyncio.sleep(lag)
                self._check()
                if random.random() < weather.watch_dropped:
                    raise TransportError("the watch was dropped")
                if random.random() < weather.watch_expired:
                    raise StatusError(410, "Expired", "the watch fell too far behind")
                yield event

    # --- writing ---------------------------------------------------------------------------------------------

    async def create(self, resource: Resource, obj: Obj, **more: Any) -> Obj:
        name = more.get("name") or obj["metadata"].get("name") or ""
        return await self._write("create", resource, name, lambda: self._server.create(resource, obj, **more))

    async def update(self, resource: Resource, obj: Obj, **more: Any) -> Obj:
        name = obj["metadata"]["name"]
        return await self._write("update", resource, name, lambda: self._server.update(resource, obj, **more))

    async def apply(self, resource: Resource, obj: Obj, **more: Any) -> Obj:
        name = obj["metadata"]["name"]
        return await self._write("apply", resource, name, lambda: self._server.apply(resource, obj, **more))

    async def patch(self, resource: Resource, namespace: str, name: str, patch: Any, **more: Any) -> Obj:
        carry = lambda: self._server.patch(resource, namespace, name, patch, **more)
        return await self._write("patch", resource, name, carry)

    async def delete(self, resource: Resource, namespace: str, name: str, **more: Any) -> Obj:
        return await self._write(
            "delete", resource, name, lambda: self._server.delete(resource, namespace, name, **more)
        )

    async def delete_collection(self, resource: Resource, namespace: str, **more: Any) -> None:
        carry = lambda: self._server.delete_collection(resource, namespace, **more)
        await self._write("delete", resource, "*", carry)

    async def _write(self, verb: str, resource: Resource, name: str, carry: Carry[T]) -> T:
        self._check()
        loop = asyncio.get_running_loop()
        write = Write(loop.time(), self._process, verb, resource, name)
        if under_way := self._wire.leaves(write):
            write = replace(write, astray=True)

        async def land() -> T:
            answer = await carry()
            if self._wire.landed(replace(write, at=loop.time())):
                raise TransportError("the answer was lost")
            return answer

        if under_way:
            self._on_its_way(land, under_way)
            raise TransportError("no answer in time")
        try:
            return await self._send(land, writes=True)
        except (StatusError, TransportError):
            self._wire.refused(write)
            raise

    # --- what may happen on the way --------------------------------------------------------------------------

    def _check(self) -> None:
        if self.cut_off:
            raise TransportError("this process is no more")

    async def _send(self, carry: Carry[T], *, writes: bool = False) -> T:
        self._check()
        task = asyncio.get_running_loop().create_task(self._carry(carry, writes=writes), context=_NETWORK.copy())
        task.add_done_callback(_heard)
        return await asyncio.shield(task)

    async def _carry(self, carry: Carry[T], *, writes: bool) -> T:
        weather, draw = self._weather, random.random
        slow = random.uniform(2.0, 20.0) if draw() < weather.slow else 0.0
        if draw() < weather.refused:
            await asyncio.sleep(0.002)
            refusal = random.choice(_REFUSALS if writes else _REFUSALS[1:])
            raise refusal()
        if draw() < weather.cut:
            raise TransportError("connection reset before the request was sent")
        if writes and draw() < weather.late:
            self._on_its_way(carry, random.uniform(0.05, 0.45))
            raise TransportError("no answer in time")
        # Writes are never slow on their way there: what lands after its sender's lease is the server's to fence.
        await asyncio.sleep(random.uniform(0.0005, 0.01) + (0.0 if writes else slow))
        answer = await carry()
        await asyncio.sleep(random.uniform(0.0005, 0.01) + slow)
        if draw() < weather.answer_lost:
            raise TransportError("connection reset before the answer came")
        return answer

    def _on_its_way(self, carry: Carry[T], seconds: float) -> None:
        late = asyncio.get_running_loop().create_task(_later(carry, seconds), context=_NETWORK.copy())
        late.add_done_callback(_heard)


_REFUSALS: list[Callable[[], Exception]] = [
    lambda: StatusError(409, "Conflict", "the object has been modified; please apply your changes to the latest"),
    lambda: StatusError(429, "TooManyRequests", "too many requests", retry_after=1),
    lambda: StatusError(500, "InternalError", "etcdserver: request timed out"),
    lambda: StatusError(503, "ServiceUnavailable", "the server is currently unable to handle the request"),
]


async def _later(carry: Carry[T], seconds: float) -> None:
    await asyncio.sleep(seconds)
    await carry()


def _heard(task: "asyncio.Task[Any]") -> None:
    """Nobody may be waiting for this answer any more."""
    if not task.cancelled():
        task.exception()
