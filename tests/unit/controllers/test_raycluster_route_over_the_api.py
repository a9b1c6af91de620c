"""The Route, against an API that serves OpenShift's group; and how the operator finds out whether it does."""

from collections.abc import Awaitable, Callable

import pytest
from tests.unit.controllers.world import NAME, World, world

from headstay.controllers.openshift import serves_routes
from headstay.model.errors import StatusError
from headstay.model.objects import Obj
from headstay.model.ray import RAYCLUSTERS
from headstay.model.resource import CUSTOM_RESOURCE_DEFINITIONS, INGRESSES, ROUTES
from headstay.plan.raycluster.settings import Settings
from headstay.runtime.client import TransportError

pytestmark = pytest.mark.looptime

ROUTE = f"{NAME}-head-route"


def routes_crd() -> Obj:
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "routes.route.openshift.io"},
        "spec": {
            "group": ROUTES.group,
            "names": {"plural": ROUTES.plural, "singular": "route", "kind": ROUTES.kind, "listKind": "RouteList"},
            "scope": "Namespaced",
            "versions": [version],
        },
    }


class OpenShift(World):
    def __init__(self) -> None:
        super().__init__(Settings())
        self.openshift = True

    async def serve_routes(self) -> None:
        await self.user.create(CUSTOM_RESOURCE_DEFINITIONS, routes_crd())

    async def ask(self) -> None:
        await self.user.patch(RAYCLUSTERS, "default", NAME, {"spec": {"headGroupSpec": {"enableIngress": True}}})

    async def route(self) -> Obj | None:
        page = await self.user.list_page(ROUTES, "default")
        return await self.user.get(ROUTES, "default", ROUTE) if page.items else None

    async def has_route(self) -> bool:
        return await self.route() is not None


async def test_a_route_is_made_and_made_again_and_no_ingress_with_it() -> None:
    of = OpenShift()
    await of.serve_routes()
    async with world(of=of):
        await of.complete()
        await of.ask()
        await of.until(of.has_route)
        assert not (await of.user.list_page(INGRESSES, "default")).items
        theirs = {"spec": {"host": "ray.apps.example"}}
        await of.user.patch(ROUTES, "default", ROUTE, theirs)
        before = len(of.client.writes)
        await of.settle(1000)
        assert len(of.client.writes) == before
        await of.user.delete(ROUTES, "default", ROUTE)
        await of.until(of.has_route)
        assert of.events.reasons().count("CreatedRoute") == 2


async def test_an_operator_that_starts_again_makes_no_second_route() -> None:
    of = OpenShift()
    await of.serve_routes()
    async with world(of=of):
        await of.complete()
        await of.ask()
        await of.until(of.has_route)
        await of.stop()
        await of.start()
        await of.settle(1000)
        assert of.client.writes.count("create Route") == 1
        assert "FailedToCreateRoute" not in of.events.reasons()


async def test_heads_do_not_wait_for_a_server_of_routes_that_is_away() -> None:
    of = OpenShift()
    async with world(of=of):
        await of.complete()
        await of.ask()
        await of.settle()
        assert "FailedToCreateRoute" in of.events.reasons()
        assert await of.is_ready()
        await of.serve_routes()
        await of.until(of.has_route, seconds=300)


async def test_a_name_that_is_taken_costs_a_warning_and_nothing_else() -> None:
    of = OpenShift()
    await of.serve_routes()
    async with world(of=of):
        taken = {"apiVersion": "route.openshift.io/v1", "kind": "Route", "spec": {"host": "theirs"}}
        await of.user.create(ROUTES, taken | {"metadata": {"name": ROUTE, "namespace": "default"}})
        await of.complete()
        await of.ask()
        await of.settle()
        assert "FailedToCreateRoute" in of.events.reasons()
        assert await of.is_ready()
        found = await of.route()
        assert found is not None
        assert found["spec"] == {"host": "theirs"}


def answering(*answers: bytes | Exception) -> Callable[[str], Awaitable[bytes]]:
    left = list(answers)

    async def get(path: str) -> bytes:
        assert path == "/apis"
        answer = left.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return get


async def test_the_group_of_routes_is_what_makes_it_openshift() -> None:
    assert await serves_routes(answering(b'{"groups": [{"name": "apps"}, {"name": "route.openshift.io"}]}'))
    assert not await serves_routes(answering(b'{"groups": [{"name": "apps"}, {"name": "config.openshift.io"}]}'))
    assert not await serves_routes(answering(b'{"groups": []}'))


async def test_it_is_asked_until_there_is_an_answer() -> None:
    lost, ill = TransportError("connection refused"), StatusError(503, "ServiceUnavailable", "starting")
    yes = b'{"groups": [{"name": "route.openshift.io"}]}'
    assert await serves_routes(answering(lost, ill, b"<html>", yes))


async def test_who_may_not_ask_makes_ingresses() -> None:
    assert not await serves_routes(answering(StatusError(403, "Forbidden", "may not")))
