"""RayClusters that name the same storage namespace, and the judge that sees to it that one writes."""

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from copy import deepcopy
from typing import Any

import msgspec
import yaml
from tests.unit.controllers.world import SAMPLE, Misbehaving, World, world

from headstay.model.errors import StatusError, is_not_found
from headstay.model.objects import Obj
from headstay.model.ray import CLUSTER, ENV_STORAGE_NAMESPACE, HEAD, NODE_TYPE, RAYCLUSTERS, env_entry
from headstay.model.resource import JOBS, PODS, Resource
from headstay.plan.raycluster.writer import CONFLICT
from headstay.runtime.client import Page, WatchEvent

_RAYCLUSTER = next(found for found in yaml.safe_load_all(SAMPLE.read_text()) if found["kind"] == "RayCluster")


class Judge(Misbehaving):
    """Fails the test the moment a head or a cleanup is made while another cluster's is there.

    With `luck`, news of RayClusters and Pods come late, and every write may be the operator's last.
    """

    luck: random.Random | None = None
    crimes: list[str]
    asked: list[Resource]

    async def create(self, resource: Resource, obj: Obj, *, subresource: str = "", name: str = "") -> Obj:
        labels = obj["metadata"].get("labels") or {}
        there: list[Obj] = []
        if (resource == PODS and labels.get(NODE_TYPE) == HEAD) or resource == JOBS:
            jobs = await self._list(JOBS, "")
            there += [job for job in jobs if not (job.get("status") or {}).get("conditions")]
            there += await self._list(PODS, f"{NODE_TYPE}={HEAD}")
        made = await super().create(resource, obj, subresource=subresource, name=name)
        for found in there:
            self._judge(made, found, own_too=resource == JOBS or found["kind"] == "Job")
        return made

    def _judge(self, made: Obj, there: Obj, *, own_too: bool) -> None:
        ours, theirs = (obj["metadata"]["ownerReferences"][0]["uid"] for obj in (made, there))
        if storage_of(made) == storage_of(there) and (own_too or ours != theirs):
            name = made["metadata"]["labels"][CLUSTER]
            self.crimes.append(f"{made['kind']} of {name} beside {there['metadata']['name']}")

    async def _list(self, resource: Resource, selector: str) -> list[Obj]:
        page = await super().list_page(resource, "default", label_selector=selector)
        return [msgspec.json.decode(item) for item in page.items]

    async def list_page(self, resource: Resource, namespace: str = "", **rest: Any) -> Page:
        self.asked.append(resource)
        return await super().list_page(resource, namespace, **rest)

    async def watch(self, resource: Resource, namespace: str = "", **rest: Any) -> AsyncGenerator[WatchEvent, None]:
        async for event in super().watch(resource, namespace, **rest):
            if self.luck is not None and resource in {RAYCLUSTERS, PODS}:
                await asyncio.sleep(self.luck.choice([0, 0, 0.3, 2]))
            yield event


def storage_of(obj: Obj) -> str:
    """What the environment says: neither label nor annotation can make the judge look away."""
    template = obj["spec"].get("template") or obj
    entry = env_entry(template["spec"]["containers"][0], ENV_STORAGE_NAMESPACE)
    assert entry is not None
    return str(entry["value"])


@asynccontextmanager
async def judged(luck: random.Random | None = None) -> AsyncIterator[World]:
    async with world() as w:
        await w.stop()
        judge = Judge.over(w.api)
        assert isinstance(judge, Judge)
        judge.luck, judge.crimes, judge.asked = luck, [], []
        w.client = judge
        await w.start()
        yield w
        assert judge.crimes == []


async def make(w: World, name: str, storage: str = "shared", **annotations: str) -> None:
    document = deepcopy(_RAYCLUSTER)
    document["metadata"] |= {"name": name, "namespace": "default"}
    document["metadata"]["annotations"] |= {"ray.io/external-storage-namespace": storage, **annotations}
    await w.user.create(RAYCLUSTERS, document)


async def find(w: World, name: str) -> Obj | None:
    try:
        return await w.user.get(RAYCLUSTERS, "default", name)
    except StatusError as error:
        if is_not_found(error):
            return None
        raise


async def conflict(w: World, name: str) -> Obj:
    found = await find(w, name) or {}
    return next((c for c in (found.get("status") or {}).get("conditions") or [] if c["type"] == CONFLICT), {})


async def refused(w: World, name: str) -> bool:
    return bool(await conflict(w, name))


async def head_of(w: World, name: str) -> list[str]:
    return [pod["metadata"]["name"] for pod in await w.pods("head") if pod["metadata"]["labels"][CLUSTER] == name]


async def gone(w: World, name: str) -> bool:
    return await find(w, name) is None


async def pair(w: World) -> None:
    """The first runs, the second is refused."""
    await make(w, "first")
    await w.until(lambda: head_of(w, "first"))
    await w.run_pods()
    await make(w, "second")
    await w.until(lambda: refused(w, "second"))
