"""Which RayClusters there should be: the decision about generations.

    no cluster in use -------------------------------> a pending one
    the spec is that of the newest one in use -------> leave it
    ... with worker groups added at the end ---------> add them there
    ... and replicas changed in the RayService ------> change them there
    back to what the active one has -----------------> give the pending one up
    otherwise, where upgrades are on ----------------> another pending one

A name is written into the status first and only then used, so that a crash in between makes no second cluster.
"""

from datetime import datetime, timedelta

from headstay.model.objects import Obj
from headstay.model.ray import CLUSTER, OPERATOR_VERSION, RayCluster
from headstay.model.ray_names import serve_service
from headstay.model.rayservice import CLUSTER_HASH, WORKER_GROUPS, RayService
from headstay.model.timestamps import parse, rfc3339
from headstay.plan.raycluster.cleanup_policy import CLEANUP_POLICY, keeps_keys
from headstay.plan.raycluster.settings import Settings
from headstay.plan.rayservice.generations import (
    LIVE_ANNOTATIONS,
    RETIRED,
    SCALE,
    Generation,
    child,
    cluster_hash,
    effective_namespace,
    given_namespace,
    marks,
    scale_of,
)
from headstay.plan.rayservice.plan import (
    Action,
    CreateCluster,
    DeleteCluster,
    Names,
    Observed,
    Seen,
    UpdateCluster,
)
from headstay.plan.rayservice.storage import generation, leaves_its_keys, predecessor

DELETION_DELAY_SECONDS = 60


def promoted(observed: Observed) -> Names:
    """A pending cluster that both Services point at is the active one, whatever became of the rest of the pass."""
    service = observed.service
    names = Names(service.active, service.pending)
    if names.pending and all(
        (found := observed.service_named(name)) is not None and found.spec.selector.get(CLUSTER) == names.pending
        for name in (head_service_name(service), serve_service_name(service))
    ):
        return Names(active=names.pending)
    return names


def head_service_name(service: RayService) -> str:
    return f"{service.name}-head-svc"


def serve_service_name(service: RayService) -> str:
    chosen = ((service.spec.get("serveService") or {}).get("metadata") or {}).get("name")
    return str(chosen) if chosen else serve_service(service.name)


def upgrades(service: RayService, settings: Settings) -> bool:
    """Whether a changed spec gets a new cluster."""
    return service.upgrade_type != "None" if service.upgrade_type else settings.zero_downtime


class Generations:
    """The decision: the names in use from now on, and what makes it so."""

    def __init__(self, observed: Observed, settings: Settings, names: Names) -> None:
        self._observed = observed
        self._service = observed.service
        self._settings = settings
        self.names = names
        self.actions: tuple[Action, ...] = ()
        self.why = ""
        self._decide()

    def _decide(self) -> None:
        active, pending = (self._usable(name) for name in (self.names.active, self.names.pending))
        if self.names.pending and self._observed.find(self.names.pending) is None:
            self._create(self.names.pending)
        elif self.names.pending and pending is None:
            self._another("the pending RayCluster is being deleted")
        elif pending is not None:
            self._compare_pending(active, pending)
        elif active is None:
            self._another("there is no RayCluster in use")
        elif not self._matches(active) and upgrades(self._service, self._settings):
            self._another("rayClusterConfig changed")
        elif self._matches(active):
            self._bring_up_to_date(active)

    def _compare_pending(self, active: Seen | None, pending: Seen) -> None:
        if self._matches(pending):
            self._bring_up_to_date(pending)
        elif active is not None and self._matches(active):
            self.names = Names(self.names.active)
            self.why = "rayClusterConfig is again what the active RayCluster has"
            self._bring_up_to_date(active)
        elif active is None or upgrades(self._service, self._settings):
            self._another("rayClusterConfig changed")

    def _usable(self, name: str) -> Seen | None:
        seen = self._observed.find(name)
        return None if seen is None or seen.cluster.deleting else seen

    def _another(self, why: str) -> None:
        self.names = Names(self.names.active, self._observed.fresh)
        self.why = why

    def _create(self, name: str) -> None:
        made, explained = generation(self._observed, name)
        if made.inherited and (before := predecessor(self._observed, name)):
            self.why = f"RayCluster {name} goes on with the keys of {before}, and is made once that is gone"
            return
        self.actions = (CreateCluster(child(self._service, made, self._settings), explained),)
        self.why = f"making RayCluster {name}"

    def _matches(self, seen: Seen) -> bool:
        """Of this spec, or of this spec without its last worker groups."""
        if self._is_foreign(seen):
            return True
        annotations = seen.cluster.annotations
        groups = annotations.get(WORKER_GROUPS, "")
        count = int(groups) if groups.isdecimal() else len(seen.cluster.worker_groups)
        return annotations.get(CLUSTER_HASH) == cluster_hash(self._service, count)

    def _is_foreign(self, seen: Seen) -> bool:
        """Marked by another operator or version: the hash says nothing to us. Taking over must not upgrade a fleet."""
        return seen.cluster.annotations.get(OPERATOR_VERSION) != self._settings.version

    def _bring_up_to_date(self, seen: Seen) -> None:
        cluster, wanted = seen.cluster, self._goal_groups(seen)
        found = cluster.worker_groups
        count = len(found)
        kept = _scaled(found, wanted) if self._rescales(seen, wanted) else found
        groups = [*kept, *wanted[count:]]
        patch: Obj = {}
        if groups != found:
            patch["spec"] = {"workerGroupSpecs": groups}
        new = marks(self._service, self._settings, max(count, len(wanted)))
        if stale := {key: value for key, value in new.items() if cluster.annotations.get(key) != value}:
            patch["metadata"] = {"annotations": stale}
        if patch:
            why = ""
            if len(wanted) > count:
                why = f"worker groups {', '.join(group['groupName'] for group in wanted[count:])} were added"
            elif groups != found:
                why = f"replicas are now {scale_of(groups)}"
            self.actions = (*self.actions, UpdateCluster(cluster, patch, why))

    def _goal_groups(self, seen: Seen) -> list[Obj]:
        given, used = given_namespace(self._service), effective_namespace(seen.cluster)
        chosen = used if given and used != given else ""
        found: list[Obj] = (
            child(self._service, Generation(seen.name, chosen), self._settings)["spec"].get("workerGroupSpecs") or []
        )
        return found

    def _rescales(self, seen: Seen, wanted: list[Obj]) -> bool:
        """Only a change in the RayService counts: whoever scales the RayCluster itself keeps what they set."""
        last = seen.cluster.annotations.get(SCALE)
        asked = scale_of(wanted[: len(seen.cluster.worker_groups)])
        return not seen.cluster.autoscaling and last is not None and last != asked


