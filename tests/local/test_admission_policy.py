"""The chart's admission policy on the local Kubernetes, as a user with kubectl meets it."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.conformance.control_plane import local_control_plane
from tests.local.operator_bench import NAME, Kubectl, sample_cluster, until

from headstay.controllers import manifests

CONFIG = Path(__file__).parents[2] / "config" / "admission-policy"
POLICY = manifests.DEPLOYMENT
BROKEN = {"spec": {"gcsFaultToleranceOptions": {"redisAddress": "redis:6379"}}}


@pytest.fixture(scope="module")
def kubectl(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kubectl]:
    with local_control_plane(tmp_path_factory.mktemp("policy")) as server:
        found = Kubectl(str(server.kubeconfig), "default")
        install(found)
        found("wait", "--for=condition=Established", "crd", "rayclusters.ray.io", "--timeout=30s")
        until(lambda: found.run("get", "serviceaccount", "default", check=False).returncode == 0)
        yield found


def install(kubectl: Kubectl) -> None:
    kubectl("apply", "-k", str(CONFIG), "--server-side", "--namespace=headstay-system")


@pytest.fixture(autouse=True)
def nothing_left(kubectl: Kubectl) -> Iterator[None]:
    yield
    kubectl("delete", "raycluster", "--all", "--wait=false")


def edited(kubectl: Kubectl, patch: object, *, dry_run: bool = False) -> str:
    """What kubectl says on standard error."""
    options = ["--dry-run=server"] if dry_run else []
    done = kubectl.run("patch", "raycluster", NAME, "--type=merge", "-p", json.dumps(patch), *options, check=False)
    return done.stderr


def test_a_sample_is_taken_and_a_broken_edit_refused_with_the_fix(kubectl: Kubectl) -> None:
    kubectl.apply(sample_cluster())
    for dry_run in (True, False):
        said = edited(kubectl, BROKEN, dry_run=dry_run)
        assert f"ValidatingAdmissionPolicy '{POLICY}' with binding '{POLICY}' denied request" in said
        assert "remove the annotation" in said
    assert "gcsFaultToleranceOptions" not in kubectl.get("raycluster", NAME)["spec"]


def test_what_is_wrong_from_the_start_is_refused(kubectl: Kubectl) -> None:
    document = sample_cluster()
    document["metadata"]["name"] = "a" * 54
    done = kubectl.run("create", "-f", "-", stdin=json.dumps(document), check=False)
    assert "metadata.name: use at most 53 characters" in done.stderr


def test_what_was_wrong_before_the_policy_can_be_relieved_repaired_and_deleted(kubectl: Kubectl) -> None:
    kubectl("delete", "validatingadmissionpolicybinding", POLICY)
    document = sample_cluster() | BROKEN
    document["spec"] = sample_cluster()["spec"] | BROKEN["spec"]
    document["metadata"]["finalizers"] = ["example.org/keep"]
    kubectl.apply(document)
    install(kubectl)
    assert "denied" in edited(kubectl, {"spec": {"rayVersion": "2.10.0"}})
    assert edited(kubectl, {"metadata": {"annotations": {"a": "b"}}}) == ""
    kubectl("delete", "raycluster", NAME, "--wait=false")
    assert edited(kubectl, {"spec": {"rayVersion": "2.10.0"}}) == "", "nothing traps what is being deleted"
    assert edited(kubectl, {"metadata": {"finalizers": None}}) == ""
    until(lambda: "NotFound" in kubectl.run("get", "raycluster", NAME, check=False).stderr)


def test_warn_says_it_and_lets_it_through(kubectl: Kubectl) -> None:
    kubectl.apply(sample_cluster())
    actions = {"spec": {"validationActions": ["Warn"]}}
    kubectl("patch", "validatingadmissionpolicybinding", POLICY, "--type=merge", "-p", json.dumps(actions))
    try:
        said = edited(kubectl, BROKEN)
        assert "Warning: Validation failed for ValidatingAdmissionPolicy" in said
        assert "gcsFaultToleranceOptions" in kubectl.get("raycluster", NAME)["spec"]
    finally:
        actions = {"spec": {"validationActions": ["Deny"]}}
        kubectl("patch", "validatingadmissionpolicybinding", POLICY, "--type=merge", "-p", json.dumps(actions))


def test_kubectl_shows_and_explains_the_kind(kubectl: Kubectl) -> None:
    assert POLICY in kubectl("get", "validatingadmissionpolicies")
    assert "matchConditions" in kubectl("explain", "validatingadmissionpolicy.spec")
