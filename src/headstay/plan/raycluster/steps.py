"""What the decisions about Pods are put together from."""

from typing import NamedTuple

from headstay.model.meta import Pod
from headstay.model.objects import Obj
from headstay.model.ray import RayCluster
from headstay.model.resource import PODS
from headstay.plan.raycluster.plan import Action, Create, DeletePod, EventDraft, Observed
from headstay.plan.raycluster.pods import worker_pod
from headstay.plan.raycluster.settings import Settings


class Step(NamedTuple):
    """`stop` ends the pass: what comes after is decided once this has happened. `why` is empty when all is well."""

    actions: tuple[Action, ...] = ()
    why: str = ""
    stop: bool = False


def is_beyond_repair(pod: Pod) -> str:
    """Why the Pod must be replaced, or "". A container that the kubelet will restart is left to the kubelet."""
    if pod.status.phase in {"Failed", "Succeeded"}:
        return f"phase {pod.status.phase}"
    if pod.status.phase == "Running" and pod.spec.restart_policy == "Never" and pod.spec.containers:
        name = pod.spec.containers[0].name
        for status in pod.status.container_statuses:
            if status.name == name and status.state.terminated is not None:
                return f"Ray container ended with exit code {status.state.terminated.exit_code}, restartPolicy Never"
    return ""


def least_useful_first(observed: Observed, pod: Pod) -> tuple[bool, bool, str, str]:
    """Going, then not ready, then youngest: the same order on every pass, so that a stale cache picks the same."""
    age = "".join(chr(0x10FFFF - ord(c)) for c in pod.metadata.creation_timestamp or "")
    return (not observed.terminating(pod), pod.ready, age, pod.metadata.name)


def create_worker(
    cluster: RayCluster, group: Obj, settings: Settings, *, replica_index: int, labels: dict[str, str] | None = None
) -> Create:
    pod = worker_pod(cluster, group, settings, replica_index=replica_index)
    pod["metadata"]["labels"] |= labels or {}
    return Create(
        PODS,
        pod,
        EventDraft("Normal", "CreatedWorkerPod", "Create", f"Created worker Pod {cluster.namespace}/{{name}}"),
        EventDraft(
            "Warning",
            "FailedToCreateWorkerPod",
            "Create",
            f"Failed to create worker Pod {cluster.namespace}/{{name}}: {{error}}",
        ),
        group=group["groupName"],
        failure="FailedCreateWorkerPod",
    )


def delete_worker(pod: Pod, why: str, *, failed: str = "FailedToDeleteWorkerPod") -> DeletePod:
    namespace = pod.metadata.namespace
    return DeletePod(
        pod,
        EventDraft("Normal", "DeletedWorkerPod", "Delete", f"Deleted worker Pod {namespace}/{{name}}: {why}"),
        EventDraft(
            "Warning",
            failed,
            "Delete",
            f"Failed to delete worker Pod {namespace}/{{name}} ({why}): {{error}}",
        ),
        failure="FailedDeleteWorkerPod",
    )
