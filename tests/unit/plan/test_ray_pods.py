"""Head and worker Pods: what is added, in which order, and that the user's own words stay."""

from copy import deepcopy

from tests.unit.plan.clusters import SETTINGS, UID, cluster, env_of, ft_cluster, group, head_template

from headstay.model.objects import Obj
from headstay.model.ray import RayCluster
from headstay.plan.raycluster.pods import head_pod, worker_pod
from headstay.plan.raycluster.settings import Settings

FQDN = "raycluster-head-svc.default.svc.cluster.local"


def head(of: RayCluster, chosen: Settings = SETTINGS) -> Obj:
    return head_pod(of, chosen)


def worker(of: RayCluster, chosen: Settings = SETTINGS, *, replica_index: int = 0) -> Obj:
    return worker_pod(of, of.worker_groups[0], chosen, replica_index=replica_index)


def ray(pod: Obj) -> Obj:
    found: Obj = pod["spec"]["containers"][0]
    return found


def names(container: Obj) -> list[str]:
    return [entry["name"] for entry in container["env"]]


def test_the_head_environment_comes_in_kuberay_s_order() -> None:
    env = [{"name": "MINE", "value": "1"}, {"name": "RAY_REDIS_ADDRESS", "value": "redis:6379"}]
    params = {"redis-password": "secret"}
    made = head(ft_cluster(head={"template": head_template(env=env), "rayStartParams": params}))
    assert names(ray(made)) == [
        "MINE",
        "RAY_REDIS_ADDRESS",
        "RAY_external_storage_namespace",
        "REDIS_PASSWORD",
        "RAY_CLUSTER_NAME",
        "RAY_CLUSTER_NAMESPACE",
        "RAY_CLOUD_INSTANCE_ID",
        "RAY_NODE_TYPE_NAME",
        "KUBERAY_GEN_RAY_START_CMD",
        "RAY_PORT",
        "RAY_ADDRESS",
        "RAY_USAGE_STATS_KUBERAY_IN_USE",
        "RAY_USAGE_STATS_EXTRA_TAGS",
        "RAY_DASHBOARD_ENABLE_K8S_DISK_USAGE",
    ]
    assert env_of(ray(made))["RAY_ADDRESS"] == "127.0.0.1:6379"


def test_the_worker_environment_comes_in_kuberay_s_order() -> None:
    made = worker(ft_cluster())
    assert names(ray(made)) == [
        "RAY_gcs_rpc_server_reconnect_timeout_s",
        "RAY_external_storage_namespace",
        "FQ_RAY_IP",
        "RAY_IP",
        "RAY_CLUSTER_NAME",
        "RAY_CLUSTER_NAMESPACE",
        "RAY_CLOUD_INSTANCE_ID",
        "RAY_NODE_TYPE_NAME",
        "KUBERAY_GEN_RAY_START_CMD",
        "RAY_PORT",
        "RAY_ADDRESS",
        "RAY_USAGE_STATS_KUBERAY_IN_USE",
        "RAY_DASHBOARD_ENABLE_K8S_DISK_USAGE",
    ]
    env = env_of(ray(made))
    assert env["RAY_gcs_rpc_server_reconnect_timeout_s"] == "600"
    assert (env["FQ_RAY_IP"], env["RAY_IP"], env["RAY_ADDRESS"]) == (FQDN, "raycluster-head-svc", f"{FQDN}:6379")


def test_the_head_keeps_ray_s_own_reconnect_timeout() -> None:
    assert "RAY_gcs_rpc_server_reconnect_timeout_s" not in names(ray(head(ft_cluster())))


def test_a_worker_s_own_reconnect_timeout_stays() -> None:
    mine = {"name": "RAY_gcs_rpc_server_reconnect_timeout_s", "value": "20"}
    template = {"spec": {"containers": [{"name": "w", "env": [mine]}]}}
    made = worker(ft_cluster(groups=[group(template=template)]))
    assert names(ray(made)).count("RAY_gcs_rpc_server_reconnect_timeout_s") == 1
    assert env_of(ray(made))["RAY_gcs_rpc_server_reconnect_timeout_s"] == "20"


