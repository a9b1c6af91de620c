"""KubeRay's rules for RayClusters that no other test states."""

from copy import deepcopy
from typing import Any

import pytest
from tests.unit.plan.clusters import (
    FT,
    UID,
    cluster,
    created,
    deleted,
    env_of,
    finalizers,
    ft_cluster,
    group,
    head_svc,
    head_template,
    plan,
    pod,
)

from headstay.model.objects import Obj
from headstay.model.ray import REDIS_CLEANUP_FINALIZER, RayCluster
from headstay.plan.raycluster.plan import Create, DeletePod, EventDraft, Observed, Plan
from headstay.plan.raycluster.pods import head_pod, worker_pod
from headstay.plan.raycluster.recreate import spec_hash
from headstay.plan.raycluster.settings import Settings
from headstay.plan.raycluster.validation import validate

HEAD = pod("head", "head")


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


# --- fault tolerance ----------------------------------------------------------------------------------------------


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


# --- Pods ---------------------------------------------------------------------------------------------------------


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


# --- validation ---------------------------------------------------------------------------------------------------


def test_rules_are_asked_in_kuberay_s_order() -> None:
    """A cluster that breaks many: each repair uncovers the next."""
    fields: dict[str, Any] = {
        "name": "a" * 54,
        "annotations": FT,
        "head": {
            "resources": {"CPU": 1},
            "rayStartParams": {"num-cpus": "1", "redis-username": "x"},
            "template": head_template(),
        },
        "groups": [group(minReplicas=3, maxReplicas=2)],
        "gcsFaultToleranceOptions": {"storage": {}},
        "autoscalerOptions": {"idleTimeoutSeconds": -1},
        "historyServerOptions": {},
        "authOptions": {"mode": "token"},
        "networkPolicy": {},
        "tlsOptions": {"enabled": True},
        "upgradeStrategy": {"type": "Sideways"},
        "status": {
            "conditions": [
                {"type": f"RayCluster{kind}", "status": "True", "reason": "x"} for kind in ("Suspending", "Suspended")
            ]
        },
    }
    steps: list[tuple[str, Any, str]] = [
        ("name", "a", "metadata.name"),
        ("head", fields["head"] | {"resources": {}}, "headGroupSpec: resources"),
        ("groups", [], "minReplicas"),
        ("annotations", {}, "remove the annotation"),
        ("gcsFaultToleranceOptions", {}, "storage belongs"),
        ("head", {}, "redis-username"),
        ("autoscalerOptions", {}, "idleTimeoutSeconds"),
        ("historyServerOptions", None, "historyServerOptions"),
        ("authOptions", None, "authOptions"),
        ("networkPolicy", None, "networkPolicy"),
        ("tlsOptions", None, "tlsOptions"),
        ("upgradeStrategy", None, "upgradeStrategy"),
        ("status", {}, "status.conditions"),
    ]
    for field, repaired, words in steps:
        event = validate(cluster(**fields))
        assert event is not None
        assert words in event.note, f"{event.note} comes before {words}"
        fields[field] = repaired
    assert validate(cluster(**fields)) is None


def test_a_variable_for_the_version_and_the_field_exclude_each_other() -> None:
    of = cluster(
        enableInTreeAutoscaling=True,
        autoscalerOptions={"version": "v2"},
        head=with_head_env(RAY_enable_autoscaler_v2="1"),
    )
    event = validate(of)
    assert event is not None
    assert "both set" in event.note


@pytest.mark.parametrize("where", ["head", "worker"])
def test_autoscaler_v2_accepts_no_restarts(where: str) -> None:
    template: Obj = {"spec": {"containers": [{"name": "r"}], "restartPolicy": "Always"}}
    groups = [group(template=template)] if where == "worker" else []
    parts: Obj = {"head": {"template": template}} if where == "head" else {}
    of = cluster(enableInTreeAutoscaling=True, autoscalerOptions={"version": "v2"}, groups=groups, **parts)
    event = validate(of)
    assert event is not None
    assert "restartPolicy is Always" in event.note


