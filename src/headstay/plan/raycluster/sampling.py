"""Whose storage namespace is measured, and when: one at a time, each every few minutes, never all at once."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from headstay.model.objects import ObjectKey
from headstay.model.ray import RayCluster
from headstay.plan.raycluster.settings import Settings
from headstay.plan.raycluster.storage import Storage, remembered_storage, storage_of, written_password

INTERVAL_SECONDS = 300.0


@dataclass(frozen=True)
class Sample:
    storage: Storage
    password: str = field(default="", repr=False)


def sample_of(cluster: RayCluster, settings: Settings) -> Sample | None:
    """Where its head writes, with the password if the spec holds it; None where there is no head or no way in."""
    runs = (cluster.status.get("head") or {}).get("podName")
    if not runs or cluster.deleting or not cluster.managed_by_us:
        return None
    wanted = storage_of(cluster, settings.cluster_domain)
    storage = remembered_storage(cluster) or wanted
    if storage is None or wanted is None or not storage.known or storage.tls_lost:
        return None
    password = written_password(cluster) if storage.place == wanted.place else ""
    return Sample(storage, password) if storage.credentials != "lost" or password else None


def next_turns(
    turns: Mapping[ObjectKey, float], clusters: Iterable[ObjectKey], now: float, draw: float
) -> dict[ObjectKey, float]:
    """When each is due. Those that are new come somewhere in the next interval: a restart asks nobody at once."""
    found: dict[ObjectKey, float] = {}
    for number, cluster in enumerate(sorted(clusters)):
        spread = (draw + number * 0.618034) % 1.0
        found[cluster] = turns.get(cluster, now + spread * INTERVAL_SECONDS)
    return found


def after(now: float, draw: float) -> float:
    return now + INTERVAL_SECONDS * (0.9 + 0.2 * draw)
