"""What the guide says in prose, on real Ray and Redis. The scenarios run side by side, each in its own namespace."""

import json
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest
from tests.e2e.cluster import SAMPLE_SCRIPTS, Cluster, Document, environment_of, is_ready, restarts, set_env

from headstay.model.keeper_state import KeeperState

RESTARTABLE_COUNTER = (SAMPLE_SCRIPTS["detached_actor.py"]).replace(
    'lifetime="detached"', 'lifetime="detached", max_restarts=-1'
)
TIMEOUT_VARIABLE = "RAY_gcs_rpc_server_reconnect_timeout_s"
EXTERNAL_REDIS = "ray-cluster.external-redis.yaml"


def quick_head(cluster: Document) -> None:
    """The head gives its GCS 8 s instead of 60: the user's own setting, and it must win."""
    set_env(cluster, "head", TIMEOUT_VARIABLE, "8")


def kill_gcs_and_wait_for_the_head(cluster: Cluster) -> None:
    before = cluster.pod("head")
    cluster.in_head("pkill", "gcs_server")

    def probe() -> str:
        head = cluster.pod("head")
        assert head["metadata"]["uid"] == before["metadata"]["uid"]
        return "" if restarts(head) == restarts(before) + 1 and is_ready(head) else f"restarts {restarts(head)}"

    cluster.wait("the head has restarted", probe, timeout=240)


def actor_on_the_head(environment: dict[str, str]) -> None:
    """Its process dies with the head's container. Ray starts it again if it may, with its state lost: 1, not 2."""

    def edit(cluster: Document) -> None:
        quick_head(cluster)
        cluster["spec"]["headGroupSpec"]["rayStartParams"]["num-cpus"] = "1"
        cluster["spec"]["workerGroupSpecs"][0]["rayStartParams"]["num-cpus"] = "0"

    cluster = Cluster(environment, "actor-on-head")
    cluster.create(EXTERNAL_REDIS, edit)
    cluster.wait_ready()
    cluster.in_head("python3", "-c", RESTARTABLE_COUNTER)
    assert cluster.increment() == "1"
    kill_gcs_and_wait_for_the_head(cluster)
    assert cluster.increment() == "1"
    assert restarts(cluster.pod("worker")) == 0
    cluster.kubectl("delete", "namespace", cluster.namespace, "--wait=false")


def gcs_ft_options(environment: dict[str, str]) -> None:
    cluster = Cluster(environment, "ft-options")
    made = cluster.create("ray-cluster.gcs-ft-options.yaml", quick_head)
    cluster.wait_ready()
    uid = cluster.get("rayclusters")[0]["metadata"]["uid"]
    for node_type in ("head", "worker"):
        assert environment_of(cluster.pod(node_type))["RAY_external_storage_namespace"] == uid
    cluster.in_head("python3", "/home/ray/samples/detached_actor.py")
    assert cluster.increment() == "1"
    kill_gcs_and_wait_for_the_head(cluster)
    assert cluster.increment() == "2"
    assert restarts(cluster.pod("worker")) == 0
    cluster.kubectl("delete", "raycluster", made["metadata"]["name"], "--timeout=120s", timeout=130)
    assert cluster.redis("DBSIZE") == "0"


def without_fault_tolerance(environment: dict[str, str]) -> None:
    """The guide's paragraph on fate-sharing."""

    def edit(cluster: Document) -> None:
        quick_head(cluster)
        set_env(cluster, "worker", TIMEOUT_VARIABLE, "60")
        cluster["metadata"]["annotations"] = {}
        container = cluster["spec"]["headGroupSpec"]["template"]["spec"]["containers"][0]
        container["env"] = [e for e in container["env"] if e["name"] not in {"RAY_REDIS_ADDRESS", "REDIS_PASSWORD"}]
        del cluster["spec"]["headGroupSpec"]["rayStartParams"]["redis-password"]

    cluster = Cluster(environment, "no-ft")
    cluster.create(EXTERNAL_REDIS, edit)
    cluster.wait_ready()
    worker = cluster.pod("worker")
    cluster.in_head("python3", "/home/ray/samples/detached_actor.py")
    assert cluster.increment() == "1"
    kill_gcs_and_wait_for_the_head(cluster)

    def probe() -> str:
        now = cluster.pod("worker")
        assert now["metadata"]["uid"] == worker["metadata"]["uid"]
        return "" if restarts(now) >= 1 and is_ready(now) else f"worker restarts {restarts(now)}"

    cluster.wait("the worker's container has restarted", probe, timeout=240)
    answer = cluster.in_head("python3", "/home/ray/samples/increment_counter.py", check=False)
    assert "Failed to look up actor" in answer
    cluster.kubectl("delete", "namespace", cluster.namespace, "--wait=false")


