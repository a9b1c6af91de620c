"""A pretended kubelet for any number of nodes, written against `runtime.client.Client` alone.

It runs wherever a Client does: in virtual time in this tier, in real time in the benches. Level-triggered and without a
task for each Pod: what it knows of a Pod is its stage and since when, so that 10,000 Pods cost two writes each
and a few hundred bytes. It takes Pods that are bound to its nodes, and binds the others itself where it is told to.

    (unbound) -- bind --> starting -- ready_after --> running -- ends --> ended
                              any stage -- deleted, then stop_after, at most the grace period --> gone
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from headstay.model.errors import StatusError, is_already_exists, is_conflict, is_not_found
from headstay.model.meta import Pod
from headstay.model.objects import Obj, ObjectKey
from headstay.model.resource import NODES, PODS
from headstay.model.timestamps import rfc3339
from headstay.runtime.client import Client
from headstay.runtime.controller import Controller, Result
from headstay.runtime.reflector import Reflector


class Ending(NamedTuple):
    """How a Pod's containers end by themselves, `after` seconds of running."""

    after: float
    exit_code: int = 0
    message: str = ""


def jobs_succeed(pod: Pod) -> Ending | None:
    """Pods of Jobs do their work in a second; all others run until they are stopped."""
    return Ending(1.0) if any(owner.kind == "Job" for owner in pod.metadata.owner_references) else None


@dataclass(frozen=True)
class Habits:
    """How long things take, in seconds, and how Pods end. Each is asked once for a Pod and stage.

    `ready_after` is None for a Pod that never gets that far.
    """

    ready_after: Callable[[Pod], float | None] = lambda _: 1.0
    stop_after: Callable[[Pod], float] = lambda _: 0.5
    ends: Callable[[Pod], Ending | None] = jobs_succeed


class _Stage(NamedTuple):
    """Where a Pod is, and when (loop time) its next step is due; never when `due` is infinite."""

    name: str
    due: float
    ending: Ending | None = None


_NEVER = float("inf")


