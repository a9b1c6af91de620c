"""KubeRay's rules for Pods that no other test states."""

from copy import deepcopy

import pytest
from tests.unit.plan.clusters import (
    cluster,
    env_of,
    ft_cluster,
    group,
    head_template,
)

from headstay.model.objects import Obj
from headstay.model.ray import RayCluster
from headstay.plan.raycluster.pods import head_pod, worker_pod
from headstay.plan.raycluster.recreate import spec_hash
from headstay.plan.raycluster.settings import Settings
from headstay.plan.raycluster.validation import validate


def head(of: RayCluster, chosen: Settings | None = None) -> Obj:
    return head_pod(of, chosen or Settings())


def worker(of: RayCluster, chosen: Settings | None = None) -> Obj:
    return worker_pod(of, of.worker_groups[0], chosen or Settings(), replica_index=0)


def ray(made: Obj) -> Obj:
    found: Obj = made["spec"]["containers"][0]
    return found


def start(made: Obj) -> str:
    return str(env_of(ray(made))["KUBERAY_GEN_RAY_START_CMD"])


def with_head_env(**env: str) -> Obj:
    return {"template": head_template(env=[{"name": name, "value": value} for name, value in env.items()])}


# --- fault tolerance ---


@pytest.mark.parametrize("text", ["true", "True", "TRUE"])
def test_the_annotation_is_read_without_regard_to_case(text: str) -> None:
    made = head(cluster(annotations={"ray.io/ft-enabled": text}, head=with_head_env(RAY_REDIS_ADDRESS="redis:6379")))
    assert made["metadata"]["annotations"]["ray.io/ft-enabled"] == "true"
    assert "RAY_external_storage_namespace" in env_of(ray(made))


@pytest.mark.parametrize(
    "address", ["redis:6379", "redis://redis:6379", "rediss://redis:6379", "redis-0:6379,redis-1:6379", ""]
)
def test_the_address_reaches_the_head_as_it_was_written(address: str) -> None:
    of = cluster(gcsFaultToleranceOptions={"redisAddress": address})
    assert validate(of) is None
    assert env_of(ray(head(of)))["RAY_REDIS_ADDRESS"] == address


def test_credentials_by_value_or_by_reference_reach_the_head_as_they_were_written() -> None:
    reference = {"secretKeyRef": {"name": "s", "key": "k", "futureField": 1}}
    options = {"redisUsername": {"valueFrom": reference}, "redisPassword": {"value": "x"}}
    container = ray(head(cluster(gcsFaultToleranceOptions=options)))
    assert {"name": "REDIS_USERNAME", "valueFrom": reference} in container["env"]
    assert {"name": "REDIS_PASSWORD", "value": "x"} in container["env"]


def test_no_credentials_no_variables() -> None:
    made = head(cluster(gcsFaultToleranceOptions={"redisAddress": "redis:6379"}))
    assert not {"REDIS_USERNAME", "REDIS_PASSWORD"} & set(env_of(ray(made)))
    assert "--redis-" not in start(made)


def test_a_literal_password_of_the_start_parameters_becomes_a_variable_unless_there_is_one() -> None:
    params = {"rayStartParams": {"redis-password": "literal"}}
    address = {"name": "RAY_REDIS_ADDRESS", "value": "redis:6379"}
    of = ft_cluster(head={"template": head_template(env=[address])} | params)
    assert env_of(ray(head(of)))["REDIS_PASSWORD"] == "literal"
    mine = head_template(env=[address, {"name": "REDIS_PASSWORD", "value": "mine"}])
    assert env_of(ray(head(ft_cluster(head={"template": mine} | params))))["REDIS_PASSWORD"] == "mine"


# --- Pods ---


@pytest.mark.parametrize(("version", "value"), [("v1", "false"), ("v2", "true"), (None, None)])
def test_the_autoscaler_s_version_is_said_to_the_head_alone(version: str | None, value: str | None) -> None:
    of = cluster(enableInTreeAutoscaling=True, autoscalerOptions={"version": version} if version else {})
    assert env_of(ray(head(of))).get("RAY_enable_autoscaler_v2") == value
    assert "RAY_enable_autoscaler_v2" not in env_of(ray(worker(of)))
    assert head(of)["spec"].get("restartPolicy") == ("Never" if version == "v2" else None)


def test_a_job_submitted_beside_ray_runs_once() -> None:
    of = cluster(labels={"ray.io/job-submission-mode": "SidecarMode"})
    assert head(of)["spec"]["restartPolicy"] == "Never"
    assert "restartPolicy" not in worker(of)["spec"]


def test_the_port_of_the_start_parameters_is_the_gcs_s_everywhere() -> None:
    of = cluster(head={"rayStartParams": {"port": "6380"}})
    assert (env_of(ray(head(of)))["RAY_PORT"], env_of(ray(head(of)))["RAY_ADDRESS"]) == ("6380", "127.0.0.1:6380")
    assert "--address=raycluster-head-svc.default.svc.cluster.local:6380" in start(worker(of))
    assert "--port=6380" in start(head(of))


def test_absent_start_parameters_mean_none() -> None:
    of = cluster(head={"rayStartParams": None}, groups=[group(rayStartParams=None)])
    assert start(head(of)).startswith("ray start --head --block")
    assert start(worker(of)).startswith("ray start --address=")


