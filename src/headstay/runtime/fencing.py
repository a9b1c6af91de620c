"""A Client that writes only while its holder leads: the last guard against two leaders acting at once.

Invariant: no write starts after the lease's `valid_until`, and none is still waited for beyond it. Reads always pass.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from headstay.model.objects import Obj
from headstay.model.resource import Resource
from headstay.runtime.client import Client, Page, PatchType, Propagation, TransportError, WatchEvent
from headstay.runtime.lease import LeaderLease


class FencedClient:
    def __init__(self, client: Client, lease: LeaderLease) -> None:
        self._client = client
        self._lease = lease

    @asynccontextmanager
    async def _leading(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._lease.require()):
                yield
        except TimeoutError as error:
            raise TransportError("leadership ended while a write was on its way") from error

    async def get(self, resource: Resource, namespace: str, name: str, *, subresource: str = "") -> Obj:
        return await self._client.get(resource, namespace, name, subresource=subresource)

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
        return await self._client.list_page(
            resource,
            namespace,
            label_selector=label_selector,
            field_selector=field_selector,
            limit=limit,
            continue_token=continue_token,
        )

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
        return self._client.watch(
            resource,
            namespace,
            resource_version=resource_version,
            label_selector=label_selector,
            field_selector=field_selector,
            timeout_seconds=timeout_seconds,
        )

    async def create(self, resource: Resource, obj: Obj, *, subresource: str = "", name: str = "") -> Obj:
        async with self._leading():
            return await self._client.create(resource, obj, subresource=subresource, name=name)

    async def update(self, resource: Resource, obj: Obj, *, subresource: str = "") -> Obj:
        async with self._leading():
            return await self._client.update(resource, obj, subresource=subresource)

    async def apply(
        self, resource: Resource, obj: Obj, *, field_manager: str, force: bool = True, subresource: str = ""
    ) -> Obj:
        async with self._leading():
            return await self._client.apply(
                resource, obj, field_manager=field_manager, force=force, subresource=subresource
            )

    async def patch(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        patch: Obj | list[Obj],
        *,
        patch_type: PatchType = "merge",
        subresource: str = "",
    ) -> Obj:
        async with self._leading():
            return await self._client.patch(
                resource, namespace, name, patch, patch_type=patch_type, subresource=subresource
            )

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
        async with self._leading():
            return await self._client.delete(
                resource,
                namespace,
                name,
                uid=uid,
                resource_version=resource_version,
                propagation=propagation,
                grace_period_seconds=grace_period_seconds,
            )

    async def delete_collection(
        self, resource: Resource, namespace: str, *, label_selector: str = "", propagation: Propagation | None = None
    ) -> None:
        async with self._leading():
            await self._client.delete_collection(
                resource, namespace, label_selector=label_selector, propagation=propagation
            )
