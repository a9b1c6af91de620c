"""Whether the GCS serves, as far as is known, and what that means for traffic and for the RayCluster's conditions.

Out of reach is not gone: a head of which nothing is known keeps its traffic, and a condition says that nothing is.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import NamedTuple

from headstay.model.head_report import HeadReport, HeadTarget
from headstay.model.meta import Pod
from headstay.model.objects import Obj
from headstay.model.ray import HEAD, SERVE, head_port
from headstay.plan.raycluster.identity import ft_enabled
from headstay.plan.raycluster.in_place import KEEPER_PORT_ANNOTATION, gcs_recovery
from headstay.plan.raycluster.plan import EventDraft, Label, Observed
from headstay.plan.raycluster.settings import Settings

GCS_SERVING = "headstay.io/GcsServing"
SILENT_SECONDS = 10.0
"""For so long a keeper may be out of reach before a condition says so: it goes and comes with its container."""


class Routing(NamedTuple):
    """`again` is in how many seconds the answer changes if nothing else does."""

    serve: bool | None
    again: float | None = None


class Finding(NamedTuple):
    """`holds` is False where the condition has to go; without a `condition` it stays as it is."""

    condition: Obj | None = None
    holds: bool = True
    again: float | None = None


def the_head(observed: Observed) -> Pod | None:
    """The one head Pod that is not on its way out."""
    heads = [pod for pod in observed.of_type(HEAD) if not observed.terminating(pod)]
    return heads[0] if len(heads) == 1 else None


def head_target(observed: Observed) -> HeadTarget | None:
    """Whom to ask about the GCS of this cluster; nobody where it has no fault tolerance, or no head that runs."""
    cluster, head = observed.cluster, the_head(observed)
    if not ft_enabled(cluster) or cluster.deleting or observed.beside or not cluster.managed_by_us:
        return None
    if head is None or head.status.phase != "Running" or not head.status.pod_ip:
        return None
    keeper = head.metadata.annotations.get(KEEPER_PORT_ANNOTATION, "")
    port = keeper or head_port(cluster)
    if not port.isdecimal() or not 0 < int(port) < 65536:
        return None
    return HeadTarget(head.metadata.uid, head.status.pod_ip, int(port), bool(keeper))


def http_url(pod: Pod, port: int) -> str:
    """The Pod's own address: a Service would answer for whichever Pod it points at by then."""
    address = pod.status.pod_ip
    return f"http://[{address}]:{port}" if ":" in address else f"http://{address}:{port}"


def routing(report: HeadReport | None, grace: float, now: datetime) -> Routing:
    """Whether users' traffic may go to the head: no once its GCS has been gone for longer than `grace` seconds."""
    if report is None or report.gcs == "Unknown":
        return Routing(None)
    if report.gcs == "Serving":
        return Routing(True)
    left = (report.since + timedelta(seconds=grace) - now).total_seconds()
    return Routing(False) if left <= 0 else Routing(None, left)


def may_serve(report: HeadReport | None, grace: float, now: datetime) -> bool | None:
    """None where nothing is known, or the GCS has only just gone: the head's label stays as it is."""
    return routing(report, grace, now).serve


def alone(head: Pod, pods: Iterable[Pod]) -> bool:
    """Whether no other Pod of the cluster gets requests. Then its proxy stays: it answers without a GCS."""
    return not any(gets_requests(pod) for pod in pods if pod.metadata.uid != head.metadata.uid)


def gets_requests(pod: Pod) -> bool:
    """Whether Serve's Service sends it any, once that points at its cluster."""
    return pod.ready and pod.metadata.deletion_timestamp is None and pod.metadata.labels.get(SERVE) == "true"


def out_of_traffic(observed: Observed, settings: Settings, now: datetime) -> tuple[tuple[Label, ...], float | None]:
    """Takes the head out of Serve's Service. Whoever keeps the RayService puts it back (`may_serve`).

    The head of a RayCluster that a user made is behind its Serve Service by the cluster's label: see `plain_serve`.
    """
    head = the_head(observed)
    if head is None or observed.cluster.creator != "RayService" or head.metadata.labels.get(SERVE) != "true":
        return (), None
    if observed.report is None or observed.report.pod_uid != head.metadata.uid:
        return (), None
    found = routing(observed.report, settings.gcs_grace_seconds, now)
    if found.serve is not False or alone(head, observed.pods):
        return (), found.again
    note = f"Took head Pod {head.metadata.name} out of Serve's Service: its GCS is gone"
    return (Label(head, {SERVE: "false"}, EventDraft("Normal", "UpdatedHeadPodServeLabel", "Update", note)),), None


def serving_condition(observed: Observed, settings: Settings, now: datetime) -> Finding:
    """`headstay.io/GcsServing`, for clusters whose GCS recovers in place."""
    if gcs_recovery(observed.cluster, settings) != "InPlace":
        return Finding(holds=False)
    head, report = the_head(observed), observed.report
    if head is None:
        return Finding(_condition("False", "NoHeadPod", "There is no head Pod"))
    if KEEPER_PORT_ANNOTATION not in head.metadata.annotations:
        why = "This head Pod was made without a keeper that tells of its GCS; its next one will have one"
        return Finding(_condition("Unknown", "NoKeeper", why))
    if report is None or report.pod_uid != head.metadata.uid:
        return Finding()
    if report.gcs == "Serving":
        refusal = report.state.redis if report.state is not None and report.state.redis.phase == "Refuses" else None
        if refusal is not None:
            why = f"The GCS answers, but the next one could not start: {refusal.why}"
            return Finding(_condition("True", "RedisRefuses", why))
        return Finding(_condition("True", "Serving", "The GCS answers"))
    if report.gcs == "Unknown":
        left = (report.since + timedelta(seconds=SILENT_SECONDS) - now).total_seconds()
        if left > 0:
            return Finding(again=left)
        return Finding(_condition("Unknown", "KeeperUnreachable", f"Nothing is known of the GCS: {report.why}"))
    return Finding(_not_serving(report))


def _not_serving(report: HeadReport) -> Obj:
    state = report.state
    if state is None:
        return _condition("False", "Gone", report.why)
    phase, why = state.gcs.phase, state.gcs.why
    if state.redis.phase in {"Away", "Refuses"} and phase != "Silent":
        reason = "RedisAway" if state.redis.phase == "Away" else "RedisRefuses"
        return _condition("False", reason, f"The GCS waits for its Redis: {state.redis.why or why}")
    return _condition("False", phase, why or f"The GCS does not serve: {phase}")


def _condition(status: str, reason: str, message: str) -> Obj:
    return {"type": GCS_SERVING, "status": status, "reason": reason, "message": message}
