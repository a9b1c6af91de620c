"""Every place where a head may have written is remembered before it is written, and owed for at the end."""

from typing import Any

import msgspec
import pytest
from tests.unit.plan.clusters import NOW, SETTINGS, UID, created, deleted, ft_cluster, head_template, job, plan, pod

from headstay.model.objects import Obj
from headstay.model.ray import Job, RayCluster
from headstay.plan.debts import Facts, Unpayable, Wait, data_of, next_step
from headstay.plan.raycluster.identity import STORAGE_LABEL
from headstay.plan.raycluster.mounted_files import ObjectRef
from headstay.plan.raycluster.places import FORMER, MOST_FORMER, former_storages, unread
from headstay.plan.raycluster.plan import NoteStorage, Observed, Plan, RecordDebt, SetFinalizers
from headstay.plan.raycluster.storage import STORAGE, SecretRef, Storage, storage_of_pod
from headstay.plan.raycluster.takers import takers_of
from headstay.plan.raycluster.writer import WRITER

OLD, NEW = Storage(namespace=UID, host="old.default"), Storage(namespace=UID, host="new.default")
FAILED = {"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "message": "no luck"}
COMPLETE = {"type": "Complete", "status": "True"}


def at(host: str, *, noted: Storage | None = None, former: tuple[Storage, ...] = (), **fields: Any) -> RayCluster:
    """Its spec says `host`; `noted` and `former` are what it remembers."""
    notes: dict[str, str] = {}
    if noted is not None:
        notes[STORAGE] = noted.to_json()
    if former:
        notes[FORMER] = msgspec.json.encode(former).decode()
    annotations = notes | fields.pop("annotations", {})
    env = [{"name": "RAY_REDIS_ADDRESS", "value": host}]
    return ft_cluster(head={"template": head_template(env=env)}, annotations=annotations, noted=False, **fields)


def off(**fields: Any) -> RayCluster:
    """Fault tolerance is switched off, and the address is out of the spec."""
    annotations = {"ray.io/ft-enabled": "false"} | fields.pop("annotations", {})
    return ft_cluster(head={"template": head_template()}, annotations=annotations, noted=False, **fields)


def head(storage: Storage | None = None, **fields: Any) -> Any:
    labels = {STORAGE_LABEL: storage.identity().label} if storage else {}
    return pod("head", "head", labels=labels, **fields)


def note_of(found: Plan) -> tuple[Storage | None, tuple[Storage, ...]] | None:
    """The current and the former places that are written down, or None where nothing is."""
    for action in found.actions:
        if isinstance(action, NoteStorage):
            current = action.annotations.get(STORAGE)
            former = msgspec.json.decode(action.annotations[FORMER] or "[]", type=tuple[Storage, ...])
            return (msgspec.json.decode(current, type=Storage) if current else None), former
    return None


def debts(found: Plan) -> list[str]:
    """The hosts owed for, all of them before the finalizer goes."""
    kinds = [type(action) for action in found.actions]
    assert kinds == [RecordDebt] * (len(kinds) - 1) + [SetFinalizers]
    return [action.debt.storage.host for action in found.actions if isinstance(action, RecordDebt)]


def test_a_head_with_another_place_waits_until_both_are_noted() -> None:
    first = plan(Observed(at("new", noted=OLD)))
    assert note_of(first) == (NEW, (OLD,))
    assert "Pod/head" not in created(first)
    second = plan(Observed(at("new", noted=NEW, former=(OLD,))))
    assert note_of(second) is None
    assert "Pod/head" in created(second)


def test_a_running_head_stays_where_it_is_and_nothing_is_noted_for_the_next_yet() -> None:
    assert note_of(plan(Observed(at("new", noted=OLD), pods=(head(OLD),)))) is None


def test_going_back_to_a_former_place_makes_it_the_current_one_again() -> None:
    assert note_of(plan(Observed(at("old", noted=NEW, former=(OLD,))))) == (OLD, (NEW,))


def test_another_password_for_the_same_place_is_noted_and_leaves_no_former_place() -> None:
    before = msgspec.structs.replace(OLD, credentials="secret", password_from=SecretRef("a", "b"))
    assert note_of(plan(Observed(at("old", noted=before)))) == (OLD, ())


def test_a_namespace_that_others_may_choose_is_noted_once_claimed_and_not_with_the_finalizer() -> None:
    shared = {"ray.io/external-storage-namespace": "shared"}
    (action,) = plan(Observed(at("redis", finalizers=(), annotations=shared))).actions
    assert isinstance(action, SetFinalizers)
    assert action.annotations == {}
    claims = shared | {WRITER: f"{UID} redis.default:6379/shared"}
    found = plan(Observed(at("redis", annotations=claims)))
    assert note_of(found) == (Storage(namespace="shared", host="redis.default"), ())


def test_a_refused_cluster_notes_nothing() -> None:
    rival = at("redis", annotations={WRITER: "other redis.default:6379/shared"})
    rival.metadata.uid, rival.metadata.name = "other", "other"
    refused = at("redis", annotations={"ray.io/external-storage-namespace": "shared"})
    assert note_of(plan(Observed(refused, rivals=(rival,)))) is None


@pytest.mark.parametrize(
    ("cluster", "seen", "owed"),
    [
        (at("new", noted=NEW, former=(OLD,), deleted_for=5), {}, ["old.default"]),
        (at("new", noted=OLD, deleted_for=5), {}, ["old.default"]),
        (at("new", noted=NEW, deleted_for=5), {}, []),
        (at("new", deleted_for=5), {}, []),
        (at("127.0.0.1", noted=OLD, deleted_for=5), {}, ["old.default"]),
    ],
)
def test_what_the_job_did_not_clean_is_owed(cluster: RayCluster, seen: dict[str, Storage], owed: list[str]) -> None:
    assert debts(plan(Observed(cluster, jobs=(job(COMPLETE),), storages=seen))) == owed


def test_a_failed_job_leaves_all_places_owed_the_current_first() -> None:
    found = plan(Observed(at("new", noted=NEW, former=(OLD,), deleted_for=5), jobs=(job(FAILED),)))
    assert debts(found) == ["new.default", "old.default"]


def test_the_deadline_leaves_all_places_owed() -> None:
    found = plan(Observed(at("new", noted=NEW, former=(OLD,), deleted_for=300), pods=(head(NEW, deleting=True),)))
    assert debts(found) == ["new.default", "old.default"]
    assert all(not action.required for action in found.actions if isinstance(action, RecordDebt))


def test_retain_keeps_the_keys_of_all_places() -> None:
    kept = at("new", noted=NEW, former=(OLD,), deleted_for=5, annotations={"headstay.io/gcs-ft-cleanup": "Retain"})
    assert debts(plan(Observed(kept))) == []


def test_an_edit_between_the_job_s_making_and_its_end_owes_for_the_place_it_did_not_clean() -> None:
    made = msgspec.convert(msgspec.to_builtins(job(COMPLETE)), Job)
    made.metadata.uid = "uid-job"
    found = plan(Observed(at("new", noted=OLD, deleted_for=5), jobs=(made,), storages={"uid-job": OLD}))
    assert debts(found) == ["new.default"]


def test_a_shared_place_that_was_edited_in_and_never_used_is_left_alone() -> None:
    shared = {"ray.io/external-storage-namespace": "kept"}
    found = plan(Observed(at("old", noted=OLD, deleted_for=5, annotations=shared)))
    assert debts(found) == ["old.default"]
    (event,) = [action.done for action in found.actions if isinstance(action, SetFinalizers)]
    assert event is not None
    assert event.reason == "RedisKeysLeft"
    claimed = shared | {WRITER: f"{UID} old.default:6379/kept"}
    assert created(plan(Observed(at("old", noted=OLD, deleted_for=5, annotations=claimed)))) == ["Job"]


# --- heads that were made without a note ---------------------------------------------------------------------


def test_only_what_nothing_else_tells_is_asked_of_the_api() -> None:
    assert unread(Observed(at("old", noted=OLD), pods=(head(OLD),)), SETTINGS) == ()
    assert unread(Observed(at("new", noted=OLD), pods=(head(OLD),)), SETTINGS) == ()
    assert unread(Observed(at("new", noted=NEW, former=(OLD,)), pods=(head(OLD),)), SETTINGS) == ()
    assert unread(Observed(at("old"), pods=(head(OLD),)), SETTINGS) == ()
    assert [found.name for found in unread(Observed(at("new"), pods=(head(OLD),)), SETTINGS)] == ["head"]
    assert [found.name for found in unread(Observed(at("old"), pods=(head(),)), SETTINGS)] == ["head"]


@pytest.mark.parametrize(
    ("cluster", "note"),
    [
        (at("old"), None),
        (at("new"), (OLD, ())),
        (at("new", noted=NEW), (NEW, (OLD,))),
        (at("new", noted=OLD), None),
        (off(), (OLD, ())),
        (off(annotations={STORAGE: OLD.to_json()}), None),
    ],
)
def test_an_adopted_head_is_noted_once_the_spec_no_longer_says_where_it_writes(cluster: RayCluster, note: Any) -> None:
    assert note_of(plan(Observed(cluster, pods=(head(),), storages={"uid-head": OLD}))) == note


def test_it_is_noted_also_where_the_edit_makes_the_spec_invalid() -> None:
    invalid = at("old", annotations={"ray.io/ft-enabled": "false"})
    assert note_of(plan(Observed(invalid, pods=(head(),), storages={"uid-head": OLD}))) == (OLD, ())


def test_an_adopted_cluster_that_is_deleted_with_fault_tolerance_off_owes_where_its_head_says() -> None:
    found = plan(Observed(off(deleted_for=1), pods=(head(),), storages={"uid-head": OLD}))
    assert debts(found) == ["old.default"]


def test_an_adopted_cluster_that_is_deleted_after_an_edit_notes_before_its_head_goes() -> None:
    found = plan(Observed(at("new", deleted_for=1), pods=(head(),), storages={"uid-head": OLD}))
    assert note_of(found) == (OLD, ())
    assert deleted(found) == []


def test_with_neither_note_nor_head_the_debt_says_what_to_do() -> None:
    (record, _) = plan(Observed(off(deleted_for=1))).actions
    assert isinstance(record, RecordDebt)
    step = next_step(record.debt, Facts(redis_access=True), NOW)
    assert isinstance(step, Unpayable)
    assert f"RAY{UID}@" in step.why


def test_an_address_from_an_object_is_a_debt_that_names_it() -> None:
    source: Obj = {"valueFrom": {"configMapKeyRef": {"name": "redis", "key": "address"}}}
    env = [{"name": "RAY_REDIS_ADDRESS"} | source, {"name": "RAY_external_storage_namespace", "value": UID}]
    found = storage_of_pod(head_template(env=env), "default")
    assert found == Storage(namespace=UID, address_from=ObjectRef("ConfigMap", "redis", "address"))
    (record, _) = plan(Observed(off(deleted_for=1), pods=(head(),), storages={"uid-head": found})).actions
    assert isinstance(record, RecordDebt)
    assert record.debt.storage.known
    assert data_of(record.debt, "ops")["address"] == "in ConfigMap default/redis/address"
    other = at("redis", annotations={"ray.io/external-storage-namespace": UID})
    other.metadata.uid, other.metadata.name = "other", "other"
    assert takers_of(found, [other]).doubtful == ("default/other",)


# --- bounds, and others ---------------------------------------------------------------------------------------


def test_one_place_more_than_there_is_room_for_makes_the_oldest_a_debt() -> None:
    former = tuple(Storage(namespace=UID, host=f"redis-{number}") for number in range(MOST_FORMER))
    found = plan(Observed(at("new", noted=OLD, former=former)))
    record, note = found.actions[-2:]
    assert isinstance(record, RecordDebt)
    assert isinstance(note, NoteStorage)
    assert record.debt.storage == former[0]
    assert note_of(found) == (NEW, (*former[1:], OLD))
    step = next_step(record.debt, Facts(redis_access=True, cluster_left=True, cluster_lives=True), NOW)
    assert isinstance(step, Wait)
    assert step.seconds == 3600


def test_a_former_place_that_another_cluster_claims_is_forgotten() -> None:
    former = (Storage(namespace="shared", host="redis.default"), OLD)
    mine = at("new", noted=NEW, former=former)
    heir = at("redis", annotations={WRITER: "heir redis.default:6379/shared"})
    heir.metadata.uid, heir.metadata.name = "heir", "heir"
    found = plan(Observed(mine, pods=(head(NEW),), rivals=(heir,)))
    assert note_of(found) == (NEW, (OLD,))


def test_what_a_living_cluster_has_claimed_is_its_own_though_its_spec_was_edited() -> None:
    edited = at("new", annotations={WRITER: "other old.default:6379/shared"})
    edited.metadata.uid, edited.metadata.name = "other", "other"
    assert takers_of(Storage(namespace="shared", host="old.default"), [edited]).certain == ("default/other",)


@pytest.mark.parametrize("text", ["", "[", "{}", '[{"port": "x"}]'])
def test_a_note_that_somebody_spoilt_is_no_note(text: str) -> None:
    assert former_storages(at("redis", annotations={FORMER: text})) == ()
