"""The Ingress, against the API: made, kept right, and never worth a cluster."""

from functools import partial

import pytest
from tests.unit.controllers.world import NAME, World, world

from headstay.model.objects import Obj
from headstay.model.ray import RAYCLUSTERS
from headstay.model.resource import INGRESSES

pytestmark = pytest.mark.looptime

INGRESS = f"{NAME}-head-ingress"


async def ingress(of: World) -> Obj | None:
    page = await of.user.list_page(INGRESSES, "default")
    return await of.user.get(INGRESSES, "default", INGRESS) if page.items else None


async def ask(of: World, **group: object) -> None:
    patch = {"spec": {"headGroupSpec": {"enableIngress": True} | group}}
    await of.user.patch(RAYCLUSTERS, "default", NAME, patch)


async def host(of: World) -> str:
    found = await ingress(of)
    rules = (found["spec"].get("rules") or []) if found else []
    return str(rules[0].get("host", "")) if rules else "none"


async def has_host(of: World, wanted: str) -> bool:
    return await host(of) == wanted


async def test_an_ingress_is_made_follows_its_options_and_is_put_right() -> None:
    async with world() as w:
        await w.complete()
        await ask(w)
        await w.until(lambda: has_host(w, ""))
        await ask(w, ingressOptions={"host": "ray.example"})
        await w.until(lambda: has_host(w, "ray.example"))
        theirs = {"spec": {"defaultBackend": {"service": {"name": "x", "port": {"number": 1}}}, "rules": None}}
        await w.user.patch(INGRESSES, "default", INGRESS, theirs)
        await w.until(lambda: has_host(w, "ray.example"))
        assert w.events.reasons()[-3:] == ["CreatedIngress", "UpdatedIngress", "UpdatedIngress"]
        before = len(w.client.writes)
        await w.settle(1000)
        assert len(w.client.writes) == before


async def test_a_name_that_is_taken_costs_a_warning_and_nothing_else() -> None:
    async with world() as w:
        spec = {"defaultBackend": {"service": {"name": "x", "port": {"number": 1}}}}
        taken = {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "spec": spec}
        await w.user.create(INGRESSES, taken | {"metadata": {"name": INGRESS, "namespace": "default"}})
        await w.apply_sample()
        await ask(w)
        await w.settle()
        await w.run_pods()
        await w.until(w.is_ready)
        assert "FailedToCreateIngress" in w.events.reasons()
        found = await ingress(w)
        assert found is not None
        assert found["spec"] == spec
        await w.user.delete(INGRESSES, "default", INGRESS)
        await w.until(lambda: has_host(w, ""), seconds=120)


async def test_a_lost_answer_makes_no_twin_and_no_failure() -> None:
    async with world() as w:
        lost: list[str] = []

        def lose_once(what: str, _: Obj) -> bool:
            if what == "create Ingress" and not lost:
                lost.append(what)
                return True
            return False

        w.client.lose = lose_once
        await w.complete()
        await ask(w)
        await w.until(lambda: has_host(w, ""))
        await w.settle()
        assert lost
        assert await w.is_ready()
        assert w.client.writes.count("create Ingress") == 1


async def test_an_operator_that_crashes_after_any_write_is_continued_by_the_next() -> None:
    async with world() as w:
        await w.complete()
        await w.stop()
        for name in ("a.example", "b.example"):
            await ask(w, ingressOptions={"host": name})
            before = len(w.client.writes)
            await w.start()
            for _ in range(200):
                await w.settle(0.01)
                if len(w.client.writes) > before:
                    break
            await w.stop()
            await w.start()
            await w.until(partial(has_host, w, name))
            await w.stop()
        assert len((await w.user.list_page(INGRESSES, "default")).items) == 1


async def test_a_refused_ingress_is_told_of_in_the_api_s_words_and_tried_again() -> None:
    async with world() as w:
        await w.complete()
        await ask(w, ingressOptions={"path": "no-slash"})
        await w.settle()
        (event,) = [found for found in w.events.said if found.reason == "FailedToCreateIngress"]
        assert "must be an absolute path" in event.note
        assert await w.is_ready()
        await ask(w, ingressOptions={"path": "/right"})
        await w.until(lambda: has_host(w, ""))