def head_pod_deleted(environment: dict[str, str]) -> None:
    cluster = Cluster(environment, "head-pod")
    cluster.create(EXTERNAL_REDIS)
    cluster.wait_ready()
    cluster.in_head("python3", "/home/ray/samples/detached_actor.py")
    assert cluster.increment() == "1"
    before = cluster.pod("head")
    cluster.kubectl("delete", "pod", before["metadata"]["name"], timeout=120)
    cluster.wait_ready()
    after = cluster.pod("head")
    assert after["metadata"]["uid"] != before["metadata"]["uid"]
    assert cluster.increment() == "2"
    assert restarts(cluster.pod("worker")) == 0
    cluster.kubectl("delete", "raycluster", "--all", "--timeout=120s", timeout=130)
    assert cluster.redis("DBSIZE") == "0"


def wrong_password(environment: dict[str, str]) -> None:
    """Ray says nothing that a person could act on; the RayCluster does."""

    def edit(cluster: Document) -> None:
        cluster["spec"]["workerGroupSpecs"] = []
        set_env(cluster, "head", "REDIS_PASSWORD", "wrong")

    cluster = Cluster(environment, "wrong-password")
    cluster.create(EXTERNAL_REDIS, edit)

    def complaint() -> str:
        conditions = cluster.get("rayclusters")[0].get("status", {}).get("conditions", [])
        found = [entry for entry in conditions if entry["type"] == "headstay.io/RedisReachable"]
        return "" if found and found[0]["status"] == "False" else str(conditions)

    cluster.wait("the RayCluster complains", complaint, timeout=180)
    events = cluster.kubectl("get", "events", "--field-selector=reason=RedisUnusable")
    assert "WRONGPASS" in events
    assert "redis:6379" in events
    cluster.kubectl("delete", "raycluster", "--all", "--timeout=120s", timeout=130)
    cluster.kubectl("delete", "namespace", cluster.namespace, "--wait=false")


def recoveries_are_written_down(cluster: Cluster, environment: dict[str, str]) -> None:
    """Both, with why and when, in the annotation, the condition, Events, and what `headstay status CLUSTER` shows."""
    name = cluster.get("rayclusters")[0]["metadata"]["name"]
    command = [str(Path(sys.prefix) / "bin" / "headstay"), "status", name, "-n", cluster.namespace, "-o", "json"]
    shown: Document = {}

    def answered() -> str:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        shown.update(json.loads(done.stdout))
        return "" if [one for one in shown["recoveries"] if "answered" in one][1:] else str(shown["recoveries"])

    cluster.wait("both recoveries are written down", answered, timeout=30)
    assert shown["faultTolerance"] == "InPlace"
    assert shown["gcs"]["reason"] == "Serving"
    term, kill = shown["recoveries"]
    assert (term["how"], kill["how"]) == ("InPlace", "InPlace")
    assert "signal 9" in kill["why"]
    for one in (term, kill):
        assert one["lost"] <= one["detected"] <= one["started"] <= one["serving"] <= one["answered"]
        assert one["seconds"]["total"] < 20
    events = cluster.kubectl("get", "events", "--field-selector=reason=GcsRecovered")
    assert "in place" in events


