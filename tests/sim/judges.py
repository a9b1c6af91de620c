"""What must hold at every moment of every run, judged on the server's own log: each change as it happens.

A judge never asks the operator. `Judges.broken` collects sentences; a run is good when there are none.
"""

import asyncio
from collections import defaultdict, deque
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec
from tests.sim.network import Write

from headstay.local.server.store import Change, Store
from headstay.model.objects import Obj, controller_of, dig
from headstay.model.ray import (
    CLUSTER,
    GROUP_NAME,
    HEAD,
    NODE_TYPE,
    REDIS_CLEANUP,
    REDIS_CLEANUP_FINALIZER,
    WORKER,
    RayCluster,
)
from headstay.plan.raycluster.identity import pod_identity
from headstay.plan.raycluster.places import former_storages
from headstay.plan.raycluster.replicas import desired_pods
from headstay.plan.raycluster.storage import remembered_storage

NEWS_TRAVELS = 90.0
"""Seconds after which every operator must have heard of a change of a spec."""
LEASE = "operator"


class _Wanted(NamedTuple):
    at: float
    pods: dict[str, int]


class Judges:
    """`now` tells the time of the run."""

    def __init__(self, store: Store, now: Callable[[], float]) -> None:
        self.broken: list[str] = []
        self.heard = asyncio.Event()
        self.writes: list[Write] = []
        self.log: deque[str] = deque(maxlen=400)
        self._now = now
        self._pods: dict[str, Obj] = {}
        self._clusters: dict[str, Obj] = {}
        self._wanted: dict[str, list[_Wanted]] = defaultdict(list)
        self._cleanups: dict[str, str] = {}
        self._holder = ""
        store.on_change(self._changed)

    def complain(self, text: str) -> None:
        self.heard.set()
        self.broken.append(f"{self._now():.3f}: {text}")
        self.log.append(f"{self._now():.3f} !!! {text}")

    def landed(self, write: Write) -> None:
        self.writes.append(write)
        if write.counts:
            self.log.append(f"{write.at:.3f} {write.process}: {write.verb} {write.resource.kind} {write.name}")
            if write.process != self._holder:
                self.complain(
                    f"{write.process} wrote ({write.verb} {write.resource.kind} {write.name}) "
                    f"while the Lease was held by {self._holder or 'nobody'}"
                )

    # --- the log -----------------------------------------------------------------------------------------------

    def _changed(self, change: Change) -> None:
        judge: Callable[[Change, Obj], None] | None = {
            "pods": self._pod,
            "rayclusters.ray.io": self._cluster,
            "jobs.batch": self._job,
            "services": self._service,
            "leases.coordination.k8s.io": self._lease,
        }.get(change.key.table)
        if judge is not None:
            judge(change, msgspec.json.decode(change.entry.value))

    def _lease(self, change: Change, lease: Obj) -> None:
        if change.key.name == LEASE:
            holder = (lease.get("spec") or {}).get("holderIdentity") or ""
            if holder != self._holder:
                self.log.append(f"{self._now():.3f} the Lease is held by {holder or 'nobody'}")
            self._holder = holder

    def _cluster(self, change: Change, cluster: Obj) -> None:
        uid = cluster["metadata"]["uid"]
        if change.deleted:
            self._clusters.pop(uid, None)
            return
        before = self._clusters.get(uid)
        self._clusters[uid] = cluster
        if before is None or before["spec"] != cluster["spec"]:
            groups = cluster["spec"].get("workerGroupSpecs") or []
            self._wanted[uid].append(
                _Wanted(self._now(), {group["groupName"]: desired_pods(group) for group in groups})
            )

    def _service(self, change: Change, service: Obj) -> None:
        if change.previous is None:
            self._finalizer_first(service)

    def _job(self, change: Change, job: Obj) -> None:
        meta = job["metadata"]
        if change.previous is not None or (meta.get("labels") or {}).get(NODE_TYPE) != REDIS_CLEANUP:
            return
        uid = _owner(job)
        if uid in self._cleanups:
            self.complain(f"a second cleanup Job for the cluster {meta['labels'][CLUSTER]} with uid {uid}")
        self._cleanups[uid] = meta["uid"]
        heads = [pod["metadata"]["name"] for pod in self._of(meta["labels"][CLUSTER], HEAD)]
        if heads:
            self.complain(f"cleanup Job {meta['name']} while {', '.join(heads)} may still write")

    def _pod(self, change: Change, pod: Obj) -> None:
        uid, labels = pod["metadata"]["uid"], pod["metadata"].get("labels") or {}
        if change.deleted:
            self._pods.pop(uid, None)
            return
        self._pods[uid] = pod
        if change.previous is not None or labels.get(NODE_TYPE) not in {HEAD, WORKER}:
            return
        self._finalizer_first(pod)
        if labels[NODE_TYPE] == HEAD:
            self._one_head(labels[CLUSTER])
            self._place_noted_first(pod)
        else:
            self._no_more_than_wanted(_owner(pod), labels[GROUP_NAME])

    # --- the rules ---------------------------------------------------------------------------------------------

    def _one_head(self, cluster: str) -> None:
        """A head that is going counts: it may still write to the storage namespace."""
        heads = [pod["metadata"]["name"] for pod in self._of(cluster, HEAD)]
        if len(heads) > 1:
            self.complain(f"{cluster} has {len(heads)} head Pods at once: {', '.join(heads)}")

    def _no_more_than_wanted(self, uid: str, group: str) -> None:
        """Of what any operator may believe to be wanted now."""
        known = self._wanted.get(uid) or []
        recent = [entry for entry in known if entry.at > self._now() - NEWS_TRAVELS]
        older = [entry for entry in known if entry.at <= self._now() - NEWS_TRAVELS][-1:]
        wanted = max((entry.pods.get(group, 0) for entry in (*older, *recent)), default=0)
        live = [
            pod["metadata"]["name"]
            for pod in self._pods.values()
            if _owner(pod) == uid and dig(pod, "metadata", "labels", GROUP_NAME) == group and _lives(pod)
        ]
        if len(live) > wanted:
            self.complain(f"group {group} of {uid} has {len(live)} Pods ({', '.join(live)}), at most {wanted} wanted")

    def _finalizer_first(self, child: Obj) -> None:
        cluster = self._clusters.get(_owner(child))
        if cluster is None or "gcsFaultToleranceOptions" not in cluster["spec"]:
            return
        if REDIS_CLEANUP_FINALIZER not in (cluster["metadata"].get("finalizers") or []):
            self.complain(f"{child['kind']} {child['metadata']['name']} before its cluster's finalizer")

    def _place_noted_first(self, head: Obj) -> None:
        """What a head writes must be found again, whatever the spec says by then."""
        place, found = pod_identity(head, head["metadata"]["namespace"]), self._clusters.get(_owner(head))
        if place is None or found is None:
            return
        cluster = msgspec.convert(found, RayCluster)
        noted = (remembered_storage(cluster), *former_storages(cluster))
        if place not in {storage.identity() for storage in noted if storage is not None}:
            self.complain(f"head {head['metadata']['name']} writes {place.text}, which is not noted")

    def _of(self, cluster: str, node_type: str) -> list[Obj]:
        return [
            pod
            for pod in self._pods.values()
            if dig(pod, "metadata", "labels", CLUSTER) == cluster
            and dig(pod, "metadata", "labels", NODE_TYPE) == node_type
        ]

    # --- the end -----------------------------------------------------------------------------------------------

    def pods(self) -> list[Obj]:
        return list(self._pods.values())

    def pods_of(self, cluster: str) -> list[Obj]:
        return [pod for pod in self._pods.values() if dig(pod, "metadata", "labels", CLUSTER) == cluster]

    def clusters(self) -> dict[str, RayCluster]:
        found = [msgspec.convert(cluster, RayCluster) for cluster in self._clusters.values()]
        return {cluster.name: cluster for cluster in found}

    def own_writes(self) -> int:
        return sum(1 for write in self.writes if write.counts)

    def orphans(self, store: Store) -> list[str]:
        """Objects whose owner is gone, and finalizers on what should be."""
        uids = {
            dig(msgspec.json.decode(entry.value), "metadata", "uid")
            for table in ("rayclusters.ray.io", "rayservices.ray.io", "jobs.batch")
            for _, entry in store.entries(table)
        }
        return [
            f"{key.text} outlived its owner"
            for table in ("pods", "services", "jobs.batch", "rayclusters.ray.io")
            for key, entry in store.entries(table)
            if (owner := _owner(msgspec.json.decode(entry.value))) and owner not in uids
        ]


def _owner(obj: Obj) -> str:
    found: Any = controller_of(obj)
    return str(found["uid"]) if found else ""


def _lives(pod: Obj) -> bool:
    return not pod["metadata"].get("deletionTimestamp") and dig(pod, "status", "phase") not in {"Failed", "Succeeded"}
