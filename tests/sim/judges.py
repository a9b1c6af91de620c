"""What must hold at every moment of every run, judged on the server's own log: each change as it happens.

A judge never asks the operator. `Judges.broken` collects sentences; a run is good when there are none.
"""

from collections import defaultdict
from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple

import msgspec
from tests.sim.network import Write
from tests.sim.records import Records, owner_of, storage_of
from tests.sim.redis import Redis

from headstay.local.server.store import Change, Store
from headstay.model.objects import Obj, dig
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
from headstay.model.resource import CONFIGMAPS
from headstay.plan.debts import DEBT
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


class Judges(Records):
    """`now` tells the time of the run, `date` what its clocks show."""

    def __init__(self, store: Store, now: Callable[[], float], date: Callable[[], datetime]) -> None:
        super().__init__(now)
        self.own_writes = 0
        self.redis = Redis(self, date)
        self._wanted: dict[str, list[_Wanted]] = defaultdict(list)
        self._cleanups: dict[str, str] = {}
        self._holder = ""
        store.on_change(self._changed)

    def landed(self, write: Write) -> None:
        if write.counts:
            self.own_writes += 1
            late = " (late)" if write.astray else ""
            self.note(f"{write.process}: {write.verb} {write.resource.kind} {write.name}{late}")
            if write.process != self._holder and not write.astray:
                self.complain(
                    f"{write.process} wrote ({write.verb} {write.resource.kind} {write.name}) "
                    f"while the Lease was held by {self._holder or 'nobody'}"
                )

    def refused(self, write: Write) -> None:
        if write.resource == CONFIGMAPS and write.verb == "create":
            self.redis.refused(write.name)

    def job_removed(self, name: str) -> None:
        """By a user, who wants the cleanup to be tried again."""
        self._cleanups = {uid: job for uid, job in self._cleanups.items() if job != name}

    # --- the log -----------------------------------------------------------------------------------------------

    def _changed(self, change: Change) -> None:
        judge: Callable[[Change, Obj], None] | None = {
            "pods": self._pod,
            "rayclusters.ray.io": self._cluster,
            "jobs.batch": self._job,
            "services": self._service,
            "configmaps": self._config_map,
            "leases.coordination.k8s.io": self._lease,
        }.get(change.key.table)
        if judge is not None:
            judge(change, msgspec.json.decode(change.entry.value))

    def _lease(self, change: Change, lease: Obj) -> None:
        if change.key.name == LEASE:
            holder = (lease.get("spec") or {}).get("holderIdentity") or ""
            if holder != self._holder:
                self.note(f"the Lease is held by {holder or 'nobody'}")
            self._holder = holder

    def _cluster(self, change: Change, cluster: Obj) -> None:
        uid = cluster["metadata"]["uid"]
        before = self.live_clusters.get(uid)
        if change.deleted:
            self.live_clusters.pop(uid, None)
        else:
            self.live_clusters[uid] = cluster
        if before is not None and _is_held(before) and (change.deleted or not _is_held(cluster)):
            self.redis.released(before)
        if change.deleted:
            return
        if before is None or before["spec"] != cluster["spec"]:
            groups = cluster["spec"].get("workerGroupSpecs") or []
            self._wanted[uid].append(_Wanted(self.now(), {group["groupName"]: desired_pods(group) for group in groups}))

    def _service(self, change: Change, service: Obj) -> None:
        if change.previous is None:
            self._finalizer_first(service)

    def _config_map(self, change: Change, found: Obj) -> None:
        if DEBT in (found["metadata"].get("labels") or {}):
            self.redis.debt(found, deleted=change.deleted)

    def _job(self, change: Change, job: Obj) -> None:
        meta = job["metadata"]
        if change.previous is not None or (meta.get("labels") or {}).get(NODE_TYPE) != REDIS_CLEANUP:
            return
        if self.is_lost(job):
            return
        uid = owner_of(job)
        if uid in self._cleanups:
            self.complain(f"a second cleanup Job for the cluster {meta['labels'][CLUSTER]} with uid {uid}")
        self._cleanups[uid] = meta["name"]
        writers = {pod["metadata"]["name"] for pod in self.writers_of(storage_of(job["spec"]["template"]))}
        heads = sorted(writers | {pod["metadata"]["name"] for pod in self.of_type(meta["labels"][CLUSTER], HEAD)})
        if heads:
            self.complain(f"cleanup Job {meta['name']} while {', '.join(heads)} may still write")

    def _pod(self, change: Change, pod: Obj) -> None:
        uid, labels = pod["metadata"]["uid"], pod["metadata"].get("labels") or {}
        if change.deleted:
            self.pods.pop(uid, None)
            return
        before, self.pods[uid] = self.pods.get(uid), pod
        self.redis.pod(pod, before)
        if change.previous is not None or labels.get(NODE_TYPE) not in {HEAD, WORKER} or self.is_lost(pod):
            return
        self._finalizer_first(pod)
        if labels[NODE_TYPE] == HEAD:
            self._one_head(labels[CLUSTER])
            self._one_writer(pod)
            self._place_noted_first(pod)
        elif pod["metadata"]["name"] not in self.astray:
            self._no_more_than_wanted(owner_of(pod), labels[GROUP_NAME])

    # --- the rules ---------------------------------------------------------------------------------------------

    def _one_head(self, cluster: str) -> None:
        """A head that is going counts: it may still write to the storage namespace."""
        heads = [pod["metadata"]["name"] for pod in self.of_type(cluster, HEAD)]
        if len(heads) > 1:
            self.complain(f"{cluster} has {len(heads)} head Pods at once: {', '.join(heads)}")

    def _one_writer(self, pod: Obj) -> None:
        if not (storage := storage_of(pod)):
            return
        for other in self.writers_of(storage):
            if owner_of(other) != owner_of(pod):
                both = f"{pod['metadata']['name']} and {other['metadata']['name']}"
                self.complain(f"two clusters write into {storage}: {both}")

    def _no_more_than_wanted(self, uid: str, group: str) -> None:
        """Of what any operator may believe to be wanted now. Who made one that went astray could not know of it."""
        known = self._wanted.get(uid) or []
        recent = [entry for entry in known if entry.at > self.now() - NEWS_TRAVELS]
        older = [entry for entry in known if entry.at <= self.now() - NEWS_TRAVELS][-1:]
        wanted = max((entry.pods.get(group, 0) for entry in (*older, *recent)), default=0)
        live = [
            pod["metadata"]["name"]
            for pod in self.pods.values()
            if owner_of(pod) == uid
            and dig(pod, "metadata", "labels", GROUP_NAME) == group
            and _lives(pod)
            and pod["metadata"]["name"] not in self.astray
        ]
        if len(live) > wanted:
            self.complain(f"group {group} of {uid} has {len(live)} Pods ({', '.join(live)}), at most {wanted} wanted")

    def _finalizer_first(self, child: Obj) -> None:
        cluster = self.live_clusters.get(owner_of(child))
        if cluster is None or "gcsFaultToleranceOptions" not in cluster["spec"]:
            return
        if REDIS_CLEANUP_FINALIZER not in (cluster["metadata"].get("finalizers") or []):
            self.complain(f"{child['kind']} {child['metadata']['name']} before its cluster's finalizer")

    def _place_noted_first(self, head: Obj) -> None:
        """What a head writes must be found again, whatever the spec says by then."""
        place, found = pod_identity(head, head["metadata"]["namespace"]), self.live_clusters.get(owner_of(head))
        if place is None or found is None:
            return
        cluster = msgspec.convert(found, RayCluster)
        noted = (remembered_storage(cluster), *former_storages(cluster))
        if place not in {storage.identity() for storage in noted if storage is not None}:
            self.complain(f"head {head['metadata']['name']} writes {place.text}, which is not noted")

    # --- the end -----------------------------------------------------------------------------------------------

    def pods_of(self, cluster: str) -> list[Obj]:
        return [pod for pod in self.pods.values() if dig(pod, "metadata", "labels", CLUSTER) == cluster]

    def clusters(self) -> dict[str, RayCluster]:
        found = [msgspec.convert(cluster, RayCluster) for cluster in self.live_clusters.values()]
        return {cluster.name: cluster for cluster in found}

    def orphans(self, store: Store) -> list[str]:
        """Objects whose owner is gone, and finalizers on what should be."""
        uids = {
            dig(msgspec.json.decode(entry.value), "metadata", "uid")
            for table in ("rayclusters.ray.io", "rayservices.ray.io", "jobs.batch")
            for _, entry in store.entries(table)
        }
        return [
            f"{key.text} outlived its owner"
            for table in ("pods", "services", "jobs.batch", "rayclusters.ray.io", "ingresses.networking.k8s.io")
            for key, entry in store.entries(table)
            if (owner := owner_of(msgspec.json.decode(entry.value))) and owner not in uids
        ]


def _is_held(cluster: Obj) -> bool:
    return REDIS_CLEANUP_FINALIZER in (cluster["metadata"].get("finalizers") or [])


def _lives(pod: Obj) -> bool:
    return not pod["metadata"].get("deletionTimestamp") and dig(pod, "status", "phase") not in {"Failed", "Succeeded"}
