"""What is written down of recoveries: once each, and completed as more becomes known."""

from datetime import timedelta
from typing import Any

import pytest
from tests.unit.plan.clusters import NOW, UID, ft_cluster, pod
from tests.unit.plan.test_recoveries import at, head

from headstay.model.head_report import HeadReport, heard
from headstay.model.keeper_state import GcsNow, KeeperState, Revival, StorageNow
from headstay.model.meta import ContainerStatus, Pod
from headstay.model.objects import Obj
from headstay.model.ray import RayCluster
from headstay.model.ray_nodes import RayNode
from headstay.model.timestamps import rfc3339_micro
from headstay.plan.raycluster.aftercare import aftercare, spans, table_wanted
from headstay.plan.raycluster.journal import (
    RECOVERIES,
    Record,
    TableSeen,
    journal_of,
    pending,
    read_journal,
    write_journal,
)
from headstay.plan.raycluster.plan import Observed, Returns, TableRead
from headstay.plan.raycluster.returns import answered
from headstay.plan.raycluster.settings import Settings

IN_PLACE = {"headstay.io/gcs-recovery": "InPlace"}
SETTINGS = Settings(keeper="a2VlcGVy")
T = NOW.timestamp()
DEAD = Revival(1, "Gone", "it ended with signal 9", lost=T + 1.0, detected=T + 1.1)
BACK = Revival(1, "Gone", "it ended with signal 9", lost=T + 1.0, detected=T + 1.1, started=T + 1.2, serving=T + 1.5)


def micro(seconds: float) -> str:
    return rfc3339_micro(NOW + timedelta(seconds=seconds))


def ft(
    records: tuple[Record, ...] = (), *, provisioned: float = -60, mode: dict[str, str] = IN_PLACE, **fields: Any
) -> RayCluster:
    condition: Obj = {"type": "RayClusterProvisioned", "status": "True", "lastTransitionTime": at(provisioned)}
    annotations = mode | ({RECOVERIES: write_journal(records)} if records else {})
    return ft_cluster(status={"conditions": [condition]}, annotations=annotations, **fields)


WELL = head(
    ready=True, since=-60, started=-70, created=-80, ip="10.0.0.1", annotations={"headstay.io/keeper-port": "1"}
)


def report(
    *revivals: Revival,
    phase: Any = "Serving",
    pod_uid: str = "uid-head",
    storage: StorageNow | None = None,
    **more: Any,
) -> HeadReport:
    state = KeeperState("life", 9, T + 2, GcsNow(phase, T), revivals=revivals, storage=storage or StorageNow(), **more)
    return heard(pod_uid, state, NOW + timedelta(seconds=2), None)


def observe(cluster: RayCluster, found: HeadReport | None = None, *, of: Pod = WELL, **more: Any) -> Observed:
    return Observed(cluster, pods=(of, pod("w", ip="10.0.0.2")), report=found, **more)


def test_a_gcs_that_died_is_written_down_and_completed_when_it_serves_again() -> None:
    (record,) = journal_of(observe(ft(), report(DEAD, phase="Gone")), TableSeen())
    assert (record.id, record.how, record.lost, record.serving) == ("life/1", "InPlace", micro(1.0), None)
    (completed,) = journal_of(observe(ft((record,)), report(BACK)), TableSeen())
    assert (completed.serving, completed.ready) == (micro(1.5), micro(1.5))
    assert spans(completed) == pytest.approx({"detect": 0.1, "restart": 0.4, "ready": 0, "total": 0.5}, abs=1e-5)


def test_what_is_written_is_not_written_again() -> None:
    written = journal_of(observe(ft(), report(BACK)), TableSeen())
    later = heard("uid-head", KeeperState("life", 10, T + 2.3, GcsNow("Serving", T), revivals=(BACK,)), NOW, None)
    for found in (report(BACK), None, later):
        assert journal_of(observe(ft(written), found), TableSeen()) == written


def test_nothing_that_the_keeper_still_tells_is_lost_and_nothing_that_it_forgot() -> None:
    second = Revival(2, "Silent", "no answer", lost=T + 20, detected=T + 30, started=T + 30, serving=T + 31)
    first = journal_of(observe(ft(), report(BACK)), TableSeen())
    other = HeadReport(
        "uid-head", "Serving", NOW, state=KeeperState("life", 1, T, GcsNow("Serving", T), revivals=(second,))
    )
    assert [record.id for record in journal_of(observe(ft(first), other), TableSeen())] == ["life/1", "life/2"]