def _scaled(found: list[Obj], wanted: list[Obj]) -> list[Obj]:
    by_name = {group.get("groupName"): group for group in wanted}
    scaled = []
    for group in found:
        asked = by_name.get(group.get("groupName")) or group
        numbers = {key: asked[key] for key in ("replicas", "minReplicas", "maxReplicas") if key in asked}
        scaled.append(group | numbers)
    return scaled


def live_annotations(observed: Observed) -> tuple[UpdateCluster, ...]:
    """What the RayService says of deletion and recovery, on all its clusters. What it says no more stays with them."""
    return tuple(
        UpdateCluster(seen.cluster, {"metadata": {"annotations": missing}})
        for seen in observed.clusters
        if (
            missing := {
                key: value
                for key, value in _asked_of(observed, seen).items()
                if seen.cluster.annotations.get(key) != value
            }
        )
    )


def _asked_of(observed: Observed, seen: Seen) -> dict[str, str]:
    asked = {key: value for key, value in observed.service.annotations.items() if key in LIVE_ANNOTATIONS}
    if leaves_its_keys(observed, seen) and not keeps_keys(asked):
        asked.pop(CLEANUP_POLICY, None)
    return asked


def retirement(observed: Observed, names: Names, now: datetime) -> tuple[tuple[Action, ...], float | None]:
    """What becomes of clusters that are not in use, and in how many seconds the next of them is due.

    One that the stored status still names is in use until that is written.
    """
    service = observed.service
    used = {names.active, names.pending, service.active, service.pending}
    asked = service.spec.get("rayClusterDeletionDelaySeconds")
    delay = DELETION_DELAY_SECONDS if asked is None else asked
    actions: list[Action] = []
    due: list[float] = []
    for seen in observed.clusters:
        cluster = seen.cluster
        if cluster.name in used:
            continue
        if leaves_its_keys(observed, seen):
            actions += _making_way(cluster)
            continue
        if cluster.deleting:
            continue
        since = _retired_at(cluster.annotations.get(RETIRED, ""))
        if since is None and delay > 0:
            actions.append(UpdateCluster(cluster, {"metadata": {"annotations": {RETIRED: rfc3339(now)}}}))
            due.append(delay)
            continue
        left = 0.0 if since is None else (since + timedelta(seconds=delay) - now).total_seconds()
        if left > 0:
            due.append(left)
        else:
            actions.append(DeleteCluster(cluster, f"not in use for {delay} s"))
    return tuple(actions), min(due, default=None)


def _making_way(cluster: RayCluster) -> list[Action]:
    """Nobody was served by it, so it goes without a delay, but not before it is sure that its keys stay."""
    if not keeps_keys(cluster.annotations):
        why = "it never served, and its keys stay for the RayCluster that comes after it"
        return [UpdateCluster(cluster, {"metadata": {"annotations": {CLEANUP_POLICY: "Retain"}}}, why)]
    return [] if cluster.deleting else [DeleteCluster(cluster, "it was given up before it served")]


def _retired_at(text: str) -> datetime | None:
    try:
        return parse(text)
    except ValueError:
        return None