def test_without_fault_tolerance_only_the_annotation_is_written() -> None:
    made = head(cluster())
    assert made["metadata"]["annotations"]["ray.io/ft-enabled"] == "false"
    assert "ray.io/external-storage-namespace" not in made["metadata"]["annotations"]
    assert "RAY_external_storage_namespace" not in names(ray(made))
    assert "RAY_gcs_rpc_server_reconnect_timeout_s" not in names(ray(worker(cluster())))


def test_every_ray_pod_carries_the_uid_as_storage_namespace_by_default() -> None:
    of = ft_cluster()
    assert [env_of(ray(made))["RAY_external_storage_namespace"] for made in (head(of), worker(of))] == [UID, UID]
    assert head(of)["metadata"]["annotations"]["ray.io/external-storage-namespace"] == UID


def test_the_head_s_own_namespace_wins_on_workers_too() -> None:
    source = {"configMapKeyRef": {"name": "ray", "key": "ns"}}
    env = [{"name": "RAY_external_storage_namespace", "valueFrom": source}]
    of = ft_cluster(
        head={"template": head_template(env=env)}, annotations={"ray.io/external-storage-namespace": "other"}
    )
    assert env_of(ray(head(of)))["RAY_external_storage_namespace"] == source
    assert env_of(ray(worker(of)))["RAY_external_storage_namespace"] == source
    assert names(ray(head(of))).count("RAY_external_storage_namespace") == 1


def test_options_give_the_head_all_it_needs_and_workers_no_credentials() -> None:
    secret = {"secretKeyRef": {"name": "redis", "key": "password"}}
    options = {
        "redisAddress": "redis:6379",
        "redisUsername": {"value": "default"},
        "redisPassword": {"valueFrom": secret},
        "externalStorageNamespace": "shared",
    }
    of = cluster(gcsFaultToleranceOptions=options)
    env = env_of(ray(head(of)))
    assert (env["RAY_REDIS_ADDRESS"], env["REDIS_USERNAME"], env["REDIS_PASSWORD"]) == ("redis:6379", "default", secret)
    assert env["RAY_external_storage_namespace"] == "shared"
    assert "--redis-password=$REDIS_PASSWORD" in env["KUBERAY_GEN_RAY_START_CMD"]
    assert "--redis-username=$REDIS_USERNAME" in env["KUBERAY_GEN_RAY_START_CMD"]
    assert not {"RAY_REDIS_ADDRESS", "REDIS_USERNAME", "REDIS_PASSWORD"} & set(names(ray(worker(of))))
    assert env_of(ray(worker(of)))["RAY_external_storage_namespace"] == "shared"


def test_empty_options_still_say_where_redis_is_not() -> None:
    assert env_of(ray(head(cluster(gcsFaultToleranceOptions={}))))["RAY_REDIS_ADDRESS"] == ""


def test_the_sidecar_gets_nothing_of_ours() -> None:
    template = {"spec": {"containers": [{"name": "ray-head"}, {"name": "sidecar"}]}}
    made = head(ft_cluster(head={"template": template}))
    assert made["spec"]["containers"][1] == {"name": "sidecar"}


def test_the_command_is_ray_start_with_sorted_flags_behind_what_the_user_runs() -> None:
    template = head_template(command=["echo"], args=["hello"], resources={"limits": {"cpu": "1500m", "memory": "2Gi"}})
    params = {"include-dashboard": "false", "no-redirect-output": "true", "disable-usage-stats": "false"}
    made = head(cluster(head={"template": template, "rayStartParams": params}))
    assert ray(made)["command"] == ["/bin/bash", "-c", "--"]
    (text,) = ray(made)["args"]
    assert text == (
        "echo hello && ulimit -n ${RAY_START_ULIMIT_OPEN_FILES:-65536}; ray start --head --block "
        "--dashboard-agent-listen-port=52365 --dashboard-host=0.0.0.0 --include-dashboard=false --memory=2147483648 "
        "--metrics-export-port=8080 --no-redirect-output --num-cpus=2"
    )


