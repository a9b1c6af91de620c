"""The eleven ways in which a deletion used to hang, and who pays for what they leave behind."""

import json
import os
import subprocess
from collections.abc import Iterator
from uuid import uuid4

import pytest
from tests.local.hostile_bench import (
    PASSWORD,
    SECRET,
    Bench,
    delete,
    end_pod,
    gone,
    hostile_bench,
    job_pod,
    made,
    run_job,
)
from tests.local.operator_bench import NAME, Kubectl, patch_status, ray_pods, sample_cluster, until

from headstay.cli.debts import gather_debts, print_debts
from headstay.cli.kubectl import Kubectl as Cli
from headstay.cli.output import console

ACCESS = {"HEADSTAY_REDIS_ACCESS": "true"}


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with hostile_bench(tmp_path_factory.mktemp("hostile")) as found:
        yield found


@pytest.fixture
def kubectl(bench: Bench) -> Kubectl:
    """In a namespace of the test's own, with the default operator at work."""
    bench.operator.run()
    bench.redis.cli("FLUSHALL")
    bench.kubectl("delete", "configmap", "-l", "headstay.io/debt")
    own = Kubectl(bench.kubectl.kubeconfig, f"hostile-{uuid4().hex[:8]}")
    own("create", "namespace", own.namespace)
    return own


def reasons(kubectl: Kubectl) -> set[str]:
    return {event["reason"] for event in kubectl.items("events")}


def told(kubectl: Kubectl, *wanted: str) -> None:
    until(lambda: set(wanted) <= reasons(kubectl), what=f"Events {wanted}")


def test_1_an_invalid_spec_is_deleted_and_its_keys_go_too(bench: Bench, kubectl: Kubectl) -> None:
    made(kubectl, bench.redis, timeout=60)
    options = {"spec": {"gcsFaultToleranceOptions": {"redisAddress": bench.redis.address}}}
    kubectl("patch", "raycluster", NAME, "--type=merge", "-p", json.dumps(options))
    told(kubectl, "InvalidRayClusterSpec")
    delete(kubectl)
    run_job(kubectl)
    until(lambda: gone(kubectl), seconds=5)
    assert bench.redis.keys == 0
    assert bench.debts(kubectl) == []


def test_2_a_gate_flipped_after_creation_leaves_a_debt(bench: Bench, kubectl: Kubectl) -> None:
    made(kubectl, bench.redis, timeout=60)
    bench.operator.run(ENABLE_GCS_FT_REDIS_CLEANUP="false")
    delete(kubectl)
    until(lambda: gone(kubectl), seconds=40)
    assert bench.debt(kubectl)["reason"] == "Redis cleanup is switched off"
    until(lambda: bench.debt(kubectl)["state"] == "Unpayable")


def test_3_fault_tolerance_switched_off_leaves_a_debt_that_knows_where(bench: Bench, kubectl: Kubectl) -> None:
    uid = made(kubectl, bench.redis, timeout=60)
    kubectl("annotate", "raycluster", NAME, "ray.io/ft-enabled=false", "--overwrite")
    delete(kubectl)
    until(lambda: gone(kubectl), seconds=5)
    debt = bench.debt(kubectl)
    assert (debt["address"], debt["storageNamespace"]) == (f"redis://{bench.redis.address}", uid)
    assert debt["passwordSecret"] == f"{kubectl.namespace}/{SECRET}/password"
    told(kubectl, "RedisCleanupIncomplete", "RedisDebtRecorded")


def on_a_lost_node(bench: Bench, kubectl: Kubectl) -> str:
    """A head Pod that was bound to a node nobody hears of any more; its storage namespace."""
    uid = made(kubectl, bench.redis)
    (head,) = ray_pods(kubectl, "head")
    binding = {
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": {"name": head["metadata"]["name"]},
        "target": {"apiVersion": "v1", "kind": "Node", "name": "lost"},
    }
    path = f"/api/v1/namespaces/{kubectl.namespace}/pods/{head['metadata']['name']}/binding"
    kubectl("create", "--raw", path, "-f", "-", stdin=json.dumps(binding))
    return uid


