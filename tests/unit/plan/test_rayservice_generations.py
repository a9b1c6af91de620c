"""When a RayService gets a RayCluster, another RayCluster, or a change of the one it has."""

from dataclasses import replace
from typing import Any

import pytest
from tests.unit.plan.clusters import NOW, group
from tests.unit.plan.rayservices import (
    CONFIG,
    SETTINGS,
    UID,
    actions,
    ago,
    cluster_spec,
    condition,
    made_for,
    observed,
    plan,
    seen,
    service,
    status,
)

from headstay.model.objects import Obj
from headstay.plan.rayservice.generations import DEPLOYED, RETIRED, SCALE
from headstay.plan.rayservice.plan import CreateCluster, DeleteCluster, Names, SetFinalizers, UpdateCluster
from headstay.plan.rayservice.serve_config import serve_config, serve_config_hash


def test_the_finalizer_comes_before_any_raycluster() -> None:
    made = plan(observed(service(finalizers=("other",))))
    assert made.actions == (SetFinalizers(("other", "ray.io/rayservice-finalizer")),)
    assert made.names is None


def test_a_name_is_in_the_status_before_a_cluster_is_made_of_it() -> None:
    first = plan(observed(service()))
    assert (first.names, actions(first, CreateCluster)) == (Names("", "svc-fresh"), [])
    second = plan(observed(service(pending="svc-fresh"), fresh="svc-other"))
    assert second.names == Names("", "svc-fresh")
    assert [action.obj["metadata"]["name"] for action in actions(second, CreateCluster)] == ["svc-fresh"]


def test_a_cluster_carries_the_labels_and_annotations_of_its_rayservice_and_its_marks() -> None:
    owner = service(
        pending="svc-x",
        labels={"team": "fruit"},
        annotations={"ray.io/ft-enabled": "true", "kubectl.kubernetes.io/last-applied-configuration": "{}"},
    )
    (create,) = actions(plan(observed(owner)), CreateCluster)
    metadata = create.obj["metadata"]
    assert metadata["labels"] == {
        "team": "fruit",
        "ray.io/originated-from-cr-name": "svc",
        "ray.io/originated-from-crd": "RayService",
    }
    assert metadata["annotations"].keys() == {
        "ray.io/ft-enabled",
        "ray.io/hash-without-replicas-and-workers-to-delete",
        "ray.io/num-worker-groups",
        "ray.io/kuberay-version",
        SCALE,
    }
    assert [(owner["kind"], owner["uid"], owner["controller"]) for owner in metadata["ownerReferences"]] == [
        ("RayService", UID, True)
    ]
    assert create.obj["spec"] == cluster_spec()


def edited(**fields: Any) -> Obj:
    return cluster_spec(**fields)


def another_image() -> Obj:
    spec = cluster_spec()
    spec["headGroupSpec"]["template"]["spec"]["containers"][0]["image"] = "ray:2"
    return spec


def tolerated() -> Obj:
    spec = cluster_spec()
    spec["headGroupSpec"]["template"]["spec"]["tolerations"] = [{"key": "gpu"}]
    return spec


@pytest.mark.parametrize(
    ("what", "spec", "upgrades"),
    [
        ("the same", cluster_spec(), False),
        ("an image", another_image(), True),
        ("another Ray", edited(rayVersion="2.61.0"), True),
        ("tolerations", tolerated(), False),
        ("replicas", edited(workerGroupSpecs=[group(replicas=3)]), False),
        ("workers to delete", edited(workerGroupSpecs=[group(scaleStrategy={"workersToDelete": ["w"]})]), False),
        ("a group more", edited(workerGroupSpecs=[group(), group("big")]), False),
        ("a group before", edited(workerGroupSpecs=[group("big"), group()]), True),
        ("a group less", edited(workerGroupSpecs=[]), True),
        ("an option of fault tolerance", edited(gcsFaultToleranceOptions={"redisAddress": "redis:6379"}), True),
    ],
)
def test_what_makes_a_new_cluster_and_what_does_not(what: str, spec: Obj, upgrades: bool) -> None:
    old = made_for(service(), "svc-old")
    made = plan(observed(service(active="svc-old", cluster=spec), seen(old), points_at="svc-old"))
    assert made.names == Names("svc-old", "svc-fresh" if upgrades else ""), what


