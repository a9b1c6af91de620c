"""Who removes a deleted cluster's keys: `headstay.io/gcs-ft-cleanup: Job | Operator | Retain`, for each cluster."""

from typing import Literal, NamedTuple

from headstay.model.ray import RayCluster
from headstay.plan.raycluster.identity import uses_redis
from headstay.plan.raycluster.plan import EventDraft
from headstay.plan.raycluster.settings import Settings
from headstay.plan.raycluster.storage import storage_of, written_password

CLEANUP_POLICY = "headstay.io/gcs-ft-cleanup"

Who = Literal["Job", "Operator", "Retain"]


class Policy(NamedTuple):
    """`complaint` says why it is not as the annotation asks."""

    who: Who
    complaint: EventDraft | None = None


def keeps_keys(annotations: dict[str, str]) -> bool:
    return annotations.get(CLEANUP_POLICY, "").strip() == "Retain"


def cleanup_policy(cluster: RayCluster, settings: Settings) -> Policy:
    asked = cluster.annotations.get(CLEANUP_POLICY, "").strip()
    match asked:
        case "" | "Job":
            return Policy("Job")
        case "Retain":
            return Policy("Retain")
        case "Operator":
            why = _why_not_from_here(cluster, settings)
            return Policy("Job", _complaint(f"{CLEANUP_POLICY}: Operator, but {why}")) if why else Policy("Operator")
    return Policy("Job", _complaint(f"{CLEANUP_POLICY}: {asked!r} is none of Job, Operator and Retain"))


def policy_complaints(cluster: RayCluster, settings: Settings) -> tuple[EventDraft, ...]:
    """For a living cluster: the time to hear of a mistake is before the deletion."""
    complaint = cleanup_policy(cluster, settings).complaint
    return (complaint,) if complaint and uses_redis(cluster) else ()


def _why_not_from_here(cluster: RayCluster, settings: Settings) -> str:
    if not settings.redis_access:
        return "this operator has no access to Redis (set the chart value redisAccess.enabled to true)"
    storage = storage_of(cluster, settings.cluster_domain)
    if storage is None or not storage.known:
        return "the spec does not say in plain text where its Redis is"
    if storage.credentials == "lost" and not written_password(cluster):
        return "the Redis password comes from neither a Secret key nor the spec"
    return ""


def _complaint(what: str) -> EventDraft:
    note = f"{what}. The keys of this RayCluster will be removed by a Job"
    return EventDraft("Warning", "RedisCleanupPolicy", "Cleanup", note)