def test_4_a_head_on_a_lost_node_holds_until_the_deadline_and_is_owed_for(bench: Bench, kubectl: Kubectl) -> None:
    on_a_lost_node(bench, kubectl)
    delete(kubectl)
    until(lambda: gone(kubectl), seconds=10)
    (head,) = ray_pods(kubectl, "head")
    debt = bench.debt(kubectl)
    assert debt["headPodUIDs"] == head["metadata"]["uid"]
    assert f"head Pod {head['metadata']['name']} is still there" in debt["reason"]
    told(kubectl, "ForceDeletedStuckCluster")
    bench.operator.run(**ACCESS)
    until(lambda: bench.debt(kubectl)["state"] == "Pending", what="payable with access")
    assert "may write" in bench.debt(kubectl)["lastError"]
    assert bench.redis.keys == 3, "not before the head is gone"
    name = head["metadata"]["name"]
    kubectl("delete", "pod", name, "--grace-period=0", "--force")
    bench.operator.stop()
    bench.operator.run(**ACCESS)
    until(lambda: not bench.debts(kubectl), what="the debt is paid")
    assert bench.redis.keys == 0


def test_5_a_terminating_namespace_is_not_held_up(bench: Bench, kubectl: Kubectl) -> None:
    made(kubectl, bench.redis, timeout=300)
    kubectl("delete", "namespace", kubectl.namespace, "--wait=false")
    until(
        lambda: kubectl.run("get", "namespace", kubectl.namespace, check=False).returncode != 0,
        seconds=20,
        what="the namespace is gone",
    )
    assert "namespace is being deleted" in bench.debt(kubectl)["reason"]


def test_6_a_job_that_a_quota_refuses_holds_until_the_deadline(bench: Bench, kubectl: Kubectl) -> None:
    made(kubectl, bench.redis)
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none"}}
    kubectl.apply(quota | {"spec": {"hard": {"count/jobs.batch": "0"}}})
    delete(kubectl)
    until(lambda: gone(kubectl), seconds=10)
    assert "exceeded quota" in bench.debt(kubectl)["reason"]
    told(kubectl, "FailedToCreateRedisCleanupJob", "ForceDeletedStuckCluster")


def test_7_a_job_that_is_never_scheduled_holds_until_the_deadline(bench: Bench, kubectl: Kubectl) -> None:
    made(kubectl, bench.redis)
    delete(kubectl)
    job_pod(kubectl)
    until(lambda: gone(kubectl), seconds=10)
    assert f"Job {NAME}-redis-cleanup is still running" in bench.debt(kubectl)["reason"]
    assert "not scheduled" in bench.debt(kubectl)["reason"]


def test_8_a_job_that_fails_lets_go_at_once_with_its_last_words(bench: Bench, kubectl: Kubectl) -> None:
    made(kubectl, bench.redis, timeout=300)
    delete(kubectl)
    end_pod(kubectl, job_pod(kubectl), 1, "first\nRedis says: no\n")
    until(lambda: gone(kubectl), seconds=10)
    assert "Redis says: no" in bench.debt(kubectl)["reason"]


def test_9_a_redis_that_is_away_lets_go_and_is_owed(bench: Bench, kubectl: Kubectl) -> None:
    made(kubectl, bench.redis, timeout=300, address="127.1:1")
    delete(kubectl)
    run_job(kubectl, HEADSTAY_REDIS_PATIENCE_S="1")
    until(lambda: gone(kubectl), seconds=10)
    assert "127.1:1" in bench.debt(kubectl)["reason"]


def test_10_a_redis_that_is_empty_already_is_a_success(bench: Bench, kubectl: Kubectl) -> None:
    made(kubectl, bench.redis, timeout=300)
    bench.redis.cli("FLUSHALL")
    delete(kubectl)
    run_job(kubectl)
    until(lambda: gone(kubectl), seconds=10)
    assert bench.debts(kubectl) == []


def test_11_without_its_secret_the_debt_says_what_to_type(bench: Bench, kubectl: Kubectl) -> None:
    uid = made(kubectl, bench.redis)
    bench.operator.run(**ACCESS)
    kubectl("delete", "secret", SECRET)
    delete(kubectl)
    pod = job_pod(kubectl)
    waiting = {"reason": "CreateContainerConfigError", "message": f'secret "{SECRET}" not found'}
    name = pod["spec"]["containers"][0]["name"]
    status = {"name": name, "ready": False, "restartCount": 0, "image": "a", "imageID": "", "state": {}}
    status["state"] = {"waiting": waiting}
    patch_status(kubectl, f"pod/{pod['metadata']['name']}", {"status": {"containerStatuses": [status]}})
    until(lambda: gone(kubectl), seconds=10)
    assert f'secret "{SECRET}" not found' in bench.debt(kubectl)["reason"]
    until(lambda: bench.debt(kubectl)["state"] == "Unpayable", what="Unpayable")
    debt = bench.debt(kubectl)
    assert debt["lastError"] == f"Secret {kubectl.namespace}/{SECRET} is gone"
    listed = bench.kubectl("get", "configmap", "-l", "headstay.io/debt=Unpayable")
    assert f"headstay-debt-{uid}" in listed
    told(bench.kubectl, "DebtUnpayable")
    assert debt["command"] in debts_in_status(bench)
    bench.redis.cli("HSET", f"RAY{uid}other@KV", "a", "b")
    type_in_the_pod(debt["command"])
    assert bench.redis.cli("KEYS", "*") == f"RAY{uid}other@KV", "its own keys, and no others"


