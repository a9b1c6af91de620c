"""Operators with one promise taken away: the judges must notice each, or they would notice nothing."""

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from tests.sim import virtual_time
from tests.sim.flows import FLOWS
from tests.sim.seeds import run_seed
from tests.sim.test_crash_anywhere import broken_at
from tests.sim.world import Kit, seeded, world

from headstay.controllers import actions, debts, raycluster, redis_access
from headstay.controllers.expectations import Expectations
from headstay.model.objects import Obj
from headstay.model.ray import RayCluster
from headstay.plan.debts import next_step
from headstay.plan.raycluster import cleanup, decide, ingress, pods, recovery
from headstay.plan.raycluster.plan import Create, Observed, Plan
from headstay.plan.raycluster.settings import Settings
from headstay.plan.raycluster.steps import Step
from headstay.plan.raycluster.writer import Standing
from headstay.runtime.queue import WorkQueue

ENOUGH = 150
"""Seeds within which each of them is caught."""

Break = Callable[[pytest.MonkeyPatch], Kit | None]


def forgets_what_it_made(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Expectations, "unsettled", lambda *_: frozenset())


def does_not_ask_whether_a_head_is_left(patch: pytest.MonkeyPatch) -> None:
    carry_out = actions.Actor._create

    async def create(self: actions.Actor, cluster: RayCluster, action: Create) -> actions.Waiting | None:
        object.__setattr__(action, "unless", "")
        return await carry_out(self, cluster, action)

    def has_no_head(observed: Observed, node_type: str) -> list[object]:
        return [] if observed.cluster.deleting and node_type == "head" else of_type(observed, node_type)

    of_type: Callable[[Observed, str], list[object]] = Observed.of_type  # type: ignore[assignment]
    patch.setattr(actions.Actor, "_create", create)
    patch.setattr(Observed, "of_type", has_no_head)


