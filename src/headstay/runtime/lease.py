"""Leader election over a Lease: at most one leader acts at a time, whatever pauses, cuts and clocks do.

Invariants: only this process's monotonic clock is used, never the times written in the Lease; leadership counts from
*before* a renewal was sent; it ends for us (`renew_deadline`) before it ends for others (`duration`); the work is
cancelled and has ended before the Lease is given up; a fenced client writes nothing after `valid_until`.
"""

import asyncio
import logging
import math
import random
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import NamedTuple

from headstay.model.errors import StatusError, is_already_exists, is_conflict, is_not_found
from headstay.model.objects import Obj
from headstay.model.resource import LEASES
from headstay.model.timestamps import rfc3339_micro
from headstay.runtime.client import Client, TransportError
from headstay.runtime.errors import Transient

log = logging.getLogger(__name__)


class Timing(NamedTuple):
    """In seconds, as client-go's defaults. Each call to the API must end within `call`, less than a retry period."""

    duration: float = 15.0
    renew_deadline: float = 10.0
    retry_period: float = 2.0
    call: float = 1.5

    def check(self) -> None:
        if not self.call < self.retry_period < self.renew_deadline < self.duration:
            raise ValueError(f"call < retry_period < renew_deadline < duration must hold: {self}")


class LeadershipLostError(Exception):
    """Renewing failed for `renew_deadline`, or somebody else holds the Lease; the work has already been stopped."""


class _Seen(NamedTuple):
    """The Lease as last read, and when (monotonic) its holder was last seen alive: when its content last changed."""

    lease: Obj
    changed_at: float