class Kubelet:
    """`run` until cancelled. With `bind` it is the scheduler too: unbound Pods go to its nodes in turn."""

    def __init__(
        self,
        client: Client,
        habits: Habits | None = None,
        *,
        nodes: Sequence[str] = ("node-0",),
        bind: bool = True,
        namespace: str = "",
        workers: int = 8,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._client = client
        self._habits = habits or Habits()
        self._nodes = list(nodes)
        self._bind = bind
        self._now = now
        self._lost: set[str] = set()
        self._turn = 0
        self._addresses = 0
        self._stages: dict[str, _Stage] = {}
        self.pods = Reflector(client, PODS, Pod, namespace=namespace, draw=draw)
        self.pods.on_change(self._forget_the_gone)
        self._controller: Controller[ObjectKey] = Controller("kubelet", self._look, workers=workers, draw=draw)
        self._controller.watches(self.pods, lambda pod: [_key(pod)])

    async def register(self) -> None:
        """Makes the Node objects, as a kubelet does when it joins."""
        for name in self._nodes:
            node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}}
            try:
                await self._client.create(NODES, node)
            except StatusError as error:
                if not is_already_exists(error):
                    raise

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self.pods.run(), name="kubelet/pods")
            group.create_task(self._controller.run(), name="kubelet")

    # --- what may befall Pods and nodes ----------------------------------------------------------------------

    def lose(self, node: str) -> None:
        """The node falls silent: what ran on it changes no more, and deletions of its Pods are not honoured."""
        self._lost.add(node)

    def bring_back(self, node: str) -> None:
        self._lost.discard(node)
        for pod in self.pods.cache.list():
            if pod.spec.node_name == node:
                self._controller.enqueue(_key(pod))

    async def remove(self, node: str) -> None:
        """The Node object goes, and Kubernetes' Pod garbage collector takes what was bound to it."""
        self._lost.add(node)
        self._nodes = [name for name in self._nodes if name != node]
        await _calmly(self._client.delete(NODES, "", node))
        for pod in self.pods.cache.list():
            if pod.spec.node_name == node:
                await self._delete(pod)

    async def fail(self, namespace: str, name: str, *, reason: str = "Evicted", message: str = "") -> None:
        """The Pod fails as a whole, as when it is evicted; nothing restarts it."""
        pod = self.pods.cache.get(ObjectKey(namespace, name))
        if pod is not None:
            await self._end(pod, Ending(0, 137, message), reason=reason)

    async def crash(self, namespace: str, name: str, *, exit_code: int = 1, message: str = "") -> None:
        """The containers end; they are started again where the restart policy says so."""
        pod = self.pods.cache.get(ObjectKey(namespace, name))
        if pod is None or pod.status.phase != "Running":
            return
        if pod.spec.restart_policy != "Always":
            await self._end(pod, Ending(0, exit_code, message))
            return
        ended = {"terminated": {"exitCode": exit_code, "reason": "Error", "message": message}}
        restarts = 1 + max((found.restart_count for found in pod.status.container_statuses), default=0)
        waiting = {"waiting": {"reason": "ContainerCreating"}}
        await self._say(pod, "Running", ready=False, state=waiting, restarts=restarts, last=ended)

    # --- one look at one Pod ---------------------------------------------------------------------------------

    async def _look(self, key: ObjectKey) -> Result:
        pod = self.pods.cache.get(key)
        if pod is None or pod.spec.node_name in self._lost:
            return Result()
        if not pod.spec.node_name:
            if self._bind and pod.metadata.deletion_timestamp is None:
                await self._bind_to_next(pod)
            return Result()
        if pod.spec.node_name not in self._nodes:
            return Result()
        stage = self._stage(pod)
        left = stage.due - asyncio.get_running_loop().time()
        if left > 0:
            return Result(left if left != _NEVER else None, stage.name)
        match stage.name:
            case "stopping":
                await self._delete(pod)
            case "starting":
                await self._say(pod, "Running", ready=True, state={"running": {"startedAt": rfc3339(self._now())}})
            case "running" if stage.ending is not None:
                await self._end(pod, stage.ending)
        return Result()

    def _stage(self, pod: Pod) -> _Stage:
        """The Pod's stage; when it has just got there, its next step is decided now."""
        uid, now = pod.metadata.uid, asyncio.get_running_loop().time()
        name = _name_of_stage(pod)
        held = self._stages.get(uid)
        if held is not None and held.name == name:
            return held
        match name:
            case "stopping":
                grace = pod.metadata.deletion_grace_period_seconds
                stop = self._habits.stop_after(pod)
                stage = _Stage(name, now + (stop if grace is None else min(stop, grace)))
            case "starting":
                after = self._habits.ready_after(pod)
                stage = _Stage(name, _NEVER if after is None else now + after)
            case "running":
                ending = self._habits.ends(pod)
                stage = _Stage(name, now + ending.after if ending else _NEVER, ending)
            case _:
                stage = _Stage(name, _NEVER)
        self._stages[uid] = stage
        return stage

    def _forget_the_gone(self, old: Pod | None, new: Pod | None) -> None:
        if old is not None and (new is None or new.metadata.uid != old.metadata.uid):
            self._stages.pop(old.metadata.uid, None)

    # --- writes ----------------------------------------------------------------------------------------------

    async def _bind_to_next(self, pod: Pod) -> None:
        nodes = [name for name in self._nodes if name not in self._lost]
        if not nodes:
            return
        self._turn += 1
        meta = pod.metadata
        identity = {"name": meta.name, "namespace": meta.namespace, "uid": meta.uid}
        target = {"kind": "Node", "name": nodes[self._turn % len(nodes)]}
        binding = {"apiVersion": "v1", "kind": "Binding", "metadata": identity, "target": target}
        await _calmly(self._client.create(PODS, binding, subresource="binding", name=meta.name))

    async def _delete(self, pod: Pod) -> None:
        meta = pod.metadata
        await _calmly(
            self._client.delete(PODS, meta.namespace, meta.name, uid=meta.uid, grace_period_seconds=0),
        )

    async def _end(self, pod: Pod, ending: Ending, *, reason: str = "") -> None:
        now = rfc3339(self._now())
        ended = {
            "exitCode": ending.exit_code,
            "reason": "Error" if ending.exit_code else "Completed",
            "message": ending.message,
            "startedAt": now,
            "finishedAt": now,
        }
        phase = "Failed" if ending.exit_code else "Succeeded"
        await self._say(pod, phase, ready=False, state={"terminated": ended}, reason=reason)

    async def _say(
        self,
        pod: Pod,
        phase: str,
        *,
        ready: bool,
        state: Obj,
        restarts: int | None = None,
        last: Obj | None = None,
        reason: str = "",
    ) -> None:
        now = rfc3339(self._now())
        known = max((found.restart_count for found in pod.status.container_statuses), default=0)
        told = {"ready": ready, "restartCount": known if restarts is None else restarts, "state": state}
        told |= {"lastState": last} if last else {}
        status: Obj = {
            "phase": phase,
            "podIP": pod.status.pod_ip or self._address(),
            "hostIP": "192.0.2.1",
            "conditions": [
                {"type": kind, "status": "True" if ready else "False", "lastTransitionTime": now}
                for kind in ("ContainersReady", "Ready")
            ],
            "containerStatuses": [
                {"name": found.name, "image": found.image, "imageID": found.image, **told}
                for found in pod.spec.containers
            ],
        }
        status |= {"reason": reason} if reason else {}
        status |= {} if pod.status.start_time else {"startTime": now}
        meta = pod.metadata
        patch = {"metadata": {"uid": meta.uid}, "status": status}
        await _calmly(self._client.patch(PODS, meta.namespace, meta.name, patch, subresource="status"))

    def _address(self) -> str:
        self._addresses += 1
        return f"10.{self._addresses >> 16 & 255}.{self._addresses >> 8 & 255}.{self._addresses & 255}"


def _name_of_stage(pod: Pod) -> str:
    if pod.metadata.deletion_timestamp is not None:
        return "stopping"
    if pod.status.phase in {"Succeeded", "Failed"}:
        return "ended"
    return "running" if pod.status.phase == "Running" and pod.ready else "starting"


def _key(pod: Pod) -> ObjectKey:
    return ObjectKey(pod.metadata.namespace, pod.metadata.name)


async def _calmly(call: Awaitable[Any]) -> None:
    """A kubelet does not mind that a Pod is gone or has been replaced: the next look sees what is."""
    try:
        await call
    except StatusError as error:
        if not is_not_found(error) and not is_conflict(error):
            raise
