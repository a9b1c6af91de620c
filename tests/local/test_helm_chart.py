"""What the chart renders, by real Helm. See `test_helm_on_node` for what it installs."""

import json
import runpy
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.local.helm_bench import CHART, MAJORS, ROOT, Helm, program

from headstay.controllers.configuration import Configuration, parse_configuration

GENERATE = runpy.run_path(str(ROOT / "config" / "generate.py"))
# As KubeRay's own chart has them; a values file of it must render here.
KUBERAYS = """
nameOverride: kuberay-operator
fullnameOverride: kuberay-operator
componentOverride: kuberay-operator
replicas: 1
operatorCommand: /manager
useKubernetesProxy: false
leaderElectionEnabled: true
reconcileConcurrency: 1
kubeClient: {qps: 100.0, burst: 200}
batchScheduler: {enabled: false, name: ""}
configuration: {enabled: false, defaultContainerEnvs: [], headSidecarContainers: [], workerSidecarContainers: []}
featureGates: [{name: RayClusterStatusConditions, enabled: true}, {name: RayCronJob, enabled: false}]
logging: {stdoutEncoder: json, fileEncoder: json, baseDir: "", fileName: "", sizeLimit: ""}
metrics: {enabled: true, serviceMonitor: {enabled: false, interval: 30s, honorLabels: true, namespace: ""}}
env: [{name: ENABLE_GCS_FT_REDIS_CLEANUP, value: "false"}]
livenessProbe: {initialDelaySeconds: 10, periodSeconds: 5, failureThreshold: 5}
readinessProbe: {initialDelaySeconds: 10, periodSeconds: 5, failureThreshold: 5}
resources: {limits: {cpu: 100m, memory: 512Mi}}
service: {type: ClusterIP, port: 8080}
crNamespacedRbacEnable: true
singleNamespaceInstall: false
watchNamespace: [team-a, team-b]
"""

CONFIGURED = """
annotations: {mine: kept}
configuration:
  enabled: true
  defaultContainerEnvs: [{name: RAY_a, value: "1"}, {name: RAY_b, value: "="}, {name: RAY_c, value: "0b_"}]
  headSidecarContainers: [{name: logs, image: "logs:1"}]
  workerSidecarContainers: []
  defaultPodAnnotations: {prometheus.io/scrape: "true"}
"""


@pytest.fixture(params=MAJORS)
def helm(request: pytest.FixtureRequest, tmp_path: Path) -> Helm:
    return Helm(request.param, tmp_path)


def of_kind(objects: list[dict[str, Any]], *kinds: str) -> list[dict[str, Any]]:
    return [obj for obj in objects if obj["kind"] in kinds]


def container(objects: list[dict[str, Any]]) -> dict[str, Any]:
    (deployment,) = of_kind(objects, "Deployment")
    (found,) = deployment["spec"]["template"]["spec"]["containers"]
    return dict(found)


def rules(objects: list[dict[str, Any]]) -> list[dict[str, Any]]:
    found = [rule for obj in of_kind(objects, "Role", "ClusterRole") for rule in obj["rules"]]
    assert found
    return found


def test_helm_finds_nothing_to_complain_of(helm: Helm) -> None:
    policy = ("--set", "admissionPolicy.enabled=true,watchNamespace={a,b}")
    for values in ((), ("--values", CHART / "ci" / "up-values.yaml"), policy):
        assert "1 chart(s) linted, 0 chart(s) failed" in helm.run("lint", "--strict", CHART, *values).stdout


def test_what_is_committed_is_what_the_chart_renders() -> None:
    for path, content in GENERATE["renderings"](program("3")).items():
        assert (ROOT / path).read_text() == content, f"{path} is stale: run python config/generate.py"


def test_both_helms_render_the_same(tmp_path: Path) -> None:
    three, four = (Helm(major, tmp_path).template() for major in MAJORS)
    assert sorted(map(json.dumps, three)) == sorted(map(json.dumps, four))


def test_no_rule_of_the_default_chart_grants_secrets_or_more_than_it_names(helm: Helm) -> None:
    for rule in rules(helm.template()):
        assert not {"secrets", "*"} & {*rule["apiGroups"], *rule["resources"], *rule["verbs"]}
        assert not {"escalate", "bind", "impersonate"} & {*rule["verbs"]}


def test_redis_access_adds_get_on_secrets_and_config_maps_and_nothing_else(helm: Helm) -> None:
    default = helm.template()
    added = helm.template("--set", "redisAccess.enabled=true")
    assert [rule for rule in rules(added) if rule not in rules(default)] == [
        {"apiGroups": [""], "resources": [kind], "verbs": ["get"]} for kind in ("secrets", "configmaps")
    ]
    assert {"name": "HEADSTAY_REDIS_ACCESS", "value": "true"} in container(added)["env"]
    assert {"name": "HEADSTAY_REDIS_ACCESS", "value": "false"} in container(default)["env"]


