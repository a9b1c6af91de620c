"""Real Helm installs the chart on a local Kubernetes with a node: the operator runs, and does what the values say."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from tests.local import helm_life
from tests.local.helm_bench import CHART, MAJORS, Helm
from tests.local.operator_bench import Kubectl, ray_pods, remove_clusters, sample_cluster, until

from headstay.local.config import LocalConfig

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="Pods get network namespaces of their own: needs root")

ENVIRONMENT = {
    **os.environ,
    "HEADSTAY_INSTANCE": "chart",
    "HEADSTAY_API_PORT": "6515",
    "HEADSTAY_POD_NETWORK": "10.84.0.0/16",
    "HEADSTAY_SERVICE_NETWORK": "10.104.0.0/16",
}
CONFIG = LocalConfig.from_environment(ENVIRONMENT)
WAIT = ("--wait", "--timeout=90s")


@pytest.fixture(scope="module")
def kubeconfig() -> Iterator[str]:
    """A local Kubernetes without an operator: each test brings its own."""
    headstay("down", "--purge")
    try:
        headstay("up")
        kubectl = Kubectl(str(CONFIG.kubeconfig), "default")
        kinds = "deployments,services,serviceaccounts,roles,rolebindings,clusterroles,clusterrolebindings"
        kubectl("delete", kinds, "-l", "app.kubernetes.io/name=headstay-operator")
        yield kubectl.kubeconfig
    finally:
        headstay("down", "--purge")


def headstay(*arguments: str) -> None:
    command = [f"{sys.prefix}/bin/headstay", *arguments]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def kubectl(kubeconfig: str) -> Iterator[Kubectl]:
    kubectl = Kubectl(kubeconfig, f"helm-{uuid4().hex[:8]}")
    kubectl("create", "namespace", kubectl.namespace)
    yield kubectl
    if kubectl.run("get", "crd", "rayclusters.ray.io", check=False).returncode == 0:
        remove_clusters(kubectl)
    kubectl("delete", "namespace", kubectl.namespace, "--wait=false")


@pytest.fixture(params=MAJORS)
def helm(request: pytest.FixtureRequest, tmp_path: Path, kubectl: Kubectl) -> Helm:
    return Helm(request.param, tmp_path, kubectl.kubeconfig)


def test_a_release_lives_with_its_pods(helm: Helm, kubectl: Kubectl) -> None:
    helm_life.a_release_is_installed_upgraded_rolled_back_and_uninstalled(helm, kubectl, *WAIT)


def test_hooks_are_jobs_that_are_waited_for(helm: Helm, kubectl: Kubectl, tmp_path: Path) -> None:
    container = {"name": "a", "image": "busybox:1", "command": ["sh", "-c", "sleep 0.2"]}
    template = {"spec": {"restartPolicy": "Never", "containers": [container]}}
    hook = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "before"}, "spec": {"template": template}}
    helm_life.hooks_run_before_and_go_when_they_are_done(helm, kubectl, tmp_path / "hooked", hook)


def test_roles_are_enough_for_a_namespaced_operator(helm: Helm, kubectl: Kubectl) -> None:
    """The namespace it watches is served, though no permission of it reaches beyond; another one is left alone."""
    watched, other = f"{kubectl.namespace}-watched", f"{kubectl.namespace}-other"
    for name in (watched, other):
        kubectl("create", "namespace", name)
    values = f"singleNamespaceInstall=true,watchNamespace={{{watched}}}"
    helm.run("install", "headstay", CHART, "--namespace", kubectl.namespace, *WAIT, "--set", values)
    assert not kubectl.items("clusterroles", "-l", "app.kubernetes.io/name=headstay-operator")
    here, elsewhere = Kubectl(kubectl.kubeconfig, watched), Kubectl(kubectl.kubeconfig, other)
    try:
        for place in (elsewhere, here):
            place.apply(sample_cluster())
        until(lambda: len(ray_pods(here)) == 2, what="two Ray Pods in the watched namespace")
        here("delete", "raycluster", "--all", "--wait=false")
        until(lambda: here.items("jobs"), what="the clean-up Job")
        assert not ray_pods(elsewhere)
        log = kubectl("logs", "deployment/headstay-operator")
        assert "forbidden" not in log.lower(), log
        assert f"in namespace {watched}" not in log, log  # it may look for KubeRay's Lease there
    finally:
        helm.run("uninstall", "headstay", "--namespace", kubectl.namespace, "--wait")
        for place in (elsewhere, here):
            remove_clusters(place)
            kubectl("delete", "namespace", place.namespace, "--wait=false")


def test_a_release_can_take_over_what_kustomize_installed(helm: Helm, kubectl: Kubectl) -> None:
    folder = str(CHART.parents[1] / "config" / "default")
    kubectl.run("apply", "--server-side", "-k", folder, "--namespace", "headstay-system")
    kubectl("rollout", "status", "deployment/headstay-operator", "-n", "headstay-system", "--timeout=45s")
    there = ("--namespace", "headstay-system")
    assert "ownership" in helm.refused("install", "headstay", CHART, *there)
    forced = ("--force-conflicts",) if helm.major == "4" else ()
    helm.run("install", "headstay", CHART, *there, *WAIT, "--take-ownership", *forced)
    helm.run("uninstall", "headstay", *there, "--wait")
    kubectl("delete", "namespace", "headstay-system")
