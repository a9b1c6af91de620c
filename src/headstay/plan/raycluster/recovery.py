"""Which Pods of a living cluster to make and which to delete. GCS fault tolerance changes nothing here:

a head is replaced the same way with and without it, and workers are never deleted because the head died.

Invariant: a group is never given a Pod while a creation of ours in it is not visible yet, or while one of its Pods
is still going; that is what keeps a stale cache from making twins.
"""

from headstay.model.meta import Pod
from headstay.model.objects import Obj
from headstay.model.ray import GROUP_NAME, HEAD, IDENTIFIER, NO_HEAD_RESTART, REPLICA_INDEX, REPLICA_NAME, WORKER
from headstay.model.resource import PODS
from headstay.plan.raycluster.in_place import gcs_recovery, keeper_config_map
from headstay.plan.raycluster.multihost import multihost_step
from headstay.plan.raycluster.plan import Action, Create, DeletePod, EventDraft, Label, Observed
from headstay.plan.raycluster.pods import head_pod
from headstay.plan.raycluster.replicas import desired_pods, hosts
from headstay.plan.raycluster.settings import Settings
from headstay.plan.raycluster.steps import Step, create_worker, delete_worker, is_beyond_repair, least_useful_first


def head_step(observed: Observed, settings: Settings) -> Step:
    if "" in observed.unsettled:
        return Step(why="waiting to see the new head Pod")
    cluster = observed.cluster
    heads = observed.of_type(HEAD)
    if len(heads) > 1:
        names = ", ".join(sorted(pod.metadata.name for pod in heads))
        return Step(why=f"found {len(heads)} head Pods ({names}); delete all but one", stop=True)
    if heads:
        (head,) = heads
        if observed.terminating(head):
            return Step(out_of_the_service(head), why="waiting for the old head Pod to be gone")
        if why := is_beyond_repair(head):
            delete = DeletePod(
                head,
                EventDraft(
                    "Normal", "DeletedHeadPod", "Delete", f"Deleted head Pod {cluster.namespace}/{{name}}: {why}"
                ),
                EventDraft(
                    "Warning",
                    "FailedToDeleteHeadPod",
                    "Delete",
                    f"Failed to delete head Pod {cluster.namespace}/{{name}} ({why}): {{error}}",
                ),
                failure="FailedDeleteHeadPod",
            )
            return Step((delete,), f"replacing the head Pod: {why}", stop=True)
        return Step()
    if cluster.is_true("RayClusterProvisioned") and cluster.annotations.get(NO_HEAD_RESTART) == "true":
        return Step(why=f"the head Pod is gone and annotation {NO_HEAD_RESTART} forbids another", stop=True)
    create = Create(
        PODS,
        head_pod(cluster, settings),
        EventDraft("Normal", "CreatedHeadPod", "Create", f"Created head Pod {cluster.namespace}/{{name}}"),
        EventDraft(
            "Warning",
            "FailedToCreateHeadPod",
            "Create",
            f"Failed to create head Pod {cluster.namespace}/{{name}}: {{error}}",
        ),
        group="",
        failure="FailedCreateHeadPod",
    )
    if gcs_recovery(cluster, settings) == "InPlace":
        return Step((keeper_config_map(cluster, settings), create), "creating the head Pod and its keeper")
    return Step((create,), "creating the head Pod")


def out_of_the_service(head: Pod) -> tuple[Label, ...]:
    """The head Service publishes a Pod until it is gone, and workers then look the old address up.

    A gRPC client that is given an address asks again after 30 s at the earliest; one that is given none asks again
    within seconds. So a head that was told to go loses the label by which the Service finds it, at once.
    """
    going = head.metadata.deletion_timestamp is not None and head.status.phase not in {"Failed", "Succeeded"}
    return (Label(head, {IDENTIFIER: None}),) if going and IDENTIFIER in head.metadata.labels else ()


def worker_step(observed: Observed, group: Obj, settings: Settings) -> Step:
    name = group["groupName"]
    if name in observed.unsettled:
        return Step(why=f"waiting to see new worker Pods of group {name}")
    pods = [pod for pod in observed.of_type(WORKER) if pod.metadata.labels.get(GROUP_NAME) == name]
    if group.get("suspend"):
        doomed = [pod for pod in pods if not observed.terminating(pod)]
        why, failed = f"worker group {name} is suspended", "FailedToDeleteWorkerPodCollection"
        return Step(tuple(delete_worker(pod, why, failed=failed) for pod in doomed))
    # Made without replica names (an older KubeRay), hosts cannot be told apart: such a group is kept Pod by Pod.
    if hosts(group) > 1 and all(REPLICA_NAME in pod.metadata.labels for pod in pods):
        return multihost_step(observed, group, pods, settings)
    broken = [(pod, is_beyond_repair(pod)) for pod in pods if not observed.terminating(pod)]
    replaced = tuple(delete_worker(pod, why) for pod, why in broken if why)
    if replaced:
        return Step(replaced, f"replacing {len(replaced)} worker Pods of group {name}", stop=True)
    named = set((group.get("scaleStrategy") or {}).get("workersToDelete") or [])
    chosen = [pod for pod in pods if pod.metadata.name in named]
    actions = [delete_worker(pod, "named in workersToDelete") for pod in chosen if not observed.terminating(pod)]
    remaining = [pod for pod in pods if pod not in chosen]
    missing = desired_pods(group) - len(remaining)
    if missing > 0:
        return Step((*actions, *_create(observed, group, settings, remaining, missing)), f"creating {missing} workers")
    if missing < 0 and (not observed.cluster.autoscaling or settings.random_pod_delete):
        surplus = sorted(remaining, key=lambda pod: least_useful_first(observed, pod))[:-missing]
        actions += [delete_worker(pod, "more than wanted") for pod in surplus if not observed.terminating(pod)]
    return Step(tuple(actions))


def _create(observed: Observed, group: Obj, settings: Settings, pods: list[Pod], count: int) -> list[Action]:
    taken = {pod.metadata.labels.get(REPLICA_INDEX) for pod in pods}
    free = [index for index in range(len(pods) + count) if str(index) not in taken][:count]
    return [create_worker(observed.cluster, group, settings, replica_index=index) for index in free]
