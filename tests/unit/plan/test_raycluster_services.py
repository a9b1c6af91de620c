"""The Services of a cluster."""

from tests.unit.plan.clusters import cluster, created, group, head_svc, head_template, plan

from headstay.model.objects import Obj
from headstay.model.ray import RayCluster
from headstay.plan.raycluster.plan import Create, Observed
from headstay.plan.raycluster.services import head_service
from headstay.plan.raycluster.settings import Settings


def services_of(of: RayCluster) -> list[Obj]:
    actions = plan(Observed(of)).actions
    return [found.obj for found in actions if isinstance(found, Create) and found.obj["kind"] == "Service"]


def ports_of(service: Obj) -> dict[str, int]:
    return {port["name"]: port["port"] for port in service["spec"]["ports"]}


def test_the_head_service_is_headless_and_shows_heads_that_are_not_ready() -> None:
    service = head_service(cluster(), Settings())
    assert service["metadata"]["name"] == "raycluster-head-svc"
    assert (service["spec"]["clusterIP"], service["spec"]["publishNotReadyAddresses"]) == ("None", True)
    assert service["spec"]["selector"] == service["metadata"]["labels"]
    assert service["metadata"]["ownerReferences"][0]["name"] == "raycluster"


def test_a_cluster_ip_can_be_asked_for_operator_wide_or_by_type() -> None:
    assert "clusterIP" not in head_service(cluster(), Settings(head_cluster_ip_service=True))["spec"]
    by_type = head_service(cluster(head={"serviceType": "NodePort"}), Settings())["spec"]
    assert ("clusterIP" in by_type, by_type["type"]) == (False, "NodePort")


def test_ports_are_the_container_s_and_metrics_or_the_defaults() -> None:
    assert ports_of(head_service(cluster(), Settings())) == {
        "client": 10001,
        "dashboard": 8265,
        "gcs-server": 6379,
        "metrics": 8080,
        "serve": 8000,
    }
    template = head_template(ports=[{"name": "x", "containerPort": 1}, {"containerPort": 2}])
    assert ports_of(head_service(cluster(head={"template": template}), Settings())) == {
        "x": 1,
        "2-port": 2,
        "metrics": 8080,
    }


def test_metrics_are_not_offered_twice_under_two_names() -> None:
    template = head_template(ports=[{"name": "mine", "containerPort": 8080}])
    assert ports_of(head_service(cluster(head={"template": template}), Settings())) == {"mine": 8080}


def test_the_selector_follows_labels_that_the_template_overrides() -> None:
    template = head_template() | {"metadata": {"labels": {"app.kubernetes.io/name": "mine", "team": "a"}}}
    selector = head_service(cluster(head={"template": template}), Settings())["spec"]["selector"]
    assert selector["app.kubernetes.io/name"] == "mine"
    assert "team" not in selector


def test_a_written_head_service_is_kept_with_our_selector_and_ports() -> None:
    written = {
        "metadata": {"name": "mine", "namespace": "elsewhere", "annotations": {"a": "old", "b": "1"}},
        "spec": {
            "selector": {"x": "y"},
            "ports": [{"name": "dashboard", "port": 1}, {"port": 2}],
            "futureField": {"deep": True},
        },
    }
    of = cluster(head={"headService": written}, headServiceAnnotations={"a": "new"})
    service = head_service(of, Settings())
    assert (service["metadata"]["name"], service["metadata"]["namespace"]) == ("mine", "default")
    assert service["metadata"]["annotations"] == {"a": "new", "b": "1"}
    assert service["spec"]["futureField"] == {"deep": True}
    assert service["spec"]["selector"]["ray.io/node-type"] == "head"
    assert [port["port"] for port in service["spec"]["ports"] if port.get("name") == "dashboard"] == [8265]
    assert {"port": 2} in service["spec"]["ports"]


def test_an_existing_head_service_is_left_alone() -> None:
    assert created(plan(Observed(cluster(), services=(head_svc(),)))) == ["Pod/head", "Pod/worker"]


def test_hosts_of_one_replica_find_each_other_through_a_headless_service() -> None:
    (_, headless) = services_of(cluster(groups=[group(numOfHosts=2)]))
    assert headless["metadata"]["name"] == "raycluster-headless"
    assert headless["spec"]["selector"] == {"ray.io/cluster": "raycluster", "ray.io/node-type": "worker"}


def test_a_serve_service_is_made_on_request() -> None:
    (_, serve) = services_of(cluster(annotations={"ray.io/enable-serve-service": "true"}))
    assert serve["metadata"]["name"] == "raycluster-serve-svc"
    assert ports_of(serve) == {"serve": 8000}
