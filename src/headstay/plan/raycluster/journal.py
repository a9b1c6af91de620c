"""The last recoveries of a cluster's GCS, written down in an annotation of its RayCluster.

Everything is derived from what is there to see, the head Pod and what its keeper still tells, and compared with what
is written: whoever looks next, another leader too, neither repeats a recovery nor loses one that is still told.
What is written is only completed; but a recovery in place that was given up becomes part of the head's that followed.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Literal, NamedTuple

import msgspec

from headstay.model.head_report import HeadReport
from headstay.model.keeper_state import Revival, StorageNow
from headstay.model.meta import Pod
from headstay.model.ray import RayCluster
from headstay.model.timestamps import parse, rfc3339_micro
from headstay.plan.raycluster.heads import the_head
from headstay.plan.raycluster.identity import ft_enabled
from headstay.plan.raycluster.places import former_storages
from headstay.plan.raycluster.plan import Observed

RECOVERIES = "headstay.io/recoveries"
_KEPT = 10
_CLOCKS_APART = timedelta(seconds=60)

How = Literal["InPlace", "Restarted", "Replaced"]


class Record(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """One recovery. Times are on the operator's clock; one that is not there is not known, or still to come.

    `lost`: the GCS last served. `detected`: somebody was sure. `serving`: it answers again. `ready`: the head Pod is.
    `answered`: its node table was read. `workers`: every worker Pod was in it. `id` names the recovery itself.
    `epoch` is the life of the data in Redis that followed, and `data_lost` says that what was there before is gone.
    """

    cluster: str
    id: str
    how: How
    head: str
    why: str = ""
    lost: str | None = None
    detected: str | None = None
    started: str | None = None
    serving: str | None = None
    ready: str | None = None
    answered: str | None = None
    workers: str | None = None
    epoch: str = ""
    data_lost: bool = False

    @property
    def began(self) -> str:
        return self.lost or self.detected or self.started or self.serving or self.ready or ""

    @property
    def back(self) -> str | None:
        """When the GCS was there again, as far as is known."""
        return self.serving or self.ready


class TableSeen(NamedTuple):
    """What reading the node table after a recovery came to: the first answer, and all workers in it."""

    answered: datetime | None = None
    workers: datetime | None = None


def read_journal(cluster: RayCluster) -> tuple[Record, ...]:
    """Oldest first. What a copied manifest brought along, or somebody wrote by hand, is passed over."""
    try:
        found = msgspec.json.decode(cluster.annotations.get(RECOVERIES, "[]"), type=tuple[Record, ...])
    except msgspec.DecodeError:
        return ()
    return tuple(record for record in found if record.cluster == cluster.metadata.uid)


def write_journal(records: Iterable[Record]) -> str:
    return msgspec.json.encode(tuple(records)).decode()


def pending(records: tuple[Record, ...]) -> Record | None:
    """The last recovery, if the GCS is back and it is not known yet that its workers are."""
    last = records[-1] if records else None
    return last if last is not None and last.back and last.workers is None else None


def journal_of(observed: Observed, table: TableSeen) -> tuple[Record, ...]:
    """What should be written now."""
    cluster = observed.cluster
    written = read_journal(cluster)
    if not ft_enabled(cluster) or cluster.deleting or not cluster.is_true("RayClusterProvisioned"):
        return written
    head, report = the_head(observed), observed.report
    if head is None:
        return written
    if report is not None and report.pod_uid != head.metadata.uid:
        report = None
    found = {record.id: record for record in written}
    for record in _in_place(cluster, head, report):
        found[record.id] = _completed(found[record.id], record) if record.id in found else record
    for record in _of_head(observed, head, report):
        given_up = [other for other in found.values() if _is_given_up(other, record)]
        for other in given_up:
            del found[other.id]
        found[record.id] = _completed(found[record.id], record) if record.id in found else _explained(record, given_up)
    # Those that are not back yet come last. Not by when they began: a kubelet's clock is another, in whole seconds.
    records = sorted(found.values(), key=lambda record: (record.back is None, record.back or record.began))[-_KEPT:]
    return _with_table(_with_epoch(cluster, tuple(records), report), table)


def _is_given_up(record: Record, head: Record) -> bool:
    """A GCS that was to be started again in place and came back with the head: that is one recovery, not two."""
    return record.how == "InPlace" and record.back is None and (record.detected or "") < (head.ready or "")


def _explained(head: Record, given_up: list[Record]) -> Record:
    """With what the keeper knew before it gave up: when the GCS was lost, and why."""
    if not given_up:
        return head
    first = given_up[0]
    return msgspec.structs.replace(
        head, why=first.why or head.why, lost=first.lost or head.lost, detected=first.detected or head.detected
    )


def _completed(written: Record, seen: Record) -> Record:
    names = ("lost", "detected", "started", "serving", "ready")
    news = {name: getattr(seen, name) for name in names if getattr(written, name) is None and getattr(seen, name)}
    return msgspec.structs.replace(written, **news) if news else written


def _in_place(cluster: RayCluster, head: Pod, report: HeadReport | None) -> list[Record]:
    if report is None or report.state is None:
        return []
    state = report.state
    return [_revived(cluster, head, report, revival, state.incarnation) for revival in state.revivals]


def _revived(cluster: RayCluster, head: Pod, report: HeadReport, revival: Revival, incarnation: str) -> Record:
    def moment(at: float | None) -> str | None:
        return None if at is None else rfc3339_micro(datetime.fromtimestamp(at + report.skew, tz=UTC))

    serving = moment(revival.serving)
    since = _ready_since(head)
    return Record(
        cluster.metadata.uid,
        f"{incarnation}/{revival.number}",
        "InPlace",
        head.metadata.name,
        why=f"{revival.verdict}: {revival.why}",
        lost=moment(revival.lost),
        detected=moment(revival.detected),
        started=moment(revival.started),
        serving=serving,
        ready=max(serving, since) if serving and since else None,
    )


def _of_head(observed: Observed, head: Pod, report: HeadReport | None) -> list[Record]:
    """A head that restarted, or came in the place of another, since the cluster was first complete."""
    status = head.ray_container
    ready, first = _ready_since(head), _provisioned(observed.cluster)
    if status is None or ready is None or first is None or parse(ready) <= first:
        return []
    created = _micro(head.metadata.creation_timestamp)
    ended = status.last_state.terminated
    running = status.state.running
    started = _micro(running.started_at if running else None)
    restarted = ended is not None and status.restart_count > 0
    detected = _micro(ended.finished_at) if restarted and ended is not None else created
    if (detected is None and not restarted) or (detected and parse(detected) <= first):
        return []  # not away since then: its readiness probe failed for a while
    lost = min(filter(None, (_micro(observed.lost or None), detected)), default=None)
    serving = rfc3339_micro(report.since) if report is not None and report.gcs == "Serving" else None
    in_between = serving is not None and (started or "") <= serving <= ready
    return [
        Record(
            observed.cluster.metadata.uid,
            f"{head.metadata.uid}/{status.restart_count if restarted else 0}",
            "Restarted" if restarted else "Replaced",
            head.metadata.name,
            why=f"container ended: {ended.reason or ended.exit_code}" if restarted and ended is not None else "",
            lost=lost,
            detected=detected,
            started=started,
            serving=serving if in_between else None,
            ready=ready,
        )
    ]


def _with_epoch(cluster: RayCluster, records: tuple[Record, ...], report: HeadReport | None) -> tuple[Record, ...]:
    """The newest record carries the life of the data that followed it, and tells of a loss that none told of before."""
    last = records[-1] if records else None
    if report is None or report.state is None or last is None or not last.back:
        return records
    storage = report.state.storage
    if not storage.epoch or last.epoch == storage.epoch:
        return records
    lost = _tells_of_a_loss(cluster, storage) and all(record.epoch != storage.epoch for record in records)
    if last.epoch and not lost:
        return records
    return (*records[:-1], msgspec.structs.replace(last, epoch=storage.epoch, data_lost=last.data_lost or lost))


def _tells_of_a_loss(cluster: RayCluster, storage: StorageNow) -> bool:
    """A keeper that came after the loss finds nothing and calls it new. In a cluster that was complete it is not.

    Unless the user moved the storage, where all is new on purpose.
    """
    if storage.begun != "New":
        return storage.begun == "DataLost"
    complete, began = _provisioned(cluster), _micro(storage.at or None)
    if complete is None or began is None or former_storages(cluster):
        return False
    return parse(began) > complete + _CLOCKS_APART


def _with_table(records: tuple[Record, ...], table: TableSeen) -> tuple[Record, ...]:
    """One reading completes all that were waiting for one."""

    def completed(record: Record) -> Record:
        if record.back is None:
            return record
        news = {
            name: rfc3339_micro(at)
            for name, at in (("answered", table.answered), ("workers", table.workers))
            if at is not None and getattr(record, name) is None and rfc3339_micro(at) >= record.back
        }
        return msgspec.structs.replace(record, **news) if news else record

    return tuple(map(completed, records))


def _ready_since(head: Pod) -> str | None:
    condition = head.condition("Ready")
    return _micro(condition.last_transition_time) if condition is not None and condition.status == "True" else None


def _provisioned(cluster: RayCluster) -> datetime | None:
    condition = cluster.condition("RayClusterProvisioned")
    return parse(condition.last_transition_time) if condition and condition.last_transition_time else None


def _micro(text: str | None) -> str | None:
    """All in one form, so that they compare as text."""
    return rfc3339_micro(parse(text)) if text else None
