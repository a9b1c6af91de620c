"""lightkube: typed resources, watch, and server-side apply."""

import sys
import threading

from lightkube import ApiError, Client
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import ConfigMap

namespace = sys.argv[1]
client = Client(namespace=namespace, field_manager="lightkube")
seen: list[str] = []
watching = threading.Event()


def follow() -> None:
    for event, obj in client.watch(ConfigMap):
        watching.set()  # by the ConfigMap that every namespace has
        if obj.metadata.name == "lightkube":
            seen.append(event)
            if event == "DELETED":
                return


follower = threading.Thread(target=follow, daemon=True)
follower.start()
assert watching.wait(20)
one = ConfigMap(metadata=ObjectMeta(name="lightkube", namespace=namespace, labels={"by": "lightkube"}), data={"k": "1"})
client.create(one)
client.patch(ConfigMap, "lightkube", {"data": {"k": "2"}})
(found,) = client.list(ConfigMap, labels={"by": "lightkube"})
assert found.data == {"k": "2"}
found.data["k"] = "3"
client.replace(found)
one.metadata = ObjectMeta(name="lightkube", namespace=namespace)
one.apiVersion, one.kind, one.data = "v1", "ConfigMap", {"applied": "yes"}
assert client.apply(one).data == {"k": "3", "applied": "yes"}
client.delete(ConfigMap, "lightkube")
try:
    client.get(ConfigMap, "lightkube")
except ApiError as error:
    assert error.status.reason == "NotFound"
follower.join(20)
assert seen == ["ADDED", "MODIFIED", "MODIFIED", "MODIFIED", "DELETED"], seen
