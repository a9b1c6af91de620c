"""What a recovery leaves to do: write it down, tell of it, and see that the workers come back."""

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from headstay.model.head_report import TableWanted
from headstay.model.objects import Obj
from headstay.model.ray import DASHBOARD_PORT, start_params
from headstay.model.timestamps import parse
from headstay.plan.raycluster.heads import GCS_SERVING, head_target, out_of_traffic, serving_condition, the_head
from headstay.plan.raycluster.in_place import gcs_recovery
from headstay.plan.raycluster.journal import (
    RECOVERIES,
    Record,
    TableSeen,
    journal_of,
    pending,
    read_journal,
    write_journal,
)
from headstay.plan.raycluster.plain_serve import route_around_head
from headstay.plan.raycluster.plan import Action, EventDraft, Observed, RecordRecoveries, Recovery, Update
from headstay.plan.raycluster.recoveries import LATE_PHASES
from headstay.plan.raycluster.returns import Comeback, Missing, all_back, missing_workers, return_seconds
from headstay.plan.raycluster.settings import Settings
from headstay.plan.raycluster.steps import delete_worker

WORKERS_RETURNED = "headstay.io/WorkersReturned"
REDIS_DATA = "headstay.io/RedisDataKept"
_NEWS_SECONDS = 600.0
"""A head that restarted weeks before we took over shows it for ever; that is written down, and no news."""


class Aftercare(NamedTuple):
    """`journal` is what has to be written first; the rest is for the passes in which nothing has.

    `services` come last: one that is refused must cost nothing else.
    """

    actions: tuple[Action, ...] = ()
    journal: RecordRecoveries | None = None
    services: tuple[Update, ...] = ()
    conditions: tuple[Obj, ...] = ()
    obsolete: tuple[str, ...] = ()
    again: float | None = None
    why: str = ""
    replaces: int = 0


def aftercare(observed: Observed, settings: Settings, now: datetime) -> Aftercare:
    serving = serving_condition(observed, settings, now)
    labels, label_again = out_of_traffic(observed, settings, now)
    routed = route_around_head(observed, settings, now)
    records = journal_of(observed, _table(observed))
    returned = _returned(observed, records, now, told=gcs_recovery(observed.cluster, settings) == "InPlace")
    data = _data(observed, records, settings)
    replaced = tuple(
        delete_worker(
            pod, f"the GCS has answered for {_bound(observed, records):.0f} s since its recovery without seeing it"
        )
        for pod in returned.missing.replace
    )
    found = [condition for condition in (serving.condition, returned.condition, data) if condition is not None]
    kept = {condition["type"] for condition in found} | ({GCS_SERVING} if serving.holds else set())
    times = [serving.again, label_again, routed.again, returned.missing.again]
    return Aftercare(
        (*labels, *replaced),
        _journal(observed, records, settings, now),
        routed.actions,
        tuple(found),
        tuple(kind for kind in (GCS_SERVING, WORKERS_RETURNED, REDIS_DATA) if kind not in kept),
        min((seconds for seconds in times if seconds is not None), default=None),
        f"replacing {len(replaced)} workers that did not come back" if replaced else "",
        len(replaced),
    )


class _Returned(NamedTuple):
    missing: Missing = Missing()
    condition: Obj | None = None


def table_wanted(observed: Observed) -> TableWanted | None:
    """Nothing is read while all is well: only after a recovery that is written down, until its workers are back."""
    record, head = pending(read_journal(observed.cluster)), the_head(observed)
    if record is None or head is None or head_target(observed) is None:
        return None
    port = start_params(observed.cluster.head_group).get("dashboard-port", "")
    return TableWanted(record.id, head.status.pod_ip, int(port) if port.isdecimal() else DASHBOARD_PORT)


def _table(observed: Observed) -> TableSeen:
    record, returns = pending(read_journal(observed.cluster)), observed.returns
    if record is None or returns is None or returns.of != record.id:
        return TableSeen()
    return TableSeen(returns.first, all_back(observed, returns, parse(record.back or "")))


def _returned(observed: Observed, records: tuple[Record, ...], now: datetime, *, told: bool) -> _Returned:
    """`told`: that nothing is known is told too. Not with RestartHead, where a RayCluster looks as KubeRay's does."""
    record, cluster = pending(records), observed.cluster
    if record is None or observed.returns is None or observed.returns.of != record.id:
        return _Returned()
    if cluster.spec.get("suspend") or cluster.is_true("RayClusterSuspending") or cluster.is_true("RayClusterSuspended"):
        return _Returned()
    comeback = Comeback(parse(record.back or ""), record.data_lost)
    missing = missing_workers(observed, observed.returns, comeback, now)
    bound = return_seconds(observed.cluster, strangers=record.data_lost)
    if not missing.why and not missing.replace:
        return _Returned(missing)
    overdue = (now - comeback.at).total_seconds() >= bound
    if not overdue or not (missing.pods or told):
        return _Returned(missing)
    names = ", ".join(pod.metadata.name for pod in missing.pods[:5]) or "which is not known"
    doing = f"replacing {len(missing.replace)} of them" if missing.replace else f"not replaced: {missing.why}"
    message = f"Workers the GCS has not seen again since {record.back}: {names}; {doing}"
    reason = "Replacing" if missing.replace else "Missing" if missing.pods else "NotKnown"
    status = "False" if missing.pods else "Unknown"
    return _Returned(missing, _condition(WORKERS_RETURNED, status, reason, message))


