"""Workers that did not come back after a recovery: replaced on good evidence, and on nothing less."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from tests.unit.plan.clusters import NOW, SETTINGS, UID, deleted, ft_cluster, group, head_svc, plan, pod
from tests.unit.plan.test_recoveries import at, head

from headstay.model.meta import Pod
from headstay.model.objects import Obj
from headstay.model.ray import RayCluster
from headstay.model.ray_nodes import RayNode
from headstay.model.timestamps import rfc3339_micro
from headstay.plan.raycluster.journal import RECOVERIES, Record, read_journal, write_journal
from headstay.plan.raycluster.plan import Observed, Plan, RecordRecoveries, Returns, TableRead
from headstay.plan.raycluster.returns import answered, next_read_in, unanswered
from headstay.plan.raycluster.settings import Settings

HEAD = head(ready=True, since=-300, started=-410, created=-420, ip="10.0.0.1")


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def recovered(seconds: float = 200, *, data_lost: bool = False) -> Record:
    return Record(
        UID, "life/1", "InPlace", "head", lost=rfc3339_micro(ago(seconds + 1)), serving=rfc3339_micro(ago(seconds)),
        answered=rfc3339_micro(ago(seconds)), data_lost=data_lost, epoch="e" if data_lost else "",
    )  # fmt: skip


def of(record: Record | None = None, *, workers: int = 3, **annotations: str) -> RayCluster:
    condition: Obj = {"type": "RayClusterProvisioned", "status": "True", "lastTransitionTime": at(-400)}
    written = {RECOVERIES: write_journal((record or recovered(),))}
    named = {f"headstay.io/{name.replace('_', '-')}": text for name, text in annotations.items()}
    groups = [group(replicas=workers, maxReplicas=100)]
    return ft_cluster(annotations=written | named, groups=groups, status={"conditions": [condition]})


def worker(number: int, *, created: float = 500, started: float = 490, **fields: object) -> Pod:
    running: Obj = {"running": {"startedAt": at(-started)}}
    found = pod(f"w{number}", ip=f"10.0.1.{number}", container_state=running, **fields)  # type: ignore[arg-type]
    found.metadata.creation_timestamp = at(-created)
    return found


def table(*alive: int, seconds: float, dead: tuple[int, ...] = (), head_too: bool = True) -> TableRead:
    nodes = [RayNode(f"10.0.1.{number}", "ALIVE") for number in alive]
    nodes += [RayNode(f"10.0.1.{number}", "DEAD") for number in dead]
    return TableRead(ago(seconds), (*nodes, *([RayNode("10.0.0.1", "ALIVE", head=True)] if head_too else [])))


def without(*lost: int, of_all: int = 3, since: float = 130) -> Returns:
    alive = [number for number in range(of_all) if number not in lost]
    first = ago(since)
    before, last = table(*alive, seconds=12), table(*alive, seconds=2, dead=lost)
    return answered(answered(Returns("life/1", first, first), before), last)


def decide(cluster: RayCluster, workers: list[Pod], returns: Returns | None, settings: Settings = SETTINGS) -> Plan:
    return plan(Observed(cluster, pods=(HEAD, *workers), services=(head_svc(),), returns=returns), settings)


def condition(found: Plan) -> Obj:
    return next((entry for entry in found.conditions if entry["type"] == "headstay.io/WorkersReturned"), {})


THREE = [worker(number) for number in range(3)]


def test_a_worker_that_the_gcs_has_not_seen_again_is_replaced_and_that_is_said() -> None:
    found = decide(of(), THREE, without(1))
    assert deleted(found) == ["w1"]
    assert found.replaces == 1
    assert condition(found)["reason"] == "Replacing"
    assert "w1" in condition(found)["message"]


Change = Callable[[Returns], Returns]
WEAK: dict[str, Change] = {
    "the GCS has not answered for long enough": lambda r: r._replace(since=ago(119)),
    "a reading failed since": lambda r: answered(unanswered(r, "timed out"), table(0, 2, seconds=1)),
    "it was read only once": lambda r: r._replace(before=None),
    "the GCS does not answer": lambda r: unanswered(r, "timed out"),
    "the last reading is old": lambda r: r._replace(last=table(0, 2, seconds=61)),
    "it was there a reading ago": lambda r: r._replace(before=table(0, 1, 2, seconds=12)),
    "no other node lives": lambda r: r._replace(last=table(seconds=2, head_too=False)),
    "another recovery was meant": lambda r: r._replace(of="life/0"),
}


@pytest.mark.parametrize("change", WEAK.values(), ids=WEAK.keys())
def test_on_weak_evidence_nothing_is_deleted(change: Change) -> None:
    found = decide(of(), THREE, change(without(1)))
    assert deleted(found) == []
    assert found.replaces == 0


def test_an_operator_cut_off_from_the_head_deletes_nothing_and_says_that_nothing_is_known() -> None:
    silence = unanswered(Returns("life/1"), "the head's dashboard is out of reach")
    assert condition(decide(of(), THREE, silence)) == {}, "with RestartHead a RayCluster looks as KubeRay's does"
    found = decide(of(gcs_recovery="InPlace"), THREE, silence, Settings(keeper="a2VlcGVy"))
    assert deleted(found) == []
    assert (condition(found)["status"], condition(found)["reason"]) == ("Unknown", "NotKnown")
    assert "out of reach" in condition(found)["message"]
    assert deleted(decide(of(), THREE, None)) == []


def test_before_the_bound_nothing_is_said_either() -> None:
    found = decide(of(recovered(60)), THREE, without(1, since=60))
    assert condition(found) == {}
    assert found.requeue_after is not None
    assert found.requeue_after <= 60


def test_a_worker_that_the_kubelet_is_mending_is_left_to_it() -> None:
    again = worker(1, started=100)
    assert deleted(decide(of(), [THREE[0], again, THREE[2]], without(1))) == []


def test_a_worker_made_since_the_recovery_is_none_of_its_business() -> None:
    young = worker(1, created=100, started=140)
    found = decide(of(), [THREE[0], young, THREE[2]], without(1))
    assert deleted(found) == []


def test_an_annotation_forbids_it_and_the_condition_says_so() -> None:
    found = decide(of(replace_lost_workers="false"), THREE, without(1))
    assert deleted(found) == []
    assert condition(found)["reason"] == "Missing"
    assert "replace-lost-workers" in condition(found)["message"]


def test_an_annotation_gives_workers_more_time_but_never_less_than_a_minute() -> None:
    assert deleted(decide(of(worker_return_timeout="600"), THREE, without(1))) == []
    assert deleted(decide(of(worker_return_timeout="5"), THREE, without(1, since=59))) == []
    assert deleted(decide(of(worker_return_timeout="5"), THREE, without(1, since=61))) == ["w1"]
    for nonsense in ("soon", "-1", "nan", "inf"):
        assert deleted(decide(of(worker_return_timeout=nonsense), THREE, without(1, since=119))) == []
        assert deleted(decide(of(worker_return_timeout=nonsense), THREE, without(1, since=121))) == ["w1"]


@pytest.mark.parametrize(("workers", "at_once"), [(3, 1), (19, 1), (20, 2), (60, 6)])
def test_a_tenth_of_the_workers_is_replaced_in_a_minute(workers: int, at_once: int) -> None:
    all_of_them = [worker(number) for number in range(workers)]
    returns = without(*range(workers), of_all=workers)
    assert len(deleted(decide(of(workers=workers), all_of_them, returns))) == at_once
    busy = returns._replace(replaced=(ago(50),) * at_once)
    found = decide(of(workers=workers), all_of_them, busy)
    assert deleted(found) == []
    assert found.requeue_after == pytest.approx(10)
    assert len(deleted(decide(of(workers=workers), all_of_them, returns._replace(replaced=(ago(61),))))) == at_once


def test_after_a_loss_of_data_strangers_have_a_minute() -> None:
    assert deleted(decide(of(recovered(61, data_lost=True)), THREE, without(1, since=61))) == ["w1"]
    assert deleted(decide(of(recovered(61)), THREE, without(1, since=61))) == []


def test_when_all_are_back_it_is_written_down_and_nothing_is_read_any_more() -> None:
    found = decide(of(), THREE, without())
    (action,) = [action for action in found.actions if isinstance(action, RecordRecoveries)]
    (record,) = read_journal(replace_annotations(of(), action.annotations))
    assert record.workers == rfc3339_micro(ago(12))
    assert "headstay.io/WorkersReturned" in found.obsolete


def test_a_gcs_that_has_only_just_started_may_take_a_silent_node_for_alive() -> None:
    found = decide(of(recovered(80)), THREE, without(since=80))
    assert not [action for action in found.actions if isinstance(action, RecordRecoveries)]


def replace_annotations(cluster: RayCluster, annotations: dict[str, str]) -> RayCluster:
    cluster.metadata.annotations |= annotations
    return cluster


def test_workers_that_go_for_another_reason_are_not_waited_for() -> None:
    going = worker(1, deleting=True)
    found = decide(of(), [THREE[0], going, THREE[2]], without(1))
    assert [action for action in found.actions if isinstance(action, RecordRecoveries)]


def test_reading_is_quick_at_first_and_slow_in_the_end() -> None:
    assert next_read_in(Returns("x"), NOW, NOW) == 0.5
    assert next_read_in(Returns("x"), ago(10), NOW) == 2
    assert next_read_in(Returns("x"), ago(1000), NOW) == 10
    assert next_read_in(unanswered(Returns("x"), "no"), ago(1000), NOW) == 15


def test_a_suspended_or_deleted_cluster_loses_no_worker_to_this() -> None:
    suspended = of()
    suspended.spec["suspend"] = True
    assert deleted(decide(suspended, THREE, without(1))) == []
    observed = Observed(of(), pods=(HEAD, *THREE), services=(head_svc(),), returns=without(1), beside="default/kuberay")
    assert deleted(plan(replace(observed))) == []
