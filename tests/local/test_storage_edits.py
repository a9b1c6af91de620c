"""A cluster that moves from one Redis to another while it lives: at its end both are empty, or somebody is told."""

import json
from collections.abc import Iterator
from uuid import uuid4

import pytest
from tests.local.hostile_bench import (
    SECRET,
    Bench,
    Redis,
    delete,
    gone,
    hostile_bench,
    made,
    redis_server,
    run_job,
)
from tests.local.operator_bench import NAME, Kubectl, ray_pods, until

from headstay.model.objects import Obj

ACCESS = {"HEADSTAY_REDIS_ACCESS": "true"}


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with hostile_bench(tmp_path_factory.mktemp("storage")) as found:
        yield found


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    with redis_server(tmp_path_factory.mktemp("other-redis")) as found:
        yield found


@pytest.fixture
def kubectl(bench: Bench, other: Redis) -> Kubectl:
    bench.redis.cli("FLUSHALL")
    other.cli("FLUSHALL")
    bench.kubectl("delete", "configmap", "-l", "headstay.io/debt")
    own = Kubectl(bench.kubectl.kubeconfig, f"storage-{uuid4().hex[:8]}")
    own("create", "namespace", own.namespace)
    return own


def edit_address(kubectl: Kubectl, entry: Obj) -> None:
    group = kubectl.get("raycluster", NAME)["spec"]["headGroupSpec"]
    env = group["template"]["spec"]["containers"][0]["env"]
    env[[found["name"] for found in env].index("RAY_REDIS_ADDRESS")] = {"name": "RAY_REDIS_ADDRESS"} | entry
    kubectl("patch", "raycluster", NAME, "--type=merge", "-p", json.dumps({"spec": {"headGroupSpec": group}}))


def replace_head(kubectl: Kubectl) -> None:
    (old,) = ray_pods(kubectl, "head")
    kubectl("delete", "pod", old["metadata"]["name"], "--grace-period=0", "--force")
    until(lambda: [pod for pod in ray_pods(kubectl, "head") if pod["metadata"]["uid"] != old["metadata"]["uid"]])


def moved(bench: Bench, kubectl: Kubectl, other: Redis) -> str:
    """A cluster that wrote into one Redis and now writes into the other; its storage namespace."""
    uid = made(kubectl, bench.redis, timeout=60)
    edit_address(kubectl, {"value": other.address})
    replace_head(kubectl)
    other.fill(uid)
    return uid


def test_both_are_emptied_where_the_operator_may_reach_redis(bench: Bench, kubectl: Kubectl, other: Redis) -> None:
    bench.operator.run(**ACCESS)
    moved(bench, kubectl, other)
    delete(kubectl)
    run_job(kubectl)
    until(lambda: gone(kubectl), seconds=10)
    assert other.keys == 0, "by the Job"
    until(lambda: not bench.debts(kubectl), what="the debt of the former Redis is paid")
    assert bench.redis.keys == 0


def test_by_default_the_former_redis_is_a_debt_with_the_command(bench: Bench, kubectl: Kubectl, other: Redis) -> None:
    bench.operator.run()
    uid = moved(bench, kubectl, other)
    delete(kubectl)
    run_job(kubectl)
    until(lambda: gone(kubectl), seconds=10)
    assert (other.keys, bench.redis.keys) == (0, 3)
    until(lambda: bench.debt(kubectl)["state"] == "Unpayable")
    debt = bench.debt(kubectl)
    assert (debt["address"], debt["storageNamespace"]) == (f"redis://{bench.redis.address}", uid)
    assert str(bench.redis.port) in debt["command"]


def test_an_operator_that_starts_after_edit_and_deletion_still_finds_the_old_one(
    bench: Bench, kubectl: Kubectl, other: Redis
) -> None:
    bench.operator.run(**ACCESS)
    made(kubectl, bench.redis, timeout=60)
    bench.operator.stop()
    edit_address(kubectl, {"value": other.address})
    delete(kubectl)
    bench.operator.run(**ACCESS)
    run_job(kubectl)
    until(lambda: gone(kubectl), seconds=10)
    until(lambda: not bench.debts(kubectl), what="the debt is paid")
    assert bench.redis.keys == 0


def test_an_address_from_a_config_map_is_followed_when_the_debt_is_paid(bench: Bench, kubectl: Kubectl) -> None:
    bench.operator.run(**ACCESS)
    where = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "redis"}}
    kubectl.apply(where | {"data": {"address": bench.redis.address}})
    made(kubectl, bench.redis, timeout=60)
    edit_address(kubectl, {"valueFrom": {"configMapKeyRef": {"name": "redis", "key": "address"}}})
    replace_head(kubectl)
    kubectl("annotate", "raycluster", NAME, "ray.io/ft-enabled=false", "--overwrite")
    delete(kubectl)
    until(lambda: gone(kubectl), seconds=10)
    until(lambda: not bench.debts(kubectl), what="the debts are paid")
    assert bench.redis.keys == 0


def test_a_head_of_kuberay_s_tells_where_it_writes_once_fault_tolerance_is_off(bench: Bench, kubectl: Kubectl) -> None:
    """Played by taking away what KubeRay does not leave: our notes, and our label on the head."""
    bench.operator.run()
    uid = made(kubectl, bench.redis, timeout=60)
    bench.operator.stop()
    kubectl("annotate", "raycluster", NAME, "headstay.io/redis-storage-")
    (head,) = ray_pods(kubectl, "head")
    kubectl("label", "pod", head["metadata"]["name"], "headstay.io/storage-identity-")
    kubectl("annotate", "raycluster", NAME, "ray.io/ft-enabled=false", "--overwrite")
    delete(kubectl)
    bench.operator.run()
    until(lambda: gone(kubectl), seconds=10)
    debt = bench.debt(kubectl)
    assert (debt["address"], debt["storageNamespace"]) == (f"redis://{bench.redis.address}", uid)
    assert debt["passwordSecret"] == f"{kubectl.namespace}/{SECRET}/password"
