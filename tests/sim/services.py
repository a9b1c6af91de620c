"""The world with RayServices in it: both controllers in one process, a pretended Serve, and the judges of upgrades."""

import asyncio
import random
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from tests.sim.manifests import cluster
from tests.sim.network import Weather
from tests.sim.operators import Process
from tests.sim.records import is_ready
from tests.sim.serve import Serve, ServeLine, namespace_of
from tests.sim.world import Kit, World, clock, running

from headstay.controllers.raycluster import RayClusterController
from headstay.controllers.rayservice import RayServiceController
from headstay.controllers.recorder import ServiceEvents
from headstay.local.server.store import Change
from headstay.model.errors import StatusError
from headstay.model.meta import Pod
from headstay.model.objects import Obj, controller_of, dig
from headstay.model.ray import CLUSTER, HEAD, NODE_TYPE, SERVE, RayCluster
from headstay.model.ray_crds import rayservice_crd
from headstay.model.rayservice import RAYSERVICES, READY, RayService
from headstay.model.resource import CUSTOM_RESOURCE_DEFINITIONS
from headstay.runtime.events import EventRecorder

GIVEN = "fruit"
BROKEN = "broken"
"""An image whose Pods never get ready."""
CONFIG = "applications:\n- name: app\n"


class ServiceProcess(Process):
    """The operator with its RayService controller."""

    serve: Serve

    def _beside(self, clusters: RayClusterController) -> list[Coroutine[Any, Any, None]]:
        events = EventRecorder(
            self._network, "rayservice-controller", now=self._now, suffix=lambda: f"{random.getrandbits(64):016x}"
        )
        services = RayServiceController(
            self._acting,
            ServiceEvents(events),
            self._settings,
            now=self._now,
            clusters=clusters,
            dashboard=ServeLine(self.serve, self._network, self.name, self._network._wire.landed),
            workers=2,
            draw=random.random,
        )
        return [events.run(), services.run()]


