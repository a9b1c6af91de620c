"""A pretended Redis, and the judge of who empties it: which storage namespaces hold keys, and of which RayClusters.

A head writes from the moment it runs. The cleanup Job's Pod removes when it succeeds, and the operator's own cleaner
through `clean`, which stands in for `headstay.gcs.cleaning.clean`.
"""

import asyncio
import random
from collections import defaultdict
from collections.abc import Callable
from datetime import datetime

import msgspec
from tests.sim.records import Records, owner_of, storage_of, wanted_storage

from headstay.gcs.cleaning import Cleaned, RedisRefusedError, RedisTarget, RedisUnreachableError
from headstay.model.objects import Obj, dig
from headstay.model.ray import DELETION_TIMEOUT, HEAD, NODE_TYPE, REDIS_CLEANUP, REDIS_CLEANUP_FINALIZER
from headstay.model.timestamps import parse
from headstay.plan.debts import name_of
from headstay.plan.raycluster.cleanup_policy import CLEANUP_POLICY
from headstay.plan.raycluster.storage import Storage


class Redis:
    """`trouble` is what a cleaner from outside meets: nothing, no answer ("away"), or a refusal."""

    def __init__(self, records: Records, date: Callable[[], datetime]) -> None:
        self.keys: dict[str, set[str]] = defaultdict(set)
        self.debts: dict[str, Obj] = {}
        self.trouble = ""
        self.emptied: list[str] = []
        self._records = records
        self._date = date
        self._refused: set[str] = set()

    async def clean(self, target: RedisTarget, namespace: str, *, seconds: float) -> Cleaned:
        storage, by = f"{target.address.partition('//')[2]}/{namespace}", "the operator"
        self._judge(storage, by)
        await asyncio.sleep(random.uniform(0.05, 2.0))
        if self.trouble == "away":
            await asyncio.sleep(min(seconds, 10.0))
            raise RedisUnreachableError("no route to host")
        if self.trouble:
            raise RedisRefusedError(self.trouble)
        return Cleaned(self._empty(storage, by))

    # --- what the log tells ------------------------------------------------------------------------------------

    def pod(self, pod: Obj, before: Obj | None) -> None:
        """Called with each version of a Pod; `before` is the one it replaces."""
        phase = dig(pod, "status", "phase")
        if before is not None and dig(before, "status", "phase") == phase:
            return
        match (dig(pod, "metadata", "labels", NODE_TYPE), phase):
            case (kind, "Running") if kind == HEAD and (storage := storage_of(pod)) and not self._records.is_lost(pod):
                self.keys[storage].add(owner_of(pod))
            case (kind, "Succeeded") if kind == REDIS_CLEANUP:
                self._empty(storage_of(pod), f"Pod {pod['metadata']['name']}")

    def released(self, cluster: Obj) -> None:
        """The finalizer is gone: its keys are, or it is known who takes care of them."""
        for storage in [storage for storage, uids in self.keys.items() if cluster["metadata"]["uid"] in uids]:
            self._left(cluster, storage)

    def _left(self, cluster: Obj, storage: str) -> None:
        meta = cluster["metadata"]
        if (meta.get("annotations") or {}).get(CLEANUP_POLICY) == "Retain" or self._others(storage, meta["uid"]):
            self.keys[storage].discard(meta["uid"])
        elif not self._is_owed(meta["uid"], storage):
            if any(name.startswith(name_of(meta["uid"])) for name in self._refused) and self._is_overdue(cluster):
                self.keys[storage].discard(meta["uid"])  # as documented: past the deadline it goes without
            else:
                self._records.complain(f"{meta['name']} is released, its keys are there, and no debt is written")

    def debt(self, found: Obj, *, deleted: bool) -> None:
        data, name = found["data"], found["metadata"]["name"]
        uid, storage = data["clusterUID"], place_of(found)
        if not deleted:
            self.debts[name] = found
            return
        self.debts.pop(name, None)
        if uid in self.keys[storage]:
            if not self._others(storage, uid):
                self._records.complain(f"the debt of {data['clusterName']} is gone, and its keys are not")
            self.keys[storage].discard(uid)

    def _is_owed(self, uid: str, storage: str) -> bool:
        return any(debt["data"]["clusterUID"] == uid and place_of(debt) == storage for debt in self.debts.values())

    def refused(self, name: str) -> None:
        """Whoever wanted to write the ConfigMap was told that it failed."""
        self._refused.add(name)

    def forgotten(self) -> list[str]:
        """Keys that nobody lives for and nobody owes."""
        return [
            f"the keys of {uid} in {storage} are forgotten"
            for storage, uids in self.keys.items()
            for uid in sorted(uids)
            if uid not in self._records.live_clusters and not self._is_owed(uid, storage)
        ]

    # --- the rules ---------------------------------------------------------------------------------------------

    def _empty(self, storage: str, by: str) -> int:
        self._judge(storage, by)
        self.emptied.append(storage)
        self._records.note(f"{by} empties {storage}")
        return len(self.keys.pop(storage, ()))

    def _judge(self, storage: str, by: str) -> None:
        for pod in self._records.writers_of(storage):
            self._records.complain(f"{by} removes keys in {storage} that {pod['metadata']['name']} may still write")
        for uid in sorted(self.keys[storage]):
            cluster = self._records.live_clusters.get(uid)
            if cluster is None:
                continue
            meta = cluster["metadata"]
            if not meta.get("deletionTimestamp"):
                self._records.complain(f"{by} removes keys in {storage} that are those of {meta['name']}, which lives")
            elif by == "the operator" and meta["annotations"].get(CLEANUP_POLICY) != "Operator":
                self._records.complain(f"the debt of {meta['name']} is being paid while it is still there")

    def _others(self, storage: str, uid: str) -> list[Obj]:
        """Living RayClusters that use the same storage namespace."""
        return [
            cluster
            for cluster in self._records.live_clusters.values()
            if cluster["metadata"]["uid"] != uid
            and wanted_storage(cluster) == storage
            and REDIS_CLEANUP_FINALIZER in (cluster["metadata"].get("finalizers") or [])
        ]

    def _is_overdue(self, cluster: Obj) -> bool:
        meta = cluster["metadata"]
        timeout = float(meta["annotations"][DELETION_TIMEOUT])
        return (self._date() - parse(meta["deletionTimestamp"])).total_seconds() >= timeout


def place_of(debt: Obj) -> str:
    return msgspec.json.decode(debt["data"]["storage"], type=Storage).identity().text
