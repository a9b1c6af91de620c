"""The load of HTTP requests on a drill's RayService, through each hop, and whom they are sent to at each moment.

Requests are sent from a Pod of their own, which no fault touches. At their own addresses the proxies of the active
RayCluster are asked: of workers from when they are first Ready until they are on their way out, and of its head,
whatever it is like; of the last head where there is none.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any

from headstay.drill.driver import Driver, Hears, until_connected
from headstay.drill.history import Call, Note, Record
from headstay.drill.kube import ExecError, Kube
from headstay.drill.manifest import LOAD
from headstay.drill.onlooker import Onlooker, PodNow, describe
from headstay.drill.requests import HOPS, SERVE
from headstay.model.errors import StatusError
from headstay.model.objects import dig
from headstay.model.resource import PODS, SERVICES
from headstay.runtime.client import TransportError

PORT = 8000
REQUEST_BOUND = 15.0
"""After so many seconds a request counts as lost."""
SHARE = 25
"""Of the rate through the Service, one in so many goes to the head's proxy as well, and to the workers' together."""
LEAST = 2.0
"""A second, to each of those: fewer would miss a short fault."""
_AGAIN = 1.0
_AIM = 0.1
Target = tuple[str, str, int]
"""The name of a Service or Pod, its address, its port."""


class Aim:
    """Whom each hop's requests are sent to, by the Pods as they come and go. Pure, but that it remembers."""

    def __init__(self, service: Target) -> None:
        self._service = service
        self._head: Target | None = None
        self._have_served: set[str] = set()

    def streams(self, rate: int, pods: Sequence[PodNow]) -> list[dict[str, Any]]:
        """As the load's program is told."""
        staying = [pod for pod in pods if pod.address and not pod.leaving]
        self._have_served |= {pod.seen.uid for pod in staying if pod.seen.role == "worker" and pod.seen.ready}
        self._head = next((_target(pod) for pod in staying if pod.seen.role == "head"), self._head)
        workers = [_target(pod) for pod in staying if pod.seen.uid in self._have_served]
        beside = max(rate / SHARE, LEAST)
        each = ((float(rate), [self._service]), (beside, workers), (beside, [self._head] if self._head else []))
        return [{"hop": hop, "rate": r, "targets": targets} for hop, (r, targets) in zip(HOPS, each, strict=True)]


class Load:
    """`start` it once the target is whole. `attach` says who records; `go` and `rest` begin and end the load."""

    def __init__(self, kube: Kube, onlooker: Onlooker) -> None:
        self._kube = kube
        self._onlooker = onlooker
        self._write: Callable[[Record], None] | None = None
        self._driver: Driver | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._aim_at: Aim | None = None
        self._rate = 0
        self._streams: list[dict[str, Any]] = []
        self._names: dict[str, str] = {}

    async def start(self) -> None:
        """Raises ExecError if the Service cannot be found."""
        name = f"{self._onlooker.shape.cluster}-serve-svc"
        address = str(dig(await self._kube.find(SERVICES, name) or {}, "spec", "clusterIP") or "")
        if not address:
            raise ExecError(f"there is no Service {name} with an address of its own")
        self._aim_at = Aim((name, address, PORT))
        self._tasks = [asyncio.create_task(self._keep()), asyncio.create_task(self._aim())]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []

    async def ready(self, timeout: float) -> None:
        """Raises ExecError after `timeout`."""
        try:
            await until_connected(self._connected, self._tasks, timeout)
        except TimeoutError as late:
            raise ExecError(f"the load's program did not start in Pod {LOAD} within {timeout:.0f} s") from late

    def _connected(self) -> bool:
        return self._driver is not None and self._driver.ready.is_set()

    def attach(self, write: Callable[[Record], None]) -> None:
        self._write = write

    async def go(self, rate: int) -> None:
        """So many requests a second through the Service from now on; 0 waits for none. Raises ExecError."""
        self._rate = rate
        await self._tell()

    async def rest(self) -> None:
        """Sends no more, and waits until all that was sent has ended. Raises ExecError."""
        self._rate, self._streams = 0, []
        if self._driver is not None and self._driver.ready.is_set():
            await self._driver.ask("rest", timeout=REQUEST_BOUND + 10)

    def detach(self) -> None:
        self._write = None

    async def _keep(self) -> None:
        """Starts the program, and again when it has died, for as long as the drill lasts."""
        while True:
            pod = await self._pod()
            if pod is not None:
                self._driver = Driver(
                    self._kube, "load", pod, {"timeout": REQUEST_BOUND}, Hears(requests=self._heard), program="load"
                )
                self._streams = []
                try:
                    why = await self._driver.run()
                except ExecError as error:
                    why = str(error)
                self._note(f"the load's program ended and is started anew: {why or 'it said nothing'}")
            await asyncio.sleep(_AGAIN)

    async def _pod(self) -> PodNow | None:
        try:
            found = await self._kube.find(PODS, LOAD)
        except (StatusError, TransportError):
            return None  # asked again
        pod = describe(found, "worker") if found is not None else None
        return pod if pod is not None and pod.seen.ready else None

    async def _aim(self) -> None:
        """Follows the Pods, while there is load."""
        while True:
            if self._rate:
                try:
                    await self._tell()
                except ExecError as error:
                    self._note(f"the load could not be aimed anew: {error}")
                    await asyncio.sleep(_AGAIN)
            await asyncio.sleep(_AIM)

    async def _tell(self) -> None:
        pods = self._onlooker.pods()
        self._names |= {pod.address: pod.seen.name for pod in pods if pod.address}
        streams = self._aim_at.streams(self._rate, pods) if self._rate and self._aim_at else []
        if self._driver is None or not self._driver.ready.is_set() or streams == self._streams:
            return
        await self._driver.ask("load", timeout=10, streams=streams)
        self._streams = streams

    def _heard(self, requests: list[Any], offset: float) -> None:
        for hop, subject, due, ended, outcome, value, error in requests:
            told = None if value is None else " ".join(self._names.get(word, word) for word in str(value).split())
            if self._write is not None:
                self._write(Call(hop, SERVE, subject, due + offset, ended + offset, outcome, told, error))

    def _note(self, text: str) -> None:
        if self._write is not None:
            self._write(Note(time.time(), text))


def _target(pod: PodNow) -> Target:
    return (pod.seen.name, pod.address, PORT)