def test_a_namespaced_install_makes_roles_only(helm: Helm) -> None:
    objects = helm.template("--set", "singleNamespaceInstall=true")
    assert not of_kind(objects, "ClusterRole", "ClusterRoleBinding")
    assert {obj["metadata"]["namespace"] for obj in objects} == {"ray-system"}
    assert "--watch-namespace=ray-system" in container(objects)["args"]

    named = helm.template("--set", "singleNamespaceInstall=true,watchNamespace={a,b}")
    assert not of_kind(named, "ClusterRole", "ClusterRoleBinding")
    roles = {(obj["metadata"]["name"], obj["metadata"]["namespace"]) for obj in of_kind(named, "Role")}
    assert roles == {("headstay-operator", "a"), ("headstay-operator", "b"), ("headstay-operator-leader", "ray-system")}
    for binding in of_kind(named, "RoleBinding"):
        assert binding["subjects"][0]["namespace"] == "ray-system"
    assert "--watch-namespace=a,b" in container(named)["args"]


def test_permissions_can_be_left_to_others(helm: Helm) -> None:
    assert not of_kind(helm.template("--set", "rbacEnable=false"), "Role", "ClusterRole", "RoleBinding")
    theirs = ("--set", "singleNamespaceInstall=true,crNamespacedRbacEnable=false,watchNamespace={a}")
    assert [obj["metadata"]["name"] for obj in of_kind(helm.template(*theirs), "Role")] == ["headstay-operator-leader"]
    own = helm.template("--set", "serviceAccount.create=false,serviceAccount.name=ours")
    assert not of_kind(own, "ServiceAccount")
    assert of_kind(own, "Deployment")[0]["spec"]["template"]["spec"]["serviceAccountName"] == "ours"
    assert {obj["subjects"][0]["name"] for obj in of_kind(own, "RoleBinding", "ClusterRoleBinding")} == {"ours"}


def test_the_admission_policy_is_there_when_asked_for_and_where_the_operator_acts(helm: Helm) -> None:
    assert not of_kind(helm.template(), "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding")
    everywhere = helm.template("--set", "admissionPolicy.enabled=true")
    (policy,) = of_kind(everywhere, "ValidatingAdmissionPolicy")
    (binding,) = of_kind(everywhere, "ValidatingAdmissionPolicyBinding")
    assert policy["spec"]["failurePolicy"] == "Ignore"
    assert binding["spec"] == {"policyName": policy["metadata"]["name"], "validationActions": ["Deny"]}
    some = helm.template("--set", "admissionPolicy.enabled=true,watchNamespace={a,b}")
    (binding,) = of_kind(some, "ValidatingAdmissionPolicyBinding")
    (expression,) = binding["spec"]["matchResources"]["namespaceSelector"]["matchExpressions"]
    assert expression["values"] == ["a", "b"]
    both = helm.refused("template", CHART, "--set", "admissionPolicy.enabled=true,singleNamespaceInstall=true")
    assert "admissionPolicy: a policy is cluster-wide" in both


def test_the_pod_meets_the_restricted_standard(helm: Helm) -> None:
    objects = helm.template()
    pod = of_kind(objects, "Deployment")[0]["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    security = container(objects)["securityContext"]
    assert security["capabilities"] == {"drop": ["ALL"]}
    assert security["readOnlyRootFilesystem"]
    assert not security["allowPrivilegeEscalation"]


def test_the_names_follow_the_release_when_asked(helm: Helm) -> None:
    names = {obj["metadata"]["name"] for obj in helm.template("--set", "fullnameOverride=,nameOverride=")}
    assert names == {"headstay-headstay-operator", "headstay-headstay-operator-leader"}


def test_a_values_file_of_kuberay_s_chart_renders(helm: Helm, tmp_path: Path) -> None:
    values = tmp_path / "kuberay.yaml"
    values.write_text(KUBERAYS)
    objects = helm.template("--values", values)
    found = container(objects)
    assert of_kind(objects, "Deployment")[0]["metadata"]["name"] == "kuberay-operator"
    assert "--watch-namespace=team-a,team-b" in found["args"]
    assert "--reconcile-concurrency=1" in found["args"]
    assert {"name": "ENABLE_GCS_FT_REDIS_CLEANUP", "value": "false"} in found["env"]
    assert found["resources"]["limits"]["cpu"] == "100m"
    assert found["image"].startswith("headstay/operator:")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("reconcileConcurrency=0", "reconcileConcurrency"),
        ("redisacces.enabled=true", "redisacces"),
        ("image.pullPolicy=Sometimes", "pullPolicy"),
        ("watchNamespace={Team_A}", "watchNamespace"),
        ("watchNamespace=team-a", "watchNamespace"),
        ("logging.stdoutEncoder=xml", "stdoutEncoder"),
        ("replicas=2,leaderElectionEnabled=false", "leaderElectionEnabled"),
        ("batchScheduler.name=volcano", "gang scheduling"),
        ("configuration.defaultPodLabel.a=b", "defaultPodLabel"),
        ("configuration.headSidecarContainers[0].name=logs", "image"),
        ("configuration.defaultContainerEnvs[0].name=RAY_REDIS_ADDRESS", "gcsFaultToleranceOptions"),
        ("image.repository=quay.io/kuberay/operator", "KubeRay's operator"),
        ("featureGates[0].name=RayClusterMtls,featureGates[0].enabled=true", "RayClusterMTLS"),
        ("env[0].name=HEADSTAY_REDIS_ACCESS", "redisAccess.enabled"),
        ("env[0].name=CLUSTER_DOMAIN,env[0].value=1", "env"),
    ],
)
def test_a_value_that_cannot_be_used_is_refused_by_name(helm: Helm, wrong: str, said: str) -> None:
    assert said in helm.refused("template", CHART, "--set", wrong)


