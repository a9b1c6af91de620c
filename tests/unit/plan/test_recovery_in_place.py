"""A head whose GCS comes back in place, for those who ask for it, and nothing for anybody else."""

import dataclasses

import pytest
from tests.unit.plan.clusters import SETTINGS, cluster, created, ft_cluster, head_template, plan

from headstay.model.objects import Obj
from headstay.model.ray import RayCluster
from headstay.plan.raycluster.cleanup_job import cleanup_job
from headstay.plan.raycluster.in_place import GCS_RECOVERY, keeper_config_map
from headstay.plan.raycluster.plan import Observed
from headstay.plan.raycluster.pods import head_pod, worker_pod
from headstay.plan.raycluster.services import gcs_service
from headstay.plan.raycluster.settings import Settings

KEPT = dataclasses.replace(SETTINGS, keeper="UEsF")
IN_PLACE = {GCS_RECOVERY: "InPlace"}


def container_of(pod: Obj) -> Obj:
    found: Obj = pod["spec"]["containers"][0]
    return found


def env_of(pod: Obj) -> dict[str, str]:
    return {entry["name"]: entry.get("value", "") for entry in container_of(pod)["env"]}


def test_the_head_starts_ray_under_the_keeper() -> None:
    pod = head_pod(ft_cluster(annotations=IN_PLACE), KEPT)
    (text,) = container_of(pod)["args"]
    assert "; sh /headstay/keeper.pyz start --head --block" in text
    assert env_of(pod)["KUBERAY_GEN_RAY_START_CMD"].startswith("sh /headstay/keeper.pyz start --head")
    (volume,) = (found for found in pod["spec"]["volumes"] if found["name"] == "headstay-keeper")
    assert volume["configMap"]["name"] == keeper_config_map(ft_cluster(), KEPT).obj["metadata"]["name"]
    assert {"name": "headstay-keeper", "mountPath": "/headstay", "readOnly": True} in container_of(pod)["volumeMounts"]
    assert env_of(pod)["HEADSTAY_KEEPER_PORT"] == "44250"


def test_the_keeper_is_there_before_the_head() -> None:
    subject = ft_cluster(annotations=IN_PLACE, groups=[])
    assert created(plan(Observed(subject), KEPT)) == ["Service", "Service", "ConfigMap", "Pod/head"]


def test_workers_reach_the_gcs_by_an_address_that_outlives_the_head_pod() -> None:
    subject = ft_cluster(annotations=IN_PLACE)
    (group,) = subject.worker_groups
    pod = worker_pod(subject, group, KEPT, replica_index=0)
    host = f"{subject.name}-gcs-svc.default.svc.cluster.local"
    assert env_of(pod)["RAY_ADDRESS"] == f"{host}:6379"
    assert f"--address={host}:6379" in container_of(pod)["args"][0]
    assert env_of(pod)["FQ_RAY_IP"] == f"{subject.name}-head-svc.default.svc.cluster.local"
    service = gcs_service(subject)
    assert service["metadata"]["name"] == f"{subject.name}-gcs-svc"
    assert "clusterIP" not in service["spec"]
    assert [port["port"] for port in service["spec"]["ports"]] == [6379]
    head = head_pod(subject, KEPT)["metadata"]["labels"]
    assert service["spec"]["selector"].items() <= head.items()


def test_certificates_of_the_user_name_the_head_service_and_so_do_workers_then() -> None:
    head = {"template": head_template(env=[{"name": "RAY_USE_TLS", "value": "1"}, *_redis()])}
    subject = ft_cluster(annotations=IN_PLACE, head=head)
    (group,) = subject.worker_groups
    pod = worker_pod(subject, group, KEPT, replica_index=0)
    assert env_of(pod)["RAY_ADDRESS"] == f"{subject.name}-head-svc.default.svc.cluster.local:6379"
    assert created(plan(Observed(ft_cluster(annotations=IN_PLACE, head=head, groups=[])), KEPT)) == [
        "Service",
        "ConfigMap",
        "Pod/head",
    ]


def test_who_keeps_the_container_s_command_finds_the_keeper_in_the_variable() -> None:
    subject = ft_cluster(annotations=IN_PLACE | {"ray.io/overwrite-container-cmd": "true"})
    pod = head_pod(subject, KEPT)
    assert "args" not in container_of(pod) or container_of(pod)["args"] == []
    assert env_of(pod)["KUBERAY_GEN_RAY_START_CMD"].startswith("sh /headstay/keeper.pyz start")


