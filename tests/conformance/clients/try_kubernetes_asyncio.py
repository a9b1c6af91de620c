"""kubernetes_asyncio: CoreV1Api and Watch."""

import asyncio
import sys

from kubernetes_asyncio import client, config, watch


async def main(namespace: str) -> None:
    await config.load_kube_config()
    async with client.ApiClient() as connection:
        api = client.CoreV1Api(connection)
        started = (await api.list_namespaced_config_map(namespace)).metadata.resource_version

        async def follow() -> list[str]:
            seen: list[str] = []
            async with watch.Watch().stream(
                api.list_namespaced_config_map, namespace, resource_version=started, timeout_seconds=20
            ) as stream:
                async for event in stream:
                    seen.append(event["type"])
                    if event["type"] == "DELETED":
                        break
            return seen

        follower = asyncio.create_task(follow())
        body = {"metadata": {"name": "asyncio", "labels": {"by": "asyncio"}}, "data": {"k": "1"}}
        await api.create_namespaced_config_map(namespace, body)
        await api.patch_namespaced_config_map("asyncio", namespace, {"data": {"k": "2"}})
        (found,) = (await api.list_namespaced_config_map(namespace, label_selector="by=asyncio")).items
        assert found.data == {"k": "2"}
        found.data["k"] = "3"
        await api.replace_namespaced_config_map("asyncio", namespace, found)
        await api.delete_namespaced_config_map("asyncio", namespace)
        seen = await asyncio.wait_for(follower, 20)
        assert seen == ["ADDED", "MODIFIED", "MODIFIED", "DELETED"], seen


asyncio.run(main(sys.argv[1]))