def test_ten_are_kept_and_one_that_is_older_than_all_of_them_does_not_come_back() -> None:
    old = tuple(
        Record(UID, f"old/{n}", "InPlace", "head", lost=micro(100 + n), serving=micro(101 + n)) for n in range(10)
    )
    assert journal_of(observe(ft(old), report(BACK)), TableSeen()) == old
    new = Revival(3, "Gone", "", lost=T + 300, detected=T + 300, serving=T + 301)
    found = journal_of(observe(ft(old), report(new)), TableSeen())
    assert len(found) == 10
    assert found[-1].id == "life/3"


def test_a_report_about_another_head_says_nothing() -> None:
    assert journal_of(observe(ft(), report(BACK, pod_uid="uid-other")), TableSeen()) == ()


def test_a_restarted_head_is_written_down_with_the_phases_that_its_pod_tells() -> None:
    restarted = head(ready=True, since=27, restarts=1, ended=5, started=7, created=-80)
    (record,) = journal_of(observe(ft(), of=restarted, lost=at(2)), TableSeen())
    assert (record.how, record.id) == ("Restarted", "uid-head/1")
    assert spans(record) == {"detect": 3, "restart": 2, "ready": 20, "total": 25}


def test_a_replaced_head_is_one_that_was_made_after_the_cluster_was_complete() -> None:
    new = head("other", ready=True, since=20, started=7, created=5)
    (record,) = journal_of(observe(ft(), of=new, lost=at(3)), TableSeen())
    assert (record.how, record.lost, record.detected) == ("Replaced", micro(3), micro(5))
    assert journal_of(observe(ft(provisioned=20), of=new), TableSeen()) == ()


def test_what_a_copied_manifest_or_somebody_wrote_is_passed_over() -> None:
    elsewhere = (Record("other-uid", "life/1", "InPlace", "head", serving=micro(1)),)
    assert read_journal(ft(elsewhere)) == ()
    assert read_journal(ft_cluster(annotations={RECOVERIES: "[1, "})) == ()
    assert read_journal(ft_cluster(annotations={RECOVERIES: '{"a": 1}'})) == ()


def test_the_table_is_wanted_only_between_a_recovery_and_the_return_of_the_workers() -> None:
    assert table_wanted(observe(ft())) is None
    written = journal_of(observe(ft(), report(BACK)), TableSeen())
    wanted = table_wanted(observe(ft(written)))
    assert wanted is not None
    assert (wanted.record, wanted.address, wanted.port) == ("life/1", "10.0.0.1", 8265)
    seen = TableSeen(NOW + timedelta(seconds=3), NOW + timedelta(seconds=4))
    complete = journal_of(observe(ft(written), report(BACK)), seen)
    assert (complete[0].answered, complete[0].workers) == (micro(3), micro(4))
    assert pending(complete) is None
    assert table_wanted(observe(ft(complete))) is None


def test_a_reading_from_before_the_recovery_completes_nothing() -> None:
    found = journal_of(observe(ft(), report(BACK)), TableSeen(NOW, NOW))
    assert found[0].answered is None


def test_a_recovery_is_told_of_once_and_counted_once() -> None:
    first = aftercare(observe(ft(), report(DEAD, phase="Gone")), SETTINGS, NOW).journal
    assert first is not None
    assert [(event.type, event.reason) for event in first.told] == [("Warning", "GcsLost")]
    assert first.recovered == ()
    written = ft(read_journal(ft_cluster(annotations=first.annotations)))
    second = aftercare(observe(written, report(BACK)), SETTINGS, NOW).journal
    assert second is not None
    assert [event.reason for event in second.told] == ["GcsRecovered"]
    assert "after 0.50 s, in place (Gone: it ended with signal 9)" in second.told[0].note
    assert [recovery.how for recovery in second.recovered] == ["in_place"]
    assert second.told[0].note.endswith("; detect 0.10 s, restart 0.40 s, ready 0.00 s")
    done = ft(read_journal(ft_cluster(annotations=second.annotations)))
    assert aftercare(observe(done, report(BACK)), SETTINGS, NOW).journal is None


def read_since(record: str, *, seconds: float) -> Returns:
    """The node table with the worker in it, read when the operator first asked and once more after so many seconds."""
    nodes = (RayNode("10.0.0.2", "ALIVE"),)
    first = answered(Returns(record), TableRead(NOW + timedelta(seconds=3), nodes))
    return answered(first, TableRead(NOW + timedelta(seconds=seconds), nodes))


