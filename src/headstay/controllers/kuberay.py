"""Looks out for a KubeRay operator that acts on the same objects, by the Lease that its leader renews."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from datetime import datetime

import msgspec

from headstay.model.errors import StatusError
from headstay.model.objects import Obj, ObjectKey, key_of
from headstay.model.resource import LEASES
from headstay.plan.raycluster.beside import KUBERAY_LEASE, Seen, describe, is_fresh, look_again
from headstay.runtime.client import Client, TransportError

log = logging.getLogger(__name__)

_PERIOD_SECONDS = 5.0


class KubeRayWatch:
    """`beside` names the KubeRay operator that runs, "" when none does; `known` is set after the first look.

    `changed` is called whenever `beside` becomes another.
    """

    def __init__(
        self,
        client: Client,
        now: Callable[[], datetime],
        changed: Callable[[], None],
        namespaces: Sequence[str] = ("",),
    ) -> None:
        self._client = client
        self._now = now
        self._changed = changed
        self._namespaces = tuple(namespaces)
        self._everywhere = True
        self._blind: set[str] = set()
        self._seen: dict[ObjectKey, Seen] = {}
        self.beside = ""
        self.known = asyncio.Event()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                leases = await self._leases()
            except (StatusError, TransportError) as error:
                # What we knew stays: neither to begin nor to stop is right without an answer.
                log.warning("leases %s: %s; looking again in %g s", KUBERAY_LEASE, error, _PERIOD_SECONDS)
            else:
                self._judge(leases)
                self.known.set()
            await asyncio.sleep(_PERIOD_SECONDS)

    def _judge(self, leases: list[Obj]) -> None:
        monotonic = asyncio.get_running_loop().time()
        self._seen = {key_of(lease): look_again(self._seen.get(key_of(lease)), lease, monotonic) for lease in leases}
        fresh = sorted(describe(seen) for seen in self._seen.values() if is_fresh(seen, monotonic, self._now()))
        beside = fresh[0] if fresh else ""
        if beside != self.beside:
            log.warning("a KubeRay operator runs: %s; waiting", beside) if beside else log.info("KubeRay is gone")
            self.beside = beside
            self._changed()

    async def _leases(self) -> list[Obj]:
        """Of all namespaces; where that is not allowed, of those that we watch and may look into."""
        if self._everywhere:
            try:
                return await self._list("")
            except StatusError as error:
                if error.code != 403:
                    raise
                self._everywhere = False
                log.info("may not look for Leases %s in all namespaces; only in those watched", KUBERAY_LEASE)
        found: list[Obj] = []
        for namespace in self._namespaces:
            if namespace and namespace not in self._blind:
                try:
                    found += await self._list(namespace)
                except StatusError as error:
                    if error.code != 403:
                        raise
                    self._blind.add(namespace)
                    log.info("may not look for a KubeRay operator in namespace %s", namespace)
        return found

    async def _list(self, namespace: str) -> list[Obj]:
        page = await self._client.list_page(LEASES, namespace, field_selector=f"metadata.name={KUBERAY_LEASE}")
        return [msgspec.json.decode(item) for item in page.items]
