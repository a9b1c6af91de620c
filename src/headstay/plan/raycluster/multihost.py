"""Worker groups whose replicas are several Pods (`numOfHosts` above 1): a replica lives and dies as a whole.

Half a replica is worth nothing to what runs on it (a TPU slice, for example), so an incomplete one is removed, one
broken host takes the others with it, and a host named for deletion means its replica.
"""

from collections import defaultdict

from headstay.model.meta import Pod
from headstay.model.objects import Obj
from headstay.model.ray import HOST_INDEX, REPLICA_INDEX, REPLICA_NAME
from headstay.plan.raycluster.head_names import letters
from headstay.plan.raycluster.plan import Action, Observed
from headstay.plan.raycluster.replicas import desired_pods, hosts
from headstay.plan.raycluster.settings import Settings
from headstay.plan.raycluster.steps import Step, create_worker, delete_worker, is_beyond_repair, least_useful_first


def multihost_step(observed: Observed, group: Obj, pods: list[Pod], settings: Settings) -> Step:
    replicas: dict[str, list[Pod]] = defaultdict(list)
    for pod in pods:
        replicas[pod.metadata.labels.get(REPLICA_NAME, "")].append(pod)
    if twins := [pod for pod in _twins(observed, group, replicas) if not observed.terminating(pod)]:
        going = tuple(delete_worker(pod, "its replica has that host already") for pod in twins)
        return Step(going, f"removing {len(going)} hosts that group {group['groupName']} has twice", stop=True)
    if doomed := _doomed(observed, group, replicas):
        count = sum(1 for pod in pods if pod.metadata.labels.get(REPLICA_NAME, "") in doomed)
        actions = [
            delete_worker(pod, doomed[name])
            for name in doomed
            for pod in replicas[name]
            if not observed.terminating(pod)
        ]
        if actions:
            why = f"replacing {len(doomed)} replicas ({count} worker Pods) of group {group['groupName']}"
            return Step(tuple(actions), why, stop=True)
    missing = desired_pods(group) // hosts(group) - len(replicas)
    if missing > 0:
        return Step(tuple(_create(observed, group, settings, replicas, missing)), f"creating {missing} replicas")
    if missing < 0 and (not observed.cluster.autoscaling or settings.random_pod_delete):
        order = sorted(replicas, key=lambda name: min(least_useful_first(observed, pod) for pod in replicas[name]))
        surplus = [pod for name in order[:-missing] for pod in replicas[name] if not observed.terminating(pod)]
        return Step(tuple(delete_worker(pod, "its replica is more than wanted") for pod in surplus))
    return Step()


def _twins(observed: Observed, group: Obj, replicas: dict[str, list[Pod]]) -> list[Pod]:
    """Takes hosts out of their replicas that are there twice: one was still on its way when its operator died."""
    twins: list[Pod] = []
    for name, pods in replicas.items():
        if len(pods) <= hosts(group):
            continue
        kept: dict[str, Pod] = {}
        for pod in sorted(pods, key=lambda pod: least_useful_first(observed, pod), reverse=True):
            kept.setdefault(pod.metadata.labels.get(HOST_INDEX, pod.metadata.name), pod)
        twins += [pod for pod in pods if pod not in kept.values()]
        replicas[name] = list(kept.values())
    return twins


def _doomed(observed: Observed, group: Obj, replicas: dict[str, list[Pod]]) -> dict[str, str]:
    """Names of replicas to remove, with the reason."""
    strategy = group.get("scaleStrategy") or {}
    named = set(strategy.get("workersToDelete") or [])
    whole = set(strategy.get("multihostReplicasToDelete") or [])
    doomed: dict[str, str] = {}
    for name, pods in replicas.items():
        broken = [f"{pod.metadata.name}: {why}" for pod in pods if (why := is_beyond_repair(pod))]
        if broken:
            doomed[name] = f"a host of its replica cannot be repaired ({broken[0]})"
        elif len(pods) < hosts(group) or any(observed.terminating(pod) for pod in pods):
            doomed[name] = f"its replica has lost a host ({hosts(group)} belong together)"
        elif any(pod.metadata.name in named for pod in pods):
            doomed[name] = "its replica is named in workersToDelete"
        elif name in whole:
            doomed[name] = "its replica is named in multihostReplicasToDelete"
    return doomed


def _create(
    observed: Observed, group: Obj, settings: Settings, replicas: dict[str, list[Pod]], count: int
) -> list[Action]:
    taken = {pods[0].metadata.labels.get(REPLICA_INDEX) for pods in replicas.values()}
    free = [index for index in range(len(replicas) + count) if str(index) not in taken][:count]
    actions: list[Action] = []
    for index in free:
        name = _replica_name(observed, group["groupName"], index)
        for host in range(hosts(group)):
            labels = {REPLICA_NAME: name, HOST_INDEX: str(host)}
            actions.append(create_worker(observed.cluster, group, settings, replica_index=index, labels=labels))
    return actions


def _replica_name(observed: Observed, group: str, index: int) -> str:
    """`<group>-<5 characters>`: drawn from what is there, so that the decision stays pure and a retry says the same."""
    present = sorted(pod.metadata.uid for pod in observed.pods)
    return f"{group}-{letters(observed.cluster.metadata.uid, group, str(index), *present)}"
