"""The operator's API tests: what a user sees with kubectl, on the Kubernetes of $KUBECONFIG."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.local.operator_bench import (
    NAME,
    Kubectl,
    bench,
    end_job,
    installed,
    minor_version,
    ray_pods,
    remove_clusters,
    run_pods,
    sample_cluster,
    until,
)

from headstay.controllers import manifests

KUBECONFIG = os.environ.get("KUBECONFIG", "")
pytestmark = pytest.mark.skipif(not KUBECONFIG, reason="needs a Kubernetes: set KUBECONFIG")


@pytest.fixture(scope="module")
def kubectl(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kubectl]:
    with bench(KUBECONFIG, tmp_path_factory.mktemp("operator")) as found:
        yield found


@pytest.fixture(autouse=True)
def no_clusters_left(kubectl: Kubectl) -> Iterator[None]:
    yield
    remove_clusters(kubectl)
    until(lambda: not ray_pods(kubectl) and not kubectl.items("jobs"), what="all Ray Pods and Jobs are gone")


def gone(kubectl: Kubectl, name: str = NAME) -> bool:
    return kubectl.run("get", "raycluster", name, check=False).returncode != 0


@pytest.mark.parametrize("sample", ["ray-cluster.external-redis.yaml", "ray-cluster.gcs-ft-options.yaml"])
def test_the_sample_s_life_from_apply_to_nothing(kubectl: Kubectl, sample: str) -> None:
    document = sample_cluster(sample)
    name = document["metadata"]["name"]
    kubectl.apply(document)
    until(lambda: len(ray_pods(kubectl)) == 2, what="two Ray Pods")
    uid = kubectl("get", "rayclusters.ray.io", name, "-o=jsonpath={.metadata.uid}")
    (head,) = ray_pods(kubectl, "head")
    env = {entry["name"]: entry for entry in head["spec"]["containers"][0]["env"]}
    assert env["RAY_external_storage_namespace"]["value"] == uid
    assert env["RAY_REDIS_ADDRESS"]["value"] == "redis:6379"
    assert env["REDIS_PASSWORD"]["valueFrom"]["secretKeyRef"]["name"] == "redis-password-secret"
    assert "RAY_gcs_rpc_server_reconnect_timeout_s" not in env
    (worker,) = ray_pods(kubectl, "worker")
    assert {"name": "RAY_gcs_rpc_server_reconnect_timeout_s", "value": "600"} in worker["spec"]["containers"][0]["env"]

    run_pods(kubectl)
    until(lambda: kubectl.get("raycluster", name)["status"].get("state") == "ready", what="ready")
    header, row = kubectl("get", "raycluster", name).splitlines()
    assert header.split()[:3] == ["NAME", "DESIRED", "WORKERS"]
    assert "ready" in row
    kubectl("wait", "--for=condition=RayClusterProvisioned", f"raycluster/{name}", "--timeout=5s")
    kubectl("wait", "--for=condition=HeadPodReady", f"raycluster/{name}", "--timeout=5s")

    kubectl("delete", "raycluster", name, "--wait=false")
    until(lambda: kubectl.items("jobs"), what="the cleanup Job")
    assert not ray_pods(kubectl, "head")
    end_job(kubectl, "Complete")
    until(lambda: gone(kubectl, name), seconds=5, what="the RayCluster is gone")
    # A collector learns of new kinds of owners only every 30 s.
    until(lambda: not kubectl.items("services"), seconds=90, what="its Service is collected")
    reasons = {event["reason"] for event in kubectl.items("events")}
    wanted = {"CreatedService", "CreatedHeadPod", "CreatedWorkerPod", "DeletedPod", "CreatedRedisCleanupJob"}
    until(lambda: wanted <= reasons | {event["reason"] for event in kubectl.items("events")}, what=f"Events {wanted}")


def test_a_failed_cleanup_does_not_hold_the_cluster(kubectl: Kubectl) -> None:
    kubectl.apply(sample_cluster())
    until(lambda: len(ray_pods(kubectl)) == 2)
    kubectl("delete", "raycluster", NAME, "--wait=false")
    until(lambda: kubectl.items("jobs"))
    end_job(kubectl, "Failed")
    until(lambda: gone(kubectl), seconds=5)


def test_a_deletion_takes_no_longer_than_its_annotation_says(kubectl: Kubectl) -> None:
    document = sample_cluster()
    document["metadata"]["annotations"]["ray.io/gcs-ft-deletion-timeout"] = "3"
    kubectl.apply(document)
    until(lambda: len(ray_pods(kubectl)) == 2)
    kubectl("delete", "raycluster", NAME, "--wait=false")
    until(lambda: gone(kubectl), seconds=10)
    until(lambda: "ForceDeletedStuckCluster" in {event["reason"] for event in kubectl.items("events")})


def test_an_invalid_cluster_is_explained_repaired_and_deletable(kubectl: Kubectl) -> None:
    document = sample_cluster()
    document["spec"]["gcsFaultToleranceOptions"] = {"redisAddress": "redis:6379"}
    kubectl.apply(document)

    def explained() -> bool:
        events = [event for event in kubectl.items("events") if event["reason"] == "InvalidRayClusterSpec"]
        return any("remove the annotation" in (event.get("note") or event.get("message") or "") for event in events)

    until(explained, what="an Event that names the fix")
    assert not ray_pods(kubectl)
    repair = '[{"op": "remove", "path": "/spec/gcsFaultToleranceOptions"}]'
    kubectl("patch", "raycluster", NAME, "--type=json", f"-p={repair}")
    until(lambda: len(ray_pods(kubectl)) == 2)
    broken = '{"spec": {"gcsFaultToleranceOptions": {"redisAddress": "redis:6379"}}}'
    kubectl("patch", "raycluster", NAME, "--type=merge", f"-p={broken}")
    kubectl("delete", "raycluster", NAME, "--wait=false")
    until(lambda: kubectl.items("jobs"), what="deletion goes on although the spec is invalid")


def test_a_deleted_head_pod_is_replaced_and_the_worker_stays(kubectl: Kubectl) -> None:
    kubectl.apply(sample_cluster())
    until(lambda: len(ray_pods(kubectl)) == 2)
    run_pods(kubectl)
    (head,) = ray_pods(kubectl, "head")
    (worker,) = ray_pods(kubectl, "worker")
    kubectl("delete", "pod", head["metadata"]["name"], "--wait=false")

    def replaced() -> bool:
        heads = ray_pods(kubectl, "head")
        return len(heads) == 1 and heads[0]["metadata"]["uid"] != head["metadata"]["uid"]

    until(replaced)
    assert [found["metadata"]["uid"] for found in ray_pods(kubectl, "worker")] == [worker["metadata"]["uid"]]


def test_an_ingress_is_made_kept_right_and_collected_with_its_cluster(kubectl: Kubectl) -> None:
    document = sample_cluster()
    document["metadata"]["annotations"]["kubernetes.io/ingress.class"] = "nginx"
    document["spec"]["headGroupSpec"] |= {"enableIngress": True, "ingressOptions": {"host": "ray.example"}}
    kubectl.apply(document)
    until(lambda: kubectl.items("ingresses"), what="an Ingress")
    (ingress,) = kubectl.items("ingresses")
    name = ingress["metadata"]["name"]
    assert (name, ingress["spec"]["ingressClassName"]) == (f"{NAME}-head-ingress", "nginx")
    backend = ingress["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]
    assert backend["name"] == f"{NAME}-head-svc"
    kubectl("annotate", "ingress", name, "theirs=stays")
    kubectl("patch", "ingress", name, "--type=merge", '-p={"spec": {"rules": [{"host": "other.example"}]}}')
    until(lambda: kubectl.get("ingress", name)["spec"]["rules"] == ingress["spec"]["rules"], what="drift put right")
    assert kubectl.get("ingress", name)["metadata"]["annotations"]["theirs"] == "stays"
    said = {"CreatedIngress", "UpdatedIngress"}
    until(lambda: said <= {event["reason"] for event in kubectl.items("events")}, what="its Events")
    reporters = {
        event.get("reportingController") or event.get("reportingComponent")
        for event in kubectl.items("events")
        if event["reason"] in said
    }
    assert reporters == {"raycluster-controller"}
    remove_clusters(kubectl)
    until(lambda: not kubectl.items("ingresses"), what="it is collected with its cluster")


def test_a_v1alpha1_manifest_of_kuberay_1_0_applies_unchanged(kubectl: Kubectl) -> None:
    document = sample_cluster() | {"apiVersion": "ray.io/v1alpha1"}
    document["metadata"]["name"] = "old"
    kubectl.apply(document)
    until(lambda: len(ray_pods(kubectl)) == 2)
    assert kubectl.get("rayclusters.v1.ray.io", "old")["spec"]["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"


def test_what_a_newer_kubernetes_adds_to_a_template_survives(kubectl: Kubectl) -> None:
    document = sample_cluster()
    document["spec"]["headGroupSpec"]["template"]["spec"]["fieldOfTheFuture"] = {"a": [1, {"b": None}]}
    kubectl.apply(document)
    found = kubectl.get("raycluster", NAME)["spec"]["headGroupSpec"]["template"]["spec"]
    assert found["fieldOfTheFuture"]["a"][0] == 1


def test_a_wrong_enum_is_refused_by_field(kubectl: Kubectl) -> None:
    document = sample_cluster()
    document["spec"]["upgradeStrategy"] = {"type": "Sideways"}
    done = kubectl.run("apply", "-f", "-", stdin=json.dumps(document), check=False)
    assert done.returncode == 1
    assert "spec.upgradeStrategy.type" in done.stderr


def test_managed_by_cannot_be_changed(kubectl: Kubectl) -> None:
    if minor_version(kubectl) < 25:
        pytest.skip("this server knows no CEL rules")
    document = sample_cluster()
    document["spec"]["managedBy"] = "kueue.x-k8s.io/multikueue"
    kubectl.apply(document)
    patch = '{"spec": {"managedBy": "ray.io/kuberay-operator"}}'
    done = kubectl.run("patch", "raycluster", NAME, "--type=merge", f"-p={patch}", check=False)
    assert "the managedBy field is immutable" in done.stderr
    assert not ray_pods(kubectl)


def test_explain_tells_what_a_field_is_for(kubectl: Kubectl) -> None:
    text = kubectl("explain", "raycluster.spec.gcsFaultToleranceOptions")
    assert "redisAddress" in text
    assert "outlives" in text


def test_the_operator_may_not_read_secrets(kubectl: Kubectl) -> None:
    account = f"system:serviceaccount:{kubectl.namespace}:{manifests.DEPLOYMENT}"
    for question in ("list secrets", "create pods --subresource=exec", "delete rayservices"):
        done = kubectl.run("auth", "can-i", *question.split(), f"--as={account}", check=False)
        assert done.stdout.strip() == "no", question
    if not installed(kubectl):  # `headstay up` switches redisAccess on
        done = kubectl.run("auth", "can-i", "get", "secrets", f"--as={account}", check=False)
        assert done.stdout.strip() == "no"


def test_mandatory_cleanup_prints_the_command_that_lets_go(kubectl: Kubectl, tmp_path: Path) -> None:
    if installed(kubectl):
        pytest.skip("the operator installed here would answer as well")
    with bench(KUBECONFIG, tmp_path, GCS_FT_REDIS_CLEANUP_MODE="Mandatory") as own:
        own.apply(sample_cluster())
        until(lambda: len(ray_pods(own)) == 2)
        own("delete", "raycluster", NAME, "--wait=false")
        until(lambda: own.items("jobs"))
        end_job(own, "Failed")
        blocked = "headstay.io/RedisCleanupBlocked"
        own("wait", f"--for=condition={blocked}", f"raycluster/{NAME}", "--timeout=10s")
        conditions = own.get("raycluster", NAME)["status"]["conditions"]
        (message,) = [entry["message"] for entry in conditions if entry["type"] == blocked]
        assert f"kubectl patch rayclusters.ray.io {NAME} -n {own.namespace}" in message
        patch = '[ { "op": "remove", "path": "/metadata/finalizers" } ]'
        own("patch", "rayclusters.ray.io", NAME, "--type", "json", f"--patch={patch}")
        until(lambda: gone(own), seconds=5)
