"""Decisions about what a dead operator, or a cache that lags, left half-done; each was a seed of the sim once."""

from dataclasses import replace

from tests.unit.plan.clusters import SETTINGS, cluster, created, deleted, head_svc, plan, pod

from headstay.model.meta import Pod
from headstay.model.ray import OPERATOR_VERSION, RECREATE_HASH
from headstay.plan.raycluster.plan import Observed
from headstay.plan.raycluster.recreate import spec_hash

OLD = cluster(upgradeStrategy={"type": "Recreate"}, rayVersion="2.9.0")
NEW = cluster(upgradeStrategy={"type": "Recreate"}, rayVersion="2.10.0")
SUSPENDED = {"conditions": [{"type": "RayClusterSuspended", "status": "True"}]}


def of_old_spec(name: str, node_type: str) -> Pod:
    return pod(name, node_type, annotations={RECREATE_HASH: spec_hash(OLD), OPERATOR_VERSION: SETTINGS.version})


def test_a_worker_of_the_old_spec_is_replaced_also_where_its_head_is_gone_or_new() -> None:
    worker = of_old_spec("w", "worker")
    assert deleted(plan(Observed(NEW, pods=(worker,), services=(head_svc(),)))) == ["w"]
    marks = {RECREATE_HASH: spec_hash(NEW), OPERATOR_VERSION: SETTINGS.version}
    head = pod("h", "head", annotations=marks)
    assert "w" in deleted(plan(Observed(NEW, pods=(head, worker), services=(head_svc(),))))


def test_workers_are_marked_where_pods_are_recreated_and_only_there() -> None:
    def marks(of: Observed) -> list[bool]:
        actions = [action for action in plan(of).actions if getattr(action, "group", None) == "small"]
        return [RECREATE_HASH in action.obj["metadata"]["annotations"] for action in actions]  # type: ignore[union-attr]

    assert marks(Observed(NEW)) == [True]
    assert marks(Observed(cluster())) == [False]


def test_the_head_goes_last_since_it_says_what_is_left_to_do() -> None:
    pods = (of_old_spec("h", "head"), of_old_spec("w", "worker"))
    assert deleted(plan(Observed(NEW, pods=pods, services=(head_svc(),)))) == ["w", "h"]


def test_pods_that_are_not_visible_yet_are_waited_for_before_all_are_recreated() -> None:
    observed = Observed(NEW, pods=(of_old_spec("h", "head"),), services=(head_svc(),))
    waiting = plan(replace(observed, unsettled=frozenset({"small"})))
    assert (deleted(waiting), created(waiting)) == ([], [])
    assert deleted(plan(observed)) == ["h"]


def test_a_pod_that_turns_up_in_a_suspended_cluster_goes() -> None:
    suspended = cluster(suspend=True, status=SUSPENDED)
    assert deleted(plan(Observed(suspended, pods=(pod("late"),), services=(head_svc(),)))) == ["late"]
