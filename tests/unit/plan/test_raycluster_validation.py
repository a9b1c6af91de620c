"""Each rule refuses what it should, by name, and a good cluster passes all."""

from pathlib import Path

import msgspec
import pytest
import yaml
from tests.unit.plan.clusters import FT, cluster, group, head_template, plan

from headstay.model.ray import RayCluster
from headstay.plan.raycluster.plan import Observed
from headstay.plan.raycluster.validation import validate

REDIS = {"name": "RAY_REDIS_ADDRESS", "value": "redis:6379"}
PASSWORD = {"name": "REDIS_PASSWORD", "value": "x"}
OPTIONS = {"redisAddress": "redis:6379"}
SAMPLES = Path(__file__).parents[3] / "config" / "samples"


def with_env(*entries: dict[str, str]) -> dict[str, object]:
    return {"template": head_template(env=list(entries))}


@pytest.mark.parametrize("sample", sorted(SAMPLES.glob("ray-cluster.*.yaml")), ids=lambda path: path.name)
def test_the_samples_pass(sample: Path) -> None:
    documents = [found for found in yaml.safe_load_all(sample.read_text()) if found["kind"] == "RayCluster"]
    assert documents
    for document in documents:
        assert validate(msgspec.convert(document, RayCluster)) is None


@pytest.mark.parametrize(
    "good",
    [
        cluster(),
        cluster(name="a" * 53),
        cluster(
            annotations=FT, head=with_env(REDIS, PASSWORD) | {"rayStartParams": {"redis-password": "$REDIS_PASSWORD"}}
        ),
        cluster(gcsFaultToleranceOptions={}),
        cluster(gcsFaultToleranceOptions=OPTIONS | {"backend": "redis", "redisUsername": {"value": "default"}}),
        cluster(groups=[]),
        cluster(enableInTreeAutoscaling=True, groups=[group(minReplicas=None, maxReplicas=None)]),
        cluster(rayVersion="2.52.0", authOptions={"mode": "token"}),
        cluster(upgradeStrategy={"type": "Recreate"}),
    ],
)
def test_a_good_cluster_passes(good: RayCluster) -> None:
    assert validate(good) is None


