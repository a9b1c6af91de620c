"""kube-scheduler's part: gives each Pod without a node one, or says why it cannot have one.

Serial on purpose: a Pod bound a moment ago counts before the watch has brought it back (`_assumed`), so that two Pods
can never be given the same room. What is taken on each node is kept as Pods come and go (`ledger`). A Pod that found no
room is tried again whenever that may help: a Pod came, went, finished or changed its labels, a claim appeared, a node
changed.
"""

from collections.abc import Callable
from datetime import UTC, datetime

import msgspec

from headstay.local.controllers.informers import Informers
from headstay.local.controllers.ledger import Ledger
from headstay.local.controllers.scheduling import Fits, place
from headstay.local.controllers.schedulingviews import FINISHED, SchedulingNode, SchedulingPod
from headstay.local.controllers.snapshot import Snapshot
from headstay.model.errors import StatusError, is_not_found
from headstay.model.meta import Named
from headstay.model.objects import Obj, ObjectKey
from headstay.model.resource import NAMESPACES, NODES, PERSISTENT_VOLUME_CLAIMS, PODS
from headstay.model.timestamps import rfc3339
from headstay.runtime.client import Client
from headstay.runtime.controller import Controller, Result
from headstay.runtime.events import EventRecorder, reference_to

NAME = "default-scheduler"


def _key(pod: SchedulingPod) -> ObjectKey:
    return ObjectKey(pod.metadata.namespace, pod.metadata.name)


def needs_a_node(pod: SchedulingPod) -> bool:
    spec, status = pod.spec, pod.status
    waits = not spec.node_name and not spec.scheduling_gates and spec.scheduler_name == NAME
    return waits and pod.metadata.deletion_timestamp is None and status.phase not in FINISHED


def _weighs(pod: SchedulingPod | None) -> dict[str, str] | None:
    """What others' placement depends on: whether it holds a place, and as whom."""
    return pod.metadata.labels if pod is not None and pod.occupies else None


class Scheduler:
    def __init__(
        self,
        client: Client,
        informers: Informers,
        recorder: EventRecorder,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`recorder` is one whose component is `default-scheduler`; its owner runs it."""
        self._client = client
        self._recorder = recorder
        self._now = now
        self._pods = informers.of(PODS, SchedulingPod)
        self._nodes = informers.of(NODES, SchedulingNode)
        self._namespaces = informers.of(NAMESPACES, Named)
        self._claims = informers.of(PERSISTENT_VOLUME_CLAIMS, Named)
        self._assumed: set[str] = set()
        self._taken = Ledger()
        self._unplaced: set[ObjectKey] = set()
        self._controller: Controller[ObjectKey] = Controller("scheduler", self._schedule)
        self._controller.watches(self._pods, lambda pod: [_key(pod)] if needs_a_node(pod) else [])
        self._controller.watches(self._nodes, lambda _node: self._waiting())
        self._controller.watches(self._namespaces, lambda _namespace: ())
        self._controller.watches(self._claims, lambda _claim: self._waiting())
        self._pods.on_change(self._pod_changed)

    async def run(self) -> None:
        """Until cancelled; the reflectors are the informers' owner's to run."""
        await self._controller.run()

    def _waiting(self) -> list[ObjectKey]:
        """The Pods without room, the most important first, then the oldest."""
        pods = [pod for key in self._unplaced if (pod := self._pods.cache.get(key)) is not None]
        pods.sort(key=lambda pod: (-pod.spec.priority, pod.metadata.creation_timestamp or "", _key(pod)))
        return [_key(pod) for pod in pods]

    def _pod_changed(self, old: SchedulingPod | None, new: SchedulingPod | None) -> None:
        if new is None:
            if old is not None:
                self._forget(old.metadata.uid)
        elif new.metadata.uid not in self._assumed or new.spec.node_name or new.status.phase in FINISHED:
            self._assumed.discard(new.metadata.uid)
            self._taken.put(new)
        if _weighs(old) != _weighs(new):
            for key in self._waiting():
                self._controller.enqueue(key)

    async def _schedule(self, key: ObjectKey) -> Result:
        pod = self._pods.cache.get(key)
        if pod is None or not needs_a_node(pod) or pod.metadata.uid in self._assumed:
            self._unplaced.discard(key)
            return Result()
        found = place(pod, self._snapshot())
        if isinstance(found, Fits):
            await self._bind(pod, found.node)
            self._unplaced.discard(key)
            return Result()
        self._unplaced.add(key)
        self._recorder.event(
            reference_to(PODS, pod.metadata), "Warning", "FailedScheduling", "Scheduling", found.message
        )
        await self._say_unschedulable(pod, found.message)
        return Result()

    def _snapshot(self) -> Snapshot:
        return Snapshot(
            nodes=self._nodes.cache.list(),
            others=self._taken,
            namespaces={found.metadata.name: found.metadata.labels for found in self._namespaces.cache.list()},
            claims={ObjectKey(found.metadata.namespace, found.metadata.name) for found in self._claims.cache.list()},
        )

    async def _bind(self, pod: SchedulingPod, node: str) -> None:
        meta = pod.metadata
        binding: Obj = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": meta.name, "namespace": meta.namespace, "uid": meta.uid},
            "target": {"apiVersion": "v1", "kind": "Node", "name": node},
        }
        assumed = msgspec.structs.replace(pod, spec=msgspec.structs.replace(pod.spec, node_name=node))
        self._assumed.add(meta.uid)
        self._taken.put(assumed)
        try:
            await self._client.create(PODS, binding, subresource="binding", name=meta.name)
        except BaseException as error:
            self._forget(meta.uid)
            if isinstance(error, StatusError) and is_not_found(error):
                return
            raise
        seen = self._pods.cache.get(_key(pod))
        if seen is None or seen.metadata.uid != meta.uid:
            self._forget(meta.uid)  # the watch was faster than the answer
        note = f"Successfully assigned {meta.namespace}/{meta.name} to {node}"
        self._recorder.event(reference_to(PODS, meta), "Normal", "Scheduled", "Binding", note)

    def _forget(self, uid: str) -> None:
        self._assumed.discard(uid)
        self._taken.remove(uid)

    async def _say_unschedulable(self, pod: SchedulingPod, message: str) -> None:
        old = next((c for c in pod.status.conditions if c.type == "PodScheduled"), None)
        if old is not None and (old.status, old.reason, old.message) == ("False", "Unschedulable", message):
            return
        since = old.last_transition_time if old is not None and old.status == "False" else None
        condition = {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": message,
            "lastProbeTime": None,
            "lastTransitionTime": since or rfc3339(self._now()),
        }
        meta = pod.metadata
        try:
            await self._client.patch(
                PODS,
                meta.namespace,
                meta.name,
                {"metadata": {"uid": meta.uid}, "status": {"conditions": [condition]}},
                patch_type="strategic",
                subresource="status",
            )
        except StatusError as error:
            if not is_not_found(error):
                raise