@pytest.mark.parametrize(
    ("kind", "by_default", "upgrades"),
    [(None, True, True), (None, False, False), ("None", True, False), ("NewCluster", False, True)],
)
def test_upgrades_are_made_where_the_strategy_or_the_operator_says_so(
    kind: str | None, by_default: bool, upgrades: bool
) -> None:
    old = made_for(service(), "svc-old")
    strategy: Obj = {"upgradeStrategy": {"type": kind}} if kind else {}
    owner = service(active="svc-old", cluster=another_image(), **strategy)
    made = plan(observed(owner, seen(old), points_at="svc-old"), replace(SETTINGS, zero_downtime=by_default))
    assert made.names == Names("svc-old", "svc-fresh" if upgrades else "")


def test_groups_added_at_the_end_are_added_to_the_running_cluster() -> None:
    old = made_for(service(), "svc-old")
    owner = service(active="svc-old", cluster=edited(workerGroupSpecs=[group(), group("big")]))
    (update,) = actions(plan(observed(owner, seen(old), points_at="svc-old")), UpdateCluster)
    assert [found["groupName"] for found in update.patch["spec"]["workerGroupSpecs"]] == ["small", "big"]
    assert update.patch["metadata"]["annotations"]["ray.io/num-worker-groups"] == "2"
    assert "big" in update.why


def test_replicas_follow_the_rayservice_but_what_somebody_set_on_the_cluster_stays() -> None:
    old = made_for(service(), "svc-old")
    old.spec["workerGroupSpecs"][0]["replicas"] = 5
    assert actions(plan(observed(service(active="svc-old"), seen(old), points_at="svc-old")), UpdateCluster) == []
    owner = service(active="svc-old", cluster=edited(workerGroupSpecs=[group(replicas=3)]))
    (update,) = actions(plan(observed(owner, seen(old), points_at="svc-old")), UpdateCluster)
    assert update.patch["spec"]["workerGroupSpecs"][0]["replicas"] == 3


def test_replicas_are_the_autoscaler_s_where_there_is_one() -> None:
    old = made_for(service(cluster=edited(enableInTreeAutoscaling=True)), "svc-old")
    spec = edited(enableInTreeAutoscaling=True, workerGroupSpecs=[group(replicas=3)])
    made = plan(observed(service(active="svc-old", cluster=spec), seen(old), points_at="svc-old"))
    assert [action for action in actions(made, UpdateCluster) if "spec" in action.patch] == []


def test_a_cluster_of_another_operator_is_marked_anew_and_never_replaced_for_it() -> None:
    old = made_for(service(), "svc-old", annotations={"ray.io/kuberay-version": "v1.7.0"})
    old.annotations["ray.io/hash-without-replicas-and-workers-to-delete"] = "theirs"
    del old.annotations[SCALE]
    made = plan(observed(service(active="svc-old"), seen(old), points_at="svc-old"))
    assert made.names == Names("svc-old")
    (update,) = actions(made, UpdateCluster)
    assert update.patch.keys() == {"metadata"}
    assert update.patch["metadata"]["annotations"]["ray.io/kuberay-version"] == SETTINGS.version


def test_another_change_during_an_upgrade_makes_another_pending_cluster() -> None:
    old, new = made_for(service(), "svc-old"), made_for(service(cluster=another_image()), "svc-new")
    owner = service(active="svc-old", pending="svc-new", cluster=edited(rayVersion="2.61.0"))
    made = plan(observed(owner, seen(new, status="DEPLOYING"), seen(old), points_at="svc-old"))
    assert made.names == Names("svc-old", "svc-fresh")


def test_going_back_during_an_upgrade_gives_the_pending_cluster_up() -> None:
    old, new = made_for(service(), "svc-old"), made_for(service(cluster=another_image()), "svc-new")
    owner = service(active="svc-old", pending="svc-new")
    found = observed(owner, seen(new, status="DEPLOYING"), seen(old), points_at="svc-old")
    made = plan(found)
    assert made.names == Names("svc-old")
    assert condition(status(found, made), "UpgradeInProgress") == ("False", "NoPendingCluster")


