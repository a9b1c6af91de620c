"""The controller against the real API server core, in this process, with a client that can be made to misbehave."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import yaml

from headstay.controllers.raycluster import RayClusterController
from headstay.local.server.assembly import build_api
from headstay.local.server.inprocess import InProcessClient
from headstay.model.errors import StatusError, is_not_found
from headstay.model.objects import Obj
from headstay.model.ray import RAYCLUSTERS, RayCluster
from headstay.model.ray_crds import raycluster_crd
from headstay.model.resource import CUSTOM_RESOURCE_DEFINITIONS, JOBS, PODS, SERVICE_ACCOUNTS, SERVICES, Resource
from headstay.plan.raycluster.plan import EventDraft
from headstay.plan.raycluster.settings import Settings
from headstay.runtime.client import Page, PatchType, Propagation, TransportError, WatchEvent

SAMPLE = Path(__file__).parents[3] / "config" / "samples" / "ray-cluster.external-redis.yaml"
NAME = "raycluster-external-redis"


class Misbehaving(InProcessClient):
    """Notes every write, and does to it what the test asked for.

    `refuse` raises before the write, `lose` after it happened: the write stands, the answer is lost.
    `hold_pods` keeps Pod events back while it is set, as a watch that lags.
    """

    writes: list[str]
    refuse: Callable[[str, Obj], StatusError | None]
    lose: Callable[[str, Obj], bool]
    hold_pods: bool

    @classmethod
    def over(cls, *args: Any) -> "Misbehaving":
        client = cls(*args)
        client.writes = []
        client.refuse = lambda _verb, _obj: None
        client.lose = lambda _verb, _obj: False
        client.hold_pods = False
        return client

    async def create(self, resource: Resource, obj: Obj, *, subresource: str = "", name: str = "") -> Obj:
        what = f"create {resource.kind}"
        if (error := self.refuse(what, obj)) is not None:
            raise error
        made = await super().create(resource, obj, subresource=subresource, name=name)
        self.writes.append(what)
        if self.lose(what, obj):
            raise TransportError("the connection was lost")
        return made

    async def patch(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        patch: Obj | list[Obj],
        *,
        patch_type: PatchType = "merge",
        subresource: str = "",
    ) -> Obj:
        made = await super().patch(resource, namespace, name, patch, patch_type=patch_type, subresource=subresource)
        self.writes.append(f"patch {resource.kind}" + (f"/{subresource}" if subresource else ""))
        return made

    async def delete(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        *,
        uid: str = "",
        resource_version: str = "",
        propagation: Propagation | None = None,
        grace_period_seconds: int | None = None,
    ) -> Obj:
        self.writes.append(f"delete {resource.kind}")
        return await super().delete(
            resource,
            namespace,
            name,
            uid=uid,
            resource_version=resource_version,
            propagation=propagation,
            grace_period_seconds=grace_period_seconds,
        )

    async def watch(
        self,
        resource: Resource,
        namespace: str = "",
        *,
        resource_version: str,
        label_selector: str = "",
        field_selector: str = "",
        timeout_seconds: int,
    ) -> AsyncGenerator[WatchEvent, None]:
        stream = super().watch(
            resource,
            namespace,
            resource_version=resource_version,
            label_selector=label_selector,
            field_selector=field_selector,
            timeout_seconds=timeout_seconds,
        )
        async with aclosing(stream):
            async for event in stream:
                while resource == PODS and self.hold_pods:
                    await asyncio.sleep(0.1)
                yield event


class Events:
    def __init__(self) -> None:
        self.said: list[EventDraft] = []

    def record(self, cluster: RayCluster, event: EventDraft) -> None:
        self.said.append(event)

    def reasons(self) -> list[str]:
        return [event.reason for event in self.said]


class World:
    """`user` acts as the user and the kubelet would; `client` is the operator's, whose clock is `ahead`."""

    def __init__(self, settings: Settings) -> None:
        self.api = build_api()
        self.user = InProcessClient(self.api)
        self.client = Misbehaving.over(self.api)
        self.events = Events()
        self.settings = settings
        self.beside = ""
        self.openshift = False
        self.ahead = timedelta(0)
        self._operator: asyncio.Task[None] | None = None

    def operator(self) -> RayClusterController:
        now, beside = lambda: datetime.now(UTC) + self.ahead, lambda: self.beside
        made = RayClusterController(self.client, self.events, self.settings, now=now, beside=beside)
        if self.openshift:
            made.make_routes()
        return made

    async def start(self) -> None:
        self._operator = asyncio.create_task(self.operator().run())

    async def stop(self) -> None:
        """As a crash: whatever it remembers is gone."""
        if self._operator is not None:
            self._operator.cancel()
            await asyncio.wait({self._operator})

    async def until(self, condition: Callable[[], Any], *, seconds: float = 60) -> None:
        """Virtual seconds; `condition` returns an awaitable of a truth value."""
        try:
            async with asyncio.timeout(seconds):
                while not await condition():
                    await asyncio.sleep(0.05)
        except TimeoutError as error:
            pods = [pod["metadata"]["name"] for pod in await self.pods()]
            raise AssertionError(f"not so after {seconds} s; Pods {pods}, writes {self.client.writes}") from error

    async def settle(self, seconds: float = 5) -> None:
        await asyncio.sleep(seconds)

    async def apply_sample(self, **spec: Any) -> None:
        document = deepcopy(
            next(found for found in yaml.safe_load_all(SAMPLE.read_text()) if found["kind"] == "RayCluster")
        )
        document["metadata"]["namespace"] = "default"
        document["spec"] |= spec
        await self.user.create(RAYCLUSTERS, document)

    async def cluster(self) -> Obj | None:
        try:
            return await self.user.get(RAYCLUSTERS, "default", NAME)
        except StatusError as error:
            if is_not_found(error):
                return None
            raise

    async def status(self) -> Obj:
        found = await self.cluster()
        assert found is not None
        status: Obj = found.get("status") or {}
        return status

    async def condition(self, kind: str) -> Obj:
        return next((entry for entry in (await self.status()).get("conditions") or [] if entry["type"] == kind), {})

    async def pods(self, node_type: str = "") -> list[Obj]:
        selector = f"ray.io/node-type={node_type}" if node_type else ""
        return _decode(await self.user.list_page(PODS, "default", label_selector=selector))

    async def jobs(self) -> list[Obj]:
        return _decode(await self.user.list_page(JOBS, "default"))

    async def services(self) -> list[Obj]:
        return _decode(await self.user.list_page(SERVICES, "default"))

    async def run_pods(self) -> None:
        """What a kubelet does."""
        for index, pod in enumerate(await self.pods()):
            await self.pod_status(
                pod, phase="Running", podIP=f"10.0.0.{index + 1}", conditions=[{"type": "Ready", "status": "True"}]
            )

    async def pod_status(self, pod: Obj, **status: Any) -> None:
        name = pod["metadata"]["name"]
        await self.user.patch(PODS, "default", name, {"status": status}, subresource="status")

    async def end_job(self, kind: str) -> None:
        (job,) = await self.jobs()
        condition = {"type": kind, "status": "True", "reason": "BackoffLimitExceeded", "message": "no luck"}
        patch = {"status": {"conditions": [condition]}}
        await self.user.patch(JOBS, "default", job["metadata"]["name"], patch, subresource="status")

    async def complete(self) -> None:
        """A cluster with all its Pods running."""
        await self.apply_sample()
        await self.until(lambda: _has(self.pods(), 2))
        await self.run_pods()
        await self.until(self.is_ready)

    async def is_ready(self) -> bool:
        return (await self.status()).get("state") == "ready"

    async def delete_cluster(self) -> None:
        await self.user.delete(RAYCLUSTERS, "default", NAME)

    async def is_gone(self) -> bool:
        return await self.cluster() is None

    async def has_job(self) -> bool:
        return bool(await self.jobs())


async def _has(found: Any, count: int) -> bool:
    return len(await found) == count


def _decode(page: Page) -> list[Obj]:
    return [msgspec.json.decode(item) for item in page.items]


@asynccontextmanager
async def world(settings: Settings | None = None, *, of: World | None = None) -> AsyncIterator[World]:
    found = of or World(settings or Settings())
    await found.user.create(CUSTOM_RESOURCE_DEFINITIONS, raycluster_crd())
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": "default"}}
    await found.user.create(SERVICE_ACCOUNTS, account)
    await found.start()
    try:
        yield found
    finally:
        await found.stop()
