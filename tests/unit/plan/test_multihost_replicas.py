"""A replica of several hosts lives and dies as a whole."""

from tests.unit.plan.clusters import cluster, deleted, group, head_svc, plan, pod

from headstay.model.meta import Pod
from headstay.model.objects import Obj
from headstay.model.ray import RayCluster
from headstay.plan.raycluster.plan import Create, Observed, Plan

HEAD = pod("head", "head")


def slices(replicas: int, **fields: object) -> RayCluster:
    return cluster(groups=[group("tpu", replicas=replicas, numOfHosts=2, **fields)])


def host(name: str, replica: str, index: int = 0, *, phase: str = "Running", deleting: bool = False) -> Pod:
    labels = {"ray.io/worker-group-replica-name": replica, "ray.io/worker-group-replica-index": str(index)}
    return pod(name, group_name="tpu", phase=phase, deleting=deleting, labels=labels)


def decide(of: RayCluster, *pods: Pod) -> Plan:
    return plan(Observed(of, pods=(HEAD, *pods), services=(head_svc(),)))


def made(found: Plan) -> list[tuple[str, str, str]]:
    """Replica name, replica index, host index of each Pod made."""
    keys = ("worker-group-replica-name", "worker-group-replica-index", "replica-host-index")
    labels: list[Obj] = [
        action.obj["metadata"]["labels"]
        for action in found.actions
        if isinstance(action, Create) and action.obj["kind"] == "Pod"
    ]
    return [(entry[f"ray.io/{keys[0]}"], entry[f"ray.io/{keys[1]}"], entry[f"ray.io/{keys[2]}"]) for entry in labels]


def test_all_hosts_of_a_replica_are_made_together() -> None:
    found = made(decide(slices(2)))
    assert [(index, number) for _, index, number in found] == [("0", "0"), ("0", "1"), ("1", "0"), ("1", "1")]
    names = {name for name, _, _ in found}
    assert len(names) == 2
    assert all(name.startswith("tpu-") and len(name) == len("tpu-") + 5 for name in names)
    assert found == made(decide(slices(2))), "the same decision twice says the same"


def test_a_new_replica_takes_the_free_index() -> None:
    present = (host("a", "tpu-x", 1), host("b", "tpu-x", 1))
    assert [index for _, index, _ in made(decide(slices(2), *present))] == ["0", "0"]


def test_a_broken_host_takes_its_replica_with_it() -> None:
    x = (host("a", "tpu-x", phase="Failed"), host("b", "tpu-x"))
    y = (host("c", "tpu-y", 1), host("d", "tpu-y", 1))
    found = decide(slices(2), *x, *y)
    assert deleted(found) == ["a", "b"]
    assert made(found) == []
    assert found.incomplete


def test_an_incomplete_replica_is_removed() -> None:
    assert deleted(decide(slices(1), host("a", "tpu-x"))) == ["a"]
    assert deleted(decide(slices(1), host("a", "tpu-x"), host("b", "tpu-x", deleting=True))) == ["a"]


def test_a_replica_that_is_going_still_counts() -> None:
    going = (host("a", "tpu-x", deleting=True), host("b", "tpu-x", deleting=True))
    found = decide(slices(1), *going)
    assert (made(found), deleted(found)) == ([], [])


def test_a_named_host_means_its_replica() -> None:
    of = slices(1, scaleStrategy={"workersToDelete": ["b"]})
    assert deleted(decide(of, host("a", "tpu-x"), host("b", "tpu-x"))) == ["a", "b"]


def test_a_surplus_replica_goes_whole() -> None:
    x = (host("a", "tpu-x"), host("b", "tpu-x"))
    y = (host("c", "tpu-y", 1), host("d", "tpu-y", 1))
    assert len(deleted(decide(slices(1), *x, *y))) == 2


def numbered(name: str, number: int, *, ready: bool = True, deleting: bool = False) -> Pod:
    found = host(name, "tpu-x", deleting=deleting)
    found.metadata.labels["ray.io/replica-host-index"] = str(number)
    if not ready:
        found.status.conditions.clear()
    return found


def test_a_host_that_is_there_twice_goes_and_its_replica_stays() -> None:
    replica = (numbered("a", 0), numbered("b", 1))
    found = decide(slices(1), *replica, numbered("late", 1, ready=False))
    assert deleted(found) == ["late"]
    assert deleted(decide(slices(1), *replica, numbered("late", 1, deleting=True))) == [], "it is going already"