class LeaderLease:
    """One candidate. `identity` must be unique to this process, for example Pod name and uid."""

    def __init__(
        self,
        client: Client,
        namespace: str,
        name: str,
        identity: str,
        *,
        timing: Timing | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._timing = timing or Timing()
        self._timing.check()
        self._client = client
        self._namespace = namespace
        self._name = name
        self.identity = identity
        self._now = now
        self._draw = draw
        self._seen: _Seen | None = None
        self.valid_until = float("-inf")
        """Loop time until which we may act as the leader."""

    @property
    def holds(self) -> bool:
        return asyncio.get_running_loop().time() < self.valid_until

    @property
    def holder(self) -> str:
        """Who held the Lease when it was last read; "" when nobody did, or before the first reading."""
        return str((self._seen.lease.get("spec") or {}).get("holderIdentity") or "") if self._seen else ""

    def require(self) -> float:
        """The seconds of leadership left. Raises Transient when there are none."""
        left = self.valid_until - asyncio.get_running_loop().time()
        if left <= 0:
            raise Transient(f"{self.identity} does not hold the lease {self._namespace}/{self._name} (any more)")
        return left

    async def run(self, lead: Callable[[], Awaitable[None]]) -> None:
        """Waits to become the leader, then runs `lead`. Returns or raises as `lead` does, or LeadershipLostError.

        However it ends, `lead` has ended before the Lease is released.
        """
        await self._acquire()
        log.info("%s leads (lease %s/%s)", self.identity, self._namespace, self._name)
        work = asyncio.ensure_future(lead())
        renewal = asyncio.create_task(self._renew(), name=f"lease/{self._name}")
        try:
            await asyncio.wait({work, renewal}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            # In this order: while the work is still ending the Lease must be ours, so renewal goes on until then.
            work.cancel()
            await asyncio.wait({work})
            renewal.cancel()
            await asyncio.wait({renewal})
            await self._release()
        if not renewal.cancelled():
            renewal.result()
        work.result()

    async def _acquire(self) -> None:
        while not await self._try():  # noqa: ASYNC110 the event waited for is on the server
            await asyncio.sleep(self._jittered())

    async def _renew(self) -> None:
        """Renews for ever; raises LeadershipLostError once `valid_until` has come without a renewal."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(min(self._jittered(), max(0.0, self.valid_until - loop.time())))
            renewed = await self._try()
            if not renewed and (not self.holds or self._held_by_another()):
                self.valid_until = float("-inf")
                raise LeadershipLostError(f"{self.identity} lost the lease {self._namespace}/{self._name}")

    def _jittered(self) -> float:
        """Between 0.8 and 1.2 retry periods, so that candidates do not march in step."""
        return self._timing.retry_period * (0.8 + 0.4 * self._draw())

    async def _try(self) -> bool:
        """One bounded attempt to take or renew the Lease; False when it is not ours after it."""
        sent_at = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(self._timing.call):
                taken = await self._take(sent_at)
        except (TransportError, TimeoutError, StatusError) as error:
            log.warning("lease %s/%s: %s", self._namespace, self._name, str(error) or "no answer in time")
            return False
        if taken:
            self.valid_until = sent_at + self._timing.renew_deadline
        return taken

    async def _take(self, sent_at: float) -> bool:
        try:
            found = await self._client.get(LEASES, self._namespace, self._name)
        except StatusError as error:
            if not is_not_found(error):
                raise
            return await self._create()
        self._observe(found, sent_at)
        if not self._free(found, sent_at):
            return False
        return await self._write(self._claim(found), sent_at)

    def _observe(self, found: Obj, at: float) -> None:
        seen = self._seen
        if seen is None or seen.lease.get("spec") != found.get("spec"):
            self._seen = _Seen(found, at)

    def _free(self, found: Obj, now: float) -> bool:
        """Ours, given up, or not renewed for its own duration as measured by our clock."""
        spec = found.get("spec") or {}
        holder = spec.get("holderIdentity") or ""
        if holder in {"", self.identity}:
            return True
        duration = float(spec.get("leaseDurationSeconds") or self._timing.duration)
        return self._seen is not None and now >= self._seen.changed_at + duration

    def _held_by_another(self) -> bool:
        return self.holder not in {"", self.identity}

    def _claim(self, found: Obj) -> Obj:
        spec = dict(found.get("spec") or {})
        now = rfc3339_micro(self._now())
        if spec.get("holderIdentity") != self.identity:
            spec["acquireTime"] = now
            spec["leaseTransitions"] = int(spec.get("leaseTransitions") or 0) + 1
        spec |= {
            "holderIdentity": self.identity,
            "leaseDurationSeconds": math.ceil(self._timing.duration),
            "renewTime": now,
        }
        return found | {"spec": spec}

    async def _create(self) -> bool:
        lease: Obj = {
            "apiVersion": LEASES.api_version,
            "kind": LEASES.kind,
            "metadata": {"name": self._name, "namespace": self._namespace},
        }
        lease = self._claim(lease)
        lease["spec"]["leaseTransitions"] = 0
        try:
            await self._client.create(LEASES, lease)
        except StatusError as error:
            if is_already_exists(error):
                return False
            raise
        return True

    async def _write(self, lease: Obj, at: float) -> bool:
        """The resourceVersion in `lease` makes this a compare-and-swap: of two candidates one loses."""
        try:
            written = await self._client.update(LEASES, lease)
        except StatusError as error:
            if is_conflict(error) or is_not_found(error):
                return False
            raise
        self._seen = _Seen(written, at)
        return True

    async def _release(self) -> None:
        """Gives the Lease up, if it is still ours, so that the next leader need not wait for its end."""
        held = self.holds and not self._held_by_another()
        self.valid_until = float("-inf")
        if not held:
            return
        try:
            async with asyncio.timeout(self._timing.call):
                found = await self._client.get(LEASES, self._namespace, self._name)
                if (found.get("spec") or {}).get("holderIdentity") == self.identity:
                    spec = found["spec"] | {"holderIdentity": "", "leaseDurationSeconds": 1}
                    await self._client.update(LEASES, found | {"spec": spec})
        except (TransportError, TimeoutError, StatusError) as error:
            log.warning("lease %s/%s: not released: %s", self._namespace, self._name, str(error) or "no answer")
