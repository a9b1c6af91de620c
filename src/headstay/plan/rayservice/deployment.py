"""What Serve is told to run, and where.

The configuration of the spec goes to the pending cluster, and to the active one where none is pending: what changes
with an image may need it. An active cluster that loses its applications during an upgrade gets back what it had.
"""

import json

from headstay.model.objects import Obj
from headstay.model.ray import RayCluster
from headstay.model.rayservice import RayService
from headstay.plan.rayservice.generations import DEPLOYED, DEPLOYED_CONFIG
from headstay.plan.rayservice.plan import DeployServe, Names, Observed, Seen
from headstay.plan.rayservice.serve_config import serve_config, serve_config_hash, serve_config_text
from headstay.plan.rayservice.traffic import serving_cluster

_MOST_BYTES = 128 << 10
"""Of all annotations of a RayCluster; the API refuses more than twice as much."""


def deployment(observed: Observed, names: Names) -> tuple[DeployServe, ...]:
    """Sent where it was never accepted, where it changed, and where Serve has lost its memory."""
    active, pending = observed.find(names.active), observed.find(names.pending)
    wanted = wanted_config(observed.service)
    if not names.pending:
        return _sent(active, wanted)
    # First where the traffic is: a dashboard that hangs keeps the next one waiting.
    back = _brought_back(active, wanted) if serving_cluster(observed, names) is active else ()
    return (*back, *_sent(pending, wanted))


def wanted_config(service: RayService) -> Obj:
    return serve_config(str(service.spec.get("serveConfigV2") or ""))


def refusal(service: RayService, seen: Seen) -> str:
    """What the cluster's dashboard says against the configuration of the spec, or ""."""
    return seen.refusal if seen.refused and seen.refused == serve_config_hash(wanted_config(service)) else ""


def remembered(cluster: RayCluster, config: Obj) -> str | None:
    """What `DEPLOYED_CONFIG` is to hold once the cluster has accepted this; None where it would not fit."""
    text = serve_config_text(config)
    others = (f"{key}{value}" for key, value in cluster.annotations.items() if key != DEPLOYED_CONFIG)
    return text if len(text.encode()) + sum(len(other.encode()) for other in others) <= _MOST_BYTES else None


def _sent(seen: Seen | None, config: Obj) -> tuple[DeployServe, ...]:
    if seen is None or not config:
        return ()
    accepted = seen.cluster.annotations.get(DEPLOYED) == serve_config_hash(config)
    return () if accepted and not _lost(seen, config) else _deploy(seen, config)


def _brought_back(active: Seen | None, wanted: Obj) -> tuple[DeployServe, ...]:
    """What it accepted last; where that is not known, what is wanted now is better than nothing."""
    if active is None:
        return ()
    config = _accepted_config(active.cluster) or wanted
    return _deploy(active, config) if _lost(active, config) else ()


def _lost(seen: Seen, config: Obj) -> bool:
    return bool(config.get("applications")) and seen.applications is not None and not seen.applications.statuses


def _deploy(seen: Seen, config: Obj) -> tuple[DeployServe, ...]:
    if seen.cluster.deleting or not seen.head_ready or seen.head is None or seen.applications is None:
        return ()
    wanted = serve_config_hash(config)
    if wanted in {seen.just_deployed, seen.refused}:
        return ()
    return (DeployServe(seen.cluster, seen.head, config, wanted),)


def _accepted_config(cluster: RayCluster) -> Obj:
    """{} where it is not known. What somebody else wrote there is not what was accepted."""
    try:
        found = json.loads(cluster.annotations.get(DEPLOYED_CONFIG, ""))
    except (ValueError, RecursionError):
        return {}
    ours = isinstance(found, dict) and serve_config_hash(found) == cluster.annotations.get(DEPLOYED)
    return found if ours else {}
