"""kopf: an operator on ConfigMaps. It looks for namespaces in discovery, and lists and watches CRDs."""

import asyncio
import sys
from typing import Any

import kopf
from kubernetes import client, config

namespace = sys.argv[1]
done = asyncio.Event()
happened: list[str] = []


async def created(patch: Any, **_: Any) -> None:
    happened.append("created")
    patch.setdefault("data", {})["by"] = "kopf"


async def updated(**_: Any) -> None:
    happened.append("updated")


async def deleted(**_: Any) -> None:
    happened.append("deleted")
    done.set()


def use() -> None:
    api = client.CoreV1Api()
    api.create_namespaced_config_map(namespace, {"metadata": {"name": "kopf", "labels": {"by": "kopf"}}})
    for _ in range(100):
        data = api.read_namespaced_config_map("kopf", namespace).data or {}
        if data.get("by") == "kopf":
            break
        stopped.wait(0.1)
    api.patch_namespaced_config_map("kopf", namespace, {"data": {"more": "yes"}})
    for _ in range(100):
        if "updated" in happened:
            break
        stopped.wait(0.1)
    api.delete_namespaced_config_map("kopf", namespace)


async def main() -> None:
    mine = {"by": "kopf"}
    kopf.on.create("configmaps", labels=mine)(created)
    kopf.on.update("configmaps", labels=mine)(updated)
    kopf.on.delete("configmaps", labels=mine)(deleted)
    ready, stop = asyncio.Event(), asyncio.Event()
    operator = asyncio.create_task(
        kopf.operator(namespaces=[namespace], standalone=True, ready_flag=ready, stop_flag=stop)
    )
    await asyncio.wait_for(ready.wait(), 20)
    user = asyncio.create_task(asyncio.to_thread(use))
    await asyncio.wait_for(done.wait(), 30)
    await user
    stop.set()
    await asyncio.wait_for(operator, 20)
    assert (happened[0], happened[-1]) == ("created", "deleted"), happened
    assert "updated" in happened, happened


if __name__ == "__main__":
    import threading

    stopped = threading.Event()
    config.load_kube_config()
    asyncio.run(main())
