"""One driver of the workload: a program in a container, spoken with by lines of JSON, times put on our clock."""

import asyncio
import contextlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from headstay.drill.history import Call
from headstay.drill.kube import ExecError, Kube, end
from headstay.drill.onlooker import PodNow
from headstay.drill.programs import command, source

CONNECT_BOUND = 90.0
_PINGS = 5


def _nobody(*_: Any) -> None:
    pass


class Hears(NamedTuple):
    """Whom a driver tells: of each call that ended, of a counter that died, of requests that ended (and its clock)."""

    call: Callable[[Call], None] = _nobody
    lost: Callable[[str, str], None] = _nobody
    requests: Callable[[list[Any], float], None] = _nobody


class _Open(NamedTuple):
    process: str
    operation: str
    subject: str
    began: float


def clock_offset(exchanges: Sequence[tuple[float, float, float]]) -> float:
    """What to add to the other's clock, from (sent, theirs, received); 0 where they cannot be told from the same.

    The quickest exchange knows best: the other's moment lies somewhere within it. Pure.
    """
    sent, theirs, received = min(exchanges, key=lambda one: one[2] - one[0])
    offset = (sent + received) / 2 - theirs
    return offset if abs(offset) > (received - sent) / 2 else 0.0


@dataclass
class Driver:
    """`run` starts it and ends with it; a driver that died is not started again, another one is made.

    `setup` is what its `program` is told at its start.
    """

    kube: Kube
    name: str
    pod: PodNow
    setup: Mapping[str, object]
    hears: Hears
    program: str = "driver"
    offset: float = 0.0
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    _process: asyncio.subprocess.Process | None = None
    _open: dict[int, _Open] = field(default_factory=dict)
    _replies: dict[int, asyncio.Future[dict[str, Any]]] = field(default_factory=dict)
    _orders: int = 0

    async def run(self) -> str:
        """Returns why it ended. Raises ExecError if it never came up."""
        order = command({"name": self.name, **self.setup})
        self._process = await self.kube.start(
            self.pod.seen.name, self.pod.container, *order, stdin=source(self.program)
        )
        errors = asyncio.create_task(_last_of(self._process.stderr))
        try:
            await asyncio.wait_for(self._until_ready(), CONNECT_BOUND)
            reading = asyncio.create_task(self._read())
            try:
                await self._compare_clocks()
                self.ready.set()
                await reading
            finally:
                reading.cancel()
        except TimeoutError as late:
            raise ExecError(f"driver {self.name} did not connect within {CONNECT_BOUND:.0f} s") from late
        finally:
            self.ready.clear()
            await end(self._process)
            self._abandon()
            with contextlib.suppress(TimeoutError, asyncio.CancelledError):
                await asyncio.wait_for(errors, 2)
        return errors.result() if errors.done() and not errors.cancelled() else ""

    async def ask(self, do: str, *, timeout: float, **fields: Any) -> dict[str, Any]:
        """Raises ExecError if the driver is gone, does not answer in time, or says that it could not."""
        process = self._process
        if process is None or process.returncode is not None or process.stdin is None:
            raise ExecError(f"driver {self.name} is not there")
        self._orders += 1
        number = self._orders
        future = self._replies[number] = asyncio.get_running_loop().create_future()
        process.stdin.write(json.dumps({"do": do, "id": number, **fields}).encode() + b"\n")
        try:
            await process.stdin.drain()
            answer: dict[str, Any] = await asyncio.wait_for(future, timeout)
        except (TimeoutError, ConnectionError) as error:
            raise ExecError(f"driver {self.name}: no answer to {do!r} within {timeout:.0f} s") from error
        finally:
            self._replies.pop(number, None)
        if problem := answer.get("problem"):
            raise ExecError(f"driver {self.name}: {problem}")
        return answer

    def open_calls(self) -> list[Call]:
        """Those that have not come back."""
        return [Call(*call, ended=None, outcome="unknown") for call in self._open.values()]

    def open_since(self, operation: str) -> float | None:
        return min((call.began for call in self._open.values() if call.operation == operation), default=None)

    async def _until_ready(self) -> None:
        async for line in self._lines():
            if line.get("ready"):
                return
        raise ExecError(f"driver {self.name} ended before it had connected")

    async def _compare_clocks(self) -> None:
        exchanges = []
        for _ in range(_PINGS):
            sent = time.time()
            answer = await self.ask("ping", timeout=10)
            exchanges.append((sent, float(answer["at"]), time.time()))
        self.offset = clock_offset(exchanges)

    async def _lines(self) -> Any:
        assert self._process is not None and self._process.stdout is not None  # noqa: S101, PT018  (piped)
        while line := await self._process.stdout.readline():
            with contextlib.suppress(ValueError):  # what a library prints to stdout is no message
                found = json.loads(line)
                if isinstance(found, dict):
                    yield found

    async def _read(self) -> None:
        async for message in self._lines():
            at = float(message.get("at") or 0) + self.offset
            if "began" in message:
                self._open[message["began"]] = _Open(message["process"], message["operation"], message["subject"], at)
            elif "ended" in message:
                self._ended(message, at)
            elif "requests" in message:
                self.hears.requests(message["requests"], self.offset)
            elif "lost" in message:
                self.hears.lost(message["lost"], message["why"])
            elif "reply" in message and (future := self._replies.get(message["reply"])) and not future.done():
                future.set_result(message)

    def _ended(self, message: dict[str, Any], at: float) -> None:
        call = self._open.pop(message["ended"], None)
        if call is not None:
            self.hears.call(
                Call(
                    *call,
                    ended=at,
                    outcome=message["outcome"],
                    value=message["value"] if isinstance(message["value"], int | str) else None,
                    error=message["error"],
                )
            )

    def _abandon(self) -> None:
        """Its answers will never come."""
        for call in self.open_calls():
            self.hears.call(call)
        self._open.clear()
        for future in self._replies.values():
            if not future.done():
                future.set_exception(ExecError(f"driver {self.name} ended"))


async def _last_of(stream: asyncio.StreamReader | None) -> str:
    """The last line: what a dying program says."""
    last = b""
    while stream is not None and (line := await stream.readline()):
        last = line.strip() or last
    return last.decode(errors="replace")[-300:]


async def until_connected(ready: Callable[[], bool], keepers: Sequence[asyncio.Task[None]], seconds: float) -> None:
    """Waits for drivers that `keepers` start. Raises TimeoutError after `seconds`, and what a keeper died of."""
    end_at = time.monotonic() + seconds
    while not ready():
        for task in keepers:
            if task.done():
                task.result()  # it never ends but by a bug, and then it says so
        if time.monotonic() > end_at:
            raise TimeoutError
        await asyncio.sleep(0.1)
