import json
from typing import Any

import yaml

from headstay.cli.quickstart.place import sample_path
from headstay.drill import manifest
from headstay.drill.faults.kind import HANDS
from headstay.drill.safety import MADE_BY

SAMPLE = next(d for d in yaml.safe_load_all(sample_path().read_text()) if d["kind"] == "RayCluster")


def wanted(**given: Any) -> manifest.Wanted:
    base: dict[str, Any] = {"drill": "d1", "namespace": "d1", "sample": SAMPLE, "workers": 3, "hands": False}
    return manifest.Wanted(**{**base, "redis_image": "redis:7.4", **given})


def head_containers(cluster: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = cluster["spec"]["headGroupSpec"]["template"]["spec"]["containers"]
    return found


def test_all_that_is_made_carries_the_drills_name() -> None:
    w = wanted()
    for obj in (manifest.namespace(w), *manifest.redis(w, "secret"), manifest.ray_cluster(w, "InPlace")):
        assert obj["metadata"]["labels"][MADE_BY] == "d1", obj["kind"]


def test_the_password_is_in_the_secret_and_nowhere_else() -> None:
    secret, *others = manifest.redis(wanted(), "hush-hush")
    assert secret["kind"] == "Secret"
    assert "hush-hush" in json.dumps(secret)
    assert "hush-hush" not in json.dumps([*others, manifest.ray_cluster(wanted(), "InPlace")])


def test_only_a_drill_that_cuts_networks_asks_for_more_rights() -> None:
    plain, cutting = wanted(), wanted(hands=True)
    assert [c["name"] for c in head_containers(manifest.ray_cluster(plain, "InPlace"))] == ["ray-head"]
    assert "privileged" not in json.dumps(manifest.namespace(plain))
    ray, hands = head_containers(manifest.ray_cluster(cutting, "InPlace"))
    assert ray["name"] == "ray-head", "Ray's container comes first"
    assert hands["name"] == HANDS
    assert hands["image"] == ray["image"], "which the node has already"
    assert hands["securityContext"]["capabilities"] == {"drop": ["ALL"], "add": ["NET_ADMIN"]}


def test_the_cluster_is_the_samples_made_small_and_the_sample_is_left_as_it_was() -> None:
    before = json.dumps(SAMPLE)
    cluster = manifest.ray_cluster(wanted(image="ray:mine", version="2.9.0"), "RestartHead")
    assert json.dumps(SAMPLE) == before
    assert cluster["metadata"]["annotations"] == {
        "ray.io/ft-enabled": "true",
        "headstay.io/gcs-recovery": "RestartHead",
    }
    (group,) = cluster["spec"]["workerGroupSpecs"]
    assert (group["replicas"], group["minReplicas"], group["maxReplicas"]) == (3, 3, 3)
    assert cluster["spec"]["rayVersion"] == "2.9.0"
    assert head_containers(cluster)[0]["image"] == "ray:mine"
    assert "volumes" not in cluster["spec"]["headGroupSpec"]["template"]["spec"], "the sample's scripts stay behind"