def test_going_back_after_the_traffic_moved_makes_a_new_cluster() -> None:
    """The Services are the truth: what they point at is the active one, whatever the status still says."""
    old, new = made_for(service(), "svc-old"), made_for(service(cluster=another_image()), "svc-new")
    made = plan(observed(service(active="svc-old", pending="svc-new"), seen(new), seen(old), points_at="svc-new"))
    assert made.names == Names("svc-new", "svc-fresh")


def test_a_broken_first_spec_can_be_mended_even_without_upgrades() -> None:
    new = made_for(service(cluster=another_image()), "svc-new")
    owner = service(pending="svc-new", upgradeStrategy={"type": "None"})
    assert plan(observed(owner, seen(new, status=""))).names == Names("", "svc-fresh")


@pytest.mark.parametrize("deleting", [True, False])
def test_an_active_cluster_that_somebody_deletes_is_replaced(deleting: bool) -> None:
    clusters = [seen(made_for(service(), "svc-old", deleting=True))] if deleting else []
    made = plan(observed(service(active="svc-old"), *clusters, points_at="svc-old"))
    assert made.names == Names("svc-old", "svc-fresh")


def test_a_pending_cluster_that_is_deleted_gets_a_successor_of_another_name() -> None:
    new = made_for(service(), "svc-new", deleting=True)
    assert plan(observed(service(pending="svc-new"), seen(new))).names == Names("", "svc-fresh")


def test_a_cluster_not_in_use_is_marked_and_deleted_after_the_delay() -> None:
    old, new = made_for(service(), "svc-old"), made_for(service(), "svc-new", annotations=_deployed())
    owner = service(active="svc-new")
    made = plan(observed(owner, seen(new), seen(old), points_at="svc-new"))
    (marked,) = actions(made, UpdateCluster)
    assert (marked.cluster.name, marked.patch) == ("svc-old", {"metadata": {"annotations": {RETIRED: ago(0)}}})
    old.annotations[RETIRED] = ago(59)
    made = plan(observed(owner, seen(new), seen(old), points_at="svc-new"))
    assert (made.actions, made.requeue_after) == ((), 1.0)
    old.annotations[RETIRED] = ago(60)
    made = plan(observed(owner, seen(new), seen(old), points_at="svc-new"))
    assert [action.cluster.name for action in actions(made, DeleteCluster)] == ["svc-old"]
    made = plan(observed(service(active="svc-new", rayClusterDeletionDelaySeconds=90), seen(new), seen(old)), now=NOW)
    assert actions(made, DeleteCluster) == []


def test_without_a_delay_a_cluster_goes_at_once_but_never_one_that_the_stored_status_names() -> None:
    old, new = made_for(service(), "svc-old"), made_for(service(), "svc-new")
    stored = service(active="svc-old", pending="svc-new", rayClusterDeletionDelaySeconds=0)
    made = plan(observed(stored, seen(new), seen(old), points_at="svc-new"))
    assert (made.names, actions(made, DeleteCluster)) == (Names("svc-new"), [])
    stored = service(active="svc-new", rayClusterDeletionDelaySeconds=0)
    made = plan(observed(stored, seen(new), seen(old), points_at="svc-new"))
    assert [action.cluster.name for action in actions(made, DeleteCluster)] == ["svc-old"]


def test_how_to_delete_reaches_clusters_that_run_already() -> None:
    old = made_for(service(), "svc-old", annotations=_deployed())
    owner = service(active="svc-old", annotations={"headstay.io/gcs-ft-cleanup": "Retain", "other": "x"})
    (update,) = actions(plan(observed(owner, seen(old), points_at="svc-old")), UpdateCluster)
    assert update.patch == {"metadata": {"annotations": {"headstay.io/gcs-ft-cleanup": "Retain"}}}


def _deployed() -> dict[str, str]:
    return {DEPLOYED: serve_config_hash(serve_config(CONFIG))}
