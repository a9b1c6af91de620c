"""Probes: the schedule and thresholds of one probe of one running container, and the four ways of asking.

startup    until it succeeds the other two wait; its failure kills
readiness  decides whether the Pod gets traffic
liveness   its failure kills
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Literal, NamedTuple

import aiohttp

from headstay.local.node import grpc_health
from headstay.local.node.engine import Engine
from headstay.model.objects import Obj

log = logging.getLogger(__name__)
ProbeKind = Literal["startup", "readiness", "liveness"]
_SHOWN = 1000
_MOST_BODY = 10 * 1024


class Outcome(NamedTuple):
    success: bool
    output: str


_EAGER_SECONDS = 2.0
_EAGER_PAUSE = 0.05


class Target(NamedTuple):
    """The container that is asked."""

    engine: Engine
    container_id: str
    address: str
    ports: dict[str, int]


class Schedule(NamedTuple):
    """A probe's numbers, with Kubernetes' defaults."""

    initial_delay: float
    period: float
    timeout: float
    successes: int
    failures: int

    @classmethod
    def of(cls, probe: Obj) -> "Schedule":
        return cls(
            initial_delay=probe.get("initialDelaySeconds") or 0,
            period=probe.get("periodSeconds") or 10,
            timeout=probe.get("timeoutSeconds") or 1,
            successes=probe.get("successThreshold") or 1,
            failures=probe.get("failureThreshold") or 3,
        )


class Tally:
    """Counts results in a row and says when the state changes. Pure."""

    def __init__(self, schedule: Schedule, *, state: bool) -> None:
        self._schedule = schedule
        self._state = state
        self._in_a_row = 0
        self._last: bool | None = None

    def add(self, success: bool) -> bool | None:
        """The new state, if the threshold has just been reached; None otherwise."""
        self._in_a_row = self._in_a_row + 1 if success is self._last else 1
        self._last = success
        needed = self._schedule.successes if success else self._schedule.failures
        if self._in_a_row < needed:
            return None
        if not success:
            self._in_a_row = 0
        if success == self._state and success:
            return None
        self._state = success
        return success


async def ask(probe: Obj, target: Target, timeout: float) -> Outcome:
    """One attempt. Never raises for what the asked side does or fails to do."""
    try:
        async with asyncio.timeout(timeout + 1):
            if "exec" in probe:
                done = await target.engine.exec(
                    target.container_id, probe["exec"].get("command") or [], timeout=timeout
                )
                return Outcome(done.code == 0, done.output)
            if "httpGet" in probe:
                return await _http(probe["httpGet"], target, timeout)
            if "tcpSocket" in probe:
                return await _tcp(probe["tcpSocket"], target, timeout)
            if "grpc" in probe:
                service = probe["grpc"].get("service") or ""
                async with asyncio.timeout(timeout):
                    return Outcome(*await grpc_health.check(target.address, probe["grpc"]["port"], service))
    except TimeoutError as error:
        return Outcome(False, str(error) or f"no answer within {timeout:g}s")
    except (OSError, aiohttp.ClientError, ValueError) as error:
        return Outcome(False, str(error))
    return Outcome(False, "the probe names no way of asking")


def port_number(port: int | str, ports: dict[str, int]) -> int:
    """A number, or the name of one of the container's ports. ValueError where there is none of that name."""
    if isinstance(port, int) or port.isdigit():
        return int(port)
    if port not in ports:
        raise ValueError(f"the container has no port named {port!r}")
    return ports[port]


