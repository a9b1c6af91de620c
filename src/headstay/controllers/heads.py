"""Listens to heads: how the operator learns that a GCS has gone, and what has become of the workers since.

For each head with a keeper one long poll is open; for each other head with fault tolerance one idle connection to the
port of its GCS, whose end says that the GCS may have ended and whose refusal says that it has. What is learned is
kept here, and the cluster's key is handed on. A head that is out of reach is unknown, and nothing follows from that.
"""

import asyncio
import random
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Protocol

import aiohttp
import msgspec

from headstay.controllers.attendants import Attendants
from headstay.gcs.nodes import NodesUnreadError, read_bounded, read_nodes
from headstay.model.head_report import GcsSeen, HeadReport, HeadTarget, TableWanted, heard
from headstay.model.keeper_state import KeeperState
from headstay.model.objects import ObjectKey
from headstay.plan.raycluster.plan import Returns, TableRead
from headstay.plan.raycluster.returns import answered, next_read_in, unanswered
from headstay.runtime.backoff import Backoff

_POLL_SECONDS = 25.0
_ANSWER_SECONDS = 10.0
_CONNECT_SECONDS = 3.0
_LASTED_SECONDS = 1.0
_MOST_BYTES = 256 * 1024
_KNOCK_AGAIN = Backoff(base=0.1, cap=1.0, jitter=0.2)
_LOST_AGAIN = Backoff(base=0.5, cap=30.0)
"""Where nobody even refuses: a network policy, a node that is gone, an operator outside the Pods' network."""


class HeadListener(Protocol):
    """What the RayCluster controller asks again and again; None ends it.

    Other controllers may ask for the `report` that it is listening for, and be told `on_change` whose has changed.
    """

    def report(self, cluster: ObjectKey) -> HeadReport | None: ...

    def on_change(self, changed: Callable[[ObjectKey], None]) -> None: ...

    def listen(self, cluster: ObjectKey, target: HeadTarget | None) -> HeadReport | None: ...

    def read_table(self, cluster: ObjectKey, wanted: TableWanted | None) -> Returns | None: ...

    def replaced(self, cluster: ObjectKey, count: int) -> None:
        """So many workers are about to be deleted because they did not come back."""
        ...

    def forget(self, cluster: ObjectKey) -> None:
        """The cluster is gone from the API."""
        ...

    async def stop(self) -> None: ...


