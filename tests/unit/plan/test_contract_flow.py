"""KubeRay's rules for Services, recovery, Events and the operator's environment that no other test states."""

import pytest
from tests.unit.plan.clusters import (
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
from headstay.plan.raycluster.pods import head_pod
from headstay.plan.raycluster.settings import Settings

HEAD = pod("head", "head")


def head(of: RayCluster, chosen: Settings | None = None) -> Obj:
    return head_pod(of, chosen or Settings())


def ray(made: Obj) -> Obj:
    found: Obj = made["spec"]["containers"][0]
    return found


# --- Services ---


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


# --- recovery ---


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


# --- Events ---


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


# --- deletion ---


def test_a_stale_finalizer_of_a_rocksdb_cluster_is_removed() -> None:
    of = cluster(gcsFaultToleranceOptions={"backend": "rocksdb"}, finalizers=(REDIS_CLEANUP_FINALIZER,), deleted_for=1)
    assert finalizers(plan(Observed(of))) == ()


def test_a_suspension_touches_no_key() -> None:
    of = ft_cluster(suspend=True, status={"conditions": [{"type": "RayClusterSuspending", "status": "True"}]})
    found = plan(Observed(of, pods=(HEAD, pod("w"))))
    assert (sorted(deleted(found)), created(found)) == (["head", "w"], ["Service"])
    assert finalizers(found) is None


def test_a_recreated_head_keeps_its_namespace() -> None:
    before = env_of(ray(head(ft_cluster())))["RAY_external_storage_namespace"]
    after = env_of(ray(head(ft_cluster(rayVersion="2.60.0"))))["RAY_external_storage_namespace"]
    assert before == after == UID


# --- the operator's environment ---


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
        ("ENABLE_ZERO_DOWNTIME", "False", "zero_downtime", False),
        ("USE_INGRESS_ON_OPENSHIFT", "True", "ingress_on_openshift", True),
        ("CLUSTER_DOMAIN", "corp", "cluster_domain", "corp"),
        ("RAYCLUSTER_DEFAULT_REQUEUE_SECONDS_ENV", "60", "resync_seconds", 60),
    ],
)
def test_every_switch_of_kuberay_s_is_read(variable: str, text: str, field: str, value: object) -> None:
    assert getattr(Settings.from_environment({variable: text}), field) == value


def test_the_job_carries_a_head_s_labels_and_annotations_but_no_mark_of_its_making() -> None:
    (action,) = plan(Observed(ft_cluster(deleted_for=1))).actions
    assert isinstance(action, Create)
    for metadata in (action.obj["metadata"], action.obj["spec"]["template"]["metadata"]):
        assert metadata["labels"]["ray.io/group"] == "headgroup"
        assert metadata["labels"]["ray.io/identifier"] == "raycluster-head"
        assert set(metadata["annotations"]) == {"ray.io/ft-enabled", "ray.io/external-storage-namespace"}
    assert "ttlSecondsAfterFinished" not in action.obj["spec"]
