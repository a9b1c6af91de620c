"""Heads that tell of their GCS, in virtual time: what a keeper would say and what the node table would hold.

It belongs to the world, not to an operator: it outlives operators, as heads do. Each operator gets an `Ear` of its own.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime

from headstay.model.head_report import HeadReport, HeadTarget, TableWanted, heard
from headstay.model.keeper_state import GcsNow, KeeperState, Revival
from headstay.model.objects import ObjectKey
from headstay.model.ray_nodes import RayNode
from headstay.plan.raycluster.plan import Returns, TableRead
from headstay.plan.raycluster.returns import answered


class SimHeads:
    """`lost` are addresses of Pods whose nodes never come back."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self.now = now
        self.lost: set[str] = set()
        self.states: dict[str, KeeperState] = {}
        self.ears: list[Ear] = []

    def state(self, pod_uid: str) -> KeeperState:
        now = self.now().timestamp()
        found = self.states.get(pod_uid)
        if found is None:
            found = self.states[pod_uid] = KeeperState(f"life-of-{pod_uid}", 1, now, GcsNow("Serving", now))
        return found

    def revive(self, pod_uid: str) -> None:
        """Its GCS dies and serves again half a second later."""
        before, at = self.state(pod_uid), self.now().timestamp()
        number = len(before.revivals) + 1
        revival = Revival(number, "Gone", "signal 9", lost=at, detected=at, started=at + 0.1, serving=at + 0.5)
        state = KeeperState(
            before.incarnation,
            before.sequence + 1,
            at + 0.5,
            GcsNow("Serving", at + 0.5),
            revivals=(*before.revivals, revival),
        )
        self.states[pod_uid] = state
        for ear in self.ears:
            ear.wake(pod_uid)

    def table(self, pods: list[tuple[str, bool]]) -> tuple[RayNode, ...]:
        return tuple(RayNode(ip, "DEAD" if ip in self.lost else "ALIVE", head) for ip, head in pods)


class Ear:
    """One operator's listener. What it knows dies with it."""

    def __init__(
        self, heads: SimHeads, changed: Callable[[ObjectKey], None], pods: Callable[[str], list[tuple[str, bool]]]
    ) -> None:
        self._heads = heads
        self._changed = [changed]
        self._pods = pods
        self._targets: dict[ObjectKey, HeadTarget] = {}
        self._returns: dict[ObjectKey, Returns] = {}
        self._reading: dict[ObjectKey, asyncio.Task[None]] = {}
        heads.ears.append(self)

    def wake(self, pod_uid: str) -> None:
        for cluster, target in self._targets.items():
            if target.pod_uid == pod_uid:
                self._tell(cluster)

    def _tell(self, cluster: ObjectKey) -> None:
        for changed in self._changed:
            changed(cluster)

    def on_change(self, changed: Callable[[ObjectKey], None]) -> None:
        self._changed.append(changed)

    def report(self, cluster: ObjectKey) -> HeadReport | None:
        target = self._targets.get(cluster)
        return heard(target.pod_uid, self._heads.state(target.pod_uid), self._heads.now(), None) if target else None

    def listen(self, cluster: ObjectKey, target: HeadTarget | None) -> HeadReport | None:
        if target is None:
            self._targets.pop(cluster, None)
            return None
        self._targets[cluster] = target
        return self.report(cluster)

    def read_table(self, cluster: ObjectKey, wanted: TableWanted | None) -> Returns | None:
        if wanted is None:
            self._returns.pop(cluster, None)
            if (task := self._reading.pop(cluster, None)) is not None:
                task.cancel()
            return None
        found = self._returns.get(cluster)
        if found is None or found.of != wanted.record:
            self._returns[cluster] = Returns(wanted.record, replaced=found.replaced if found else ())
        if cluster not in self._reading:
            self._reading[cluster] = asyncio.get_running_loop().create_task(self._read(cluster))
        return self._returns[cluster]

    def replaced(self, cluster: ObjectKey, count: int) -> None:
        if (found := self._returns.get(cluster)) is not None:
            self._returns[cluster] = found._replace(replaced=(*found.replaced, *[self._heads.now()] * count))

    def forget(self, cluster: ObjectKey) -> None:
        self.listen(cluster, None)
        self.read_table(cluster, None)

    async def stop(self) -> None:
        self._heads.ears.remove(self)
        for task in self._reading.values():
            task.cancel()

    async def _read(self, cluster: ObjectKey) -> None:
        while True:
            await asyncio.sleep(5)
            read = TableRead(self._heads.now(), self._heads.table(self._pods(cluster.name)))
            self._returns[cluster] = answered(self._returns[cluster], read)
            self._tell(cluster)