def test_the_autoscaler_s_own_variable_is_reserved() -> None:
    of = cluster(autoscalerOptions={"env": [{"name": "KUBERAY_GEN_AUTOSCALER_START_CMD", "value": "x"}]})
    event = validate(of)
    assert event is not None
    assert "autoscalerOptions.env" in event.note


@pytest.mark.parametrize("version", ["2.54.0", "", "nightly"])
def test_kubernetes_token_authentication_needs_a_newer_ray(version: str) -> None:
    event = validate(cluster(rayVersion=version, authOptions={"mode": "token", "enableK8sTokenAuth": True}))
    assert event is not None
    assert "2.55.0" in event.note


def test_kubernetes_token_authentication_has_no_secret() -> None:
    options = {"mode": "token", "enableK8sTokenAuth": True, "secretName": "x"}
    event = validate(cluster(rayVersion="2.55.0", authOptions=options))
    assert event is not None
    assert "secretName" in event.note


@pytest.mark.parametrize(("version", "good"), [("2.55.9", False), ("2.56.0", True)])
def test_a_group_s_priority_needs_ray_2_56_and_autoscaler_v2(version: str, *, good: bool) -> None:
    options = {"version": "v2"}
    of = cluster(
        rayVersion=version, enableInTreeAutoscaling=True, autoscalerOptions=options, groups=[group(priority=1)]
    )
    assert (validate(of) is None) is good


# --- what is not acted on -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("of", "field"),
    [
        (cluster(enableInTreeAutoscaling=True), "enableInTreeAutoscaling"),
        (cluster(authOptions={}), "authOptions"),
        (cluster(rayVersion="2.60.0", authOptions={"mode": "token"}), "authOptions"),
        (
            cluster(rayVersion="2.60.0", autoscalerOptions={"version": "v2"}, groups=[group(priority=1)]),
            "workerGroupSpecs[0].priority",
        ),
        (
            cluster(autoscalerOptions={"version": "v2"}, groups=[group(idleTimeoutSeconds=1)]),
            "workerGroupSpecs[0].idleTimeoutSeconds",
        ),
        (cluster(labels={"ray.io/gang-scheduling-enabled": "true"}), "metadata.labels[ray.io/gang-scheduling-enabled]"),
        (cluster(labels={"ray.io/priority-class-name": "x"}), "metadata.labels[ray.io/priority-class-name]"),
        (
            cluster(
                annotations={"ray.io/enable-serve-service": "true"},
                head={"template": head_template(ports=[{"name": "x", "containerPort": 1}])},
            ),
            "metadata.annotations[ray.io/enable-serve-service]",
        ),
    ],
)
def test_what_is_not_acted_on_is_said_once_and_by_name(of: RayCluster, field: str) -> None:
    found = plan(Observed(of))
    (event,) = [event for event in found.events if event.reason == "FeatureNotSupported"]
    assert (event.type, event.note.split()[0]) == ("Warning", field)
    assert "Pod/head" in created(found), "the rest works"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("gcsFaultToleranceOptions", {"backend": "rocksdb"}),
        ("historyServerOptions", {"collectorOptions": {}}),
        ("networkPolicy", {"mode": "DenyAll"}),
        ("tlsOptions", {"enabled": True}),
    ],
)
def test_what_kuberay_refuses_while_its_gate_is_off_is_refused_by_name(field: str, value: Any) -> None:
    found = plan(Observed(cluster(**{field: value})))
    assert created(found) == []
    (event,) = found.events
    assert event.reason == "InvalidRayClusterSpec"
    assert field in event.note


def test_switches_that_are_off_need_no_word() -> None:
    of = cluster(authOptions={"mode": "disabled"}, tlsOptions={"enabled": False}, enableInTreeAutoscaling=False)
    assert plan(Observed(of)).events == ()


# --- Services -----------------------------------------------------------------------------------------------------


def services_of(of: RayCluster) -> dict[str, Obj]:
    made = [action.obj for action in plan(Observed(of)).actions if isinstance(action, Create)]
    return {found["metadata"]["name"]: found for found in made if found["kind"] == "Service"}


