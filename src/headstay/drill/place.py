"""Where a drill happens: a namespace of its own that it makes and removes, or a cluster that somebody pointed it at.

The invariant of the first: whatever happens, what was made carries the label `headstay.io/drill`, and one
`kubectl delete namespace -l headstay.io/drill` removes all that a killed drill left.
"""

import asyncio
import secrets
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Protocol

from headstay.drill import manifest
from headstay.drill.kube import DrillError, ExecError, Kube
from headstay.drill.onlooker import Shape
from headstay.drill.service import cluster_spec
from headstay.model.errors import StatusError
from headstay.model.objects import Obj, annotations, dig
from headstay.model.ray import RAYCLUSTERS
from headstay.model.rayservice import RAYSERVICES
from headstay.model.resource import CONFIGMAPS, DEPLOYMENTS, NAMESPACES, PODS, SECRETS, SERVICES, Resource
from headstay.runtime.client import TransportError

GCS_RECOVERY = "headstay.io/gcs-recovery"
_KEEPER = "keeper.pyz"
_GONE_BOUND = 120.0
_CLEANUP_BOUND = 60.0
_RESOURCES = {resource.kind: resource for resource in (SECRETS, SERVICES, DEPLOYMENTS, CONFIGMAPS, PODS)}


def _nobody_listens(_: str) -> None:
    pass


class Place(Protocol):
    @property
    def kube(self) -> Kube: ...

    @property
    def own(self) -> bool:
        """Whether a drill made it, so that all of it may be broken."""
        ...

    def tell(self, says: Callable[[str], None]) -> None:
        """Who is told what is made and removed."""
        ...

    @property
    def shape(self) -> Shape: ...

    def describe(self) -> str:
        """What is made, or used, in a sentence."""
        ...

    def versions(self) -> dict[str, str]:
        """Of Ray and Redis, as far as the manifests say."""
        ...

    async def make(self, recovery: str) -> None:
        """Nothing, for a cluster that is there already."""
        ...

    async def remake(self, recovery: str) -> None:
        """A cluster that remembers nothing. Raises DrillError where that is not the drill's to do."""
        ...

    async def remove(self, hurry: asyncio.Event) -> str:
        """Takes away what was made; once `hurry` is set it no longer waits. Returns what could not be, or ""."""
        ...


@dataclass
class OwnPlace:
    kube: Kube
    wanted: manifest.Wanted
    own: bool = True
    says: Callable[[str], None] = _nobody_listens
    _password: str = field(default_factory=lambda: secrets.token_urlsafe(18))
    _made: bool = False

    @property
    def shape(self) -> Shape:
        return Shape(manifest.CLUSTER, self.wanted.workers, redis=True, serve=self.wanted.serve)

    @property
    def _target(self) -> Resource:
        return RAYSERVICES if self.wanted.serve else RAYCLUSTERS

    def tell(self, says: Callable[[str], None]) -> None:
        self.says = says

    def describe(self) -> str:
        return (
            f"namespace {self.wanted.namespace} would be made, with a Redis and a {self._target.kind} of one head and "
            f"{self.wanted.workers} workers in it, and removed at the end."
        )

    def versions(self) -> dict[str, str]:
        spec = cluster_spec(manifest.target(self.wanted, "InPlace"))
        image = dig(spec, "headGroupSpec", "template", "spec", "containers", 0, "image")
        return {"ray": str(spec.get("rayVersion") or image), "redis": self.wanted.redis_image}

    async def make(self, recovery: str) -> None:
        if self._made:
            await self.remake(recovery)
            return
        self.says(f"Making namespace {self.wanted.namespace} with a Redis and a {self._target.kind} of its own.")
        self._made = True  # whatever fails from here on, there may be something to remove
        try:
            await self.kube.apply(NAMESPACES, manifest.namespace(self.wanted))
            serving = manifest.serving(self.wanted) if self.wanted.serve else []
            for obj in (*manifest.redis(self.wanted, self._password), *serving):
                await self.kube.apply(_RESOURCES[obj["kind"]], obj)
            await self._make_cluster(recovery)
        except (StatusError, TransportError) as error:
            raise DrillError(f"the drill's own namespace could not be made: {error}") from error

    async def remake(self, recovery: str) -> None:
        kind = self._target.kind
        self.says(f"Making the {kind} anew ({recovery}).")
        try:
            await self.kube.delete(self._target, manifest.CLUSTER)
            if not await self._cluster_gone():
                raise DrillError(f"the {kind} has not gone within {_GONE_BOUND:.0f} s")
            await self._make_cluster(recovery)
        except (StatusError, TransportError) as error:
            raise DrillError(f"the {kind} could not be made anew: {error}") from error

    async def _make_cluster(self, recovery: str) -> None:
        try:
            await self.kube.apply(self._target, manifest.target(self.wanted, recovery))
        except StatusError as error:
            if error.code == 404:
                raise DrillError(
                    f"this Kubernetes does not know {self._target.kind}s",
                    hint="Start one that does: headstay up. Or install it: kubectl apply -k config/default",
                ) from error
            raise

    async def _cluster_gone(self) -> bool:
        """And its Pods, so that the next cluster's are not taken for them."""
        end_at = asyncio.get_running_loop().time() + _GONE_BOUND
        if not await self.kube.gone(self._target, manifest.CLUSTER, _GONE_BOUND):
            return False
        while asyncio.get_running_loop().time() < end_at:
            if not await self.kube.list(PODS, selector="ray.io/cluster"):
                return True
            await asyncio.sleep(0.5)
        return False

    async def remove(self, hurry: asyncio.Event) -> str:
        name = self.wanted.namespace
        if not self._made:
            return ""
        self.says(f"Removing namespace {name}.")
        try:
            # First, while its Redis is still there for the cleanup.
            await self.kube.delete(self._target, manifest.CLUSTER)
            await unless(hurry, self.kube.gone(self._target, manifest.CLUSTER, _CLEANUP_BOUND))
        except (StatusError, TransportError) as error:
            self.says(f"The {self._target.kind} could not be deleted before its namespace: {error}")
        try:
            await self.kube.delete(NAMESPACES, name)
            gone = await unless(hurry, self.kube.gone(NAMESPACES, name, _GONE_BOUND))
        except (StatusError, TransportError) as error:
            return f"namespace {name} could not be removed: {error}"
        if gone or hurry.is_set():
            return ""
        return f"namespace {name} has not gone within {_GONE_BOUND:.0f} s"


