"""The one seam between Headstay and a Kubernetes API.

Implementations: `runtime.http` (any cluster, aiohttp), `local.server.inprocess` (the local server's own
controllers and node agent, no socket), and test doubles that inject faults. Nothing else knows HTTP.

Every method raises `headstay.model.errors.StatusError` for what the API refuses, and `TransportError` for
what never got an answer. Each call has a bound of its own; a call that reaches it raises `TransportError`.
"""

from collections.abc import AsyncIterator
from typing import Literal, NamedTuple, Protocol

from headstay.model.objects import Obj
from headstay.model.resource import Resource

PatchType = Literal["json", "merge", "strategic"]
Propagation = Literal["Background", "Foreground", "Orphan"]


class TransportError(Exception):
    """No answer: connection refused or lost, TLS failure, time-out, a body that is not what was announced."""


class Page(NamedTuple):
    """One page of a list. `items` are encoded objects; `continue_token` is "" on the last page."""

    items: list[bytes]
    resource_version: str
    continue_token: str = ""


class WatchEvent(NamedTuple):
    """`type` is ADDED, MODIFIED, DELETED or BOOKMARK; an ERROR event is raised as StatusError instead.

    `object` is the encoded object. For BOOKMARK only its metadata.resourceVersion means anything.
    """

    type: str
    object: bytes


class Client(Protocol):
    async def get(self, resource: Resource, namespace: str, name: str, *, subresource: str = "") -> Obj: ...

    async def list_page(
        self,
        resource: Resource,
        namespace: str = "",
        *,
        label_selector: str = "",
        field_selector: str = "",
        limit: int = 0,
        continue_token: str = "",
    ) -> Page:
        """One page; `namespace=""` means all namespaces."""
        ...

    def watch(
        self,
        resource: Resource,
        namespace: str = "",
        *,
        resource_version: str,
        label_selector: str = "",
        field_selector: str = "",
        timeout_seconds: int,
    ) -> AsyncIterator[WatchEvent]:
        """Changes after `resource_version`, bookmarks included, until the server ends the stream."""
        ...

    async def create(self, resource: Resource, obj: Obj, *, subresource: str = "", name: str = "") -> Obj:
        """POST. `subresource` with `name` (of the parent) creates there, as for `pods/binding`."""
        ...

    async def update(self, resource: Resource, obj: Obj, *, subresource: str = "") -> Obj:
        """PUT; a resourceVersion in `obj` is the compare-and-swap."""
        ...

    async def apply(
        self,
        resource: Resource,
        obj: Obj,
        *,
        field_manager: str,
        force: bool = True,
        subresource: str = "",
    ) -> Obj:
        """Server-side apply."""
        ...

    async def patch(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        patch: Obj | list[Obj],
        *,
        patch_type: PatchType = "merge",
        subresource: str = "",
    ) -> Obj: ...

    async def delete(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        *,
        uid: str = "",
        resource_version: str = "",
        propagation: Propagation | None = None,
        grace_period_seconds: int | None = None,
    ) -> Obj:
        """DELETE; `uid` and `resource_version` are preconditions."""
        ...

    async def delete_collection(
        self,
        resource: Resource,
        namespace: str,
        *,
        label_selector: str = "",
        propagation: Propagation | None = None,
    ) -> None: ...
