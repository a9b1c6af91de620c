"""KubeRay's own end-to-end tests of GCS fault tolerance: each way to say where Redis is, and one actor's long life.

The ways are those of TestGcsFaultToleranceOptions and TestGcsFaultToleranceAnnotations; the life is that of
TestRayClusterGCSFaultTolerance (KubeRay 1.7).
"""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import pytest
from tests.e2e.cluster import PASSWORD, Cluster, Document, environment_of, is_ready, restarts, set_env

OPTIONS_SAMPLE = "ray-cluster.gcs-ft-options.yaml"
ANNOTATIONS_SAMPLE = "ray-cluster.external-redis.yaml"
SECRET = {"valueFrom": {"secretKeyRef": {"name": "redis-password-secret", "key": "password"}}}
CLEAN_WITHIN_SECONDS = 30


class Way(NamedTuple):
    """`options` replaces the sample's; `annotated` edits the sample that has none."""

    name: str
    password: bool
    options: dict[str, Any] | None = None
    annotated: Callable[[Document], None] | None = None
    cluster_name: str = ""
    namespace_key: str = ""


def annotated(*, parameter: str = "", environment: bool = False, storage: str = "") -> Callable[[Document], None]:
    def edit(cluster: Document) -> None:
        head = cluster["spec"]["headGroupSpec"]
        head["rayStartParams"].pop("redis-password", None)
        container = head["template"]["spec"]["containers"][0]
        container["env"] = [entry for entry in container["env"] if entry["name"] != "REDIS_PASSWORD"]
        if parameter:
            head["rayStartParams"]["redis-password"] = parameter
        if environment:
            container["env"].append({"name": "REDIS_PASSWORD"} | SECRET)
        if storage:
            cluster["metadata"]["annotations"]["ray.io/external-storage-namespace"] = storage

    return edit


ADDRESS = {"redisAddress": "redis:6379"}
LITERAL = {"value": PASSWORD}
WAYS = [
    Way("options-no-password", password=False, options=ADDRESS),
    Way("options-password-value", password=True, options=ADDRESS | {"redisPassword": LITERAL}),
    Way(
        "options-username",
        password=True,
        options=ADDRESS | {"redisUsername": {"value": "default"}, "redisPassword": LITERAL},
    ),
    Way("options-secret", password=True, options=ADDRESS | {"redisPassword": SECRET}),
    Way("options-long-name", password=True, options=ADDRESS | {"redisPassword": SECRET}, cluster_name="r" * 52),
    Way("annotation-no-password", password=False, annotated=annotated()),
    Way("annotation-parameter", password=True, annotated=annotated(parameter=PASSWORD)),
    Way("annotation-environment", password=True, annotated=annotated(parameter="$REDIS_PASSWORD", environment=True)),
    Way(
        "annotation-namespace",
        password=True,
        annotated=annotated(parameter="$REDIS_PASSWORD", environment=True, storage="my-own"),
        namespace_key="my-own",
    ),
]


def head_alone(way: Way) -> Callable[[Document], None]:
    """What is asked here the head can answer; workers would only take time to start."""

    def edit(cluster: Document) -> None:
        cluster["spec"]["workerGroupSpecs"] = []
        if way.cluster_name:
            cluster["metadata"]["name"] = way.cluster_name
        if way.options is not None:
            cluster["spec"]["gcsFaultToleranceOptions"] = way.options
        if way.annotated is not None:
            way.annotated(cluster)

    return edit


def without_password(documents: list[Document]) -> None:
    for document in documents:
        if document["metadata"]["name"] == "redis-config":
            lines = document["data"]["redis.conf"].splitlines()
            document["data"]["redis.conf"] = "\n".join(line for line in lines if not line.startswith("requirepass"))


def delete_and_find_redis_empty(cluster: Cluster, password: str) -> None:
    cluster.kubectl("delete", "raycluster", "--all", f"--timeout={CLEAN_WITHIN_SECONDS}s", timeout=60)

    def keys_left() -> str:
        return cluster.redis("DBSIZE", password=password).removeprefix("0")

    cluster.wait("Redis is empty", keys_left, timeout=CLEAN_WITHIN_SECONDS)
    cluster.kubectl("delete", "namespace", cluster.namespace, "--wait=false")


def try_way(environment: dict[str, str], way: Way) -> None:
    cluster = Cluster(environment, way.name)
    cluster.create(
        OPTIONS_SAMPLE if way.options is not None else ANNOTATIONS_SAMPLE,
        head_alone(way),
        others=None if way.password else without_password,
    )
    cluster.wait_ready(pods=2)
    head = cluster.pod("head")
    (raycluster,) = cluster.get("rayclusters")
    names = environment_of(head)
    assert names["RAY_external_storage_namespace"] == (way.namespace_key or raycluster["metadata"]["uid"])
    assert names["RAY_REDIS_ADDRESS"] == "redis:6379"
    assert ("REDIS_PASSWORD" in names) is way.password
    password = PASSWORD if way.password else ""
    pattern = f"RAY{names['RAY_external_storage_namespace']}@*"
    assert cluster.redis("--scan", "--pattern", pattern, password=password), "the GCS's tables are in Redis"
    delete_and_find_redis_empty(cluster, password)


def long_life(environment: dict[str, str]) -> None:
    """1, 2; the GCS dies: 3, same head Pod, one restart; the head Pod is deleted: 4, another head Pod."""
    cluster = Cluster(environment, "long-life")
    cluster.create(OPTIONS_SAMPLE, lambda made: set_env(made, "head", "RAY_gcs_rpc_server_reconnect_timeout_s", "8"))
    cluster.wait_ready()
    cluster.in_head("python3", "/home/ray/samples/detached_actor.py")
    assert [cluster.increment(), cluster.increment()] == ["1", "2"]
    first = cluster.pod("head")["metadata"]
    cluster.in_head("pkill", "gcs_server")

    def restarted() -> str:
        head = cluster.pod("head")
        return "" if restarts(head) == 1 and is_ready(head) else f"restarts {restarts(head)}, not ready yet"

    cluster.wait("the head has restarted", restarted, timeout=240)
    assert cluster.increment() == "3"
    assert cluster.pod("head")["metadata"]["uid"] == first["uid"]
    cluster.kubectl("delete", "pod", first["name"], timeout=120)
    cluster.wait_ready()
    assert cluster.pod("head")["metadata"]["uid"] != first["uid"]
    assert cluster.increment() == "4"
    assert restarts(cluster.pod("worker")) == 0
    delete_and_find_redis_empty(cluster, PASSWORD)


@pytest.fixture(scope="module")
def running(environment: dict[str, str], pool: ThreadPoolExecutor) -> dict[str, Future[None]]:
    life = {"long-life": pool.submit(long_life, environment)}
    return life | {way.name: pool.submit(try_way, environment, way) for way in WAYS}


@pytest.mark.parametrize("way", [way.name for way in WAYS])
def test_a_cluster_finds_its_redis_and_leaves_it_empty(way: str, running: dict[str, Future[None]]) -> None:
    running[way].result(timeout=600)


def test_an_actor_outlives_its_gcs_and_its_head(running: dict[str, Future[None]]) -> None:
    running["long-life"].result(timeout=600)