class Heads:
    """The listener of a real operator. Call `stop` when it no longer leads."""

    def __init__(
        self,
        changed: Callable[[ObjectKey], None],
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._changed = [changed]
        self._now = now
        self._draw = draw
        self._reports: dict[ObjectKey, HeadReport] = {}
        self._returns: dict[ObjectKey, Returns] = {}
        self._listening: Attendants[HeadTarget] = Attendants(self._listen)
        self._reading: Attendants[TableWanted] = Attendants(self._read)
        self._session: aiohttp.ClientSession | None = None

    def on_change(self, changed: Callable[[ObjectKey], None]) -> None:
        self._changed.append(changed)

    def reports(self) -> Iterable[tuple[ObjectKey, HeadReport]]:
        return self._reports.items()

    def report(self, cluster: ObjectKey) -> HeadReport | None:
        return self._reports.get(cluster)

    def listen(self, cluster: ObjectKey, target: HeadTarget | None) -> HeadReport | None:
        self._listening.attend(cluster, target)
        report = self._reports.get(cluster)
        if report is not None and (target is None or report.pod_uid != target.pod_uid):
            del self._reports[cluster]
            return None
        return report

    def read_table(self, cluster: ObjectKey, wanted: TableWanted | None) -> Returns | None:
        self._reading.attend(cluster, wanted)
        if wanted is None:
            self._returns.pop(cluster, None)
            return None
        found = self._returns.get(cluster)
        if found is None or found.of != wanted.record:
            # Workers replaced after an earlier recovery count in the quota of this one too.
            found = Returns(wanted.record, replaced=found.replaced if found is not None else ())
            self._returns[cluster] = found
        return found

    def replaced(self, cluster: ObjectKey, count: int) -> None:
        if (found := self._returns.get(cluster)) is not None:
            self._returns[cluster] = found._replace(replaced=(*found.replaced, *[self._now()] * count)[-1000:])

    def forget(self, cluster: ObjectKey) -> None:
        self.listen(cluster, None)
        self.read_table(cluster, None)

    async def stop(self) -> None:
        await self._listening.stop()
        await self._reading.stop()
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _http(self) -> aiohttp.ClientSession:
        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=_POLL_SECONDS + _ANSWER_SECONDS, sock_connect=_CONNECT_SECONDS)
            self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=timeout)
        return self._session

    # --- the GCS -----------------------------------------------------------------------------------------------

    async def _listen(self, cluster: ObjectKey, target: HeadTarget) -> None:
        if target.keeper:
            await self._hear_keeper(cluster, target)
        else:
            await self._hold_connection(cluster, target)

    async def _hear_keeper(self, cluster: ObjectKey, target: HeadTarget) -> None:
        host = f"[{target.address}]" if ":" in target.address else target.address
        url = f"http://{host}:{target.port}/v1/state"
        state: KeeperState | None = None
        failures = 0
        while True:
            after = {"after": str(state.sequence), "wait": f"{_POLL_SECONDS:g}"} if state is not None else {}
            try:
                state = await self._ask(url, after)
            except (aiohttp.ClientError, OSError, TimeoutError, msgspec.DecodeError, ValueError) as error:
                self._unreachable(cluster, target, f"its keeper at {url}: {_words(error)}")
                state = None  # a keeper that started again counts anew
                await asyncio.sleep(self._pause(error, failures))
                failures += 1
            else:
                failures = 0
                self._learn(cluster, heard(target.pod_uid, state, self._now(), self._reports.get(cluster)))

    async def _ask(self, url: str, after: dict[str, str]) -> KeeperState:
        async with self._http().get(url, params=after, allow_redirects=False) as response:
            body = await read_bounded(response, _MOST_BYTES)
            if response.status != 200:
                raise ValueError(f"answered {response.status}")
            return msgspec.json.decode(body, type=KeeperState)

    async def _hold_connection(self, cluster: ObjectKey, target: HeadTarget) -> None:
        """Only a GCS that was seen serving in this Pod can be gone; a refusal before that is one that still starts."""
        failures, served = 0, False
        while True:
            trouble: Exception | None = None
            began = asyncio.get_running_loop().time()
            try:
                served = await self._stay_connected(cluster, target) or served
            except ConnectionRefusedError as error:
                trouble = error
                if served:
                    self._seen(cluster, target, "Gone", "its port refuses connections")
            except (OSError, TimeoutError) as error:
                trouble = error
                self._unreachable(cluster, target, str(error) or "no answer to a connection")
            if asyncio.get_running_loop().time() - began >= _LASTED_SECONDS:
                failures = 0
            await asyncio.sleep(self._pause(trouble, failures))
            failures += 1

    async def _stay_connected(self, cluster: ObjectKey, target: HeadTarget) -> bool:
        """Until the other side hangs up. Whether it greeted, as a GCS does.

        One that says nothing speaks TLS, or is stopped: nothing is known of it.
        """
        async with asyncio.timeout(_CONNECT_SECONDS):
            reader, writer = await asyncio.open_connection(target.address, target.port, limit=4096)
        try:
            greeted = await _greets(reader)
            if greeted:
                self._seen(cluster, target, "Serving", "")
            else:
                self._unreachable(cluster, target, "its port accepts connections and says nothing")
            await _until_closed(reader)
        finally:
            await _close(writer)
        return greeted

    def _pause(self, error: Exception | None, failures: int) -> float:
        """Seconds until the next try: soon where somebody is there to refuse, for it is a container that starts."""
        cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
        backoff = _LOST_AGAIN if isinstance(cause, OSError) and not isinstance(cause, ConnectionError) else _KNOCK_AGAIN
        return backoff.delay(failures, self._draw)

    def _seen(self, cluster: ObjectKey, target: HeadTarget, gcs: GcsSeen, why: str) -> None:
        before = self._reports.get(cluster)
        if before is None or before.gcs != gcs or before.pod_uid != target.pod_uid:
            self._learn(cluster, HeadReport(target.pod_uid, gcs, self._now(), why))

    def _unreachable(self, cluster: ObjectKey, target: HeadTarget, why: str) -> None:
        before = self._reports.get(cluster)
        if before is not None and before.gcs == "Unknown":
            return  # said once, with the first reason
        state = before.state if before is not None else None
        skew = before.skew if before is not None else 0.0
        self._learn(cluster, HeadReport(target.pod_uid, "Unknown", self._now(), why[:300], state, skew))

    def _learn(self, cluster: ObjectKey, report: HeadReport) -> None:
        self._reports[cluster] = report
        self._tell(cluster)

    def _tell(self, cluster: ObjectKey) -> None:
        for changed in self._changed:
            changed(cluster)

    # --- the workers -------------------------------------------------------------------------------------------

    async def _read(self, cluster: ObjectKey, wanted: TableWanted) -> None:
        began = self._now()
        while True:
            before = self._returns.get(cluster) or Returns(wanted.record)
            try:
                nodes = await read_nodes(self._http(), wanted.address, wanted.port)
            except NodesUnreadError as error:
                found = unanswered(before, str(error))
            else:
                found = answered(before, TableRead(self._now(), nodes))
            self._returns[cluster] = found
            self._tell(cluster)
            await asyncio.sleep(next_read_in(found, began, self._now()))


def _words(error: Exception) -> str:
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    return str(cause) or type(cause).__name__


async def _greets(reader: asyncio.StreamReader) -> bool:
    with suppress(OSError, TimeoutError):
        async with asyncio.timeout(_CONNECT_SECONDS):
            return bool(await reader.read(4096))
    return False


async def _until_closed(reader: asyncio.StreamReader) -> None:
    """What the GCS says is thrown away; after 120 s it hangs up on who says nothing, and is asked anew."""
    with suppress(OSError):
        while await reader.read(4096):
            pass


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