def test_what_the_user_says_of_address_and_port_stays() -> None:
    env = env_of(ray(head(cluster(head=with_head_env(RAY_ADDRESS="mine:1", RAY_PORT="1")))))
    assert (env["RAY_ADDRESS"], env["RAY_PORT"]) == ("mine:1", "1")


def test_the_domain_and_the_shell_are_the_operator_s_to_choose() -> None:
    chosen = Settings(cluster_domain="corp", login_shell=True)
    made = worker(cluster(), chosen)
    assert env_of(ray(made))["FQ_RAY_IP"] == "raycluster-head-svc.default.svc.corp"
    assert ray(made)["command"] == made["spec"]["initContainers"][-1]["command"] == ["/bin/bash", "-cl", "--"]


def test_default_variables_of_the_operator_give_way_to_the_user_s() -> None:
    chosen = Settings(container_envs=({"name": "MINE", "value": "theirs"}, {"name": "OTHER", "value": "1"}))
    env = env_of(ray(head(cluster(head=with_head_env(MINE="mine")), chosen)))
    assert (env["MINE"], env["OTHER"]) == ("mine", "1")


def test_identity_variables_come_from_the_pod_s_own_fields() -> None:
    env = env_of(ray(head(cluster())))
    paths = {name: env[name]["fieldRef"]["fieldPath"] for name in env if isinstance(env[name], dict)}
    assert paths == {
        "RAY_CLUSTER_NAME": "metadata.labels['ray.io/cluster']",
        "RAY_CLUSTER_NAMESPACE": "metadata.namespace",
        "RAY_CLOUD_INSTANCE_ID": "metadata.name",
        "RAY_NODE_TYPE_NAME": "metadata.labels['ray.io/group']",
    }


def test_init_containers_learn_where_the_head_is_on_both_kinds_of_pods() -> None:
    template = {"spec": {"containers": [{"name": "r"}], "initContainers": [{"name": "mine"}]}}
    of = cluster(head={"template": template}, groups=[group(template=deepcopy(template))])
    for made in (head(of), worker(of)):
        assert env_of(made["spec"]["initContainers"][0])["RAY_IP"] == "raycluster-head-svc"


def test_a_metrics_port_is_declared_unless_there_is_one() -> None:
    assert {"name": "metrics", "containerPort": 8080} in ray(head(cluster()))["ports"]
    mine = [{"name": "metrics", "containerPort": 1}]
    assert ray(head(cluster(head={"template": head_template(ports=mine)})))["ports"] == mine


def test_flags_that_are_false_are_dropped_but_for_those_with_a_value() -> None:
    params = {"log-color": "false", "include-log-monitor": "true", "disable-usage-stats": "false", "head": "true"}
    words = start(head(cluster(head={"rayStartParams": params}))).split()
    assert {"--log-color=false", "--include-log-monitor=true", "--head"} <= set(words)
    assert not any(word.startswith("--disable-usage-stats") for word in words)
    assert words[3:] == sorted(words[3:])


def test_what_the_parameters_say_of_resources_is_not_measured_again() -> None:
    resources = {"limits": {"cpu": "4", "memory": "4Gi"}, "requests": {"cpu": "1", "memory": "1Gi"}}
    template = head_template(resources=resources)
    assert "--num-cpus=4" in start(head(cluster(head={"template": template})))
    told = start(head(cluster(head={"template": template, "rayStartParams": {"num-cpus": "0"}})))
    assert "--num-cpus=0" in told
    requested = head_template(resources={"requests": {"cpu": "1500m", "memory": "1Gi"}})
    measured = start(head(cluster(head={"template": requested})))
    assert "--num-cpus=2" in measured
    assert "--memory" not in measured


def test_probes_follow_the_ports_of_the_start_parameters() -> None:
    params = {"dashboard-agent-listen-port": "1111", "dashboard-port": "2222"}
    old = ray(head(cluster(head={"rayStartParams": params})))["readinessProbe"]["exec"]["command"][2]
    assert "localhost:1111/" in old
    assert "localhost:2222/" in old
    new = ray(head(cluster(rayVersion="2.53.0", head={"rayStartParams": params})))["readinessProbe"]
    assert new["httpGet"]["port"] == 1111


def test_every_pod_belongs_to_its_cluster_and_every_head_is_marked() -> None:
    of = cluster(groups=[group(labels={"zone": "a"})])
    for made in (head(of), worker(of)):
        (owner,) = made["metadata"]["ownerReferences"]
        assert (owner["controller"], owner["uid"], made["metadata"]["labels"]["ray.io/is-ray-node"]) == (
            True,
            of.metadata.uid,
            "yes",
        )
    assert head(of)["metadata"]["annotations"]["ray.io/upgrade-strategy-recreate-hash"] == spec_hash(of)
    assert head(of)["metadata"]["annotations"]["ray.io/kuberay-version"] == Settings().version
    assert worker(of)["metadata"]["labels"]["zone"] == "a"
    assert worker(of)["metadata"]["labels"]["ray.io/worker-group-replica-index"] == "0"
    assert "ray.io/worker-group-replica-name" not in worker(of)["metadata"]["labels"]


@pytest.mark.parametrize(
    "change",
    [
        {"gcsFaultToleranceOptions": {}},
        {"autoscalerOptions": {"version": "v2"}},
        {"rayVersion": "2.60.0"},
        {"groups": []},
    ],
)
def test_the_hash_sees_what_changes_pods(change: Obj) -> None:
    assert spec_hash(cluster(**change)) != spec_hash(cluster())
