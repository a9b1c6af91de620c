"""What may touch the keys of a storage namespace now, asked of the API itself: no cache is fresh enough for that.

Pods that we make carry the identity's hash as a label, so the answer is short however many clusters there are. Pods of
KubeRay and of earlier versions do not; their environment is read instead.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import msgspec

from headstay.model.objects import Obj, controller_of, key_of, labels
from headstay.model.ray import HEAD, NODE_TYPE, RAYCLUSTERS, REDIS_CLEANUP, RayCluster
from headstay.model.resource import JOBS, PODS, Resource
from headstay.plan.raycluster.identity import STORAGE_LABEL, StorageIdentity, pod_identity
from headstay.plan.raycluster.plan import Holder
from headstay.runtime.client import Client

_PAGE = 500
_ENDED = frozenset({"Succeeded", "Failed"})


class StorageHolders:
    """`namespaces` are all that the operator watches; ("",) stands for all there are."""

    def __init__(self, client: Client, domain: str, namespaces: Sequence[str] = ("",)) -> None:
        self._client = client
        self._domain = domain
        self._namespaces = tuple(namespaces)
        self._cleaning: defaultdict[str, list[Holder]] = defaultdict(list)

    @contextmanager
    def cleaning(self, identity: StorageIdentity, holder: Holder) -> Iterator[None]:
        """While this process removes the keys itself, nobody is let in.

        Entered before asking who uses them: whoever was let in just before is then seen by the one who asks.
        """
        self._cleaning[identity.text].append(holder)
        try:
            yield
        finally:
            self._cleaning[identity.text].remove(holder)

    async def of(self, identity: StorageIdentity) -> tuple[Holder, ...]:
        found = list(self._cleaning.get(identity.text, ()))
        for namespace in self._namespaces:
            found += await self._pods(identity, namespace)
            found += await self._jobs(identity, namespace)
        return tuple(found)

    async def clusters_outside(self, namespace: str) -> list[RayCluster]:
        """Those of the other watched namespaces: each namespace has a cache of its own, and none shows the others."""
        found: list[RayCluster] = []
        for other in self._namespaces:
            if other != namespace:
                found += [msgspec.json.decode(item, type=RayCluster) for item in await self._list(RAYCLUSTERS, other)]
        return found

    async def _pods(self, identity: StorageIdentity, namespace: str) -> list[Holder]:
        """A head counts as long as the API has it: on a lost node it may still write."""
        pods = await self._matching(PODS, identity, namespace, f"{NODE_TYPE} in ({HEAD},{REDIS_CLEANUP})")
        return [
            Holder("Pod", key_of(pod), _owner(pod), head=labels(pod).get(NODE_TYPE) == HEAD)
            for pod in pods
            if labels(pod).get(NODE_TYPE) == HEAD or (pod.get("status") or {}).get("phase") not in _ENDED
        ]

    async def _jobs(self, identity: StorageIdentity, namespace: str) -> list[Holder]:
        jobs = await self._matching(JOBS, identity, namespace, f"{NODE_TYPE}={REDIS_CLEANUP}")
        return [Holder("Job", key_of(job), _owner(job)) for job in jobs if not _has_ended(job)]

    async def _matching(self, resource: Resource, identity: StorageIdentity, namespace: str, which: str) -> list[Obj]:
        ours = await self._list(resource, namespace, f"{which},{STORAGE_LABEL}={identity.label}")
        others = await self._list(resource, namespace, f"{which},!{STORAGE_LABEL}")
        foreign = [msgspec.json.decode(item) for item in others]
        return [
            *(msgspec.json.decode(item) for item in ours),
            *(obj for obj in foreign if self._identity(obj) == identity),
        ]

    def _identity(self, obj: Obj) -> StorageIdentity | None:
        template = (obj.get("spec") or {}).get("template")
        return pod_identity(template or obj, key_of(obj).namespace, self._domain)

    async def _list(self, resource: Resource, namespace: str, selector: str = "") -> list[bytes]:
        found: list[bytes] = []
        token = ""
        while True:
            page = await self._client.list_page(
                resource, namespace, label_selector=selector, limit=_PAGE, continue_token=token
            )
            found += page.items
            token = page.continue_token
            if not token:
                return found


def _owner(obj: Obj) -> str:
    return str((controller_of(obj) or {}).get("uid") or "")


def _has_ended(job: Obj) -> bool:
    conditions = (job.get("status") or {}).get("conditions") or []
    return any(found["type"] in {"Complete", "Failed"} and found["status"] == "True" for found in conditions)
