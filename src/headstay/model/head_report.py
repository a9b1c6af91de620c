"""What is known of a head's GCS: heard from its keeper, or seen on a connection to its port."""

from datetime import datetime
from typing import Literal, NamedTuple

from headstay.model.keeper_state import KeeperState

GcsSeen = Literal["Serving", "Gone", "Unknown"]


class HeadReport(NamedTuple):
    """`since` is when `gcs` began to be so, on our clock; a GCS that comes back loading has been Gone all the while.

    Unknown means out of reach: it says nothing about the GCS, and nothing is done because of it. `state` is what the
    keeper last told, with `skew` to be added to its times; it stays when the keeper falls silent.
    """

    pod_uid: str
    gcs: GcsSeen
    since: datetime
    why: str = ""
    state: KeeperState | None = None
    skew: float = 0.0


class HeadTarget(NamedTuple):
    """Where to ask: the keeper of the head, or with none the port of its GCS."""

    pod_uid: str
    address: str
    port: int
    keeper: bool


class TableWanted(NamedTuple):
    """Whose node table is to be read through the dashboard, and since which recovery."""

    record: str
    address: str
    port: int


def heard(pod_uid: str, state: KeeperState, now: datetime, before: HeadReport | None) -> HeadReport:
    """What a keeper's answer means, given what was known of the same head before."""
    skew = now.timestamp() - state.now
    serving = state.gcs.phase == "Serving"
    began = state.gcs.since
    last = state.revivals[-1] if state.revivals else None
    if not serving and last is not None and last.serving is None:
        began = min(began, last.lost)
    since = datetime.fromtimestamp(min(began + skew, now.timestamp()), tz=now.tzinfo)
    if not serving and before is not None and before.gcs == "Gone" and before.pod_uid == pod_uid:
        since = min(since, before.since)
    return HeadReport(pod_uid, "Serving" if serving else "Gone", since, state.gcs.why, state, skew)
