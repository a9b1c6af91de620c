"""One writer for a storage namespace, and a KubeRay operator beside ours: what a user sees with kubectl."""

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.local.operator_bench import (
    Kubectl,
    bench,
    end_job,
    ray_pods,
    remove_clusters,
    sample_cluster,
    until,
)

from headstay.model.objects import Obj
from headstay.model.timestamps import rfc3339_micro

KUBECONFIG = os.environ.get("KUBECONFIG", "")
pytestmark = pytest.mark.skipif(not KUBECONFIG, reason="needs a Kubernetes: set KUBECONFIG")
CONFLICT = "headstay.io/StorageNamespaceConflict"
BESIDE = "headstay.io/ManagedByKubeRay"
LEASE = "ray-operator-leader"


@pytest.fixture(scope="module")
def kubectl(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kubectl]:
    with bench(KUBECONFIG, tmp_path_factory.mktemp("operator")) as found:
        yield found


@pytest.fixture(autouse=True)
def nothing_left(kubectl: Kubectl) -> Iterator[None]:
    yield
    kubectl("delete", "lease", LEASE, "--ignore-not-found")
    remove_clusters(kubectl)
    until(lambda: not ray_pods(kubectl) and not kubectl.items("jobs"), what="all Ray Pods and Jobs are gone")


def sharing(kubectl: Kubectl, name: str, **annotations: str) -> Obj:
    document = sample_cluster()
    document["metadata"]["name"] = name
    storage = f"shared-{kubectl.namespace}"
    document["metadata"]["annotations"] |= {"ray.io/external-storage-namespace": storage, **annotations}
    return document


def condition(kubectl: Kubectl, name: str, kind: str) -> Obj:
    status = kubectl.get("raycluster", name).get("status") or {}
    return next((found for found in status.get("conditions") or [] if found["type"] == kind), {})


def heads_of(kubectl: Kubectl, name: str) -> list[Obj]:
    return kubectl.items("pods", "-l", f"ray.io/node-type=head,ray.io/cluster={name}")


def gone(kubectl: Kubectl, name: str) -> bool:
    return kubectl.run("get", "raycluster", name, check=False).returncode != 0


def renew(kubectl: Kubectl) -> None:
    """As KubeRay's leader does every two seconds."""
    spec = {"holderIdentity": "kuberay-operator-abc_1", "leaseDurationSeconds": 15}
    spec["renewTime"] = rfc3339_micro(datetime.now(UTC))
    metadata = {"name": LEASE, "namespace": kubectl.namespace}
    kubectl.apply({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec})


def test_the_second_is_refused_and_let_in_after_the_first_is_gone(kubectl: Kubectl) -> None:
    kubectl.apply(sharing(kubectl, "first"))
    until(lambda: heads_of(kubectl, "first"), what="the first has its head")
    kubectl.apply(sharing(kubectl, "second"))
    until(lambda: condition(kubectl, "second", CONFLICT), what="the second is refused")
    found = condition(kubectl, "second", CONFLICT)
    assert found["status"] == "True"
    assert f"{kubectl.namespace}/first" in found["message"]
    kubectl("wait", f"--for=condition={CONFLICT}", "raycluster/second", "--timeout=5s")
    assert not heads_of(kubectl, "second")

    kubectl("delete", "raycluster", "first", "--wait=false")
    until(lambda: kubectl.items("jobs"), what="the first's cleanup Job")
    assert not heads_of(kubectl, "second")
    end_job(kubectl, "Complete")
    until(lambda: gone(kubectl, "first"), what="the first is gone")
    until(lambda: heads_of(kubectl, "second"), seconds=30, what="the second is let in")
    until(lambda: not condition(kubectl, "second", CONFLICT), what="and says so")
    events = [event for event in kubectl.items("events") if event["reason"] == "StorageNamespaceConflict"]
    assert events
    assert all(event["type"] == "Warning" for event in events)


def test_a_refused_cluster_goes_at_once_and_cleans_nothing(kubectl: Kubectl) -> None:
    kubectl.apply(sharing(kubectl, "first"))
    until(lambda: heads_of(kubectl, "first"))
    kubectl.apply(sharing(kubectl, "second"))
    until(lambda: condition(kubectl, "second", CONFLICT))
    kubectl("delete", "raycluster", "second", "--timeout=20s")
    assert not kubectl.items("jobs")


def test_a_cluster_made_again_continues_from_kept_state(kubectl: Kubectl) -> None:
    """With the keys retained the next of the same namespace starts as soon as the old head is gone."""
    keep = {"headstay.io/gcs-ft-cleanup": "Retain"}
    kubectl.apply(sharing(kubectl, "first", **keep))
    until(lambda: heads_of(kubectl, "first"))
    kubectl("delete", "raycluster", "first", "--timeout=30s")
    kubectl.apply(sharing(kubectl, "first", **keep))
    until(lambda: heads_of(kubectl, "first"), seconds=40, what="it runs again")
    (head,) = heads_of(kubectl, "first")
    env = {entry["name"]: entry.get("value") for entry in head["spec"]["containers"][0]["env"]}
    assert env["RAY_external_storage_namespace"] == f"shared-{kubectl.namespace}"
    assert not kubectl.items("jobs")


def test_beside_a_kuberay_operator_ours_waits_and_goes_on_when_that_one_is_gone(kubectl: Kubectl) -> None:
    kubectl.apply(sharing(kubectl, "before"))
    until(lambda: heads_of(kubectl, "before"))
    (head,) = heads_of(kubectl, "before")

    def told(name: str) -> bool:
        renew(kubectl)
        return bool(condition(kubectl, name, BESIDE))

    until(lambda: told("before"), what="the running cluster says who is in charge")
    document = sample_cluster()
    document["metadata"]["name"] = "during"
    kubectl.apply(document)
    until(lambda: told("during"), what="the new one too")
    kubectl("delete", "pod", head["metadata"]["name"], "--wait=false")
    for _ in range(10):
        renew(kubectl)
    assert not heads_of(kubectl, "during")
    assert json.dumps(kubectl.get("raycluster", "during")["metadata"]).count("finalizer") == 0
    until(lambda: heads_of(kubectl, "during"), seconds=60, what="its Lease has run out, and ours goes on")
    until(lambda: not condition(kubectl, "during", BESIDE), what="the condition is gone")
    until(lambda: heads_of(kubectl, "before"), what="the lost head is replaced")


def test_where_kuberay_is_to_be_ignored_it_is(kubectl: Kubectl, tmp_path: Path) -> None:
    renew(kubectl)
    with bench(KUBECONFIG, tmp_path, HEADSTAY_IGNORE_KUBERAY="true") as other:
        document = sample_cluster()
        document["metadata"]["name"] = "ignoring"
        other.apply(document)

        def has_head() -> bool:
            renew(kubectl)
            return bool(heads_of(other, "ignoring"))

        until(has_head, what="a head although the Lease is fresh")
        remove_clusters(other)
