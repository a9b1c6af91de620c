"""The official client: CoreV1Api and Watch."""

import sys
import threading

from kubernetes import client, config, watch

config.load_kube_config()
namespace = sys.argv[1]
api = client.CoreV1Api()
started = api.list_namespaced_config_map(namespace).metadata.resource_version
seen: list[str] = []


def follow() -> None:
    for event in watch.Watch().stream(
        api.list_namespaced_config_map, namespace, resource_version=started, timeout_seconds=20
    ):
        seen.append(event["type"])
        if event["type"] == "DELETED":
            return


follower = threading.Thread(target=follow)
follower.start()
body = client.V1ConfigMap(metadata=client.V1ObjectMeta(name="official", labels={"by": "official"}), data={"k": "1"})
api.create_namespaced_config_map(namespace, body)
api.patch_namespaced_config_map("official", namespace, {"data": {"k": "2"}})
(found,) = api.list_namespaced_config_map(namespace, label_selector="by=official").items
assert found.data == {"k": "2"}
found.data["k"] = "3"
assert api.replace_namespaced_config_map("official", namespace, found).data == {"k": "3"}
assert client.VersionApi().get_code().major == "1"
api.delete_namespaced_config_map("official", namespace)
follower.join(20)
assert seen == ["ADDED", "MODIFIED", "MODIFIED", "DELETED"], seen