def test_a_user_who_starts_ray_keeps_the_command() -> None:
    template = head_template(command=["bash", "-c"], args=["my-setup && ray start --head --block"])
    made = head(cluster(head={"template": template}))
    assert ray(made)["args"] == ["my-setup && ray start --head --block"]


def test_the_overwrite_annotation_keeps_the_command_and_offers_ours() -> None:
    of = cluster(
        annotations={"ray.io/overwrite-container-cmd": "true"}, head={"template": head_template(command=["x"])}
    )
    assert ray(head(of))["command"] == ["x"]
    assert "args" not in ray(head(of))
    assert env_of(ray(head(of)))["KUBERAY_GEN_RAY_START_CMD"].startswith("ray start --head")


def test_group_resources_and_accelerators_reach_ray() -> None:
    limits = {"resources": {"limits": {"google.com/tpu": "4", "nvidia.com/gpu": "2"}, "requests": {"cpu": "3500m"}}}
    template = {"spec": {"containers": [{"name": "w", **limits}]}}
    command = env_of(ray(worker(cluster(groups=[group(template=template)]))))["KUBERAY_GEN_RAY_START_CMD"]
    assert """--num-cpus=4 --num-gpus=2 --resources='{"TPU":4}'""" in command
    fields: Obj = {"resources": {"CPU": "2", "memory": "1Gi", "custom": "0.5"}, "labels": {"b": "2", "a": "1"}}
    command = env_of(ray(worker(cluster(groups=[group(**fields)]))))["KUBERAY_GEN_RAY_START_CMD"]
    assert """--labels=a=1,b=2 --memory=1073741824""" in command
    assert """--num-cpus=2 --resources='{"custom":0.5}'""" in command


def test_shared_memory_is_as_large_as_the_container_may_be_unless_the_user_cares_for_it() -> None:
    made = head(cluster(head={"template": head_template(resources={"requests": {"memory": "3Gi"}})}))
    assert {"name": "shared-mem", "emptyDir": {"medium": "Memory", "sizeLimit": "3Gi"}} in made["spec"]["volumes"]
    mine = {"name": "mine", "mountPath": "/dev/shm"}
    assert "volumes" not in head(cluster(head={"template": head_template(volumeMounts=[mine])}))["spec"]
    assert "volumes" not in head(cluster(head={"rayStartParams": {"plasma-directory": "/x"}}))["spec"]


def test_a_worker_waits_for_the_gcs_with_the_user_s_settings_and_none_of_ours() -> None:
    container = {
        "name": "w",
        "image": "ray:9",
        "imagePullPolicy": "Always",
        "env": [{"name": "RAY_USE_TLS", "value": "1"}],
        "volumeMounts": [{"name": "tls", "mountPath": "/tls"}],
        "securityContext": {"runAsUser": 1000},
    }
    template = {"spec": {"containers": [container], "initContainers": [{"name": "mine"}]}}
    mine, wait = worker(ft_cluster(groups=[group(template=template)]))["spec"]["initContainers"]
    assert wait["name"] == "wait-gcs-ready"
    assert {field: wait[field] for field in ("image", "imagePullPolicy", "securityContext", "volumeMounts")} == {
        field: container[field] for field in ("image", "imagePullPolicy", "securityContext", "volumeMounts")
    }
    assert names(wait) == ["RAY_USE_TLS", "FQ_RAY_IP", "RAY_IP"]
    assert f"ray health-check --address {FQDN}:6379 > /dev/null" in wait["args"][0]
    assert all(words in wait["args"][0] for words in ("SECONDS <= 120", "sleep 5"))
    assert wait["resources"] == {kind: {"cpu": "200m", "memory": "256Mi"} for kind in ("requests", "limits")}
    assert names(mine) == ["FQ_RAY_IP", "RAY_IP"]


def test_injections_can_be_switched_off() -> None:
    off = Settings(init_container_injection=False, probes_injection=False)
    made = worker(cluster(), off)
    assert "initContainers" not in made["spec"]
    assert not {"livenessProbe", "readinessProbe"} & set(ray(made))


