"""`runtime.client.Client` without a socket: for the local controllers, the node agent and tests.

The same core as behind HTTP, so that refusals, watches and resourceVersions are the same. Calls do not wait for
anything; each gives way to the loop once, so that a busy controller does not starve the others.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from headstay.local.seams import SYSTEM, User
from headstay.local.server import codec, subresources
from headstay.local.server.patching import Patch
from headstay.local.server.requests import Call, DeleteOptions, Target
from headstay.local.server.rest import Api
from headstay.local.server.watch import WatchOptions
from headstay.model.objects import Obj, key_of
from headstay.model.resource import Resource
from headstay.runtime.client import Page, PatchType, Propagation, WatchEvent


class InProcessClient:
    """`field_manager` names the writer in managedFields where a call does not say."""

    def __init__(self, api: Api, user: User = SYSTEM, *, field_manager: str = "headstay") -> None:
        self._api = api
        self._call = Call(user=user, field_manager=field_manager)

    def _target(self, resource: Resource, namespace: str = "", name: str = "", subresource: str = "") -> Target:
        return Target(self._api.served(resource), namespace, name, subresource)

    async def get(self, resource: Resource, namespace: str, name: str, *, subresource: str = "") -> Obj:
        await asyncio.sleep(0)
        return codec.decode_object(subresources.get(self._api, self._target(resource, namespace, name, subresource)))

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
        await asyncio.sleep(0)
        page = self._api.list(
            self._target(resource, namespace),
            label_selector=label_selector,
            field_selector=field_selector,
            limit=limit,
            continue_token=continue_token,
        )
        return Page(page.items, str(page.revision), page.continue_token)

    async def watch(
        self,
        resource: Resource,
        namespace: str = "",
        *,
        resource_version: str,
        label_selector: str = "",
        field_selector: str = "",
        timeout_seconds: int,
    ) -> AsyncGenerator[WatchEvent, None]:
        options = WatchOptions(resource_version, float(timeout_seconds), allow_bookmarks=True)
        watch = self._api.watch(
            self._target(resource, namespace),
            options,
            label_selector=label_selector,
            field_selector=field_selector,
        )
        try:
            async with aclosing(watch.batches()) as batches:
                async for batch in batches:
                    for frame in batch:
                        yield WatchEvent(frame.type, frame.object)
        finally:
            watch.close()

    async def create(self, resource: Resource, obj: Obj, *, subresource: str = "", name: str = "") -> Obj:
        await asyncio.sleep(0)
        target = self._target(resource, key_of(obj).namespace, name, subresource)
        answer = subresources.create(self._api, target, obj, self._call)
        return codec.decode_object(answer.body)

    async def update(self, resource: Resource, obj: Obj, *, subresource: str = "") -> Obj:
        await asyncio.sleep(0)
        target = self._target(resource, *key_of(obj), subresource)
        answer = subresources.update(self._api, target, obj, self._call)
        return codec.decode_object(answer.body)

    async def apply(
        self,
        resource: Resource,
        obj: Obj,
        *,
        field_manager: str,
        force: bool = True,
        subresource: str = "",
    ) -> Obj:
        await asyncio.sleep(0)
        call = Call(user=self._call.user, field_manager=field_manager, force=force)
        target = self._target(resource, *key_of(obj), subresource)
        answer = subresources.patch(self._api, target, Patch("apply", obj), call)
        return codec.decode_object(answer.body)

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
        await asyncio.sleep(0)
        target = self._target(resource, namespace, name, subresource)
        answer = subresources.patch(self._api, target, Patch(patch_type, patch), self._call)
        return codec.decode_object(answer.body)

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
        await asyncio.sleep(0)
        options = DeleteOptions(uid, resource_version, propagation, grace_period_seconds)
        target = self._target(resource, namespace, name)
        return codec.decode_object(self._api.delete(target, options, self._call).body)

    async def delete_collection(
        self,
        resource: Resource,
        namespace: str,
        *,
        label_selector: str = "",
        propagation: Propagation | None = None,
    ) -> None:
        await asyncio.sleep(0)
        self._api.delete_collection(
            self._target(resource, namespace),
            DeleteOptions(propagation=propagation),
            self._call,
            label_selector=label_selector,
        )