@pytest.mark.parametrize("mode", [IN_PLACE, {}], ids=["InPlace", "RestartHead"])
def test_phases_that_end_later_are_counted_once_each_whoever_leads(mode: dict[str, str]) -> None:
    """Every pass is a new leader's: nothing is remembered but the annotation."""
    restarted = head(ready=True, since=1, restarts=1, ended=1, started=1, created=-80, ip="10.0.0.1")
    of, found = (WELL, report(BACK)) if mode else (restarted, None)
    journal: dict[str, str] = {}
    counted: list[tuple[str, float]] = []
    told: list[str] = []
    for after in (None, 4, 5, 95, 96, 200):
        cluster = ft(read_journal(ft_cluster(annotations=journal)), mode=mode)
        record = pending(read_journal(cluster))
        returns = read_since(record.id, seconds=after) if record is not None and after is not None else None
        observed = observe(cluster, found, of=of, returns=returns)
        observed.pods[1].metadata.creation_timestamp = at(-80)
        care = aftercare(observed, SETTINGS, NOW).journal
        if care is not None:
            journal = care.annotations
            counted += care.ended
            told += [event.note for event in care.told if event.reason == "WorkersReturned"]
    back = 1.5 if mode else 1.0
    assert [phase for phase, _ in counted] == ["answered", "workers"]
    assert [seconds for _, seconds in counted] == pytest.approx([3 - back] * 2)
    later = f"{3 - back:.2f} s"
    assert told == [f"Every worker is back with the GCS of head head; answered {later}, workers {later}"]


def test_an_emptied_redis_is_told_of_once_however_many_recoveries_follow() -> None:
    lost = StorageNow("Marked", epoch="e2", begun="DataLost")
    care = aftercare(observe(ft(), report(BACK, storage=lost)), SETTINGS, NOW)
    assert care.journal is not None
    assert [event.reason for event in care.journal.told] == ["GcsRecovered", "RedisDataLost"]
    written = read_journal(ft_cluster(annotations=care.journal.annotations))
    assert written[-1].data_lost
    again = aftercare(observe(ft(written), report(BACK, storage=lost)), SETTINGS, NOW)
    assert again.journal is None
    assert [c["reason"] for c in again.conditions if c["type"] == "headstay.io/RedisDataKept"] == ["RedisDataLost"]
    next_one = Revival(2, "Gone", "", lost=T + 20, detected=T + 20, serving=T + 21)
    later = aftercare(observe(ft(written), report(BACK, next_one, storage=lost)), SETTINGS, NOW)
    assert later.journal is not None
    assert [event.reason for event in later.journal.told] == ["GcsRecovered"]
    assert "headstay.io/RedisDataKept" in later.obsolete


@pytest.mark.parametrize("kubelet", [0.0, -3.0])
def test_a_gcs_ended_for_a_fresh_start_and_the_head_that_followed_are_one_recovery(kubelet: float) -> None:
    """Also by the clock of a kubelet that is behind, in whole seconds."""
    ended = Revival(1, "Gone", "ended on purpose, for a fresh start", lost=T + 10.2, detected=T + 10.3)
    written = journal_of(observe(ft(), report(ended, phase="Ending")), TableSeen())
    assert [(record.how, record.back) for record in written] == [("InPlace", None)]
    restarted = head(ready=True, since=30 + kubelet, restarts=1, ended=10 + kubelet, started=12 + kubelet, created=-80)
    lost = StorageNow("Marked", epoch="e2", begun="DataLost")
    for last_heard in (report(ended, phase="Ending"), report(storage=lost)):
        care = aftercare(observe(ft(written), last_heard, of=restarted), SETTINGS, NOW)
        if care.journal is not None:
            written = read_journal(ft_cluster(annotations=care.journal.annotations))
    (record,) = written
    assert (record.how, record.lost, record.why) == ("Restarted", micro(10.2), f"Gone: {ended.why}")
    assert record.data_lost
    assert care.journal is not None
    assert "RedisDataLost" in [event.reason for event in care.journal.told]


def test_a_sidecar_that_comes_first_by_name_is_not_taken_for_ray() -> None:
    restarted = head(ready=True, since=27, restarts=1, ended=5, started=7, created=-80)
    restarted.status.container_statuses.insert(0, ContainerStatus(name="fluentbit", restart_count=7))
    (record,) = journal_of(observe(ft(), of=restarted), TableSeen())
    assert (record.how, record.id) == ("Restarted", "uid-head/1")