def test_labels_of_services_say_where_they_come_from() -> None:
    of = cluster(annotations={"ray.io/enable-serve-service": "true"}, groups=[group(numOfHosts=2)])
    labels = {name: found["metadata"]["labels"] for name, found in services_of(of).items()}
    assert labels["raycluster-headless"]["ray.io/headless-worker-svc"] == "raycluster"
    serve = labels["raycluster-serve-svc"]
    assert (serve["ray.io/originated-from-cr-name"], serve["ray.io/originated-from-crd"]) == (
        "raycluster",
        "RayCluster",
    )


def test_ports_of_the_head_service_are_sorted_and_say_their_protocol() -> None:
    ports = services_of(cluster())["raycluster-head-svc"]["spec"]["ports"]
    assert [port["name"] for port in ports] == ["client", "dashboard", "gcs-server", "metrics", "serve"]
    assert {port["appProtocol"] for port in ports} == {"tcp"}


def test_without_a_serve_port_there_is_no_serve_service() -> None:
    ports = [{"name": "serve-a", "containerPort": 1}, {"name": "x", "containerPort": 2}]
    annotations = {"ray.io/enable-serve-service": "true"}
    of = cluster(annotations=annotations, head={"template": head_template(ports=ports)})
    assert created(plan(Observed(of))).count("Service") == 2
    without = cluster(annotations=annotations, head={"template": head_template(ports=ports[1:])})
    assert created(plan(Observed(without))).count("Service") == 1


def test_a_service_of_the_user_s_with_the_head_s_labels_replaces_nothing() -> None:
    other = head_svc()
    other.metadata.name = "mine"
    assert created(plan(Observed(cluster(), services=(other,))))[0] == "Service"


# --- recovery -----------------------------------------------------------------------------------------------------


def test_one_replica_is_one_pod_and_hosts_multiply_it() -> None:
    of = cluster(groups=[group("a", replicas=2), group("b", replicas=2, numOfHosts=3)])
    assert created(plan(Observed(of, pods=(HEAD,), services=(head_svc(),)))).count("Pod/worker") == 8


def test_a_replica_named_whole_goes_whole() -> None:
    of = cluster(groups=[group("tpu", numOfHosts=2, scaleStrategy={"multihostReplicasToDelete": ["tpu-x"]})])
    hosts = [pod(name, group_name="tpu", labels={"ray.io/worker-group-replica-name": "tpu-x"}) for name in "ab"]
    found = plan(Observed(of, pods=(HEAD, *hosts), services=(head_svc(),)))
    assert deleted(found) == ["a", "b"]


def test_groups_are_worked_on_in_the_order_of_the_spec() -> None:
    of = cluster(groups=[group("z"), group("a")])
    found = plan(Observed(of, pods=(HEAD,), services=(head_svc(),)))
    assert [action.group for action in found.actions if isinstance(action, Create)] == ["z", "a"]


def test_a_sidecar_s_death_is_the_kubelet_s_business() -> None:
    broken = pod("head", "head", restart_policy="Never")
    broken.status.container_statuses = pod(
        "x", "sidecar", container_state={"terminated": {"exitCode": 1}}
    ).status.container_statuses
    assert deleted(plan(Observed(cluster(), pods=(broken, pod("w")), services=(head_svc(),)))) == []


# --- Events -------------------------------------------------------------------------------------------------------


def told(found: Plan) -> set[tuple[str, str, str]]:
    drafts: list[EventDraft] = []
    for action in found.actions:
        if isinstance(action, Create):
            drafts += [action.created, action.failed]
        if isinstance(action, DeletePod):
            drafts += [action.deleted, action.failed]
    return {(draft.type, draft.reason, draft.action) for draft in drafts}


def pair(verb: str, what: str, failed: str = "") -> set[tuple[str, str, str]]:
    made = {"Create": "Created", "Delete": "Deleted"}[verb]
    return {("Normal", f"{made}{what}", verb), ("Warning", f"FailedTo{verb}{failed or what}", verb)}


def test_events_of_creations_are_kuberay_s() -> None:
    found = plan(Observed(cluster()))
    assert told(found) == pair("Create", "Service") | pair("Create", "HeadPod") | pair("Create", "WorkerPod")


