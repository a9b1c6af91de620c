"""The node agent: one worker for each Pod that the API puts on this node.

At its start it looks at what is there: Pods that still run are taken over, containers of Pods that the API no longer
has are removed. When it ends, containers go on without it.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

import msgspec

from headstay.local.config import LocalConfig
from headstay.local.node import cgroups, rotation
from headstay.local.node.claims import Provisioner
from headstay.local.node.context import Context
from headstay.local.node.engine import ContainerState, Engine
from headstay.local.node.events import Events
from headstay.local.node.images import ImageStore
from headstay.local.node.node import NodeRegistration, machine_capacity
from headstay.local.node.objects import ApiObjects, ApiTokens
from headstay.local.node.payloads import Sources, refers_to
from headstay.local.node.podspec import PodDocument
from headstay.local.node.records import Checkpoints, PodRecord
from headstay.local.node.streams import NodeStreams
from headstay.local.node.volumes import Volumes
from headstay.local.node.worker import PodWorker
from headstay.local.seams import PodNetwork
from headstay.model.meta import Named, ObjectMeta, View
from headstay.model.objects import Obj, ObjectKey
from headstay.model.resource import CONFIGMAPS, PODS, SECRETS, SERVICES
from headstay.runtime.client import Client
from headstay.runtime.reflector import Reflector

log = logging.getLogger(__name__)
_TOKEN_CHECK_SECONDS = 60.0


class ServiceDocument(View):
    metadata: ObjectMeta = msgspec.field(default_factory=ObjectMeta)
    spec: dict[str, Any] = msgspec.field(default_factory=dict)


class NodeAgent:
    def __init__(
        self,
        config: LocalConfig,
        client: Client,
        network: PodNetwork,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._config = config
        self._engine = Engine(config)
        self._network = network
        self._workers: dict[str, PodWorker] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._removed: set[str] = set()
        self._running = False
        self._checkpoints = Checkpoints(config.state_dir / "pods")
        self._provisioner = Provisioner(config, client)
        self._tokens = ApiTokens(client, clock)
        self._node = NodeRegistration(config, client, config.bridge_address, clock)
        objects, capacity = ApiObjects(client), machine_capacity(config.state_dir)
        self._pods = Reflector(client, PODS, PodDocument, field_selector=f"spec.nodeName={config.node_name}")
        self._services = Reflector(client, SERVICES, ServiceDocument)
        self._config_maps = Reflector(client, CONFIGMAPS, Named)
        self._secrets = Reflector(client, SECRETS, Named)
        self._context = Context(
            config=config,
            client=client,
            engine=self._engine,
            images=ImageStore(config, self._engine),
            network=network,
            volumes=Volumes(config, Sources(objects, self._tokens, capacity), self._provisioner),
            objects=objects,
            services=self._known_services,
            events=Events(client, "kubelet", config.node_name, clock),
            checkpoints=self._checkpoints,
            clock=clock,
            host_address=config.bridge_address,
            capacity=capacity,
        )
        self.streams = NodeStreams(self._context, self.worker)
        self.ready = asyncio.Event()

    async def run(self) -> None:
        """Until cancelled. `ready` is set once the Node is registered and all that was there is taken over."""
        self._engine.prepare()
        cgroups.weigh(self._config.cgroup_parent, self._context.capacity["cpu"])
        cgroups.keep_up()
        for stale in self._config.run_dir.glob("exec-*"):  # of a daemon that was killed
            stale.unlink(missing_ok=True)
        try:
            async with asyncio.TaskGroup() as group:
                for reflector in (self._pods, self._services, self._config_maps, self._secrets):
                    group.create_task(reflector.run(), name=f"node/{reflector.resource}")
                group.create_task(self._context.events.run(), name="node/events")
                group.create_task(self._provisioner.run(), name="node/volumes")
                self._node.engine_version = await self._engine.version()
                await self._node.register()
                await self._node.renew_lease()
                for reflector in (self._pods, self._services):
                    await reflector.cache.synced.wait()
                await self._take_over(group)
                self._pods.on_change(lambda old, new: self._changed(group, old, new))
                self._config_maps.on_change(lambda _, new: self._refresh(group, "configMap", new))
                self._secrets.on_change(lambda _, new: self._refresh(group, "secret", new))
                group.create_task(self._node.run(), name="node/lease")
                group.create_task(self._renew_tokens(), name="node/tokens")
                group.create_task(self._rotate_logs(), name="node/logs")
                self.ready.set()
        finally:
            self._workers.clear()
            await self._engine.settle()

    async def _take_over(self, group: asyncio.TaskGroup) -> None:
        """Pods of an earlier daemon; their workers find out what the API still wants of them."""
        wanted = {pod.metadata.uid: pod for pod in self._pods.cache.list()}
        by_pod: dict[str, list[ContainerState]] = {}
        for state in await self._engine.containers():
            by_pod.setdefault(state.labels.get("pod-uid") or "", []).append(state)
        records = {record.uid: record for record in self._checkpoints.load()}
        for uid in {*records, *by_pod} - {""}:
            worker = PodWorker(self._context, records.get(uid) or PodRecord(uid, "", ""), self._on_removed)
            self._workers[uid] = worker
            worker.pod, worker.gone = wanted.get(uid), uid not in wanted
            strays = worker.adopt(by_pod.get(uid, []))
            for stray in strays:
                log.info("removing container %s, which its Pod %s does not know", stray, uid)
                await self._engine.remove(stray)
            worker.wake()
            self._tasks[uid] = group.create_task(worker.run(), name=f"pod/{uid}")

    def _changed(self, group: asyncio.TaskGroup, old: PodDocument | None, new: PodDocument | None) -> None:
        if new is None:
            if old is not None:
                self._removed.discard(old.metadata.uid)
                if worker := self._workers.get(old.metadata.uid):
                    worker.update(None)
            return
        uid = new.metadata.uid
        worker = self._workers.get(uid)
        if worker is None:
            if uid in self._removed:  # a finalizer of somebody else's keeps the object
                return
            worker = PodWorker(self._context, PodRecord(uid, *new.key), self._on_removed)
            self._workers[uid] = worker
            self._tasks[uid] = group.create_task(worker.run(), name=f"pod/{uid}")
        worker.update(new)

    def _on_removed(self, uid: str) -> None:
        self._workers.pop(uid, None)
        self._tasks.pop(uid, None)
        self._tokens.forget(uid)
        if any(pod.metadata.uid == uid for pod in self._pods.cache.list()):
            self._removed.add(uid)

    def _refresh(self, group: asyncio.TaskGroup, kind: str, new: Named | None) -> None:
        """A ConfigMap or Secret has changed: Pods that show it are brought up to date, Pods that wait for it try."""
        if new is None:
            return
        for worker in self._workers.values():
            pod = worker.pod
            if pod is None or pod.metadata.namespace != new.metadata.namespace:
                continue
            if refers_to(pod, kind, new.metadata.name):
                group.create_task(worker.refresh_volumes())
            worker.retry_configuration()

    async def _renew_tokens(self) -> None:
        while True:
            await asyncio.sleep(_TOKEN_CHECK_SECONDS)
            for worker in list(self._workers.values()):
                await worker.refresh_volumes()

    async def _rotate_logs(self) -> None:
        while True:
            await asyncio.sleep(rotation.CHECK_SECONDS)
            for worker in self._workers.values():
                worker.rotate_logs()

    def _known_services(self) -> Iterable[Obj]:
        return (
            {"metadata": {"name": one.metadata.name, "namespace": one.metadata.namespace}, "spec": one.spec}
            for one in self._services.cache.list()
        )

    def worker(self, key: ObjectKey) -> PodWorker | None:
        """The worker of the Pod of this name."""
        pod = self._pods.cache.get(key)
        return None if pod is None else self._workers.get(pod.metadata.uid)
