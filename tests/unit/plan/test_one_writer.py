"""Who may write into a storage namespace, decided from what was observed."""

from typing import Any

import msgspec
import pytest
from tests.unit.plan.clusters import FT, SETTINGS, cluster, created, head_template, plan, pod

from headstay.model.objects import ObjectKey
from headstay.model.ray import REDIS_CLEANUP_FINALIZER, RayCluster
from headstay.plan.raycluster.plan import Holder, MarkCluster, Observed
from headstay.plan.raycluster.writer import CONFLICT, WRITER, Standing, standing, wants_holders

ME, OTHER = "11111111-0000-0000-0000-000000000000", "22222222-0000-0000-0000-000000000000"
TEXT = "redis.default:6379/shared"
SHARED = {"redisAddress": "redis", "externalStorageNamespace": "shared"}


def member(uid: str, *, age: int = 1, claims: str = "", storage: str = "shared", **fields: Any) -> RayCluster:
    """A larger `age` is an older cluster."""
    annotations = {WRITER: f"{uid} {claims}"} if claims else {}
    name = "me" if uid == ME else "other"
    options = SHARED | {"externalStorageNamespace": storage}
    finalizers = fields.pop("finalizers", (REDIS_CLEANUP_FINALIZER,))
    found = cluster(
        name=name, annotations=annotations, finalizers=finalizers, gcsFaultToleranceOptions=options, **fields
    )
    found.metadata.uid = uid
    found.metadata.creation_timestamp = f"2026-01-01T00:00:{59 - age:02d}Z"
    return msgspec.structs.replace(found)


def observed(me: RayCluster, *others: RayCluster, **fields: Any) -> Observed:
    return Observed(me, rivals=others, **fields)


def test_alone_it_claims_first_and_makes_its_head_only_when_the_cache_shows_the_claim() -> None:
    first = plan(observed(member(ME)))
    assert [action for action in first.actions if isinstance(action, MarkCluster)]
    assert "Pod/head" not in created(first)
    assert "Pod/head" in created(plan(observed(member(ME, claims=TEXT))))


def test_a_claim_with_the_uid_of_another_claims_nothing() -> None:
    copied = member(ME)
    copied.metadata.annotations[WRITER] = f"{OTHER} {TEXT}"
    assert standing(observed(copied), SETTINGS) == Standing(TEXT)


@pytest.mark.parametrize(
    ("me", "other", "let_in"),
    [
        (member(ME, age=2), member(OTHER, age=1), True),
        (member(ME, age=1), member(OTHER, age=2), False),
        (member(ME, age=1), member(OTHER, age=1), True),
        (member(ME, age=2), member(OTHER, age=1, claims=TEXT), False),
        (member(ME, age=1, claims=TEXT), member(OTHER, age=2), True),
        (member(ME, age=2), member(OTHER, age=1, status={"head": {"podName": "h"}}), False),
        (member(ME, age=1), member(OTHER, age=2, suspend=True), False),
        (member(ME, age=1), member(OTHER, age=2, groups=[{"groupName": ""}]), True),
        (member(ME, age=1), member(OTHER, age=2, managedBy="kueue.x-k8s.io/multikueue"), True),
        (member(ME, age=1), member(OTHER, age=2, claims="redis.default:6379/else"), True),
        (member(ME, age=1), member(OTHER, age=2, storage="else"), True),
        (member(ME, age=1), member(OTHER, age=2, storage="else", claims=TEXT), False),
        (member(ME, age=2), member(OTHER, age=1, deleted_for=5), False),
        (member(ME, age=1), member(OTHER, age=2, deleted_for=5, finalizers=("someone/else",)), True),
        (member(ME, age=2, storage=OTHER), member(OTHER, age=1, storage=OTHER), False),
    ],
)
def test_who_comes_first(me: RayCluster, other: RayCluster, *, let_in: bool) -> None:
    assert (standing(observed(me, other), SETTINGS).rival is None) == let_in


def test_of_two_claims_the_younger_takes_its_own_back_and_the_older_waits_for_that() -> None:
    older, younger = member(ME, age=2, claims=TEXT), member(OTHER, age=1, claims=TEXT)
    waits, gives_way = standing(observed(older, younger), SETTINGS), standing(observed(younger, older), SETTINGS)
    assert waits.rival is not None
    assert (waits.claim, waits.rival.reason) == (None, "ClaimedTwice")
    assert gives_way.rival is not None
    assert gives_way.claim == ""


def test_of_two_claims_the_one_whose_head_is_there_keeps_it() -> None:
    older = member(ME, age=2, claims=TEXT)
    running = member(OTHER, age=1, claims=TEXT, status={"head": {"podName": "h"}})
    assert standing(observed(older, running), SETTINGS).claim == ""
    assert standing(observed(running, older, pods=(pod("h", "head", of="other"),)), SETTINGS) == Standing()
    assert standing(observed(running, older, unsettled=frozenset({""})), SETTINGS) == Standing()


@pytest.mark.parametrize("head", [True, False])
def test_what_may_still_touch_the_keys_keeps_it_out(*, head: bool) -> None:
    holder = Holder("Pod", ObjectKey("default", "old-head"), "gone", head=head)
    decided = plan(observed(member(ME, claims=TEXT), holders=(holder,)))
    assert "Pod/head" not in created(decided)
    (condition,) = decided.conditions
    assert condition["type"] == CONFLICT
    assert ("kubectl delete pod old-head -n default --force" in condition["message"]) == head
    assert decided.requeue_after


def test_a_claim_on_what_it_no_longer_uses_is_given_up_before_the_next_head() -> None:
    free = cluster(name="me", annotations=FT | {WRITER: f"{ME} {TEXT}"}, finalizers=(REDIS_CLEANUP_FINALIZER,))
    free.metadata.uid = ME
    assert standing(observed(free), SETTINGS) == Standing("")
    assert standing(observed(free, pods=(pod("h", "head"),)), SETTINGS) == Standing()
    assert standing(observed(member(ME, claims="redis.default:6379/before")), SETTINGS) == Standing(TEXT)


def test_only_what_could_be_shared_is_looked_into() -> None:
    assert wants_holders(observed(member(ME)), SETTINGS) is not None
    assert wants_holders(observed(member(ME, storage=ME)), SETTINGS) is None
    assert wants_holders(observed(member(ME, suspend=True)), SETTINGS) is None
    loopback = [{"name": "RAY_REDIS_ADDRESS", "value": "127.0.0.1:6379"}]
    private = FT | {"ray.io/external-storage-namespace": "shared"}
    sidecar = cluster(annotations=private, head={"template": head_template(env=loopback)})
    assert wants_holders(observed(sidecar), SETTINGS) is None
