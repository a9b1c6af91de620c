"""The status says what KubeRay's does, and an idle cluster writes nothing."""

from datetime import timedelta

from tests.unit.plan.clusters import NOW, cluster, group, head_svc, head_template, pod

from headstay.model.meta import Pod
from headstay.model.objects import Obj
from headstay.model.ray import RayCluster, Service
from headstay.plan.raycluster.plan import Observed, Plan
from headstay.plan.raycluster.status import Failure, is_worth_writing, next_status

FINE = Plan("as it should be")


def status_of(
    of: RayCluster,
    *pods: Pod,
    services: tuple[Service, ...] = (),
    found: Plan = FINE,
    failure: Failure | None = None,
) -> Obj:
    return next_status(Observed(of, pods=pods, services=services), found, failure, NOW)


def condition(status: Obj, kind: str) -> Obj:
    (entry,) = [entry for entry in status["conditions"] if entry["type"] == kind]
    found: Obj = entry
    return found


def brief(status: Obj, kind: str) -> tuple[str, str]:
    entry = condition(status, kind)
    return entry["status"], entry["reason"]


READY_PODS = (pod("head", "head", ip="10.0.0.1"), pod("w"))


def test_an_empty_cluster() -> None:
    status = status_of(cluster())
    assert brief(status, "HeadPodReady") == ("False", "HeadPodNotFound")
    assert brief(status, "RayClusterProvisioned") == ("False", "RayClusterPodsProvisioning")
    assert brief(status, "RayClusterSuspending") == ("False", "RayClusterSuspending")
    assert "state" not in status
    assert status["observedGeneration"] == 1


def test_a_complete_cluster_is_ready_and_provisioned() -> None:
    status = status_of(cluster(), *READY_PODS)
    assert status["state"] == "ready"
    assert status["stateTransitionTimes"] == {"ready": "2026-01-02T03:04:05Z"}
    assert brief(status, "HeadPodReady") == ("True", "HeadPodRunningAndReady")
    assert brief(status, "RayClusterProvisioned") == ("True", "AllPodRunningAndReadyFirstTime")
    assert (status["readyWorkerReplicas"], status["availableWorkerReplicas"]) == (1, 1)


def test_ready_and_provisioned_stay_when_a_pod_dies_but_the_head_s_condition_tells() -> None:
    before = status_of(cluster(), *READY_PODS)
    status = status_of(cluster(status=before), pod("w"))
    assert status["state"] == "ready"
    assert brief(status, "RayClusterProvisioned")[0] == "True"
    assert brief(status, "HeadPodReady") == ("False", "HeadPodNotFound")


def test_a_surplus_pod_means_not_ready_yet_but_provisioned() -> None:
    status = status_of(cluster(), *READY_PODS, pod("x"))
    assert "state" not in status
    assert brief(status, "RayClusterProvisioned")[0] == "True"


def test_a_head_that_is_not_ready_says_why_in_its_container_s_words() -> None:
    not_ready = {
        "status": "False",
        "reason": "ContainersNotReady",
        "message": "containers with unready status: [ray-head]",
    }
    waiting = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}}
    head = pod("head", "head", ready_condition=not_ready, container_state=waiting)
    entry = condition(status_of(cluster(), head), "HeadPodReady")
    assert (entry["status"], entry["reason"]) == ("False", "CrashLoopBackOff")
    assert entry["message"] == "containers with unready status: [ray-head]; ray-head: back-off 10s"


def test_a_head_that_is_ready_has_nothing_to_explain() -> None:
    ended = {"terminated": {"exitCode": 0, "reason": "Completed"}}
    entry = condition(status_of(cluster(), pod("head", "head", container_state=ended)), "HeadPodReady")
    assert (entry["reason"], entry.get("message", "")) == ("HeadPodRunningAndReady", "")


def test_desired_resources_are_of_the_raw_replicas_and_know_every_kind_of_gpu() -> None:
    limits = {"cpu": "1", "nvidia.com/mig-1g.5gb": "1", "amd.com/gpu": "1"}
    template = {"spec": {"containers": [{"name": "w", "resources": {"limits": limits}}]}}
    of = cluster(groups=[group(replicas=5, maxReplicas=2, numOfHosts=2, template=template)])
    status = status_of(of)
    assert (status["desiredCPU"], status["desiredGPU"], status["desiredWorkerReplicas"]) == ("10", "20", 4)


def test_of_several_services_ours_is_shown() -> None:
    other = head_svc(cluster_ip="10.96.0.1")
    other.metadata.name = "a-users-own"
    status = status_of(cluster(), *READY_PODS, services=(other, head_svc()))
    assert status["head"]["serviceName"] == "raycluster-head-svc"


def test_a_head_without_a_ready_condition_is_unknown() -> None:
    head = pod("head", "head", phase="Pending", ready=None)
    assert brief(status_of(cluster(), head), "HeadPodReady") == ("False", "Unknown")