@pytest.mark.parametrize(
    ("observed", "expected", "failure"),
    [
        (
            Observed(cluster(), pods=(pod("h", "head", phase="Failed"),)),
            pair("Delete", "HeadPod"),
            "FailedDeleteHeadPod",
        ),
        (
            Observed(cluster(), pods=(HEAD, pod("w", phase="Failed"))),
            pair("Delete", "WorkerPod"),
            "FailedDeleteWorkerPod",
        ),
        (
            Observed(cluster(groups=[group(suspend=True)]), pods=(HEAD, pod("w"))),
            pair("Delete", "WorkerPod", "WorkerPodCollection"),
            "FailedDeleteWorkerPod",
        ),
        (
            Observed(
                cluster(status={"conditions": [{"type": "RayClusterSuspending", "status": "True"}]}), pods=(HEAD,)
            ),
            pair("Delete", "Pod", "PodCollection"),
            "FailedDeleteAllPods",
        ),
    ],
)
def test_events_and_failures_of_deletions_are_kuberay_s(
    observed: Observed, expected: set[tuple[str, str, str]], failure: str
) -> None:
    found = plan(Observed(observed.cluster, pods=observed.pods, services=(head_svc(),)))
    assert told(found) == expected
    assert {action.failure for action in found.actions if isinstance(action, DeletePod)} == {failure}


def test_failed_creations_have_kuberay_s_reasons() -> None:
    found = plan(Observed(cluster()))
    reasons = [action.failure for action in found.actions if isinstance(action, Create)]
    assert reasons == ["", "FailedCreateHeadPod", "FailedCreateWorkerPod"]


def test_the_event_of_a_job_is_kuberay_s() -> None:
    found = plan(Observed(ft_cluster(deleted_for=1)))
    assert told(found) == pair("Create", "RedisCleanupJob")


# --- deletion -----------------------------------------------------------------------------------------------------


def test_a_stale_finalizer_of_a_rocksdb_cluster_is_removed() -> None:
    of = cluster(gcsFaultToleranceOptions={"backend": "rocksdb"}, finalizers=(REDIS_CLEANUP_FINALIZER,), deleted_for=1)
    assert finalizers(plan(Observed(of))) == ()


def test_a_suspension_touches_no_key() -> None:
    of = ft_cluster(suspend=True, status={"conditions": [{"type": "RayClusterSuspending", "status": "True"}]})
    found = plan(Observed(of, pods=(HEAD, pod("w"))))
    assert (deleted(found), created(found)) == (["head", "w"], ["Service"])
    assert finalizers(found) is None


def test_a_recreated_head_keeps_its_namespace() -> None:
    before = env_of(ray(head(ft_cluster())))["RAY_external_storage_namespace"]
    after = env_of(ray(head(ft_cluster(rayVersion="2.60.0"))))["RAY_external_storage_namespace"]
    assert before == after == UID


# --- the operator's environment -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variable", "text", "field", "value"),
    [
        ("ENABLE_INIT_CONTAINER_INJECTION", "False", "init_container_injection", False),
        ("ENABLE_PROBES_INJECTION", "false", "probes_injection", False),
        ("ENABLE_GCS_FT_REDIS_CLEANUP", "FALSE", "redis_cleanup", False),
        ("ENABLE_GCS_FT_REDIS_CLEANUP", "0", "redis_cleanup", True),
        ("ENABLE_RAY_HEAD_CLUSTER_IP_SERVICE", "True", "head_cluster_ip_service", True),
        ("ENABLE_DETERMINISTIC_HEAD_POD_NAME", "true", "deterministic_head_pod_name", True),
        ("ENABLE_LOGIN_SHELL", "true", "login_shell", True),
        ("ENABLE_RANDOM_POD_DELETE", "true", "random_pod_delete", True),
        ("ENABLE_RANDOM_POD_DELETE", "1", "random_pod_delete", False),
        ("CLUSTER_DOMAIN", "corp", "cluster_domain", "corp"),
        ("RAYCLUSTER_DEFAULT_REQUEUE_SECONDS_ENV", "60", "resync_seconds", 60),
    ],
)
def test_every_switch_of_kuberay_s_is_read(variable: str, text: str, field: str, value: object) -> None:
    assert getattr(Settings.from_environment({variable: text}), field) == value
