"""What the judges know of a run: the RayClusters and Pods of the server's log, and what was found wrong with them."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec

from headstay.model.objects import Obj, controller_of, dig
from headstay.model.ray import CLUSTER, HEAD, NODE_TYPE, RayCluster
from headstay.plan.raycluster.identity import pod_identity, storage_identity


class Records:
    """`astray` are names of objects whose creation may land when its sender is no more."""

    def __init__(self, now: Callable[[], float]) -> None:
        self.broken: list[str] = []
        self.heard = asyncio.Event()
        self.log: deque[str] = deque(maxlen=400)
        self.pods: dict[str, Obj] = {}
        self.live_clusters: dict[str, Obj] = {}
        self.astray: set[str] = set()
        self.now = now

    def complain(self, text: str) -> None:
        self.heard.set()
        self.broken.append(f"{self.now():.3f}: {text}")
        self.log.append(f"{self.now():.3f} !!! {text}")

    def note(self, text: str) -> None:
        self.log.append(f"{self.now():.3f} {text}")

    def told(self) -> str:
        """What is wrong, and what happened until then; "" where nothing is."""
        return "\n".join([*self.broken, "---", *self.log]) if self.broken else ""

    def of_type(self, cluster: str, node_type: str) -> list[Obj]:
        return [
            pod
            for pod in self.pods.values()
            if dig(pod, "metadata", "labels", CLUSTER) == cluster
            and dig(pod, "metadata", "labels", NODE_TYPE) == node_type
            and not self.is_lost(pod)
        ]

    def writers_of(self, storage: str) -> list[Obj]:
        """Head Pods that may write into the storage namespace."""
        heads = [pod for pod in self.pods.values() if dig(pod, "metadata", "labels", NODE_TYPE) == HEAD]
        return [pod for pod in heads if storage_of(pod) == storage and not self.is_lost(pod)]

    def is_lost(self, obj: Obj) -> bool:
        """Made for a RayCluster that was gone when the request landed: it is collected, and nobody could prevent it."""
        return obj["metadata"]["name"] in self.astray and owner_of(obj) not in self.live_clusters


def owner_of(obj: Obj) -> str:
    found: Any = controller_of(obj)
    return str(found["uid"]) if found else ""


def storage_of(pod: Obj) -> str:
    """The Redis and the namespace that its environment says, which is what Ray goes by; "" where there is none."""
    found = pod_identity(pod, "default")
    return found.text if found else ""


def wanted_storage(cluster: Obj) -> str:
    """What a RayCluster asks for; "" where it has no fault tolerance."""
    found = storage_identity(msgspec.convert(cluster, RayCluster))
    return found.text if found else ""


def is_ready(pod: Obj) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or []
    ready = any(found["type"] == "Ready" and found["status"] == "True" for found in conditions)
    return ready and not pod["metadata"].get("deletionTimestamp")