@pytest.mark.parametrize(
    ("bad", "reason", "words"),
    [
        (cluster(name="a" * 54), "Metadata", "at most 53"),
        (cluster(name="1st"), "Metadata", "starting with a letter"),
        (cluster(name="a.b"), "Metadata", "DNS label"),
        (cluster(head={"template": {"spec": {"containers": []}}}), "Spec", "headGroupSpec.template.spec.containers"),
        (cluster(head={"resources": {"CPU": 1}, "rayStartParams": {"num-cpus": "1"}}), "Spec", "num-cpus"),
        (cluster(head={"rayStartParams": {"labels": "a=b"}}), "Spec", "headGroupSpec.labels"),
        (cluster(head={"labels": {"a b": "c"}}), "Spec", 'key "a b"'),
        (cluster(head={"labels": {"a": "-"}}), "Spec", 'value "-"'),
        (cluster(groups=[group(template={"spec": {}})]), "Spec", "workerGroupSpecs[0].template"),
        (cluster(groups=[group(minReplicas=None)]), "Spec", "minReplicas"),
        (cluster(groups=[group(minReplicas=-1)]), "Spec", "minReplicas is -1"),
        (cluster(groups=[group(maxReplicas=-1)]), "Spec", "maxReplicas is -1"),
        (cluster(groups=[group(minReplicas=3, maxReplicas=2)]), "Spec", "above maxReplicas"),
        (cluster(groups=[group(idleTimeoutSeconds=5)]), "Spec", "autoscaler v2"),
        (cluster(groups=[group(priority=5)]), "Spec", "2.56.0"),
        (cluster(groups=[group(), group()]), "Spec", "more than once"),
        (cluster(annotations=FT, gcsFaultToleranceOptions=OPTIONS), "Spec", "remove the annotation"),
        (
            cluster(annotations={"ray.io/ft-enabled": "false"}, gcsFaultToleranceOptions={}),
            "Spec",
            "remove the annotation",
        ),
        (cluster(head=with_env(REDIS)), "Spec", "RAY_REDIS_ADDRESS"),
        (cluster(annotations={"ray.io/ft-enabled": "false"}, head=with_env(REDIS)), "Spec", "RAY_REDIS_ADDRESS"),
        (
            cluster(gcsFaultToleranceOptions=OPTIONS, head={"rayStartParams": {"redis-password": "x"}}),
            "Spec",
            "gcsFaultToleranceOptions.redisPassword",
        ),
        (cluster(gcsFaultToleranceOptions=OPTIONS, head=with_env(PASSWORD)), "Spec", "REDIS_PASSWORD"),
        (cluster(gcsFaultToleranceOptions=OPTIONS, head=with_env(REDIS)), "Spec", "RAY_REDIS_ADDRESS"),
        (
            cluster(gcsFaultToleranceOptions=OPTIONS, annotations={"ray.io/external-storage-namespace": "a"}),
            "Spec",
            "externalStorageNamespace",
        ),
        (cluster(gcsFaultToleranceOptions={"backend": "rocksdb"}), "Spec", "rocksdb"),
        (cluster(gcsFaultToleranceOptions={"storage": {}}), "Spec", "storage belongs to backend rocksdb"),
        (cluster(head={"rayStartParams": {"redis-username": "x"}}), "Spec", "redisUsername"),
        (cluster(head=with_env({"name": "REDIS_USERNAME", "value": "x"})), "Spec", "redisUsername"),
        (cluster(enableInTreeAutoscaling=True, groups=[group(suspend=True)]), "Spec", "suspended"),
        (cluster(head=with_env({"name": "RAY_enable_autoscaler_v2", "value": "1"})), "Spec", "enableInTreeAutoscaling"),
        (cluster(autoscalerOptions={"idleTimeoutSeconds": -1}), "Spec", "idleTimeoutSeconds is -1"),
        (cluster(authOptions={"mode": "token"}), "Spec", "rayVersion 2.52.0"),
        (cluster(authOptions={"enableK8sTokenAuth": True}), "Spec", "mode token"),
        (cluster(networkPolicy={}), "Spec", "networkPolicy"),
        (cluster(tlsOptions={"enabled": True}), "Spec", "tlsOptions"),
        (cluster(upgradeStrategy={"type": "Sideways"}), "Spec", "Recreate or None"),
        (
            cluster(upgradeStrategy={"type": "None"}, labels={"ray.io/originated-from-crd": "RayJob"}),
            "Spec",
            "a RayJob made",
        ),
        (
            cluster(
                status={
                    "conditions": [
                        {"type": "RayClusterSuspending", "status": "True"},
                        {"type": "RayClusterSuspended", "status": "True"},
                    ]
                }
            ),
            "Status",
            "both",
        ),
    ],
)
def test_a_broken_rule_is_named_with_its_fix(bad: RayCluster, reason: str, words: str) -> None:
    event = validate(bad)
    assert event is not None
    assert (event.type, event.reason, event.action) == ("Warning", f"InvalidRayCluster{reason}", "Validate")
    assert words in event.note


def test_an_invalid_cluster_gets_an_event_and_nothing_else() -> None:
    found = plan(Observed(cluster(name="a" * 54)))
    assert (found.actions, found.status, found.requeue_after) == ((), False, None)
    assert len(found.events) == 1


def test_a_cluster_of_another_manager_is_left_alone() -> None:
    found = plan(Observed(cluster(managedBy="kueue.x-k8s.io/multikueue")))
    assert (found.actions, found.events, found.status) == ((), (), False)


def test_the_first_broken_rule_is_the_answer() -> None:
    event = validate(cluster(name="a" * 54, gcsFaultToleranceOptions={"backend": "rocksdb"}))
    assert event is not None
    assert event.reason == "InvalidRayClusterMetadata"