def recovery_in_place(environment: dict[str, str]) -> None:
    """The GCS dies twice, by either signal, and nothing restarts but the GCS itself."""

    def edit(cluster: Document) -> None:
        cluster["metadata"]["annotations"]["headstay.io/gcs-recovery"] = "InPlace"

    cluster = Cluster(environment, "in-place")
    cluster.create(EXTERNAL_REDIS, edit)
    cluster.wait_ready()
    cluster.in_head("python3", "/home/ray/samples/detached_actor.py")
    for count, signal in ((1, "TERM"), (2, "KILL")):
        before = cluster.in_head("pgrep", "-x", "gcs_server")
        cluster.in_head("pkill", f"-{signal}", "-x", "gcs_server")

        def revived(before: str = before) -> str:
            now = cluster.in_head("pgrep", "-x", "gcs_server", check=False)
            return "" if now.strip().isdigit() and now != before else f"gcs_server is {now!r}, was {before!r}"

        cluster.wait("another GCS is there", revived, timeout=30)
        assert cluster.increment() == str(count)
    assert restarts(cluster.pod("head")) == restarts(cluster.pod("worker")) == 0
    recoveries_are_written_down(cluster, environment)
    assert "the GCS serves again" in cluster.kubectl("logs", cluster.pod("head")["metadata"]["name"])
    cluster.kubectl("delete", "raycluster", "--all", "--timeout=120s", timeout=130)
    assert cluster.redis("DBSIZE") == "0"


def redis_loses_its_data(environment: dict[str, str]) -> None:
    """The head starts afresh on purpose, the worker follows, and the cluster works: no zombies."""

    def edit(cluster: Document) -> None:
        cluster["metadata"]["annotations"]["headstay.io/gcs-recovery"] = "InPlace"

    cluster = Cluster(environment, "data-lost")
    cluster.create(EXTERNAL_REDIS, edit)
    cluster.wait_ready()
    cluster.in_head("python3", "/home/ray/samples/detached_actor.py")
    assert cluster.increment() == "1"
    before = keeper_state(cluster)
    cluster.redis("FLUSHALL")
    cluster.wait("the data's new life is told", lambda: new_life(cluster, before.storage.epoch), timeout=180)
    assert keeper_state(cluster).storage.begun == "DataLost"
    cluster.wait("the loss is announced", lambda: announced(cluster), timeout=60)
    cluster.wait("the worker started again", lambda: "" if restarts(cluster.pod("worker")) else "0", timeout=180)
    cluster.wait_ready()
    cluster.in_head("python3", "/home/ray/samples/detached_actor.py")
    assert cluster.increment() == "1"
    assert restarts(cluster.pod("head")) == 1
    cluster.kubectl("delete", "raycluster", "--all", "--timeout=120s", timeout=130)
    assert cluster.redis("DBSIZE") == "0"


ASK_KEEPER = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:44250/v1/state').read().decode())"


def keeper_state(cluster: Cluster) -> KeeperState:
    return msgspec.json.decode(cluster.in_head("python3", "-c", ASK_KEEPER), type=KeeperState)


def announced(cluster: Cluster) -> str:
    """In an Event and in a condition."""
    said = [event for event in cluster.get("events") if event["reason"] == "RedisDataLost"]
    conditions = cluster.get("rayclusters")[0]["status"]["conditions"]
    kept = [found["status"] for found in conditions if found["type"] == "headstay.io/RedisDataKept"]
    return "" if said and kept == ["False"] else f"Events {said}, RedisDataKept {kept}"


def new_life(cluster: Cluster, before: str) -> str:
    try:
        storage = keeper_state(cluster).storage
    except AssertionError as error:  # the head's container is starting
        return str(error)
    return "" if storage.phase == "Marked" and storage.epoch != before else str(storage)


SCENARIOS = [
    actor_on_the_head,
    gcs_ft_options,
    without_fault_tolerance,
    head_pod_deleted,
    wrong_password,
    recovery_in_place,
    redis_loses_its_data,
]


@pytest.fixture(scope="module")
def running(environment: dict[str, str], pool: ThreadPoolExecutor) -> dict[str, Future[None]]:
    return {scenario.__name__: pool.submit(scenario, environment) for scenario in SCENARIOS}


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_scenario(scenario: Callable[[dict[str, str]], None], running: dict[str, Future[None]]) -> None:
    running[scenario.__name__].result(timeout=600)