def test_probes_ask_one_endpoint_since_ray_2_53() -> None:
    container = ray(head(cluster(rayVersion="2.53.0")))
    assert container["livenessProbe"] == {
        "httpGet": {"path": "/api/healthz", "port": 52365},
        "initialDelaySeconds": 30,
        "periodSeconds": 5,
        "successThreshold": 1,
        "failureThreshold": 120,
        "timeoutSeconds": 5,
    }
    ready = ray(worker(cluster(rayVersion="2.60.0")))["readinessProbe"]
    assert (ready["initialDelaySeconds"], ready["failureThreshold"], ready["timeoutSeconds"]) == (10, 10, 2)


def test_probes_ask_raylet_and_gcs_before_ray_2_53() -> None:
    raylet = "wget --tries 1 -T 2 -q -O- http://localhost:52365/api/local_raylet_healthz | grep success"
    gcs = "wget --tries 1 -T 10 -q -O- http://localhost:8265/api/gcs_healthz | grep success"
    for version in ("2.52.1", "", "nightly"):
        of = cluster(rayVersion=version)
        assert ray(head(of))["livenessProbe"]["exec"]["command"] == ["bash", "-c", f"{raylet} && {gcs}"]
        assert ray(worker(of))["livenessProbe"]["exec"]["command"] == ["bash", "-c", raylet]


def test_a_user_s_own_probe_stays() -> None:
    mine = {"tcpSocket": {"port": 1}}
    container = ray(head(cluster(head={"template": head_template(livenessProbe=mine)})))
    assert container["livenessProbe"] == mine
    assert container["readinessProbe"] != mine


def test_a_worker_of_a_rayservice_is_ready_by_its_proxy_alone_since_all_else_asks_the_gcs() -> None:
    of = cluster(rayVersion="2.60.0", labels={"ray.io/originated-from-crd": "RayService"})
    ready = ray(worker(of))["readinessProbe"]
    assert ready["failureThreshold"] == 1
    assert ready["httpGet"] == {"path": "/-/healthz", "port": 8000}
    assert worker(of)["metadata"]["labels"]["ray.io/serve"] == "true"
    assert head(of)["metadata"]["labels"]["ray.io/serve"] == "false"
    assert env_of(ray(head(of)))["RAY_SERVE_KV_TIMEOUT_S"] == "5"


def test_labels_of_the_template_stay_but_cannot_change_what_selectors_use() -> None:
    template = head_template() | {
        "metadata": {"labels": {"ray.io/cluster": "x", "app.kubernetes.io/name": "mine", "a": "b"}}
    }
    labels = head(cluster(head={"template": template}))["metadata"]["labels"]
    assert labels == {
        "ray.io/is-ray-node": "yes",
        "ray.io/cluster": "raycluster",
        "ray.io/node-type": "head",
        "ray.io/group": "headgroup",
        "ray.io/identifier": "raycluster-head",
        "app.kubernetes.io/name": "mine",
        "app.kubernetes.io/created-by": "kuberay-operator",
        "a": "b",
    }


def test_names_are_generated_and_workers_drop_the_template_s() -> None:
    template = {"metadata": {"name": "mine"}, "spec": {"containers": [{"name": "w"}]}}
    of = cluster(groups=[group(template=template)])
    assert head(of)["metadata"]["generateName"] == "raycluster-head-"
    assert worker(of)["metadata"]["generateName"] == "raycluster-small-worker-"
    assert "name" not in worker(of)["metadata"]
    fixed = head(of, Settings(deterministic_head_pod_name=True))["metadata"]
    assert (fixed["name"], "generateName" in fixed) == ("raycluster-head", False)


def test_autoscaler_v2_forbids_restarts_in_place() -> None:
    of = cluster(enableInTreeAutoscaling=True, autoscalerOptions={"version": "v2"})
    assert head(of)["spec"]["restartPolicy"] == worker(of)["spec"]["restartPolicy"] == "Never"
    assert env_of(ray(head(of)))["RAY_enable_autoscaler_v2"] == "true"
    assert "--no-monitor" in env_of(ray(head(of)))["KUBERAY_GEN_RAY_START_CMD"]


def test_making_a_pod_leaves_the_cluster_s_own_document_alone() -> None:
    of = ft_cluster()
    before = deepcopy(of.spec)
    head(of)
    worker(of)
    assert of.spec == before
