"""No generation of a RayService wakes up on another's keys, and what was retained is found again."""

from typing import Any

import msgspec
import pytest
from tests.unit.plan.clusters import head_template
from tests.unit.plan.rayservices import FT, PORTS, actions, cluster_spec, made_for, observed, plan, seen, service

from headstay.model.objects import Obj
from headstay.model.ray import RayCluster
from headstay.model.rayservice import RayService
from headstay.plan.raycluster.identity import storage_namespace, storage_namespace_env
from headstay.plan.raycluster.plan import EventDraft
from headstay.plan.raycluster.settings import Settings
from headstay.plan.rayservice.generations import INHERITED, given_namespace
from headstay.plan.rayservice.plan import CreateCluster, DeleteCluster, Names, Observed, RecordStorage, UpdateCluster
from headstay.plan.rayservice.storage import wants_record

RETAIN = {"headstay.io/gcs-ft-cleanup": "Retain"}


def by_option(**more: Any) -> RayService:
    return service(cluster=cluster_spec(gcsFaultToleranceOptions=FT | {"externalStorageNamespace": "fruit"}), **more)


def by_annotation(**more: Any) -> RayService:
    given = {"ray.io/ft-enabled": "true", "ray.io/external-storage-namespace": "fruit"}
    return service(annotations=given | more.pop("annotations", {}), **more)


def by_env(entry: Obj | None = None, **more: Any) -> RayService:
    env = [entry or {"name": "RAY_external_storage_namespace", "value": "fruit"}, {"name": "LAST", "value": "x"}]
    head = {"rayStartParams": {}, "template": head_template(env=env, ports=PORTS)}
    return service(cluster=cluster_spec(gcsFaultToleranceOptions=FT, headGroupSpec=head), **more)


WAYS = [by_option, by_annotation, by_env]


def made(found: Observed) -> tuple[RayCluster, EventDraft | None]:
    (create,) = actions(plan(found), CreateCluster)
    cluster = msgspec.convert(create.obj | {"metadata": create.obj["metadata"] | {"uid": "its-uid"}}, RayCluster)
    return cluster, create.explained


def effective(cluster: RayCluster) -> str:
    return str(storage_namespace_env(cluster).get("value"))


@pytest.mark.parametrize("given", WAYS)
def test_the_first_generation_has_the_namespace_as_given(given: Any) -> None:
    cluster, explained = made(observed(given(pending="svc-abcde")))
    assert (effective(cluster), explained) == ("fruit", None)


@pytest.mark.parametrize("given", WAYS)
def test_each_later_generation_has_one_of_its_own_and_env_annotation_and_option_agree(given: Any) -> None:
    owner = given(active="svc-old", pending="svc-abcde")
    cluster, explained = made(observed(owner, seen(made_for(owner, "svc-old")), points_at="svc-old"))
    assert effective(cluster) == storage_namespace(cluster) == "fruit-abcde"
    assert explained is not None
    assert (explained.reason, '"fruit-abcde"' in explained.note) == ("StorageNamespaceChosen", True)
    assert owner.cluster_spec == given().cluster_spec  # what the user wrote is theirs


def test_a_successor_of_a_cluster_that_never_served_has_one_of_its_own_too() -> None:
    owner = by_option(pending="svc-abcde")
    cluster, _ = made(observed(owner, seen(made_for(owner, "svc-broken"))))
    assert effective(cluster) == "fruit-abcde"


def test_without_a_given_one_each_cluster_has_its_uid() -> None:
    owner = service(active="svc-old", pending="svc-abcde", cluster=cluster_spec(gcsFaultToleranceOptions=FT))
    cluster, explained = made(observed(owner, seen(made_for(owner, "svc-old")), points_at="svc-old"))
    assert (effective(cluster), explained) == ("its-uid", None)