@pytest.mark.parametrize(
    ("began", "moved", "lost"),
    [(-70, False, False), (5, False, True), (5, True, False)],
    ids=["the first epoch", "a later one", "in a place that the user chose"],
)
def test_new_data_in_a_cluster_that_was_complete_is_a_loss(began: float, moved: bool, lost: bool) -> None:
    """The keeper that knew the old data ended with its head; the next one finds nothing."""
    cluster = ft(provisioned=-65)
    if moved:
        cluster.annotations["headstay.io/redis-storage-former"] = '[{"host":"old","namespace":"n"}]'
    restarted = head(ready=True, since=27, restarts=1, ended=5, started=7, created=-80)
    found = report(storage=StorageNow("Marked", epoch="e2", begun="New", at=at(began)))
    (record,) = journal_of(observe(cluster, found, of=restarted), TableSeen())
    assert (record.epoch, record.data_lost) == ("e2", lost)


@pytest.mark.parametrize(
    ("back", "what"),
    [
        (
            head(ready=True, since=27, restarts=1, ended=5, started=7, created=-80),
            "its container restarted (container ended: 1); detect 3.00 s, restart 2.00 s, ready 20.00 s",
        ),
        (
            head("head", ready=True, since=27, started=7, created=5),
            "its Pod was replaced; detect 3.00 s, restart 2.00 s, ready 20.00 s",
        ),
    ],
    ids=["restarted", "replaced"],
)
def test_with_restart_head_a_recovery_is_told_of_once_and_changes_no_condition(back: Pod, what: str) -> None:
    care = aftercare(observe(ft(mode={}), of=back, lost=at(2)), Settings(), NOW)
    assert care.journal is not None
    assert [(event.type, event.reason) for event in care.journal.told] == [("Normal", "GcsRecovered")]
    assert care.journal.told[0].note == f"The GCS of head head serves again after 25.00 s, {what}"
    assert care.journal.recovered == (), "whoever looks at heads counts these"
    assert care.conditions == ()
    written = ft(read_journal(ft_cluster(annotations=care.journal.annotations)), mode={})
    for lost in (at(2), ""):
        again = aftercare(observe(written, of=back, lost=lost), Settings(), NOW)
        assert again.journal is None


def test_a_head_that_restarted_before_the_cluster_was_complete_has_had_no_recovery_since() -> None:
    """Its readiness probe may fail later, and then the Pod looks as if it had only just come back."""
    restarted = head(ready=True, since=27, restarts=1, ended=-70, started=-65, created=-80)
    assert journal_of(observe(ft(), of=restarted), TableSeen()) == ()


def test_a_cluster_that_is_being_suspended_or_resumes_has_no_recovery() -> None:
    new = head("other", ready=True, since=20, started=7, created=5)
    resumed = ft()
    resumed.status["conditions"][0]["status"] = "False"
    assert journal_of(observe(resumed, of=new), TableSeen()) == ()
    assert journal_of(observe(ft(provisioned=20), of=new), TableSeen()) == ()


def test_a_cluster_without_fault_tolerance_has_no_journal() -> None:
    plain = ft()
    plain.metadata.annotations["ray.io/ft-enabled"] = "false"
    restarted = head(ready=True, since=27, restarts=1, ended=5, started=7, created=-80)
    assert journal_of(observe(plain, of=restarted), TableSeen()) == ()


def test_what_was_over_long_before_anybody_looked_is_written_down_and_no_news() -> None:
    """As in a cluster taken over from KubeRay, whose head restarted two weeks ago."""
    day = 86400.0
    then = -14 * day
    restarted = head(
        ready=True, since=then + 30, restarts=1, ended=then, started=then + 5, created=-30 * day, ip="10.0.0.1"
    )
    worker = pod("w", ip="10.0.0.2")
    cluster = ft(mode={}, provisioned=-29 * day)
    care = aftercare(Observed(cluster, pods=(restarted, worker)), Settings(), NOW)
    assert care.journal is not None
    assert (care.journal.told, care.journal.recovered) == ((), ())
    cluster.metadata.annotations.update(care.journal.annotations)
    observed = Observed(cluster, pods=(restarted, worker))
    wanted = table_wanted(observed)
    assert wanted is not None
    nodes = (RayNode("10.0.0.1", "ALIVE", head=True), RayNode("10.0.0.2", "ALIVE"))
    returns = answered(Returns(wanted.record), TableRead(NOW, nodes))
    care = aftercare(Observed(cluster, pods=(restarted, worker), returns=returns), Settings(), NOW)
    assert care.journal is not None
    assert (care.journal.told, care.journal.ended) == ((), ())
