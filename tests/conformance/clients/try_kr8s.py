"""kr8s: it asks for /version/ with the slash, and for discovery."""

import asyncio
import sys

import kr8s.asyncio
from kr8s.asyncio.objects import ConfigMap


async def main(namespace: str) -> None:
    api = await kr8s.asyncio.api(namespace=namespace)
    assert (await api.version())["major"] == "1"
    seen: list[str] = []
    watching = asyncio.Event()

    async def follow() -> None:
        async for event, obj in api.watch("configmaps", namespace=namespace):
            watching.set()  # by the ConfigMap that every namespace has
            if obj.name == "kr8s":
                seen.append(event)
                if event == "DELETED":
                    return

    follower = asyncio.create_task(follow())
    await asyncio.wait_for(watching.wait(), 20)
    metadata = {"name": "kr8s", "namespace": namespace, "labels": {"by": "kr8s"}}
    one = await ConfigMap({"metadata": metadata, "data": {"k": "1"}}, api=api)
    await one.create()
    await one.patch({"data": {"k": "2"}})
    found = [obj async for obj in api.get("configmaps", namespace=namespace, label_selector="by=kr8s")]
    assert [dict(obj.data) for obj in found] == [{"k": "2"}]
    await one.label({"more": "yes"})
    assert any(kind["kind"] == "CustomResourceDefinition" for kind in await api.api_resources())
    await one.delete()
    await asyncio.wait_for(follower, 20)
    assert (seen[0], seen[-1]) == ("ADDED", "DELETED"), seen


asyncio.run(main(sys.argv[1]))