def _bound(observed: Observed, records: tuple[Record, ...]) -> float:
    return return_seconds(observed.cluster, strangers=bool(records) and records[-1].data_lost)


def _data(observed: Observed, records: tuple[Record, ...], settings: Settings) -> Obj | None:
    """Stays until the next recovery: nobody else tells a user where the actors went."""
    if gcs_recovery(observed.cluster, settings) != "InPlace" or not records or not records[-1].data_lost:
        return None
    return _condition(REDIS_DATA, "False", "RedisDataLost", _loss(records[-1]))


def _loss(record: Record) -> str:
    return (
        f"Redis lost its data before {record.back}: the cluster began anew, without the actors, placement groups and "
        "jobs it had"
    )


def _journal(
    observed: Observed, records: tuple[Record, ...], settings: Settings, now: datetime
) -> RecordRecoveries | None:
    written = read_journal(observed.cluster)
    if records == written:
        return None
    before = {record.id: record for record in written}
    fresh = [record for record in records if not _was_back(before.get(record.id)) and _is_news(record, now)]
    told: list[EventDraft] = []
    if gcs_recovery(observed.cluster, settings) == "InPlace":
        told += [_lost(record) for record in records if not record.back and record.id not in before]
    told += [_recovered(record) for record in fresh]
    ended = {record: _ended(record, before.get(record.id)) for record in records}
    told += [_workers_returned(record) for record, phases in ended.items() if "workers" in phases]
    for record in records:
        if record.data_lost and not (record.id in before and before[record.id].data_lost):
            told.append(EventDraft("Warning", "RedisDataLost", "Recover", _loss(record)))
    in_place = tuple(recovery_of(record) for record in fresh if record.how == "InPlace")
    phases = tuple(phase for found in ended.values() for phase in found.items())
    return RecordRecoveries({RECOVERIES: write_journal(records)}, tuple(told), in_place, phases)


def _was_back(record: Record | None) -> bool:
    return record is not None and record.back is not None


def _is_news(record: Record, now: datetime) -> bool:
    """A keeper tells only of what it saw itself, once; a head that restarted shows it as long as it lives."""
    if record.back is None:
        return False
    return record.how == "InPlace" or (now - parse(record.back)).total_seconds() <= _NEWS_SECONDS


def _ended(record: Record, before: Record | None) -> dict[str, float]:
    """The late phases of which the end is written down only now, in seconds.

    A reading ends those of all recoveries that wait for one: one that waited for long was ended by another's.
    """
    found, known = spans(record), spans(before) if before is not None else {}
    return {
        phase: found[phase]
        for phase in LATE_PHASES
        if phase not in known and found.get(phase, _NEWS_SECONDS + 1) <= _NEWS_SECONDS
    }


def _lost(record: Record) -> EventDraft:
    return EventDraft("Warning", "GcsLost", "Recover", f"The GCS of head {record.head} is lost ({record.why})")


def _recovered(record: Record) -> EventDraft:
    ways = {"InPlace": "in place", "Restarted": "its container restarted", "Replaced": "its Pod was replaced"}
    total = spans(record).get("total")
    after = f" after {total:.2f} s" if total is not None else ""
    why = f" ({record.why})" if record.why else ""
    phases = _lengths(record, "detect", "restart", "ready")
    return EventDraft(
        "Normal",
        "GcsRecovered",
        "Recover",
        f"The GCS of head {record.head} serves again{after}, {ways[record.how]}{why}{phases}",
    )


def _workers_returned(record: Record) -> EventDraft:
    note = f"Every worker is back with the GCS of head {record.head}{_lengths(record, *LATE_PHASES)}"
    return EventDraft("Normal", "WorkersReturned", "Recover", note)


def _lengths(record: Record, *phases: str) -> str:
    """In the words of `headstay status`."""
    found = spans(record)
    told = [f"{phase} {found[phase]:.2f} s" for phase in phases if phase in found]
    return f"; {', '.join(told)}" if told else ""


def spans(record: Record) -> dict[str, float]:
    """The lengths of the phases, in seconds, of which both ends are known."""
    ends: Iterable[tuple[str, str | None, str | None]] = (
        ("detect", record.lost, record.detected),
        ("restart", record.detected, record.serving or record.started),
        ("ready", record.serving or record.started, record.ready),
        ("answered", record.back, record.answered),
        ("workers", record.back, record.workers),
        ("total", record.lost, record.back),
    )
    return {
        phase: max(0.0, (parse(until) - parse(since)).total_seconds())
        for phase, since, until in ends
        if since and until
    }


def recovery_of(record: Record) -> Recovery:
    """As the metrics count it."""
    found = spans(record)
    return Recovery(
        "in_place", record.head, {phase: found[phase] for phase in ("detect", "restart", "total") if phase in found}
    )


def _condition(kind: str, status: str, reason: str, message: str) -> Obj:
    return {"type": kind, "status": status, "reason": reason, "message": message}
