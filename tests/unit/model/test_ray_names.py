"""Names are KubeRay's, to the character."""

from tests.unit.plan.clusters import cluster

from headstay.model import ray_names


def test_long_names_lose_their_front_and_never_start_badly() -> None:
    assert ray_names.check_name("a" * 60) == "a" * 50
    assert ray_names.check_name("1cluster") == "rcluster"
    assert ray_names.check_name("x-" + "b" * 49) == "r" + "b" * 49
    assert ray_names.check_label("-" + "c" * 62) == "r" + "c" * 62
    assert ray_names.check_label("1" + "c" * 62) == "1" + "c" * 62


def test_pod_prefixes_lose_their_end() -> None:
    assert ray_names.head_pod_prefix("Ray") == "ray-head-"
    assert ray_names.head_pod_prefix("a" * 53) == "a" * 50 + "-head-"
    assert ray_names.worker_pod_prefix("c", "small-group") == "c-small-group-worker-"
    assert len(ray_names.worker_pod_prefix("c" * 40, "g" * 40)) == 58


def test_a_job_name_keeps_its_end() -> None:
    assert ray_names.redis_cleanup_job("c") == "c-redis-cleanup"
    assert ray_names.redis_cleanup_job("abcd" + "e" * 48) == "d" + "e" * 48 + "-redis-cleanup"
    assert len(ray_names.redis_cleanup_job("e" * 52)) == 63


def test_a_route_keeps_its_whole_name() -> None:
    assert ray_names.head_route("a" * 53) == "a" * 53 + "-head-route"


def test_the_head_service_is_named_after_the_cluster_unless_the_user_named_it() -> None:
    assert ray_names.head_service(cluster()) == "raycluster-head-svc"
    named = cluster(head={"headService": {"metadata": {"name": "mine"}}})
    assert ray_names.head_fqdn(named, "cluster.local") == "mine.default.svc.cluster.local"