class ServiceWorld(World):
    kinds = (*World.kinds, RAYSERVICES)

    def __init__(self, kit: Kit, weather: Weather) -> None:
        super().__init__(kit, weather)
        self.serve = Serve(self.judges)
        self.used: list[str] = []
        """Storage namespaces of heads, in the order in which they were first used."""
        self.first_write = 1
        """Of those that a flow is about; what came before is another flow's."""
        self._services: dict[str, Obj] = {}
        self._deleted: set[str] = set()
        self.api.store.on_change(self._judge)

    async def start(self) -> None:
        await self.user.create(CUSTOM_RESOURCE_DEFINITIONS, rayservice_crd())
        await super().start()

    def _process(self, name: str) -> Process:
        process = ServiceProcess(
            name, self.user, self.weather, self.judges, clock, wire=self, settings=self.kit.settings
        )
        process.serve = self.serve
        return process

    def _ready_after(self, pod: Pod) -> float | None:
        return None if f".{BROKEN}." in pod.spec.containers[0].image else super()._ready_after(pod)

    # --- the user ----------------------------------------------------------------------------------------------

    async def create_service(self, name: str, image: str = "1", **more: Any) -> None:
        while True:
            try:
                await self.user.create(RAYSERVICES, rayservice(name, image, **more))
            except StatusError as error:
                if error.reason != "AlreadyExists":
                    raise
                await asyncio.sleep(1)
            else:
                return

    async def settle(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        self.first_write = self.judges.own_writes + 1

    async def edit_service(self, name: str, **spec: Any) -> None:
        await self._quietly(self.user.patch(RAYSERVICES, "default", name, {"spec": spec}))

    async def set_image(self, name: str, image: str) -> None:
        await self.edit_service(name, rayClusterConfig=cluster_spec(image))

    async def delete_service(self, name: str) -> None:
        await self._quietly(self.user.delete(RAYSERVICES, "default", name))

    # --- what must hold at every moment ------------------------------------------------------------------------

    def _judge(self, change: Change) -> None:
        obj: Obj = msgspec.json.decode(change.entry.value)
        match change.key.table:
            case "rayservices.ray.io":
                if change.deleted:
                    self._services.pop(change.key.name, None)
                else:
                    self._services[change.key.name] = obj
            case "rayclusters.ray.io":
                self._judge_deletion(change, obj)
            case "services":
                self._judge_traffic(change, obj)
            case "pods" if change.previous is None and dig(obj, "metadata", "labels", NODE_TYPE) == HEAD:
                self._judge_namespace(obj)

    def _judge_deletion(self, change: Change, obj: Obj) -> None:
        """The cluster that serves goes only with its RayService, or to suspend it."""
        name, uid = change.key.name, obj["metadata"]["uid"]
        if not obj["metadata"].get("deletionTimestamp") or uid in self._deleted:
            return
        self._deleted.add(uid)
        owner = (controller_of(obj) or {}).get("name")
        stored = self._services.get(str(owner))
        if stored is None:
            return
        service = msgspec.convert(stored, RayService)
        if name in {service.active, service.pending} and not service.deleting and not service.is_true("Suspending"):
            self.judges.complain(f"RayCluster {name} is deleted while its RayService uses it")

    def _judge_traffic(self, change: Change, obj: Obj) -> None:
        """Never from somebody who answers to nobody."""
        if change.previous is None or change.deleted or SERVE not in obj["metadata"].get("labels", {}):
            return
        before = msgspec.json.decode(change.previous.value)["spec"]["selector"].get(CLUSTER)
        after = obj["spec"]["selector"].get(CLUSTER)
        if before != after and self.endpoints(before) and not self.endpoints(after):
            self.judges.complain(f"requests go from {before}, which serves, to {after}, which does not")

    def endpoints(self, name: str) -> list[str]:
        return [
            pod["metadata"]["name"]
            for pod in self.judges.pods_of(name)
            if is_ready(pod) and pod["metadata"]["labels"].get(SERVE) == "true"
        ]

    def _judge_namespace(self, head: Obj) -> None:
        namespace, cluster_name = namespace_of(head), head["metadata"]["labels"][CLUSTER]
        sharers = [
            pod["metadata"]["name"]
            for pod in self.judges.pods.values()
            if pod["metadata"]["labels"].get(NODE_TYPE) == HEAD
            and pod["metadata"]["labels"][CLUSTER] != cluster_name
            and namespace_of(pod) == namespace
        ]
        if sharers:
            self.judges.complain(f"{head['metadata']['name']} gets the storage namespace of {', '.join(sharers)}")
        if namespace not in self.used:
            self.used.append(namespace)

    # --- the end -----------------------------------------------------------------------------------------------

    def unlike(self, wanted: set[str]) -> str:
        if set(self._services) != wanted:
            return f"there are RayServices {sorted(self._services)}, not {sorted(wanted)}"
        clusters = self.judges.clusters()
        expected: set[str] = set()
        for name, obj in sorted(self._services.items()):
            service = msgspec.convert(obj, RayService)
            if service.deleting:
                return f"{name} is still being deleted"
            if service.suspend:
                if not service.is_true("Suspended") or service.active:
                    return f"{name} is not suspended: {service.status}"
                continue
            expected.add(service.active)
            if why := self._unlike_service(service, clusters.get(service.active)):
                return f"{name}: {why}"
        if set(clusters) != expected:
            return f"there are clusters {sorted(clusters)}, not {sorted(expected)}"
        return super().unlike(expected)

    def _unlike_service(self, service: RayService, active: RayCluster | None) -> str:
        if service.pending or active is None or not service.is_true(READY):
            return f"active {service.active}, pending {service.pending}, conditions {service.status.get('conditions')}"
        image = service.cluster_spec["headGroupSpec"]["template"]["spec"]["containers"][0]["image"]
        if active.head_group["template"]["spec"]["containers"][0]["image"] != image:
            return f"{active.name} is not of image {image}"
        for kind in ("head", "serve"):
            found = self._service(f"{service.name}-{kind}-svc")
            if found is None or found["spec"]["selector"][CLUSTER] != active.name:
                return f"its {kind} Service does not point at {active.name}"
        heads = self.pods(active.name, HEAD)
        if not heads or heads[0]["metadata"]["labels"].get(SERVE) != "true":
            return "its head has no label ray.io/serve=true"
        _, config = self.serve.deployed.get(namespace_of(heads[0]), (0.0, {}))
        names = [found["name"] for found in config.get("applications", [])]
        wanted = [line.partition("name: ")[2] for line in service.spec["serveConfigV2"].splitlines()[1:]]
        return "" if names == wanted else f"Serve runs {names}, not {wanted}"

    def _service(self, name: str) -> Obj | None:
        for key, entry in self.api.store.entries("services"):
            if key.name == name:
                found: Obj = msgspec.json.decode(entry.value)
                return found
        return None


def rayservice(name: str, image: str = "1", *, annotations: dict[str, str] | None = None, **spec: Any) -> Obj:
    return {
        "apiVersion": RAYSERVICES.api_version,
        "kind": RAYSERVICES.kind,
        "metadata": {
            "name": name,
            "namespace": "default",
            "annotations": {"ray.io/gcs-ft-deletion-timeout": "120"} | (annotations or {}),
        },
        "spec": {
            "serveConfigV2": CONFIG,
            "rayClusterDeletionDelaySeconds": 5,
            "rayClusterConfig": cluster_spec(image),
            **spec,
        },
    }


def cluster_spec(image: str) -> Obj:
    """With GCS fault tolerance in a storage namespace of the user's choice."""
    spec: Obj = cluster("x", workers=1)["spec"]
    spec["gcsFaultToleranceOptions"] |= {"externalStorageNamespace": GIVEN}
    for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"]):
        group["template"]["spec"]["containers"][0]["image"] = f"rayproject/ray:2.{image}.0"
    return spec


@asynccontextmanager
async def service_world() -> AsyncIterator[ServiceWorld]:
    async with running(ServiceWorld(Kit(), Weather())) as found:
        yield found
