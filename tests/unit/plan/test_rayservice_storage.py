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
from headstay.plan.rayservice.generations import given_namespace
from headstay.plan.rayservice.plan import CreateCluster, Observed, RecordStorage, UpdateCluster
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
    assert wants_record(observed(by_option(deleting=True, active="svc-old"), seen(made_for(owner, "svc-old"))))
    assert not wants_record(observed(owner, seen(made_for(owner, "svc-old"))))
    assert not wants_record(observed(service()))
