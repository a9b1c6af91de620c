"""cloudcoil: pydantic models over aggregated discovery."""

import sys
import threading

from cloudcoil.apimachinery import ObjectMeta
from cloudcoil.client import Config
from cloudcoil.models.kubernetes.core.v1 import ConfigMap

namespace = sys.argv[1]
seen: list[str] = []
watching = threading.Event()


def follow() -> None:
    with Config(namespace=namespace):
        for event, obj in ConfigMap.watch(namespace=namespace):
            watching.set()  # by the ConfigMap that every namespace has
            if event != "BOOKMARK" and obj.metadata.name == "cloudcoil":
                seen.append(event)
                if event == "DELETED":
                    return


follower = threading.Thread(target=follow, daemon=True)
with Config(namespace=namespace):
    follower.start()
    assert watching.wait(20)
    labels = {"by": "cloudcoil"}
    one = ConfigMap(metadata=ObjectMeta(name="cloudcoil", namespace=namespace, labels=labels), data={"k": "1"}).create()
    assert one.data is not None
    one.data["k"] = "2"
    one = one.update()
    found = list(ConfigMap.list(namespace=namespace, label_selector="by=cloudcoil"))
    assert [each.data for each in found] == [{"k": "2"}], found
    one.remove()
    follower.join(20)
assert seen == ["ADDED", "MODIFIED", "DELETED"], seen