async def unless(hurry: asyncio.Event, work: Coroutine[Any, Any, bool]) -> bool:
    """What `work` says, or False as soon as somebody is in a hurry."""
    working, hurrying = asyncio.create_task(work), asyncio.create_task(hurry.wait())
    await asyncio.wait({working, hurrying}, return_when=asyncio.FIRST_COMPLETED)
    hurrying.cancel()
    if working.done():
        return working.result()
    working.cancel()
    return False


@dataclass
class TargetPlace:
    """A RayCluster that somebody made. Nothing in it is made anew, and its Redis is left alone."""

    kube: Kube
    cluster: Obj
    refusal: str = ""
    """Why it would not be touched, for a dry run."""
    own: bool = False

    @property
    def shape(self) -> Shape:
        groups = dig(self.cluster, "spec", "workerGroupSpecs") or []
        workers = sum(int(group.get("replicas") or 0) * int(group.get("numOfHosts") or 1) for group in groups)
        return Shape(self.cluster["metadata"]["name"], workers, redis=False)

    def tell(self, says: Callable[[str], None]) -> None:
        pass  # there is nothing to tell

    def describe(self) -> str:
        return (
            f"RayCluster {self.kube.namespace}/{self.shape.cluster} would be used as it is, its Redis left alone."
            + (f" But {self.refusal}" if self.refusal else "")
        )

    def versions(self) -> dict[str, str]:
        return {"ray": str(dig(self.cluster, "spec", "rayVersion") or "not said")}

    async def recovery(self) -> str:
        """How its head is brought back: as its Pod runs, since a running head keeps what it was made with."""
        for pod in await self.kube.list(PODS, selector=f"ray.io/cluster={self.shape.cluster},ray.io/node-type=head"):
            return "InPlace" if _KEEPER in str(dig(pod, "spec", "containers", 0)) else "RestartHead"
        return "InPlace" if annotations(self.cluster).get(GCS_RECOVERY) == "InPlace" else "RestartHead"

    async def make(self, recovery: str) -> None:
        pass

    async def remake(self, recovery: str) -> None:
        raise DrillError(
            f"RayCluster {self.shape.cluster} ({recovery}) is not what it was, and not a drill's to make anew"
        )

    async def remove(self, hurry: asyncio.Event) -> str:  # noqa: ARG002  (there is nothing to remove)
        return ""


async def storage_namespace(kube: Kube, head: str) -> str:
    """The prefix of the cluster's keys in Redis, as its head was told. Raises ExecError."""
    pod = await kube.find(PODS, head)
    for entry in dig(pod, "spec", "containers", 0, "env") or []:
        if entry.get("name") == "RAY_external_storage_namespace":
            return str(entry.get("value") or "")
    raise ExecError(f"{head} has no RAY_external_storage_namespace: is GCS fault tolerance on?")