def test_one_that_comes_from_elsewhere_is_replaced_in_later_generations() -> None:
    """Nobody can tell its value, so nobody could tell that two generations share it."""
    entry = {"name": "RAY_external_storage_namespace", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k"}}}
    owner = by_env(entry, active="svc-old", pending="svc-abcde")
    cluster, _ = made(observed(owner, seen(made_for(owner, "svc-old")), points_at="svc-old"))
    assert effective(cluster) == "svc-abcde"
    assert [found["name"] for found in cluster.head_group["template"]["spec"]["containers"][0]["env"]] == [
        "RAY_external_storage_namespace",
        "LAST",
    ]


def test_without_fault_tolerance_a_namespace_means_nothing() -> None:
    assert given_namespace(service(annotations={"ray.io/external-storage-namespace": "fruit"})) == ""


def test_an_adopted_generation_keeps_its_namespace_and_so_does_one_that_gets_a_group_more() -> None:
    old = by_option(active="svc-old")
    cluster = made_for(old, "svc-old", chosen="fruit-older")
    spec = old.cluster_spec | {"workerGroupSpecs": [*old.cluster_spec["workerGroupSpecs"], _group_with_env("big")]}
    owner = service(active="svc-old", cluster=spec)
    (update,) = actions(plan(observed(owner, seen(cluster), points_at="svc-old")), UpdateCluster)
    assert update.patch["spec"].keys() == {"workerGroupSpecs"}
    added = update.patch["spec"]["workerGroupSpecs"][-1]["template"]["spec"]["containers"][0]["env"]
    assert added == [{"name": "RAY_external_storage_namespace", "value": "fruit-older"}]


def _group_with_env(name: str) -> Obj:
    env = [{"name": "RAY_external_storage_namespace", "value": "fruit"}]
    template = {"spec": {"containers": [{"name": "w", "image": "ray:1", "env": env}]}}
    return {"groupName": name, "replicas": 1, "minReplicas": 0, "maxReplicas": 1, "template": template}


@pytest.mark.parametrize("way", [{"deleting": True}, {"conditions": [{"type": "Suspending", "status": "True"}]}])
def test_what_is_retained_is_written_down_before_the_clusters_go(way: Obj) -> None:
    owner = by_option(active="svc-old", annotations=dict(RETAIN), **way)
    cluster = made_for(owner, "svc-old", chosen="fruit-abcde")
    found = plan(observed(owner, seen(cluster)))
    assert found.actions[0] == RecordStorage("fruit", "fruit-abcde")
    assert found.in_order
    again = plan(observed(owner, seen(cluster), record="fruit-abcde"))
    assert actions(again, RecordStorage) == []


def test_what_is_cleaned_is_not_remembered() -> None:
    owner = by_option(active="svc-old", deleting=True)
    found = plan(observed(owner, seen(made_for(owner, "svc-old")), record="fruit-abcde"))
    assert found.actions[0] == RecordStorage("fruit", "")


def test_what_stays_because_nobody_cleans_is_written_down_too() -> None:
    owner = by_option(active="svc-old", deleting=True)
    cluster = made_for(owner, "svc-old", chosen="fruit-abcde")
    found = plan(observed(owner, seen(cluster)), Settings(redis_cleanup=False))
    assert found.actions[0] == RecordStorage("fruit", "fruit-abcde")


def test_what_the_raycluster_alone_says_of_its_keys_counts_as_its_cleanup_will_read_it() -> None:
    """`Retain` was taken off the RayService, or was never there: it is not taken off its RayClusters."""
    owner = by_option(active="svc-old", deleting=True)
    cluster = made_for(owner, "svc-old", chosen="fruit-abcde", annotations=dict(RETAIN))
    assert plan(observed(owner, seen(cluster))).actions[0] == RecordStorage("fruit", "fruit-abcde")
    cleaned = by_option(active="svc-old", deleting=True, annotations={"headstay.io/gcs-ft-cleanup": "Job"})
    assert actions(plan(observed(cleaned, seen(cluster))), RecordStorage) == []


def test_what_was_written_down_stands_once_the_clusters_are_gone() -> None:
    owner = by_option(active="svc-old", deleting=True)
    assert actions(plan(observed(owner, record="fruit-abcde")), RecordStorage) == []


def test_a_rayservice_made_again_goes_on_where_the_last_one_was() -> None:
    cluster, explained = made(observed(by_option(pending="svc-new"), record="fruit-abcde"))
    assert effective(cluster) == "fruit-abcde"
    assert explained is not None
    assert "used last" in explained.note


def test_the_record_is_asked_for_only_where_it_decides_something() -> None:
    owner = by_option(active="svc-old")
    assert wants_record(observed(by_option()))
    pending = by_option(pending="svc-new")
    assert wants_record(observed(pending, seen(made_for(pending, "svc-broken"))))
    assert not wants_record(observed(pending, seen(made_for(pending, "svc-new"))))
    assert wants_record(observed(by_option(deleting=True, active="svc-old"), seen(made_for(owner, "svc-old"))))
    assert not wants_record(observed(owner, seen(made_for(owner, "svc-old"))))
    assert not wants_record(observed(service()))


def broken(owner: RayService, **more: Any) -> RayCluster:
    """The first RayCluster of a RayService made again: on the keys that were retained, and of no use."""
    annotations = {INHERITED: "true"} | more.pop("annotations", {})
    return made_for(owner, "svc-broken", chosen="fruit-abcde", annotations=annotations, **more)


@pytest.mark.parametrize("record", ["fruit", "fruit-abcde"])
def test_until_one_has_served_each_cluster_of_a_rayservice_made_again_goes_on_where_the_last_one_was(
    record: str,
) -> None:
    first, _ = made(observed(by_option(pending="svc-broken"), record=record))
    second, _ = made(observed(by_option(pending="svc-new"), record=record))
    assert [effective(first), effective(second)] == [record, record]
    assert first.annotations[INHERITED] == second.annotations[INHERITED] == "true"


def test_what_is_not_inherited_is_not_marked_so() -> None:
    assert INHERITED not in made(observed(by_option(pending="svc-new")))[0].annotations
    owner = by_option(active="svc-old", pending="svc-new")
    later, _ = made(observed(owner, seen(made_for(owner, "svc-old")), points_at="svc-old", record="fruit-abcde"))
    assert (effective(later), INHERITED in later.annotations) == ("fruit-new", False)


def test_the_next_is_made_once_the_one_that_leaves_it_its_keys_cannot_clean_them_any_more() -> None:
    owner = by_option(pending="svc-new")
    there = seen(broken(owner), status="")
    found = plan(observed(owner, there, record="fruit-abcde"))
    assert actions(found, CreateCluster) == []
    assert "svc-broken" in found.reason
    going = broken(owner, deleting=True)
    assert len(actions(plan(observed(owner, seen(going, status=""), record="fruit-abcde")), CreateCluster)) == 1
    going.metadata.finalizers.append("ray.io/gcs-ft-redis-cleanup-finalizer")
    assert actions(plan(observed(owner, seen(going, status=""), record="fruit-abcde")), CreateCluster) == []


def test_one_that_leaves_its_keys_is_told_to_keep_them_and_goes_at_once_after_that() -> None:
    owner = by_option(pending="svc-new", annotations={"headstay.io/gcs-ft-cleanup": "Job"})
    found = plan(observed(owner, seen(broken(owner), status=""), record="fruit-abcde"))
    assert actions(found, DeleteCluster) == []
    (update,) = actions(found, UpdateCluster)
    assert update.patch == {"metadata": {"annotations": RETAIN}}
    found = plan(observed(owner, seen(broken(owner, annotations=RETAIN), status=""), record="fruit-abcde"))
    assert actions(found, UpdateCluster) == []
    assert [action.cluster.name for action in actions(found, DeleteCluster)] == ["svc-broken"]


def test_one_that_a_user_deletes_before_it_served_keeps_its_keys_too() -> None:
    owner = by_option(pending="svc-new")
    (update,) = actions(plan(observed(owner, seen(broken(owner, deleting=True), status=""))), UpdateCluster)
    assert update.patch == {"metadata": {"annotations": RETAIN}}


def test_one_that_is_in_use_or_has_served_ends_as_the_rayservice_says() -> None:
    job = {"headstay.io/gcs-ft-cleanup": "Job"}
    for owner in (
        by_option(pending="svc-broken", annotations=job),
        by_option(active="svc-broken", annotations=job),
        by_option(active="svc-new", annotations=job),
    ):
        found = plan(observed(owner, seen(broken(owner), status=""), seen(made_for(owner, "svc-new"), status="")))
        patched = [action.patch["metadata"]["annotations"] for action in actions(found, UpdateCluster)]
        assert RETAIN not in patched
        assert actions(found, DeleteCluster) == []


def test_one_that_was_given_up_for_good_before_it_served_leaves_its_keys_to_the_next_rayservice() -> None:
    timed_out = {"type": "Ready", "status": "False", "reason": "InitializingTimeout"}
    owner = by_option(conditions=[timed_out])
    found = plan(observed(owner, seen(broken(owner), status="")))
    assert found.names == Names()
    assert [action.patch for action in actions(found, UpdateCluster)] == [{"metadata": {"annotations": RETAIN}}]
