"""Real Helm, 3 and 4, with the chart on both servers: neither may notice which one it speaks to. There is no node."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from tests.conformance.servers import Server
from tests.local import helm_life
from tests.local.helm_bench import MAJORS, Helm
from tests.local.operator_bench import Kubectl, minor_version, remove_clusters, without_rules

from headstay.controllers import manifests


@pytest.fixture(params=["local", "judge"])
def kubectl(request: pytest.FixtureRequest) -> Iterator[Kubectl]:
    server: Server = request.getfixturevalue(request.param)
    kubectl = Kubectl(str(server.kubeconfig), f"helm-{uuid4().hex[:8]}")
    kubectl("create", "namespace", kubectl.namespace)
    yield kubectl
    if kubectl.run("get", "crd", "rayclusters.ray.io", check=False).returncode == 0:
        remove_clusters(kubectl)
    kubectl("delete", "namespace", kubectl.namespace, "--wait=false")
    server.check()


@pytest.fixture(params=MAJORS)
def helm(request: pytest.FixtureRequest, tmp_path: Path, kubectl: Kubectl) -> Helm:
    return Helm(request.param, tmp_path, kubectl.kubeconfig)


@pytest.fixture
def options(helm: Helm, kubectl: Kubectl) -> tuple[str, ...]:
    """Helm 4 applies CRDs on the server's side, which a server older than their CEL rules refuses."""
    if helm.major == "3" or minor_version(kubectl) >= 25:
        return ()
    kubectl.apply(*without_rules([obj for _, obj in manifests.definitions()]), server_side=True)
    return ("--skip-crds",)


def test_a_release_lives(helm: Helm, kubectl: Kubectl, options: tuple[str, ...]) -> None:
    helm_life.a_release_is_installed_upgraded_rolled_back_and_uninstalled(helm, kubectl, *options)


def test_an_install_is_repeated_after_a_failure(helm: Helm, kubectl: Kubectl, options: tuple[str, ...]) -> None:
    helm_life.a_failed_install_can_be_undone_and_repeated(helm, kubectl, *options)


def test_hooks_run(helm: Helm, kubectl: Kubectl, tmp_path: Path) -> None:
    hook = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "before"}}
    helm_life.hooks_run_before_and_go_when_they_are_done(helm, kubectl, tmp_path / "hooked", hook)


@pytest.mark.parametrize("overlay", ["default", "redis-access", "namespaced"])
def test_kustomize_applies(kubectl: Kubectl, overlay: str) -> None:
    """Without validation: a server may be older than the CRDs' CEL rules. `apply` a second time changes nothing."""
    folder = str(Path(manifests.__file__).parents[3] / "config" / overlay)
    command = ["kubectl", f"--kubeconfig={kubectl.kubeconfig}", "apply", "-k", folder, "--validate=false"]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
        again = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
        assert all(line.endswith(" unchanged") for line in again.splitlines() if "customresource" not in line), again
        assert "deployment.apps/headstay-operator unchanged" in again
    finally:
        kinds = "deployments,services,serviceaccounts,roles,rolebindings"
        kubectl("delete", kinds, "-n", "headstay-system", "-l", "app.kubernetes.io/name=headstay-operator")
        kubectl("delete", "clusterroles,clusterrolebindings", "-l", "app.kubernetes.io/name=headstay-operator")
