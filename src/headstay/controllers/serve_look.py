"""Asks the heads of a RayService what they serve, and remembers what one answer alone cannot tell."""

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import dataclass, replace

from headstay.gcs.dashboard import Dashboard, DashboardError
from headstay.plan.rayservice.observing import MISSES, dashboard_url, proxy_url
from headstay.plan.rayservice.plan import Seen
from headstay.plan.rayservice.serving import Applications, read_applications

log = logging.getLogger(__name__)

REFUSED_SECONDS = 30.0
"""A configuration that Serve refused is tried again after this long: what it names may exist by then."""

SETTLING_SECONDS = 10.0


@dataclass
class _Memory:
    misses: int = 0
    running_since: float | None = None
    refused: tuple[str, str, float] = ("", "", 0.0)
    deployed: tuple[str, float] = ("", 0.0)


class ServeLook:
    def __init__(self, dashboard: Dashboard) -> None:
        self._dashboard = dashboard
        self._memory: dict[str, _Memory] = {}

    async def at(self, clusters: Iterable[Seen], used: set[str]) -> tuple[Seen, ...]:
        """All of them with what they serve; those that are not `used` are not asked."""
        return tuple(
            await asyncio.gather(*(self._one(seen) if seen.name in used else _as_it_is(seen) for seen in clusters))
        )

    def refused(self, uid: str, config_hash: str, why: str) -> None:
        self._of(uid).refused = (config_hash, why, _monotonic() + REFUSED_SECONDS)

    def deployed(self, uid: str, config_hash: str) -> None:
        self._of(uid).deployed = (config_hash, _monotonic() + SETTLING_SECONDS)

    def forget(self, uid: str) -> None:
        """The cluster is gone."""
        self._memory.pop(uid, None)

    async def _one(self, seen: Seen) -> Seen:
        memory = self._of(seen.cluster.metadata.uid)
        (applications, silence), head_serves = await asyncio.gather(self._applications(seen), self._proxy(seen, memory))
        if applications is not None and applications.all_running:
            memory.running_since = _monotonic() if memory.running_since is None else memory.running_since
        elif applications is not None:
            memory.running_since = None
        since, (deployed, until) = memory.running_since, memory.deployed
        refused, refusal, again = memory.refused
        still_refused = _monotonic() < again
        return replace(
            seen,
            applications=applications,
            silence=silence,
            head_serves=head_serves,
            running_for=0.0 if since is None else _monotonic() - since,
            refusal=refusal if still_refused else "",
            refused=refused if still_refused else "",
            just_deployed=deployed if _monotonic() < until else "",
        )

    async def _applications(self, seen: Seen) -> tuple[Applications | None, str]:
        if seen.head is None or not seen.head_ready or not seen.head.status.pod_ip:
            return None, "its head is not Ready"
        try:
            answer = await self._dashboard.applications(dashboard_url(seen.cluster, seen.head))
            return read_applications(answer), ""
        except (DashboardError, ValueError) as error:
            log.info("RayCluster %s: %s", seen.cluster.key, error)
            return None, str(error)

    async def _proxy(self, seen: Seen, memory: _Memory) -> bool | None:
        if seen.head is None or not seen.head.status.pod_ip:
            return None
        try:
            answers = await self._dashboard.proxy_answers(proxy_url(seen.cluster, seen.head))
        except DashboardError as error:
            memory.misses += 1
            log.info("RayCluster %s: its head's Serve proxy: %s", seen.cluster.key, error)
            return False if memory.misses >= MISSES else None
        memory.misses = 0
        return answers

    def _of(self, uid: str) -> _Memory:
        return self._memory.setdefault(uid, _Memory())


async def _as_it_is(seen: Seen) -> Seen:
    return seen


def _monotonic() -> float:
    return asyncio.get_running_loop().time()
