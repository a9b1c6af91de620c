"""The life of a release as a user drives it, on any Kubernetes and with any Helm. Each function is one test."""

import json
from pathlib import Path

from tests.local.helm_bench import CHART, Helm
from tests.local.operator_bench import Kubectl, sample_cluster

from headstay.model.objects import Obj

RELEASE = "headstay"
DEPLOYMENT = "deployment/headstay-operator"


def a_release_is_installed_upgraded_rolled_back_and_uninstalled(helm: Helm, kubectl: Kubectl, *options: str) -> None:
    """`options` go with every step that starts Pods: --wait where there is a node, --skip-crds where CRDs are there."""
    here = ("--namespace", kubectl.namespace)
    helm.run("install", RELEASE, CHART, *here, *options)
    kubectl("label", DEPLOYMENT, "team=platform")
    assert not may_read_secrets(kubectl)
    uid = kubectl.get(DEPLOYMENT)["metadata"]["uid"]

    changed = ("--set", "redisAccess.enabled=true,metrics.enabled=false,reconcileConcurrency=8")
    helm.run("upgrade", RELEASE, CHART, *here, *options, *changed)
    assert may_read_secrets(kubectl)
    assert not kubectl.items("services", "-l", "app.kubernetes.io/component=operator")
    deployment = kubectl.get(DEPLOYMENT)
    assert deployment["metadata"]["uid"] == uid
    assert deployment["metadata"]["labels"]["team"] == "platform"
    assert "--reconcile-concurrency=8" in deployment["spec"]["template"]["spec"]["containers"][0]["args"]

    assert "reconcileConcurrency" in helm.refused("upgrade", RELEASE, CHART, *here, "--set", "reconcileConcurrency=0")

    helm.run("rollback", RELEASE, "1", *here, *(option for option in options if option != "--skip-crds"))
    assert not may_read_secrets(kubectl)
    assert kubectl.items("services", "-l", "app.kubernetes.io/component=operator")
    statuses = [revision["status"] for revision in helm.json("history", RELEASE, *here)]
    assert statuses == ["superseded", "superseded", "deployed"]

    cluster = sample_cluster()
    kubectl.apply(cluster)
    helm.run("uninstall", RELEASE, *here, "--wait")
    kinds = "deployments,services,serviceaccounts,roles,rolebindings,clusterroles,clusterrolebindings"
    assert not kubectl.items(kinds, "-l", "app.kubernetes.io/name=headstay-operator")
    assert not kubectl.items("secrets", "-l", "owner=helm")
    assert kubectl.get("raycluster", cluster["metadata"]["name"])


def a_failed_install_can_be_undone_and_repeated(helm: Helm, kubectl: Kubectl, *options: str) -> None:
    """The CRDs of the first attempt are there already, and a rule of somebody else's is in the way."""
    here = ("--namespace", kubectl.namespace)
    kubectl("create", "role", "headstay-operator-leader", "--verb=get", "--resource=pods")
    error = helm.refused("install", RELEASE, CHART, *here, *options)
    assert "headstay-operator-leader" in error
    assert "ownership" in error
    kubectl("delete", "role", "headstay-operator-leader")
    helm.run("upgrade", "--install", RELEASE, CHART, *here, *options)
    helm.run("uninstall", RELEASE, *here, "--wait")


def hooks_run_before_and_go_when_they_are_done(helm: Helm, kubectl: Kubectl, chart: Path, hook: Obj) -> None:
    here = ("--namespace", kubectl.namespace)
    hook["metadata"]["annotations"] = {
        "helm.sh/hook": "pre-install,pre-upgrade",
        "helm.sh/hook-delete-policy": "before-hook-creation,hook-succeeded",
    }
    (chart / "templates").mkdir(parents=True)
    (chart / "Chart.yaml").write_text("apiVersion: v2\nname: hooked\nversion: 1.0.0\n")
    (chart / "templates" / "hook.yaml").write_text(json.dumps(hook))
    lasting = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "lasting"}, "data": {"a": "{{.Values.a}}"}}
    (chart / "templates" / "lasting.yaml").write_text(json.dumps(lasting))
    what = f"{hook['kind'].lower()}/{hook['metadata']['name']}"
    for number, verb in enumerate(("install", "upgrade"), 1):
        helm.run(verb, "hooked", chart, *here, "--set-string", f"a={number}", "--timeout=60s")
        assert kubectl.run("get", what, check=False).returncode != 0, "a hook that succeeded is removed"
        assert kubectl.get("configmap", "lasting")["data"] == {"a": str(number)}
    helm.run("uninstall", "hooked", *here, "--wait")
    assert kubectl.run("get", "configmap", "lasting", check=False).returncode != 0


def may_read_secrets(kubectl: Kubectl) -> bool:
    account = f"system:serviceaccount:{kubectl.namespace}:headstay-operator"
    done = kubectl.run("auth", "can-i", "get", "secrets", f"--as={account}", check=False)
    return done.stdout.strip() == "yes"