def makes_children_before_the_finalizer(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(decide, "wants_finalizer", lambda *_: False)


def makes_heads_before_their_place_is_noted(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(decide, "note_with_finalizer", lambda *_: {})
    patch.setattr(decide, "note_before_head", lambda *_: ())


def trusts_that_it_still_leads(_: pytest.MonkeyPatch) -> Kit:
    return Kit(fence=lambda client, _: client, operators=2)


def works_on_a_key_twice_at_once(patch: pytest.MonkeyPatch) -> None:
    def add(self: WorkQueue[object], key: object) -> None:
        self._waiting[key] = 0.0
        self._wake()

    patch.setattr(WorkQueue, "add", add)
    patch.setattr(WorkQueue, "done", lambda self, key: self._locked.pop(key, None))


def makes_a_head_while_the_old_one_goes(patch: pytest.MonkeyPatch) -> None:
    step = recovery.head_step

    def hasty(observed: Observed, settings: Settings) -> Step:
        found = step(observed, settings)
        if found.why != "waiting for the old head Pod to be gone":
            return found
        living = Observed(observed.cluster, pods=tuple(pod for pod in observed.pods if not observed.terminating(pod)))
        return step(living, settings)

    patch.setattr(decide, "head_step", hasty)


def writes_a_status_every_time(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(raycluster, "is_worth_writing", lambda *_: True)
    patch.setattr(raycluster, "what_matters", lambda cluster: (cluster.metadata.resource_version,))


BROKEN: list[tuple[Break, str]] = [
    (forgets_what_it_made, "at most"),
    (does_not_ask_whether_a_head_is_left, "may still write"),
    (makes_children_before_the_finalizer, "before its cluster's finalizer"),
    (makes_heads_before_their_place_is_noted, "which is not noted"),
    (trusts_that_it_still_leads, "while the Lease was held by"),
    (works_on_a_key_twice_at_once, "at once"),
    (makes_a_head_while_the_old_one_goes, "head Pods at once"),
    (writes_a_status_every_time, "the operator never rests"),
]


@pytest.mark.parametrize(("breaking", "verdict"), BROKEN, ids=[found[0].__name__ for found in BROKEN])
def test_an_operator_that_breaks_its_promise_is_caught(
    breaking: Break, verdict: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kit = breaking(monkeypatch)
    for seed in range(ENOUGH):
        outcome = run_seed(seed, kit)
        if any(verdict in text for text in outcome.broken):
            return
    pytest.fail(f"not caught within {ENOUGH} seeds")


def names_heads_at_random(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(pods, "next_head_letters", lambda _: "".join(random.choices("bcdfg", k=5)))


def owes_nothing(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(cleanup, "owed_storages", lambda *_: ())


def writes_the_debt_after_the_finalizer_is_gone(patch: pytest.MonkeyPatch) -> None:
    give_up = cleanup._give_up

    def backwards(*args: Any, **more: Any) -> Plan:
        plan = give_up(*args, **more)
        return replace(plan, actions=plan.actions[::-1])

    patch.setattr(cleanup, "_give_up", backwards)


def _sees_less(patch: pytest.MonkeyPatch, **unseen: tuple[str, ...]) -> None:
    patch.setattr(debts, "next_step", lambda debt, facts, now: next_step(debt, facts._replace(**unseen), now))


def pays_while_a_head_may_write(patch: pytest.MonkeyPatch) -> None:
    _sees_less(patch, heads=())


def pays_what_another_has_taken_over(patch: pytest.MonkeyPatch) -> None:
    _sees_less(patch, takers=(), passing=())


def says_it_has_paid(patch: pytest.MonkeyPatch) -> None:
    async def clean(*_: object, **__: object) -> int:
        return 1

    patch.setattr(redis_access.RedisAccess, "clean", clean)


def lets_everybody_write(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(decide, "standing", lambda *_: Standing())


def gives_up_although_cleanup_is_mandatory(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(cleanup, "time_left", lambda *_: 1.0)


def lets_an_ingress_drift(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ingress, "_drift", lambda *_: {})


def hears_no_names_of_workers(patch: pytest.MonkeyPatch) -> None:
    step = recovery.worker_step

    def deaf(observed: Observed, group: Obj, settings: Settings) -> Step:
        return step(observed, {**group, "scaleStrategy": {}}, settings)

    patch.setattr(decide, "worker_step", deaf)


BROKEN_IN_A_FLOW: list[tuple[Break, str, str]] = [
    (names_heads_at_random, "create", "head Pods at once"),
    (owes_nothing, "delete where the cleanup fails", "no debt is written"),
    (writes_the_debt_after_the_finalizer_is_gone, "delete where the cleanup hangs", "no debt is written"),
    (pays_while_a_head_may_write, "delete on a lost node", "may still write"),
    (pays_what_another_has_taken_over, "owe what is taken over", "which lives"),
    (says_it_has_paid, "owe while redis is away", "is gone, and its keys are not"),
    (lets_everybody_write, "take over a namespace", "two clusters write into"),
    (gives_up_although_cleanup_is_mandatory, "hold on while cleanup is mandatory", "it is held, and says so"),
    (lets_an_ingress_drift, "keep an ingress", "what the user changed is put right"),
    (hears_no_names_of_workers, "name workers for deletion", "workers named are gone"),
]


@pytest.mark.parametrize(
    ("breaking", "flow", "verdict"), BROKEN_IN_A_FLOW, ids=[of[0].__name__ for of in BROKEN_IN_A_FLOW]
)
def test_an_operator_that_breaks_its_promise_is_caught_in_the_flow_for_it(
    breaking: Break, flow: str, verdict: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    breaking(monkeypatch)
    for write in range(20):
        played = broken_at(flow, write, "killed, the write still on its way")
        if verdict in played.wrong.partition("---")[0]:
            return
    pytest.fail(f"not caught: {played.wrong}")


def test_a_flow_that_does_not_end_as_it_should_is_caught() -> None:
    async def flow() -> list[str]:
        async with world() as found:
            await FLOWS["create"](found)
            await found.converge({"a", "b"}, 60)
            return found.judges.broken

    with seeded(0):
        (told,) = virtual_time.run(flow())
    assert "there are clusters ['a'], not ['a', 'b']" in told
