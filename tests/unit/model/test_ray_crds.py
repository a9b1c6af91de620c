"""The CRDs as files, as Kubernetes wants them, and no stricter than KubeRay's."""

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from headstay.model.objects import Obj
from headstay.model.ray_crds import crds, raycluster_crd

ROOT = Path(__file__).parents[3]


def generated() -> dict[str, str]:
    spec = importlib.util.spec_from_file_location("config_generate", ROOT / "config" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found: dict[str, str] = module.definitions()
    return found


def test_the_files_in_config_and_chart_are_what_the_generator_writes() -> None:
    for path, content in generated().items():
        assert (ROOT / path).read_text() == content, f"{path} is stale: run python config/generate.py"


def schemas() -> Iterator[tuple[str, Obj]]:
    for crd in crds():
        for version in crd["spec"]["versions"]:
            yield f"{crd['metadata']['name']} {version['name']}", version["schema"]["openAPIV3Schema"]


def nodes(path: str, schema: Obj) -> Iterator[tuple[str, Obj]]:
    yield path, schema
    for name, child in (schema.get("properties") or {}).items():
        yield from nodes(f"{path}.{name}", child)
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            yield from nodes(f"{path}[]", schema[key])


@pytest.mark.parametrize(("name", "schema"), list(schemas()), ids=[name for name, _ in schemas()])
def test_every_node_is_structural(name: str, schema: Obj) -> None:
    for path, node in nodes(name, schema):
        typed = "type" in node or node.get("x-kubernetes-int-or-string")
        assert typed, f"{path} has no type"
        assert not ("properties" in node and "additionalProperties" in node), path
        if node.get("type") == "object" and path != f"{name}.metadata":
            assert {"properties", "additionalProperties", "x-kubernetes-preserve-unknown-fields"} & set(node), path
        if node.get("x-kubernetes-list-type") == "map":
            required = node["items"].get("required", [])
            assert set(node["x-kubernetes-list-map-keys"]) <= set(required), path


def rules(schema: Obj) -> list[tuple[str, str]]:
    return [
        (path.partition(".")[2], rule["rule"])
        for path, node in nodes("", schema)
        for rule in node.get("x-kubernetes-validations", [])
    ]


def test_the_only_rules_are_kuberay_s() -> None:
    (schema, _) = [version["schema"]["openAPIV3Schema"] for version in raycluster_crd()["spec"]["versions"]]
    assert rules(schema) == [
        ("spec.gcsFaultToleranceOptions.backend", "self == oldSelf"),
        ("spec.managedBy", "self == oldSelf"),
        ("spec.managedBy", "self in ['ray.io/kuberay-operator', 'kueue.x-k8s.io/multikueue']"),
    ]


def at(schema: Obj, path: str) -> Obj:
    for step in path.split("."):
        schema = schema["items"] if step == "[]" else schema["properties"][step]
    return schema


@pytest.mark.parametrize(
    "path",
    [
        "spec.headGroupSpec.template",
        "spec.headGroupSpec.headService",
        "spec.workerGroupSpecs.[].template",
        "spec.autoscalerOptions.resources",
        "spec.autoscalerOptions.env.[]",
        "spec.gcsFaultToleranceOptions.redisPassword.valueFrom",
    ],
)
def test_embedded_kubernetes_types_keep_unknown_fields(path: str) -> None:
    for version in raycluster_crd()["spec"]["versions"]:
        assert at(version["schema"]["openAPIV3Schema"], path)["x-kubernetes-preserve-unknown-fields"] is True


def test_both_versions_are_served_and_v1_is_stored() -> None:
    for crd in crds():
        versions: list[dict[str, Any]] = crd["spec"]["versions"]
        assert [(v["name"], v["served"], v["storage"]) for v in versions] == [
            ("v1", True, True),
            ("v1alpha1", True, False),
        ]
        assert versions[1]["deprecated"]
        assert "shortNames" not in crd["spec"]["names"]
        assert crd["spec"]["names"]["categories"] == ["all"]


def test_defaults_and_required_fields_are_kuberay_s() -> None:
    for version in raycluster_crd()["spec"]["versions"]:
        schema = version["schema"]["openAPIV3Schema"]
        worker = at(schema, "spec.workerGroupSpecs")["items"]
        defaults = {name: field["default"] for name, field in worker["properties"].items() if "default" in field}
        assert defaults == {
            "replicas": 0,
            "minReplicas": 0,
            "maxReplicas": 2147483647,
            "numOfHosts": 1,
            "priority": 0,
        }
        assert set(worker["required"]) == {"groupName", "template"}
        assert at(schema, "spec")["required"] == ["headGroupSpec"]
        assert at(schema, "spec.headGroupSpec")["required"] == ["template"]
        assert "required" not in at(schema, "spec.gcsFaultToleranceOptions")


@pytest.mark.parametrize(
    ("path", "values"),
    [
        ("spec.upgradeStrategy.type", ["Recreate", "None"]),
        ("spec.authOptions.mode", ["disabled", "token"]),
        ("spec.autoscalerOptions.upscalingMode", ["Default", "Aggressive", "Conservative"]),
        ("spec.autoscalerOptions.version", ["v1", "v2"]),
        ("spec.gcsFaultToleranceOptions.backend", ["redis", "rocksdb"]),
        ("spec.gcsFaultToleranceOptions.storage.deletionPolicy", ["DeleteWithCluster", "Retain"]),
        ("spec.headGroupSpec.ingressOptions.pathType", ["Exact", "Prefix", "ImplementationSpecific"]),
        ("spec.networkPolicy.mode", ["DenyAll", "DenyAllIngress", "DenyAllEgress"]),
    ],
)
def test_choices_are_kuberay_s(path: str, values: list[str]) -> None:
    for version in raycluster_crd()["spec"]["versions"]:
        assert at(version["schema"]["openAPIV3Schema"], path)["enum"] == values


def test_printer_columns_are_kuberay_s() -> None:
    columns = raycluster_crd()["spec"]["versions"][0]["additionalPrinterColumns"]
    assert [column["name"] for column in columns if not column.get("priority")] == [
        "desired workers",
        "available workers",
        "cpus",
        "memory",
        "gpus",
        "status",
        "age",
    ]
    assert [column["name"] for column in columns if column.get("priority")] == [
        "tpus",
        "head pod IP",
        "head service IP",
    ]


def test_the_samples_carry_what_the_guide_says() -> None:
    text = (ROOT / "config" / "samples" / "ray-cluster.external-redis.yaml").read_text()
    objects = {(found["kind"], found["metadata"]["name"]): found for found in yaml.safe_load_all(text)}
    assert objects["Secret", "redis-password-secret"]["stringData"]["password"] == "5241590000000000"
    assert "requirepass 5241590000000000" in objects["ConfigMap", "redis-config"]["data"]["redis.conf"]
    assert set(objects["ConfigMap", "ray-example"]["data"]) == {"detached_actor.py", "increment_counter.py"}
    assert objects["Service", "redis"]["spec"]["type"] == "ClusterIP"
    assert objects["Deployment", "redis"]["spec"]["template"]["metadata"]["labels"]["app"] == "redis"
    cluster = objects["RayCluster", "raycluster-external-redis"]
    assert cluster["metadata"]["annotations"] == {"ray.io/ft-enabled": "true"}
    head = cluster["spec"]["headGroupSpec"]
    assert head["rayStartParams"] == {"num-cpus": "0", "redis-password": "$REDIS_PASSWORD"}
    env = [entry["name"] for entry in head["template"]["spec"]["containers"][0]["env"]]
    assert "RAY_gcs_rpc_server_reconnect_timeout_s" not in env
