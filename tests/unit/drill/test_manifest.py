import json
from typing import Any

import yaml

from headstay.cli.quickstart.place import sample_path
from headstay.drill import manifest
from headstay.drill.faults.kind import HANDS
from headstay.drill.safety import MADE_BY
from headstay.drill.service import cluster_spec, upgraded

SAMPLE = next(d for d in yaml.safe_load_all(sample_path().read_text()) if d["kind"] == "RayCluster")
SERVE_SAMPLE = next(
    d for d in yaml.safe_load_all(sample_path("ray-service.gcs-ft.yaml").read_text()) if d["kind"] == "RayService"
)


def wanted(**given: Any) -> manifest.Wanted:
    base: dict[str, Any] = {"drill": "d1", "namespace": "d1", "sample": SAMPLE, "workers": 3, "hands": False}
    return manifest.Wanted(**{**base, "redis_image": "redis:7.4", **given})


def head_containers(cluster: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = cluster["spec"]["headGroupSpec"]["template"]["spec"]["containers"]
    return found


def test_all_that_is_made_carries_the_drills_name() -> None:
    w = wanted()
    for obj in (manifest.namespace(w), *manifest.redis(w, "secret"), manifest.target(w, "InPlace")):
        assert obj["metadata"]["labels"][MADE_BY] == "d1", obj["kind"]


def test_the_password_is_in_the_secret_and_nowhere_else() -> None:
    secret, *others = manifest.redis(wanted(), "hush-hush")
    assert secret["kind"] == "Secret"
    assert "hush-hush" in json.dumps(secret)
    assert "hush-hush" not in json.dumps([*others, manifest.target(wanted(), "InPlace")])


def test_only_a_drill_that_cuts_networks_asks_for_more_rights() -> None:
    plain, cutting = wanted(), wanted(hands=True)
    assert [c["name"] for c in head_containers(manifest.target(plain, "InPlace"))] == ["ray-head"]
    assert "privileged" not in json.dumps(manifest.namespace(plain))
    ray, hands = head_containers(manifest.target(cutting, "InPlace"))
    assert ray["name"] == "ray-head", "Ray's container comes first"
    assert hands["name"] == HANDS
    assert hands["image"] == ray["image"], "which the node has already"
    assert hands["securityContext"]["capabilities"] == {"drop": ["ALL"], "add": ["NET_ADMIN"]}


def test_the_cluster_is_the_samples_made_small_and_the_sample_is_left_as_it_was() -> None:
    before = json.dumps(SAMPLE)
    cluster = manifest.target(wanted(image="ray:mine", version="2.9.0"), "RestartHead")
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


def test_a_drill_of_serve_has_a_replica_on_each_worker_and_a_proxy_on_each_node() -> None:
    service = manifest.target(wanted(sample=SERVE_SAMPLE, image="ray:mine", workers=3), "InPlace")
    assert service["metadata"]["annotations"] == {"headstay.io/gcs-recovery": "InPlace"}
    assert service["spec"]["excludeHeadPodFromServeSvc"] is False, "the head's proxy is measured too"
    config = json.loads(service["spec"]["serveConfigV2"])
    assert config["proxy_location"] == "EveryNode"
    (deployment,) = config["applications"][0]["deployments"]
    assert (deployment["num_replicas"], deployment["max_replicas_per_node"]) == (3, 1)
    spec = cluster_spec(service)
    assert spec["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0", "no replica finds room on the head"
    assert spec["workerGroupSpecs"][0]["replicas"] == 3
    mounted = [
        group["template"]["spec"]["containers"][0]["volumeMounts"][0]["mountPath"]
        for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"])
    ]
    config_map, load = manifest.serving(wanted(sample=SERVE_SAMPLE, image="ray:mine"))
    assert len(set(mounted)) == 1
    assert config["applications"][0]["import_path"] == f"{next(iter(config_map['data'])).removesuffix('.py')}:app"
    assert load["spec"]["containers"][0]["image"] == "ray:mine", "which the node has already"
    assert all(obj["metadata"]["labels"][MADE_BY] == "d1" for obj in (service, config_map, load))


def test_an_upgrade_changes_one_variable_of_the_workers_and_nothing_of_what_was_applied() -> None:
    before = manifest.target(wanted(sample=SERVE_SAMPLE), "InPlace")
    stored = {**before, "status": {"x": 1}, "metadata": {**before["metadata"], "uid": "u", "managedFields": []}}
    once, twice = upgraded(stored), upgraded(upgraded(stored))
    assert once.keys() == before.keys()
    assert once["metadata"] == before["metadata"]
    assert len({json.dumps(service) for service in (before, once, twice)}) == 3
    for service in (before, once, twice):
        cluster_spec(service)["workerGroupSpecs"][0]["template"]["spec"]["containers"][0]["env"].pop()
    assert before == once == twice