def debts_in_status(bench: Bench) -> str:
    """The debts' part of `headstay status`."""
    kubectl = Cli({**os.environ, "KUBECONFIG": bench.kubectl.kubeconfig})
    with console.capture() as said:
        print_debts(gather_debts(kubectl))
    return said.get()


def type_in_the_pod(command: str) -> None:
    """The part of the command that kubectl would run in a Pod, here, with the password typed."""
    probe = 'kubectl() { while [ "$1" != sh ]; do shift; done 2>/dev/null; "$@"; }; '
    done = subprocess.run(
        ["bash", "-c", probe + command.rsplit(" && ", 1)[0]],
        input=f"{PASSWORD}\n",
        env=dict(os.environ),
        text=True,
        capture_output=True,
        check=False,
        timeout=20,
    )
    assert done.returncode == 0, done.stderr
    assert PASSWORD not in done.stdout + done.stderr


def test_the_operator_cleans_with_no_pod_where_a_cluster_asks_for_it(bench: Bench, kubectl: Kubectl) -> None:
    bench.operator.run(**ACCESS)
    made(kubectl, bench.redis, timeout=60)
    kubectl("annotate", "raycluster", NAME, "headstay.io/gcs-ft-cleanup=Operator")
    delete(kubectl)
    until(lambda: gone(kubectl), seconds=10)
    assert bench.redis.keys == 0
    assert kubectl.items("jobs") == []
    assert bench.debts(kubectl) == []
    told(kubectl, "RedisCleaned")


def test_without_access_operator_becomes_a_job_and_says_which_value_to_set(bench: Bench, kubectl: Kubectl) -> None:
    made(kubectl, bench.redis, timeout=60)
    kubectl("annotate", "raycluster", NAME, "headstay.io/gcs-ft-cleanup=Operator")
    told(kubectl, "RedisCleanupPolicy")
    notes = [event.get("message", "") for event in kubectl.items("events") if event["reason"] == "RedisCleanupPolicy"]
    assert "redisAccess.enabled" in notes[0]
    delete(kubectl)
    run_job(kubectl)
    until(lambda: gone(kubectl), seconds=10)
    assert bench.redis.keys == 0


def test_retain_keeps_the_keys(bench: Bench, kubectl: Kubectl) -> None:
    made(kubectl, bench.redis, timeout=60)
    kubectl("annotate", "raycluster", NAME, "headstay.io/gcs-ft-cleanup=Retain")
    delete(kubectl)
    until(lambda: gone(kubectl), seconds=5)
    assert bench.redis.keys == 3
    assert bench.debts(kubectl) == []
    told(kubectl, "RedisKeysRetained")


def test_a_debt_is_void_once_somebody_uses_its_keys(bench: Bench, kubectl: Kubectl) -> None:
    uid = made(kubectl, bench.redis, timeout=60)
    bench.operator.run(ENABLE_GCS_FT_REDIS_CLEANUP="false")
    delete(kubectl)
    until(lambda: bool(gone(kubectl) and bench.debts(kubectl)), seconds=40)
    heir = sample_cluster()
    heir["metadata"]["name"] = "heir"
    heir["metadata"]["annotations"]["ray.io/external-storage-namespace"] = uid
    container = heir["spec"]["headGroupSpec"]["template"]["spec"]["containers"][0]
    (entry,) = [found for found in container["env"] if found["name"] == "RAY_REDIS_ADDRESS"]
    entry["value"] = bench.redis.address
    kubectl.apply(heir)
    bench.operator.run(**ACCESS)
    until(lambda: not bench.debts(kubectl), what="the debt is void")
    told(bench.kubectl, "DebtVoid")
    assert bench.redis.keys == 3


def test_a_debt_that_cannot_be_written_does_not_hold_the_cluster(bench: Bench, kubectl: Kubectl) -> None:
    made(kubectl, bench.redis)
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "full"}}
    bench.kubectl.apply(quota | {"spec": {"hard": {"count/configmaps": "0"}}})
    try:
        delete(kubectl)
        end_pod(kubectl, job_pod(kubectl), 1, "no")
        until(lambda: gone(kubectl), seconds=10)
        told(kubectl, "FailedToRecordRedisDebt")
        assert bench.debts(kubectl) == []
    finally:
        bench.kubectl("delete", "resourcequota", "full")
