"""Which Pods are made and deleted while the cluster lives."""

import pytest
from tests.unit.plan.clusters import cluster, created, deleted, ft_cluster, group, head_svc, plan, pod

from headstay.model.meta import Pod
from headstay.model.objects import Obj
from headstay.model.ray import RayCluster
from headstay.plan.raycluster.plan import Create, Label, Observed, Plan
from headstay.plan.raycluster.recreate import spec_hash
from headstay.plan.raycluster.settings import Settings

HEAD = pod("head", "head")
TERMINATED = {"terminated": {"exitCode": 1}}
WAITING = {"waiting": {"reason": "CrashLoopBackOff"}}


NONE: frozenset[str] = frozenset()


def decide(
    of: RayCluster,
    *pods: Pod,
    settings: Settings | None = None,
    unsettled: frozenset[str] = NONE,
    deleting: frozenset[str] = NONE,
) -> Plan:
    observed = Observed(of, pods=pods, services=(head_svc(),), unsettled=unsettled, deleting=deleting)
    return plan(observed, settings or Settings())


def three() -> RayCluster:
    return cluster(groups=[group(replicas=3)])


def test_a_new_cluster_gets_service_head_and_workers_in_this_order() -> None:
    assert created(plan(Observed(cluster(groups=[group(replicas=2)])))) == [
        "Service",
        "Pod/head",
        "Pod/worker",
        "Pod/worker",
    ]


def test_a_complete_cluster_needs_nothing() -> None:
    found = decide(cluster(), HEAD, pod("w"))
    assert (found.actions, found.incomplete) == ((), "")
    assert found.requeue_after == 300


@pytest.mark.parametrize(
    ("broken", "replaced"),
    [
        (pod("head", "head", phase="Failed"), True),
        (pod("head", "head", phase="Succeeded"), True),
        (pod("head", "head", restart_policy="Never", container_state=TERMINATED), True),
        (pod("head", "head", restart_policy="OnFailure", container_state=TERMINATED), False),
        (pod("head", "head", container_state=TERMINATED), False),
        (pod("head", "head", container_state=WAITING, ready=False), False),
        (pod("head", "head", phase="Pending", ready=None), False),
        (pod("head", "head", phase="Unknown"), False),
    ],
)
def test_a_head_is_replaced_only_when_the_kubelet_will_not_restart_it(broken: Pod, *, replaced: bool) -> None:
    found = decide(cluster(), broken, pod("w"))
    assert deleted(found) == (["head"] if replaced else [])
    assert created(found) == []
    assert bool(found.incomplete) is replaced


def test_a_head_that_is_going_is_neither_deleted_again_nor_doubled() -> None:
    found = decide(cluster(), pod("head", "head", phase="Failed", deleting=True), pod("w"))
    assert found.actions == ()


def test_a_head_that_died_costs_no_worker() -> None:
    assert created(decide(cluster(), pod("w"))) == ["Pod/head"]
    assert deleted(decide(cluster(), pod("w"))) == []


def test_two_heads_are_an_error_that_touches_nothing() -> None:
    found = decide(cluster(), HEAD, pod("head2", "head"))
    assert found.actions == ()
    assert "2 head Pods" in found.incomplete


def test_a_provisioned_head_is_not_replaced_where_that_is_forbidden() -> None:
    provisioned: Obj = {"conditions": [{"type": "RayClusterProvisioned", "status": "True"}]}
    forbidden = {"ray.io/disable-provisioned-head-restart": "true"}
    assert decide(cluster(annotations=forbidden, status=provisioned)).actions == ()
    assert created(decide(cluster(annotations=forbidden))) == ["Pod/head", "Pod/worker"]


def test_a_group_with_an_unseen_creation_is_not_decided_on() -> None:
    assert created(decide(cluster(), unsettled=frozenset({""}))) == ["Pod/worker"]
    assert created(decide(cluster(), unsettled=frozenset({"small"}))) == ["Pod/head"]


def test_missing_workers_are_made_with_the_lowest_free_indices() -> None:
    present = pod("w", labels={"ray.io/worker-group-replica-index": "1"})
    found = decide(three(), HEAD, present)
    indices = [
        action.obj["metadata"]["labels"]["ray.io/worker-group-replica-index"]
        for action in found.actions
        if isinstance(action, Create)
    ]
    assert indices == ["0", "2"]


@pytest.mark.parametrize(("replicas", "expected"), [(None, 1), (0, 1), (2, 2), (9, 4)])
def test_replicas_are_kept_between_their_bounds(replicas: int | None, expected: int) -> None:
    of = cluster(groups=[group(replicas=replicas, minReplicas=1, maxReplicas=4)])
    assert created(decide(of, HEAD)) == ["Pod/worker"] * expected


