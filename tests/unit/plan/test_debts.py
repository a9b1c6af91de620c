"""What a debt says, when it may be paid, and what a deletion owes."""

import os
import subprocess
from dataclasses import replace
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from tests.unit.plan.clusters import NOW, UID, finalizers, ft_cluster, head_template, job, plan, pod

from headstay.model.objects import Obj
from headstay.model.ray import RayCluster
from headstay.plan.debts import (
    ConfigMap,
    Debt,
    Facts,
    Pay,
    Unpayable,
    Void,
    Wait,
    command,
    document,
    glob_escaped,
    next_step,
    read,
    retry_seconds,
    script,
)
from headstay.plan.raycluster.plan import CleanRedis, Create, Observed, Plan, RecordDebt, SetFinalizers
from headstay.plan.raycluster.settings import Settings
from headstay.plan.raycluster.storage import STORAGE, SecretRef, Storage, storage_of
from headstay.plan.raycluster.takers import takers_of

STORAGE_OF_SAMPLE = Storage(
    namespace=UID, host="redis.default", credentials="secret", password_from=SecretRef("redis-password-secret", "pw")
)
DEBT = Debt("default", "raycluster", UID, STORAGE_OF_SAMPLE, "the Job failed", NOW, heads=("uid-head",))
CAN = Facts(redis_access=True)
FAILED = {"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "message": "no luck"}


def redis_env(*entries: Obj) -> Obj:
    return {"template": head_template(env=[{"name": "RAY_REDIS_ADDRESS", "value": "redis:6379"}, *entries])}


def debt_of(found: Plan) -> Debt:
    record = found.actions[-2]
    assert isinstance(record, RecordDebt)
    assert isinstance(found.actions[-1], SetFinalizers), "the debt comes before the finalizer goes"
    return record.debt


def test_a_debt_survives_the_way_through_its_config_map() -> None:
    for debt in (DEBT, DEBT.failed("Redis is away", NOW), replace(DEBT, state="Unpayable", heads=())):
        assert read(msgspec.convert(document(debt, "ops"), ConfigMap)) == debt


@pytest.mark.parametrize("field", ["storage", "since", "clusterUID"])
def test_a_debt_that_somebody_edited_away_is_named_by_field(field: str) -> None:
    found = msgspec.convert(document(DEBT, "ops"), ConfigMap)
    del found.data[field]
    with pytest.raises(ValueError, match=f"data.{field} is missing"):
        read(found)


@pytest.mark.parametrize(
    ("entry", "credentials"),
    [
        ([], "none"),
        ([{"name": "REDIS_PASSWORD", "value": "sesame"}], "lost"),
        ([{"name": "REDIS_PASSWORD", "valueFrom": {"secretKeyRef": {"name": "a", "key": "b"}}}], "secret"),
        ([{"name": "REDIS_PASSWORD", "valueFrom": {"configMapKeyRef": {"name": "a", "key": "b"}}}], "lost"),
    ],
)
def test_no_password_ever_gets_into_a_debt(entry: list[Obj], credentials: str) -> None:
    cluster = ft_cluster(deleted_for=20, head=redis_env(*entry))
    debt = debt_of(plan(Observed(cluster, jobs=(job(FAILED),))))
    assert debt.storage.credentials == credentials
    assert "sesame" not in str(document(debt, "ops"))


def test_a_password_in_the_address_stays_out_as_well() -> None:
    env = [{"name": "RAY_REDIS_ADDRESS", "value": "rediss://me:sesame@cache.example:6380,other:1"}]
    found = storage_of(ft_cluster(head={"template": head_template(env=env)}))
    assert found is not None
    assert (found.address, found.credentials) == ("rediss://cache.example:6380", "lost")
    assert "sesame" not in found.to_json()


@pytest.mark.parametrize(
    ("facts", "step"),
    [
        (CAN, Pay),
        (CAN._replace(cluster_left=True), Wait),
        (CAN._replace(heads=("head",)), Wait),
        (CAN._replace(takers=("default/other",)), Void),
        (CAN._replace(takers=("default/other",), heads=("head",)), Void),
        (CAN._replace(doubtful=("default/other",)), Wait),
        (CAN._replace(passing=("default/other",)), Wait),
        (CAN._replace(redis_access=False), Unpayable),
        (CAN._replace(redis_cleanup=False), Unpayable),
    ],
)
def test_a_debt_is_paid_only_when_nobody_writes_any_more(facts: Facts, step: type[Any]) -> None:
    assert isinstance(next_step(DEBT, facts, NOW), step)


def test_where_the_password_went_with_the_spec_the_debt_is_unpayable() -> None:
    lost = replace(DEBT, storage=Storage(namespace=UID, host="redis.default", credentials="lost"))
    step = next_step(lost, CAN._replace(heads=("head-x",)), NOW)
    assert isinstance(step, Unpayable)
    assert "wait until head Pod head-x is gone" in step.why


def test_tries_become_rare_and_never_stop() -> None:
    assert [retry_seconds(tries) for tries in (1, 2, 3, 7, 100)] == [60, 120, 240, 3600, 3600]
    failed = DEBT.failed("Redis is away", NOW)
    assert next_step(failed, CAN, NOW) == Wait(60, "Redis is away")
    assert isinstance(next_step(failed, CAN, NOW + timedelta(seconds=60)), Pay)


def living(**metadata: Any) -> RayCluster:
    found = ft_cluster()
    found.metadata.name, found.metadata.uid = "other", "another-uid"
    found.metadata.annotations |= metadata.pop("annotations", {})
    for name, value in metadata.items():
        setattr(found.metadata, name, value)
    return found


def test_who_uses_the_same_keys_has_taken_them_over() -> None:
    same = {"annotations": {"ray.io/external-storage-namespace": UID}}
    assert takers_of(STORAGE_OF_SAMPLE, [living(**same)]).certain == ("default/other",)
    full = head_template(env=[{"name": "RAY_REDIS_ADDRESS", "value": "redis.default.svc.corp.example"}])
    in_full = ft_cluster(head={"template": full}, **same)
    in_full.metadata.name, in_full.metadata.uid = "other", "another-uid"
    assert takers_of(STORAGE_OF_SAMPLE, [in_full], "corp.example").certain == ("default/other",)
    assert takers_of(STORAGE_OF_SAMPLE, [living()]) == ((), (), ())
    elsewhere = living(namespace="elsewhere", **same)
    assert takers_of(STORAGE_OF_SAMPLE, [elsewhere]) == ((), (), ()), "its redis is another Service"
    going = living(deletion_timestamp="2026-01-02T03:04:05Z", **same)
    assert takers_of(STORAGE_OF_SAMPLE, [going]) == ((), (), ("default/other",))
    promises_nothing = living(finalizers=[], **same)
    assert takers_of(STORAGE_OF_SAMPLE, [promises_nothing]) == ((), (), ("default/other",)), "it may go uncleaned"


def test_who_may_use_the_same_keys_is_doubtful() -> None:
    somewhere = {"name": "RAY_REDIS_ADDRESS", "valueFrom": {"configMapKeyRef": {"name": "a", "key": "b"}}}
    hidden = living(annotations={"ray.io/external-storage-namespace": UID})
    hidden.head_group["template"]["spec"]["containers"][0]["env"] = [somewhere]
    assert takers_of(STORAGE_OF_SAMPLE, [hidden]).doubtful == ("default/other",)
    other = living()
    other.head_group["template"]["spec"]["containers"][0]["env"] = [somewhere]
    assert takers_of(STORAGE_OF_SAMPLE, [other]) == ((), (), ()), "its own UID names its keys"


def test_a_head_that_is_stuck_is_owed_for_by_its_uid() -> None:
    found = plan(Observed(ft_cluster(deleted_for=300), pods=(pod("head", "head", deleting=True),)))
    debt = debt_of(found)
    assert debt.heads == ("uid-head",)
    assert "head Pod head is still there" in debt.reason
    assert debt.storage == Storage(namespace=UID, host="redis.default")


def test_before_the_deadline_a_debt_must_be_written_and_past_it_not() -> None:
    for seconds, required in ((20, True), (300, False)):
        found = plan(Observed(ft_cluster(deleted_for=seconds), jobs=(job(FAILED),)))
        record = found.actions[0]
        assert isinstance(record, RecordDebt)
        assert record.required is required


def test_fault_tolerance_switched_off_is_owed_for_where_the_keys_were() -> None:
    storage = {STORAGE: STORAGE_OF_SAMPLE.to_json()}
    off = ft_cluster(deleted_for=1, annotations={"ray.io/ft-enabled": "false"} | storage)
    assert debt_of(plan(Observed(off))).storage == STORAGE_OF_SAMPLE
    unnoted = ft_cluster(deleted_for=1, annotations={"ray.io/ft-enabled": "false"})
    assert not debt_of(plan(Observed(unnoted))).storage.known


def test_the_finalizer_comes_with_a_note_of_where_the_keys_will_be() -> None:
    (action,) = plan(Observed(ft_cluster(finalizers=()))).actions
    assert isinstance(action, SetFinalizers)
    assert msgspec.json.decode(action.annotations[STORAGE], type=Storage).host == "redis.default"


def test_where_redis_is_in_the_head_pod_nothing_is_owed() -> None:
    env = [{"name": "RAY_REDIS_ADDRESS", "value": "localhost:6379"}]
    inside = ft_cluster(deleted_for=300, head={"template": head_template(env=env)})
    (action,) = plan(Observed(inside)).actions
    assert isinstance(action, SetFinalizers)


def test_a_job_that_succeeded_at_the_very_deadline_leaves_no_debt() -> None:
    complete = job({"type": "Complete", "status": "True"})
    (action,) = plan(Observed(ft_cluster(deleted_for=300), jobs=(complete,))).actions
    assert isinstance(action, SetFinalizers)


def test_a_namespace_that_is_going_takes_no_job_and_the_plan_knows_what_then() -> None:
    (action,) = plan(Observed(ft_cluster(deleted_for=1))).actions
    assert isinstance(action, Create)
    assert [type(found) for found in action.doomed] == [RecordDebt, SetFinalizers]
    (action,) = plan(Observed(ft_cluster(deleted_for=1)), Settings(redis_access=True)).actions
    assert isinstance(action, Create)
    assert [type(found) for found in action.doomed] == [CleanRedis, SetFinalizers]


@pytest.mark.parametrize("mode", ["BestEffort", "Mandatory"])
@pytest.mark.parametrize("deleted_for", [1, 1000])
def test_retain_lets_go_at_once_and_owes_nothing_however_late_it_is(mode: Any, deleted_for: int) -> None:
    kept = ft_cluster(deleted_for=deleted_for, annotations={"headstay.io/gcs-ft-cleanup": "Retain"})
    found = plan(Observed(kept, pods=(pod("head", "head"),)), Settings(cleanup_mode=mode))
    assert finalizers(found) == ()
    assert len(found.actions) == 1


def test_operator_cleans_after_the_head_and_with_no_pod() -> None:
    annotations = {"headstay.io/gcs-ft-cleanup": "Operator"}
    access = Settings(redis_access=True)
    cluster = ft_cluster(deleted_for=1, annotations=annotations)
    waiting = plan(Observed(cluster, pods=(pod("head", "head", deleting=True),)), access)
    assert waiting.actions == ()
    clean, off = plan(Observed(cluster), access).actions
    assert isinstance(clean, CleanRedis)
    assert isinstance(off, SetFinalizers)
    assert [type(found) for found in clean.otherwise] == [RecordDebt, SetFinalizers]
    (create,) = plan(Observed(cluster)).actions
    assert isinstance(create, Create), "without access it is a Job after all"


@pytest.mark.parametrize(
    ("asked", "settings", "word"),
    [("Operator", Settings(), "redisAccess.enabled"), ("Sideways", Settings(), "'Sideways'")],
)
def test_a_wish_that_cannot_be_met_is_answered_before_it_matters(asked: str, settings: Settings, word: str) -> None:
    annotations = {"headstay.io/gcs-ft-cleanup": asked}
    for cluster in (ft_cluster(annotations=annotations), ft_cluster(deleted_for=1, annotations=annotations)):
        (event,) = [found for found in plan(Observed(cluster), settings).events if found.reason == "RedisCleanupPolicy"]
        assert event.type == "Warning"
        assert word in event.note


@pytest.mark.parametrize("namespace", ["a*", "a?", "[ab]", "a\\b", "^-", "plain"])
def test_the_pattern_of_a_debt_s_command_matches_its_own_namespace_alone(namespace: str) -> None:
    escaped = glob_escaped(namespace)
    assert escaped.replace("\\\\", "\0").replace("\\", "").replace("\0", "\\") == namespace


def test_the_command_is_shell_and_asks_for_the_password_instead_of_naming_it() -> None:
    text = command(replace(DEBT, storage=replace_storage(namespace="it's a*")), "ops")
    assert "REDISCLI_AUTH" in text
    assert text.endswith(f"kubectl delete configmap headstay-debt-{UID} -n ops")
    checked = subprocess.run(["sh", "-n", "-c", text], capture_output=True, check=False, env=dict(os.environ))
    assert checked.returncode == 0, checked.stderr
    assert "REDISCLI_AUTH" not in script(Storage(namespace=UID, host="redis.default"))


def replace_storage(**fields: Any) -> Storage:
    return msgspec.structs.replace(STORAGE_OF_SAMPLE, **fields)
