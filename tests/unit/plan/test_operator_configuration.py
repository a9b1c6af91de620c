"""What the operator's configuration adds to all Ray Pods: last in rank, and never a reason to make a Pod anew."""

from copy import deepcopy
from dataclasses import replace

from tests.unit.plan.clusters import SETTINGS, cluster, created, env_of, ft_cluster, group, head_template, plan, pod

from headstay.model.objects import Obj
from headstay.model.ray import RayCluster
from headstay.plan.raycluster.cleanup_job import cleanup_job
from headstay.plan.raycluster.in_place import has_gcs_service
from headstay.plan.raycluster.plan import DeletePod, Observed
from headstay.plan.raycluster.pods import head_pod, worker_pod
from headstay.plan.raycluster.settings import Settings

SIDECARS = Settings(
    head_sidecars=({"name": "logs", "image": "logs:1"},),
    worker_sidecars=({"name": "logs", "image": "logs:2"}, {"name": "wait-gcs-ready", "image": "mine"}),
)


def worker(of: RayCluster, settings: Settings) -> Obj:
    return worker_pod(of, of.worker_groups[0], settings, replica_index=0)


def names(made: Obj) -> list[str]:
    return [container["name"] for container in made["spec"]["containers"]]


def test_sidecars_come_after_the_user_s_containers() -> None:
    containers = [{"name": "ray-head", "image": "ray:1"}, {"name": "mine", "image": "mine:1"}]
    made = head_pod(cluster(head={"template": {"spec": {"containers": containers}}}), SIDECARS)
    assert names(made) == ["ray-head", "mine", "logs"]
    assert made["spec"]["containers"][2] == {"name": "logs", "image": "logs:1"}
    assert worker(cluster(), SIDECARS)["spec"]["containers"][1] == {"name": "logs", "image": "logs:2"}


def test_a_container_of_the_user_s_or_of_ours_wins_over_a_sidecar_of_its_name() -> None:
    containers = [{"name": "ray-head", "image": "ray:1"}, {"name": "logs", "image": "mine:1"}]
    made = head_pod(cluster(head={"template": {"spec": {"containers": containers}}}), SIDECARS)
    assert [(found["name"], found["image"]) for found in made["spec"]["containers"]][1:] == [("logs", "mine:1")]
    assert names(worker(cluster(), SIDECARS)) == ["ray-worker", "logs"]
    without = replace(SIDECARS, init_container_injection=False)
    assert names(worker(cluster(), without)) == ["ray-worker", "logs", "wait-gcs-ready"]


def test_what_is_made_of_a_sidecar_belongs_to_one_pod() -> None:
    settings = deepcopy(SIDECARS)
    head_pod(cluster(), settings)["spec"]["containers"][1]["image"] = "changed"
    assert settings == SIDECARS


def test_ray_s_container_is_the_same_with_sidecars() -> None:
    of = ft_cluster(annotations={"headstay.io/gcs-recovery": "InPlace"})
    keeper = replace(SETTINGS, keeper="zip")
    with_sidecars = replace(SIDECARS, keeper="zip")
    plain, beside = head_pod(of, keeper), head_pod(of, with_sidecars)
    assert plain["spec"]["containers"][0] == beside["spec"]["containers"][0]
    assert plain["spec"]["volumes"] == beside["spec"]["volumes"]
    assert plain["metadata"] == beside["metadata"]


def test_the_cleanup_job_runs_no_sidecar() -> None:
    job = cleanup_job(ft_cluster(), SIDECARS)
    assert job == cleanup_job(ft_cluster(), SETTINGS)
    assert len(job["spec"]["template"]["spec"]["containers"]) == 1


def test_default_variables_reach_head_workers_and_cleanup_before_those_of_kuberay() -> None:
    settings = Settings(container_envs=({"name": "A", "value": "1"}, {"name": "RAY_PORT", "value": "2"}))
    of = ft_cluster()
    job: Obj = cleanup_job(of, settings)["spec"]["template"]
    for made in (head_pod(of, settings), worker(of, settings), job):
        env = [entry["name"] for entry in made["spec"]["containers"][0]["env"]]
        assert env.index("A") + 1 == env.index("RAY_PORT")
        assert env.index("RAY_PORT") < env.index("RAY_CLUSTER_NAME")
        assert env.count("RAY_PORT") == 1
    env = [entry["name"] for entry in head_pod(of, settings)["spec"]["containers"][0]["env"]]
    assert env.index("RAY_external_storage_namespace") < env.index("A")


def test_tls_for_all_clusters_is_known_where_addresses_are_chosen() -> None:
    of = ft_cluster(annotations={"headstay.io/gcs-recovery": "InPlace"})
    assert has_gcs_service(of, Settings(keeper="zip"))
    tls = Settings(keeper="zip", container_envs=({"name": "RAY_USE_TLS", "value": "1"},))
    assert not has_gcs_service(of, tls)
    mine = head_template(
        env=[{"name": "RAY_REDIS_ADDRESS", "value": "redis:6379"}, {"name": "RAY_USE_TLS", "value": "0"}]
    )
    own = ft_cluster(annotations={"headstay.io/gcs-recovery": "InPlace"}, head={"template": mine})
    assert has_gcs_service(own, tls)


def test_labels_and_annotations_give_way_to_the_user_s_and_to_the_operator_s() -> None:
    settings = Settings(
        pod_labels={"team": "ml", "app.kubernetes.io/name": "other", "cost": "1"},
        pod_annotations={"scrape": "true", "note": "all"},
    )
    template = head_template() | {"metadata": {"labels": {"team": "mine"}, "annotations": {"note": "mine"}}}
    of = cluster(head={"template": template}, groups=[group(labels={"cost": "2"})])
    head = head_pod(of, settings)["metadata"]
    assert (head["labels"]["team"], head["labels"]["cost"]) == ("mine", "1")
    assert head["labels"]["app.kubernetes.io/name"] == "kuberay"
    assert (head["annotations"]["scrape"], head["annotations"]["note"]) == ("true", "mine")
    made = worker(of, settings)["metadata"]
    assert (made["labels"]["team"], made["labels"]["cost"]) == ("ml", "2")
    assert made["annotations"]["note"] == "all"


def test_a_changed_configuration_recreates_nothing() -> None:
    of = cluster(upgradeStrategy={"type": "Recreate"})
    marks = head_pod(of, SETTINGS)["metadata"]["annotations"]
    running = (pod("head", "head", annotations=marks), pod("w", annotations=marks))
    changed = replace(
        SIDECARS, container_envs=({"name": "A", "value": "1"},), pod_labels={"a": "b"}, pod_annotations={"c": "d"}
    )
    assert head_pod(of, changed)["metadata"]["annotations"] == marks | {"c": "d"}
    done = plan(Observed(of, pods=running), changed)
    assert not [action for action in done.actions if isinstance(action, DeletePod)]
    assert "Pod" not in created(done)


def test_only_ray_s_container_gets_default_variables() -> None:
    settings = replace(SIDECARS, container_envs=({"name": "A", "value": "1"},))
    made = head_pod(cluster(), settings)
    assert env_of(made["spec"]["containers"][0])["A"] == "1"
    assert "env" not in made["spec"]["containers"][1]
