"""Puts what a KubeRay version left behind into an API server, and reads it back with KubeRay's own selectors."""

from pathlib import Path
from typing import Any

import msgspec
import yaml
from tests.unit.controllers.world import World

from headstay.model.objects import Obj
from headstay.model.ray import RAYCLUSTERS
from headstay.model.resource import JOBS, PODS, SERVICES, Resource

FIXTURES = Path(__file__).parents[2] / "fixtures"
NAME = "ray"
_RESOURCES = {"RayCluster": RAYCLUSTERS, "Pod": PODS, "Service": SERVICES, "Job": JOBS}
CHILDREN: tuple[Resource, ...] = (PODS, SERVICES, JOBS)


def fixtures(pattern: str) -> list[str]:
    """`1.3/ft-options` and so on; at least one must match."""
    found = sorted(FIXTURES.glob(f"kuberay-{pattern}.yaml"))
    assert found, pattern
    return [f"{path.parent.name.removeprefix('kuberay-')}/{path.stem}" for path in found]


def documents(name: str) -> list[Obj]:
    return list(yaml.safe_load_all((FIXTURES / f"kuberay-{name}.yaml").read_text()))


async def load(world: World, name: str) -> None:
    """The server gives the RayCluster a uid of its own, which then stands wherever the old one stood."""
    cluster, *children = documents(name)
    old = cluster["metadata"].pop("uid")
    deleting = cluster["metadata"].pop("deletionTimestamp", None)
    made = await world.user.create(RAYCLUSTERS, cluster)
    await world.user.patch(RAYCLUSTERS, "default", NAME, {"status": cluster["status"]}, subresource="status")
    text = yaml.safe_dump_all(children).replace(old, made["metadata"]["uid"])
    for child in yaml.safe_load_all(text):
        resource = _RESOURCES[child["kind"]]
        status = child.pop("status", None)
        await world.user.create(resource, child)
        if status:
            name_of = child["metadata"]["name"]
            await world.user.patch(resource, "default", name_of, {"status": status}, subresource="status")
    if deleting:
        await world.user.delete(RAYCLUSTERS, "default", NAME)


async def children(world: World) -> dict[str, dict[str, Any]]:
    """Uid, labels, owners and spec of all children, by kind and name: what a take-over may not touch."""
    found: dict[str, dict[str, Any]] = {}
    for resource in CHILDREN:
        for child in await listed(world, resource):
            metadata = child["metadata"]
            found[f"{resource.kind}/{metadata['name']}"] = {
                "uid": metadata["uid"],
                "labels": metadata.get("labels"),
                "owners": metadata.get("ownerReferences"),
                "annotations": metadata.get("annotations"),
                "deleting": metadata.get("deletionTimestamp"),
                "spec": child["spec"],
            }
    return found


async def listed(world: World, resource: Resource, selector: str = "") -> list[Obj]:
    page = await world.user.list_page(resource, "default", label_selector=selector)
    return [msgspec.json.decode(item) for item in page.items]


async def cluster(world: World) -> Obj | None:
    found = await listed(world, RAYCLUSTERS)
    return found[0] if found else None