def test_workers_look_for_the_gcs_quickly_unless_the_user_set_how_often() -> None:
    subject = ft_cluster(annotations=IN_PLACE)
    (group,) = subject.worker_groups
    assert env_of(worker_pod(subject, group, KEPT, replica_index=0))["RAY_gcs_grpc_min_reconnect_backoff_ms"] == "50"
    own = {"env": [{"name": "RAY_gcs_grpc_min_reconnect_backoff_ms", "value": "700"}, *_redis()]}
    head = {"template": head_template(**own)}
    assert env_of(head_pod(ft_cluster(annotations=IN_PLACE, head=head), KEPT))[
        "RAY_gcs_grpc_min_reconnect_backoff_ms"
    ] == ("700")


def test_a_head_that_is_told_to_go_is_soon_gone_unless_the_user_set_how_long_it_may_take() -> None:
    variable = "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S"
    assert env_of(head_pod(ft_cluster(annotations=IN_PLACE), KEPT))[variable] == "2"
    own = {"template": head_template(env=[{"name": variable, "value": "9"}, *_redis()])}
    assert env_of(head_pod(ft_cluster(annotations=IN_PLACE, head=own), KEPT))[variable] == "9"


def test_a_head_in_place_waits_longer_than_ray_s_minute_for_its_gcs_unless_the_user_set_how_long() -> None:
    variable = "RAY_gcs_rpc_server_reconnect_timeout_s"
    assert env_of(head_pod(ft_cluster(annotations=IN_PLACE), KEPT))[variable] == "300"
    own = {"template": head_template(env=[{"name": variable, "value": "40"}, *_redis()])}
    assert env_of(head_pod(ft_cluster(annotations=IN_PLACE, head=own), KEPT))[variable] == "40"
    assert variable not in env_of(head_pod(ft_cluster(), KEPT))


def _redis() -> list[Obj]:
    return [{"name": "RAY_REDIS_ADDRESS", "value": "redis:6379"}]


@pytest.mark.parametrize(
    ("subject", "settings"),
    [
        (ft_cluster(), KEPT),
        (cluster(annotations=IN_PLACE), KEPT),
        (ft_cluster(annotations={GCS_RECOVERY: "RestartHead"}), dataclasses.replace(KEPT, gcs_recovery="InPlace")),
        (ft_cluster(annotations=IN_PLACE), SETTINGS),
    ],
    ids=["not asked for", "no fault tolerance", "asked not to", "no keeper to bring"],
)
def test_every_other_head_holds_nothing_of_ours(subject: RayCluster, settings: Settings) -> None:
    pod = head_pod(subject, settings)
    assert "keeper" not in str(pod["spec"])
    assert "gcs-svc" not in str(plan(Observed(subject), settings))
    assert "RAY_gcs_grpc_min_reconnect_backoff_ms" not in env_of(pod)
    assert "ConfigMap" not in created(plan(Observed(subject), settings))


def test_the_operator_s_default_holds_where_the_cluster_says_nothing() -> None:
    pod = head_pod(ft_cluster(), dataclasses.replace(KEPT, gcs_recovery="InPlace"))
    assert "keeper.pyz" in container_of(pod)["args"][0]


def test_a_newer_keeper_has_another_name_so_that_running_pods_keep_theirs() -> None:
    newer = dataclasses.replace(KEPT, keeper="UEsG")
    names = {keeper_config_map(ft_cluster(), settings).obj["metadata"]["name"] for settings in (KEPT, newer)}
    assert len(names) == 2


@pytest.mark.parametrize(
    ("subject", "words"),
    [
        (ft_cluster(annotations={GCS_RECOVERY: "inplace"}, groups=[]), "use InPlace or RestartHead"),
        (cluster(annotations=IN_PLACE, groups=[]), "needs GCS fault tolerance"),
    ],
)
def test_an_annotation_that_gets_nothing_is_said_aloud(subject: RayCluster, words: str) -> None:
    found = plan(Observed(subject), KEPT)
    assert [words in event.note for event in found.events if event.reason == "InvalidGcsRecovery"] == [True]


def test_the_cleanup_job_needs_nothing_of_the_keeper() -> None:
    """Whose ConfigMap was made with the head: a newer operator's has another name, and is not there."""
    job = cleanup_job(ft_cluster(annotations=IN_PLACE), KEPT)
    assert "keeper" not in str(job["spec"]).lower()
    assert "ray start" not in str(container_of(job["spec"]["template"])["args"])
