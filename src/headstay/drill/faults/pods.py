"""Faults of whole Pods: deleted, as by a drained node."""

import time

from headstay.drill.faults.kind import Broken, Kind, Scene
from headstay.drill.kube import ExecError
from headstay.model.errors import StatusError
from headstay.model.resource import PODS
from headstay.runtime.client import TransportError


async def _head_pod(scene: Scene, _: float) -> Broken:
    head = scene.head()
    await scene.kube.delete(PODS, head.seen.name, uid=head.seen.uid)
    return Broken(head.seen.name, time.time(), detail="deleted, with its grace period")


async def _worker_pod(scene: Scene, _: float) -> Broken:
    """Not the one that the workload's driver is in, if there is another: it measures how the rest fares."""
    workers = scene.onlooker.of("worker")
    chosen = [pod for pod in workers if pod.seen.name != scene.avoid] or workers
    if not chosen:
        raise ExecError("there is no worker Pod to break")
    worker = scene.draw.choice(chosen)
    await scene.kube.delete(PODS, worker.seen.name, uid=worker.seen.uid)
    return Broken(worker.seen.name, time.time(), detail="deleted, with its grace period")


async def _no_operator(scene: Scene) -> str:
    if scene.onlooker.of("operator"):
        return ""
    return "no Pod of an operator (app.kubernetes.io/name=headstay-operator) can be seen from here"


async def _operator_kill(scene: Scene, _: float) -> Broken:
    found = scene.onlooker.of("operator")
    where = scene.onlooker.namespace_of(found[0].seen.uid)
    try:
        await scene.kube.client.delete(PODS, where, found[0].seen.name, uid=found[0].seen.uid, grace_period_seconds=0)
    except (StatusError, TransportError) as error:
        raise ExecError(f"the operator's Pod cannot be deleted: {error}") from error
    return Broken(found[0].seen.name, time.time(), detail="deleted without a grace period")


KINDS = (
    Kind("head-pod", "The head Pod is deleted.", "the target's head Pod", _head_pod),
    Kind("worker-pod", "One worker Pod is deleted.", "one of the target's worker Pods", _worker_pod),
    Kind(
        "operator-kill",
        "The operator's Pod is deleted without a grace period. Not part of `all`: other clusters use the operator too.",
        "the operator's Pod, which serves other clusters as well",
        _operator_kill,
        _no_operator,
        settle=3.0,
        in_all=False,
    ),
)