def test_counts_follow_the_groups() -> None:
    groups = [
        group("a", replicas=9, minReplicas=1, maxReplicas=4, numOfHosts=2),
        group("b", replicas=1, suspend=True),
        group("c", replicas=0, minReplicas=0, maxReplicas=2147483647),
    ]
    status = status_of(cluster(groups=groups))
    assert status["desiredWorkerReplicas"] == 8
    assert status["minWorkerReplicas"] == 2
    assert status["maxWorkerReplicas"] == 2147483647


def test_desired_resources_take_requests_before_limits_and_include_the_head() -> None:
    resources = {"limits": {"cpu": "2", "memory": "2Gi", "nvidia.com/gpu": "1"}, "requests": {"cpu": "500m"}}
    template = {"spec": {"containers": [{"name": "w", "resources": resources}, {"name": "side"}]}}
    of = cluster(
        head={"template": head_template(resources={"requests": {"cpu": "1", "memory": "1536Mi"}})},
        groups=[group(replicas=3, template=template)],
    )
    status = status_of(of)
    assert (status["desiredCPU"], status["desiredMemory"], status["desiredGPU"]) == ("2500m", "7680Mi", "3")
    assert status["desiredTPU"] == "0"


def test_the_head_s_address_stands_for_a_headless_service() -> None:
    ports = [{"name": "dashboard", "port": 8265, "targetPort": 8265}, {"name": "serve", "port": 1, "nodePort": 30001}]
    status = status_of(cluster(), *READY_PODS, services=(head_svc(ports=ports),))
    assert status["head"] == {
        "podName": "head",
        "podIP": "10.0.0.1",
        "serviceName": "raycluster-head-svc",
        "serviceIP": "10.0.0.1",
    }
    assert status["endpoints"] == {"dashboard": "8265", "serve": "30001"}
    status = status_of(cluster(), *READY_PODS, services=(head_svc(cluster_ip="10.96.0.9"),))
    assert status["head"]["serviceIP"] == "10.96.0.9"


def test_a_failed_creation_shows_until_a_pass_goes_well() -> None:
    failure = Failure("FailedCreateHeadPod", "exceeded quota")
    failed = status_of(cluster(), failure=failure)
    assert brief(failed, "ReplicaFailure") == ("True", "FailedCreateHeadPod")
    assert condition(failed, "ReplicaFailure")["message"] == "exceeded quota"
    other = status_of(cluster(status=failed), failure=Failure("", "no route to host"))
    assert brief(other, "ReplicaFailure")[0] == "True"
    waiting = status_of(cluster(status=failed), found=Plan("x", incomplete="replacing the head"))
    assert brief(waiting, "ReplicaFailure")[0] == "True"
    good = status_of(cluster(status=failed))
    assert "ReplicaFailure" not in [entry["type"] for entry in good["conditions"]]


def test_suspension_goes_through_suspending_to_suspended_and_back() -> None:
    asked = status_of(cluster(suspend=True), *READY_PODS)
    assert (brief(asked, "RayClusterSuspending")[0], brief(asked, "RayClusterSuspended")[0]) == ("True", "False")
    provisioned = status_of(cluster(suspend=False, status=asked), *READY_PODS)
    assert brief(provisioned, "RayClusterSuspending")[0] == "True", "it does not turn back half-way"
    done = status_of(cluster(suspend=True, status=asked))
    assert (brief(done, "RayClusterSuspending")[0], brief(done, "RayClusterSuspended")[0]) == ("False", "True")
    assert done["state"] == "suspended"
    assert condition(done, "RayClusterProvisioned")["message"] == "RayCluster has been suspended"
    still = status_of(cluster(status=done))
    assert brief(still, "RayClusterSuspended")[0] == "True", "only an explicit false resumes"
    resumed = status_of(cluster(suspend=False, status=done))
    assert brief(resumed, "RayClusterSuspended")[0] == "False"


def test_an_unchanged_cluster_is_not_worth_a_write() -> None:
    first = status_of(cluster(), *READY_PODS, services=(head_svc(),))
    assert is_worth_writing({}, first)
    again = next_status(
        Observed(cluster(status=first), pods=READY_PODS, services=(head_svc(),)), FINE, None, NOW + timedelta(hours=1)
    )
    assert not is_worth_writing(first, again)
    assert [entry["lastTransitionTime"] for entry in again["conditions"]] == [
        entry["lastTransitionTime"] for entry in first["conditions"]
    ]


def test_a_condition_of_the_plan_is_shown_and_goes_with_its_cause() -> None:
    blocked: Obj = {"type": "headstay.io/RedisCleanupBlocked", "status": "True", "reason": "X", "message": "do this"}
    shown = status_of(cluster(), found=Plan("x", conditions=(blocked,)))
    assert condition(shown, "headstay.io/RedisCleanupBlocked")["message"] == "do this"
    assert "headstay.io/RedisCleanupBlocked" not in [
        entry["type"] for entry in status_of(cluster(status=shown))["conditions"]
    ]