def test_the_configuration_is_mounted_and_read_and_a_changed_one_makes_a_new_pod(helm: Helm, tmp_path: Path) -> None:
    def rendered(said: str) -> list[dict[str, Any]]:
        values = tmp_path / "values.yaml"
        values.write_text(said)
        return helm.template("--values", values)

    objects = rendered(CONFIGURED)
    (config,) = of_kind(objects, "ConfigMap")
    read = parse_configuration(config["data"]["config.yaml"])
    assert read.without_effect == ()
    assert read.configuration == Configuration(
        default_container_envs=[
            {"name": name, "value": value} for name, value in (("RAY_a", "1"), ("RAY_b", "="), ("RAY_c", "0b_"))
        ],
        head_sidecar_containers=[{"name": "logs", "image": "logs:1"}],
        default_pod_annotations={"prometheus.io/scrape": "true"},
    )

    pod = of_kind(objects, "Deployment")[0]["spec"]["template"]
    (volume,) = pod["spec"]["volumes"]
    (mount,) = container(objects)["volumeMounts"]
    assert volume == {"name": mount["name"], "configMap": {"name": config["metadata"]["name"]}}
    assert f"--config={mount['mountPath']}/config.yaml" in container(objects)["args"]
    changed = of_kind(rendered(CONFIGURED.replace("logs:1", "logs:2")), "Deployment")[0]["spec"]["template"]
    assert pod["metadata"]["annotations"]["mine"] == changed["metadata"]["annotations"]["mine"] == "kept"
    assert pod["metadata"]["annotations"]["checksum/config"] != changed["metadata"]["annotations"]["checksum/config"]


def test_annotations_left_empty_are_none(helm: Helm, tmp_path: Path) -> None:
    values = tmp_path / "values.yaml"
    values.write_text("annotations:\n")
    (deployment,) = of_kind(helm.template("--values", values), "Deployment")
    assert not deployment["spec"]["template"]["metadata"].get("annotations")


def test_without_a_configuration_nothing_is_mounted(helm: Helm) -> None:
    objects = helm.template("--set", "configuration.defaultContainerEnvs[0].name=RAY_a")
    assert not of_kind(objects, "ConfigMap")
    assert "volumeMounts" not in container(objects)
    assert not [argument for argument in container(objects)["args"] if argument.startswith("--config")]


def test_a_gate_that_is_not_followed_is_said_at_the_installation(tmp_path: Path) -> None:
    """By Helm 4, since Helm 3 wants a server even to pretend."""
    gates = "featureGates[0].name=RayClusterMTLS,featureGates[0].enabled=true"
    gates += ",featureGates[1].name=RayMultiHostIndexing,featureGates[1].enabled=false"
    gates += ",featureGates[2].name=RayCronJob,featureGates[2].enabled=false"
    notes = Helm("4", tmp_path).run("install", "headstay", CHART, "--dry-run=client", "--set", gates).stdout
    assert "RayClusterMTLS=true is not followed: this is not built yet" in notes
    assert "RayMultiHostIndexing=false is not followed: this is always on" in notes
    assert "RayCronJob" not in notes


def test_a_service_monitor_selects_the_service(helm: Helm) -> None:
    objects = helm.template("--set", "metrics.serviceMonitor.enabled=true,metrics.serviceMonitor.selector.release=prom")
    (monitor,) = of_kind(objects, "ServiceMonitor")
    (service,) = of_kind(objects, "Service")
    assert monitor["metadata"]["labels"]["release"] == "prom"
    assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert monitor["spec"]["endpoints"][0]["port"] == service["spec"]["ports"][0]["name"]
    assert not of_kind(helm.template("--set", "metrics.enabled=false"), "Service", "ServiceMonitor")


def test_the_crds_come_with_the_chart(helm: Helm) -> None:
    found = yaml.safe_load_all(helm.run("show", "crds", CHART).stdout)
    assert {crd["metadata"]["name"] for crd in found if crd} == {
        f"ray{kind}s.ray.io" for kind in ("cluster", "job", "service")
    }


def test_what_the_readme_says_to_set_can_be_set(helm: Helm) -> None:
    lines = (CHART / "README.md").read_text().splitlines()
    said = [shlex.split(line.split("`")[1]) for line in lines if "| `--set" in line]
    assert len(said) == 4
    for options in said:
        assert helm.template(*options)


def test_the_readme_tells_of_every_value() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    readme = (CHART / "README.md").read_text()
    assert not [name for name in values if f"`{name}" not in readme]
