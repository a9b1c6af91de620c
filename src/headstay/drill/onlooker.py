"""What the Pods of the target look like, at each moment, and the milestones that only Kubernetes can tell."""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Literal, NamedTuple

from headstay.drill.history import Look, PodSeen
from headstay.drill.kube import ExecError
from headstay.drill.safety import MADE_BY
from headstay.drill.service import active_cluster, not_served
from headstay.model.objects import Obj, dig, labels
from headstay.model.rayservice import RAYSERVICES
from headstay.model.resource import PODS
from headstay.runtime.client import Client
from headstay.runtime.reflector import Reflector
from headstay.runtime.views import Document

Role = Literal["head", "worker", "redis", "operator"]
_SYNC_BOUND = 60.0
ROLE = "headstay.io/drill-role"
OPERATOR_LABEL = "app.kubernetes.io/name=headstay-operator"


class Shape(NamedTuple):
    """What the target has when it is whole. With `serve` it is the RayService of that name."""

    cluster: str
    workers: int
    redis: bool
    serve: bool = False


class PodNow(NamedTuple):
    """A Pod as it is: what is recorded of it, and what only the drill itself needs to know."""

    seen: PodSeen
    address: str
    container: str
    leaving: bool
    waits_for: str = ""
    """Why it is not ready, where Kubernetes says so."""


def role_of(pod: Obj, cluster: str) -> Role | None:
    found = labels(pod)
    if found.get("ray.io/cluster") == cluster and found.get("ray.io/node-type") in {"head", "worker"}:
        return "head" if found["ray.io/node-type"] == "head" else "worker"
    if found.get(ROLE) == "redis" and MADE_BY in found:
        return "redis"
    return "operator" if found.get("app.kubernetes.io/name") == "headstay-operator" else None


def describe(pod: Obj, role: Role, node: str = "") -> PodNow:
    """The main container is the first of the spec, as Ray's and KubeRay's is."""
    container = str(dig(pod, "spec", "containers", 0, "name") or "")
    statuses: Iterable[Obj] = dig(pod, "status", "containerStatuses") or []
    restarts = next((int(s.get("restartCount") or 0) for s in statuses if s.get("name") == container), 0)
    conditions: Iterable[Obj] = dig(pod, "status", "conditions") or []
    ready = next((c for c in conditions if c.get("type") == "Ready"), {})
    seen = PodSeen(
        name=str(dig(pod, "metadata", "name")),
        uid=str(dig(pod, "metadata", "uid")),
        role=role,
        restarts=restarts,
        ready=ready.get("status") == "True",
        node=node,
    )
    return PodNow(
        seen,
        address=str(dig(pod, "status", "podIP") or ""),
        container=container,
        leaving=bool(dig(pod, "metadata", "deletionTimestamp")),
        waits_for="" if seen.ready else _waits_for(pod, conditions),
    )


def _waits_for(pod: Obj, conditions: Iterable[Obj]) -> str:
    for kind in ("initContainerStatuses", "containerStatuses"):
        for status in dig(pod, "status", kind) or []:
            waiting = dig(status, "state", "waiting")
            if waiting:
                return f"{waiting.get('reason') or 'waiting'} {waiting.get('message') or ''}".strip()
    unscheduled = next((c for c in conditions if c.get("type") == "PodScheduled" and c.get("status") == "False"), {})
    return str(unscheduled.get("message") or "")


def not_whole(pods: Iterable[PodNow], shape: Shape) -> str:
    """Why the target is not whole, as far as Kubernetes knows, or ""."""
    staying = [pod for pod in pods if pod.seen.role != "operator"]
    for pod in staying:
        if pod.leaving:
            return f"Pod {pod.seen.name} is still going"
        if not pod.seen.ready:
            return f"Pod {pod.seen.name} is not ready" + (f": {pod.waits_for}" if pod.waits_for else "")
    for role, wanted in (("head", 1), ("worker", shape.workers), ("redis", int(shape.redis))):
        there = sum(pod.seen.role == role for pod in staying)
        if there < wanted:
            return f"{there} of {wanted} {role} Pods are there"
    return ""


class Onlooker:
    """Watches the Pods of one namespace (and the operator's, where that is allowed) and says when they change.

    Of a RayService it sees the Pods of the active RayCluster: an upgrade is one head in the place of another.
    """

    def __init__(self, client: Client, namespace: str, shape: Shape, *, operators: bool) -> None:
        self.shape = shape
        self.nodes: Mapping[str, str] = {}
        """Ray's word on each node, by address, as the workload last read it."""
        self._reflectors = [Reflector(client, PODS, Document, namespace=namespace)]
        if operators:
            self._reflectors.append(Reflector(client, PODS, Document, label_selector=OPERATOR_LABEL))
        self._services: Reflector[Document] | None = None
        if shape.serve:
            self._services = Reflector(client, RAYSERVICES, Document, namespace=namespace)
        self._changed: Callable[[Look], None] | None = None
        self._last: tuple[PodSeen, ...] = ()
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        watched = [*self._reflectors, *([self._services] if self._services else [])]
        for reflector in watched:
            reflector.on_change(lambda _old, _new: self._look())
            self._tasks.append(asyncio.create_task(reflector.run()))
        for reflector in watched:
            try:
                await asyncio.wait_for(reflector.cache.synced.wait(), _SYNC_BOUND)
            except TimeoutError as late:
                what = reflector.resource.plural
                raise ExecError(f"the {what} could not be listed within {_SYNC_BOUND:.0f} s") from late

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def listen(self, changed: Callable[[Look], None] | None) -> None:
        """`changed` gets a Look at once and at each change; None ends that."""
        self._changed, self._last = changed, ()
        self.look(force=True)

    def look(self, *, force: bool = False) -> None:
        """Records a Look, if anything in it has changed."""
        now = tuple(pod.seen for pod in self.pods())
        if self._changed is not None and (force or now != self._last):
            self._last = now
            self._changed(Look(time.time(), now))

    def _look(self) -> None:
        self.look()

    def service(self) -> Obj | None:
        """The RayService, if the target is one."""
        held = self._services.cache.list() if self._services else []
        return next((item.obj() for item in held if item.metadata.name == self.shape.cluster), None)

    def pods(self) -> list[PodNow]:
        cluster = active_cluster(self.service()) if self.shape.serve else self.shape.cluster
        found: dict[str, PodNow] = {}
        for reflector in self._reflectors:
            for item in reflector.cache.list():
                pod = item.obj()
                role = role_of(pod, cluster)
                if role is not None and dig(pod, "status", "phase") not in {"Succeeded", "Failed"}:
                    node = self.nodes.get(str(dig(pod, "status", "podIP")), "") if role in {"head", "worker"} else ""
                    found[str(item.metadata.uid)] = describe(pod, role, node)
        return sorted(found.values(), key=lambda pod: (pod.seen.role, pod.seen.name))

    def namespace_of(self, uid: str) -> str:
        """Where the Pod is; an operator is seldom in the target's namespace."""
        every = (item.metadata for reflector in self._reflectors for item in reflector.cache.list())
        return next((metadata.namespace for metadata in every if metadata.uid == uid), "")

    def of(self, role: Role) -> list[PodNow]:
        """Those that stay."""
        return [pod for pod in self.pods() if pod.seen.role == role and not pod.leaving]

    def head(self) -> PodNow | None:
        return next(iter(self.of("head")), None)

    def missing(self) -> str:
        return (not_served(self.service()) if self.shape.serve else "") or not_whole(self.pods(), self.shape)
