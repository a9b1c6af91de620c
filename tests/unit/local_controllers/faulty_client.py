"""A Client that breaks at the nth write: before it happens, or after it has happened with the answer lost."""

import asyncio
from typing import Any

from headstay.local.server.inprocess import InProcessClient
from headstay.local.server.rest import Api
from headstay.model.objects import Obj
from headstay.model.resource import EVENTS, Resource
from headstay.runtime.client import TransportError


class FaultyClient(InProcessClient):
    """`fail_at` counts writes from 1; Events do not count."""

    fail_at = 0
    answer_lost = False
    writes = 0

    def __init__(self, api: Api) -> None:
        super().__init__(api)
        self.broken = asyncio.Event()

    def _counts(self, resource: Resource) -> bool:
        if resource == EVENTS:
            return False
        self.writes += 1
        if self.writes == self.fail_at:
            self.broken.set()
        return self.writes == self.fail_at

    async def create(self, resource: Resource, obj: Obj, **more: Any) -> Obj:
        breaks = self._counts(resource)
        self._before(breaks=breaks)
        return self._after(await super().create(resource, obj, **more), breaks=breaks)

    async def patch(self, resource: Resource, namespace: str, name: str, patch: Any, **more: Any) -> Obj:
        breaks = self._counts(resource)
        self._before(breaks=breaks)
        return self._after(await super().patch(resource, namespace, name, patch, **more), breaks=breaks)

    async def delete(self, resource: Resource, namespace: str, name: str, **more: Any) -> Obj:
        breaks = self._counts(resource)
        self._before(breaks=breaks)
        return self._after(await super().delete(resource, namespace, name, **more), breaks=breaks)

    def _before(self, *, breaks: bool) -> None:
        if breaks and not self.answer_lost:
            raise TransportError("cut before the write")

    def _after(self, answer: Obj, *, breaks: bool) -> Obj:
        if breaks and self.answer_lost:
            raise TransportError("the answer was lost")
        return answer
