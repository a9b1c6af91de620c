from typing import Any

from headstay.drill.history import PodSeen
from headstay.drill.onlooker import PodNow, Shape, describe, not_whole, role_of
from headstay.drill.safety import MADE_BY
from headstay.drill.service import active_cluster, not_served

SHAPE = Shape("drill", workers=2, redis=True)


def pod(labels: dict[str, str], **status: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "p", "uid": "u", "labels": labels},
        "spec": {"containers": [{"name": "ray-head"}, {"name": "sidecar"}]},
        "status": {"podIP": "10.0.0.1", **status},
    }


def now(name: str, role: Any, *, ready: bool = True, leaving: bool = False) -> PodNow:
    return PodNow(PodSeen(name, name, role, 0, ready), "10.0.0.1", "c", leaving)


WHOLE = [now("h", "head"), now("w1", "worker"), now("w2", "worker"), now("r", "redis")]


def test_roles_are_read_from_labels() -> None:
    assert role_of(pod({"ray.io/cluster": "drill", "ray.io/node-type": "head"}), "drill") == "head"
    assert role_of(pod({"ray.io/cluster": "drill", "ray.io/node-type": "worker"}), "drill") == "worker"
    assert role_of(pod({"ray.io/cluster": "other", "ray.io/node-type": "head"}), "drill") is None
    assert role_of(pod({"headstay.io/drill-role": "redis", MADE_BY: "d"}), "drill") == "redis"
    assert role_of(pod({"headstay.io/drill-role": "redis"}), "drill") is None, "not made by a drill"
    assert role_of(pod({"app": "redis"}), "drill") is None
    assert role_of(pod({"app.kubernetes.io/name": "headstay-operator"}), "drill") == "operator"


def test_only_restarts_of_the_first_container_count() -> None:
    statuses = [{"name": "sidecar", "restartCount": 5}, {"name": "ray-head", "restartCount": 2}]
    seen = describe(pod({}, containerStatuses=statuses), "head").seen
    assert seen.restarts == 2


def test_a_pod_that_has_only_just_been_made_is_not_ready() -> None:
    fresh = {"metadata": {"name": "p", "uid": "u"}, "spec": {}}
    assert describe(fresh, "head") == PodNow(PodSeen("p", "u", "head", 0, ready=False), "", "", leaving=False)


def test_readiness_is_what_the_condition_says() -> None:
    conditions = [{"type": "Initialized", "status": "True"}, {"type": "Ready", "status": "True"}]
    assert describe(pod({}, conditions=conditions), "head").seen.ready
    conditions[1]["status"] = "Unknown"
    assert not describe(pod({}, conditions=conditions), "head").seen.ready


def test_a_target_is_whole_with_all_its_pods_ready_and_none_leaving() -> None:
    assert not_whole(WHOLE, SHAPE) == ""
    assert not_whole(WHOLE[1:], SHAPE) == "0 of 1 head Pods are there"
    assert not_whole([*WHOLE[:2], WHOLE[3]], SHAPE) == "1 of 2 worker Pods are there"
    assert not_whole(WHOLE[:3], SHAPE) == "0 of 1 redis Pods are there"
    assert not_whole([*WHOLE, now("old", "head", leaving=True)], SHAPE) == "Pod old is still going"
    assert not_whole([*WHOLE, now("w3", "worker", ready=False)], SHAPE) == "Pod w3 is not ready"


def test_the_operator_is_not_part_of_the_target() -> None:
    assert not_whole([*WHOLE, now("o", "operator", ready=False)], SHAPE) == ""


def service(active: str = "", pending: str = "", ready: str = "") -> dict[str, Any]:
    conditions = [{"type": "Ready", "status": ready, "message": "no endpoints"}] if ready else []
    clusters = {"activeServiceStatus": active, "pendingServiceStatus": pending}
    return {
        "status": {"conditions": conditions} | {k: {"rayClusterName": name} for k, name in clusters.items() if name}
    }


def test_a_rayservice_is_whole_when_one_cluster_serves_and_no_other_is_on_its_way() -> None:
    assert not_served(None) == not_served(service()) == "the RayService has no active RayCluster yet"
    assert not_served(service("a", ready="False")) == "the RayService is not ready: no endpoints"
    assert not_served(service("a", "b", "True")) == "RayCluster b is pending"
    assert not_served(service("a", ready="True")) == ""
    assert active_cluster(service("a", "b")) == "a", "until the other one has taken over"