async def _http(action: Obj, target: Target, timeout: float) -> Outcome:
    host = action.get("host") or target.address
    port = port_number(action["port"], target.ports)
    path = action.get("path") or "/"
    scheme = (action.get("scheme") or "HTTP").lower()
    url = f"{scheme}://{host}:{port}{path if path.startswith('/') else '/' + path}"
    headers = {"User-Agent": "kube-probe/1.32", "Accept": "*/*"}
    headers |= {header["name"]: header.get("value") or "" for header in action.get("httpHeaders") or []}
    try:
        status, body = await _get(url, headers, timeout)
    except aiohttp.ClientConnectorError as error:
        why = (error.os_error.strerror or str(error.os_error)).lower()
        return Outcome(False, f'Get "{url}": dial tcp {host}:{port}: connect: {_plain(why, host, port)}')
    except aiohttp.ClientError as error:
        return Outcome(False, f'Get "{url}": {error}')
    except TimeoutError:
        return Outcome(False, f'Get "{url}": context deadline exceeded (no answer within {timeout:g}s)')
    if 200 <= status < 400:
        return Outcome(True, body)
    return Outcome(False, f"HTTP probe failed with statuscode: {status}")


async def _get(url: str, headers: dict[str, str], timeout: float) -> tuple[int, str]:
    limit = aiohttp.ClientTimeout(total=timeout)
    connector = aiohttp.TCPConnector(ssl=False, force_close=True)
    async with (
        aiohttp.ClientSession(timeout=limit, connector=connector, auto_decompress=False) as session,
        session.get(url, headers=headers, allow_redirects=True, max_redirects=10) as response,
    ):
        return response.status, (await response.content.read(_MOST_BODY)).decode(errors="replace")


def _plain(why: str, host: str, port: int) -> str:
    """Asyncio says the address again in words of its own."""
    return (
        "connection refused"
        if why.startswith("connect call failed")
        else why.replace(f"('{host}', {port})", "").strip()
    )


async def _tcp(action: Obj, target: Target, timeout: float) -> Outcome:
    host, port = action.get("host") or target.address, port_number(action["port"], target.ports)
    try:
        async with asyncio.timeout(timeout):
            _, writer = await asyncio.open_connection(host, port)
    except OSError as error:
        why = _plain((error.strerror or str(error)).lower(), host, port)
        return Outcome(False, f"dial tcp {host}:{port}: connect: {why}")
    writer.close()
    return Outcome(True, "")


class Report(NamedTuple):
    """What a probe tells its container: `changed` is the new state when a threshold was reached."""

    kind: ProbeKind
    outcome: Outcome
    changed: bool | None


async def run_probe(
    kind: ProbeKind,
    probe: Obj,
    target: Target,
    report: Callable[[Report], None],
    *,
    waited: float = 0.0,
    state: bool = False,
) -> None:
    """Asks for as long as it is not cancelled; a startup probe ends with its first success.

    `waited`: seconds the container has been running already; `state`: what is known before the first answer.
    """
    schedule = Schedule.of(probe)
    tally = Tally(schedule, state=state)
    await asyncio.sleep(max(0.0, schedule.initial_delay - waited))
    outcome = await (_first_answer if kind == "startup" and "exec" not in probe else _ask)(probe, target, schedule)
    while True:
        changed = tally.add(outcome.success)
        report(Report(kind, Outcome(outcome.success, outcome.output.strip()[:_SHOWN]), changed))
        if kind == "startup" and changed:
            return
        await asyncio.sleep(schedule.period)
        outcome = await _ask(probe, target, schedule)


async def _ask(probe: Obj, target: Target, schedule: Schedule) -> Outcome:
    return await ask(probe, target, schedule.timeout)


async def _first_answer(probe: Obj, target: Target, schedule: Schedule) -> Outcome:
    """The first answer of a container that is just starting, asked for often and counted once.

    Kubernetes' shortest period is a second, which is longer than many a program takes to start.
    """
    clock = asyncio.get_running_loop().time
    until = clock() + min(schedule.period, _EAGER_SECONDS)
    while True:
        outcome = await _ask(probe, target, schedule)
        if outcome.success or clock() + _EAGER_PAUSE >= until:
            return outcome
        await asyncio.sleep(_EAGER_PAUSE)