def test_terminating_workers_count_until_they_are_gone() -> None:
    assert created(decide(cluster(), HEAD, pod("w", deleting=True))) == []


def test_broken_workers_go_first_and_are_replaced_in_a_later_pass() -> None:
    found = decide(three(), HEAD, pod("a", phase="Failed"), pod("b"))
    assert (deleted(found), created(found)) == (["a"], [])
    assert found.incomplete


def test_too_many_workers_lose_the_least_useful() -> None:
    of = cluster(groups=[group(replicas=2)])
    assert deleted(decide(of, HEAD, pod("a"), pod("b", ready=False), pod("c"))) == ["b"]


def test_a_worker_that_is_going_counts_as_the_one_to_lose() -> None:
    of = cluster(groups=[group(replicas=2)])
    found = decide(of, HEAD, pod("a"), pod("b", ready=False), pod("c"), deleting=frozenset({"uid-c"}))
    assert deleted(found) == []


def test_with_autoscaling_only_the_autoscaler_removes_workers() -> None:
    of = cluster(enableInTreeAutoscaling=True, groups=[group(replicas=0)])
    assert deleted(decide(of, HEAD, pod("a"))) == []
    assert deleted(decide(of, HEAD, pod("a"), settings=Settings(random_pod_delete=True))) == ["a"]


def test_workers_named_for_deletion_go_and_are_replaced_as_replicas_say() -> None:
    of = cluster(groups=[group(replicas=2, scaleStrategy={"workersToDelete": ["a", "long-gone"]})])
    found = decide(of, HEAD, pod("a"), pod("b"))
    assert (deleted(found), created(found)) == (["a"], ["Pod/worker"])


def test_a_suspended_group_loses_its_workers() -> None:
    assert deleted(decide(cluster(groups=[group(suspend=True)]), HEAD, pod("a"))) == ["a"]


def test_pods_of_a_group_that_left_the_spec_stay() -> None:
    assert deleted(decide(cluster(groups=[]), HEAD, pod("a"))) == []


def test_suspension_deletes_all_pods_and_then_keeps_still() -> None:
    suspending = cluster(suspend=True, status={"conditions": [{"type": "RayClusterSuspending", "status": "True"}]})
    assert deleted(decide(suspending, HEAD, pod("w"))) == ["w", "head"]
    suspended = cluster(suspend=True, status={"conditions": [{"type": "RayClusterSuspended", "status": "True"}]})
    assert decide(suspended).actions == ()


def test_a_suspension_asked_for_but_not_begun_makes_no_pods() -> None:
    assert decide(cluster(suspend=True)).actions == ()


def recreate(head_annotations: dict[str, str]) -> Plan:
    of = cluster(upgradeStrategy={"type": "Recreate"})
    return decide(of, pod("head", "head", annotations=head_annotations), pod("w"))


def test_a_changed_spec_replaces_all_pods_where_the_strategy_is_recreate() -> None:
    ours = {"ray.io/kuberay-version": Settings().version}
    assert deleted(recreate(ours | {"ray.io/upgrade-strategy-recreate-hash": "OLD"})) == ["w", "head"]
    same = spec_hash(cluster(upgradeStrategy={"type": "Recreate"}))
    assert deleted(recreate(ours | {"ray.io/upgrade-strategy-recreate-hash": same})) == []


def test_a_hash_that_another_operator_wrote_is_not_acted_on() -> None:
    theirs = {"ray.io/kuberay-version": "v1.7.0", "ray.io/upgrade-strategy-recreate-hash": "OLD"}
    assert deleted(recreate(theirs)) == []
    assert deleted(recreate({})) == []


def test_the_hash_ignores_scaling_and_what_does_not_change_a_running_pod() -> None:
    first = spec_hash(cluster())
    tolerated = cluster(groups=[group(replicas=5, minReplicas=2, scaleStrategy={"workersToDelete": ["x"]})])
    tolerated.spec["headGroupSpec"]["template"]["spec"]["tolerations"] = [{"key": "a"}]
    assert spec_hash(tolerated) == first
    assert spec_hash(cluster(rayVersion="2.60.0")) != first


def test_a_head_told_to_go_leaves_the_head_service_at_once() -> None:
    going = pod("head", "head", deleting=True, labels={"ray.io/identifier": "raycluster-head"})
    found = plan(Observed(ft_cluster(), pods=(going, pod("w"))))
    assert [action for action in found.actions if isinstance(action, Label)] == [
        Label(going, {"ray.io/identifier": None})
    ]
    gone = pod("head", "head", deleting=True)
    assert not [a for a in plan(Observed(ft_cluster(), pods=(gone, pod("w")))).actions if isinstance(a, Label)]
