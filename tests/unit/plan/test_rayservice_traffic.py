"""Where requests go, and when they go elsewhere."""

from typing import Any

import pytest
from tests.unit.plan.clusters import pod
from tests.unit.plan.rayservices import (
    actions,
    cluster_spec,
    condition,
    deployed,
    made_for,
    observed,
    plan,
    pods_of,
    seen,
    service,
    status,
    svc,
)

from headstay.model.meta import Pod
from headstay.plan.rayservice.observing import dashboard_url, proxy_url
from headstay.plan.rayservice.plan import CreateService, LabelHead, Names, Observed, UpdateService
from headstay.plan.rayservice.serving import Applications, read_applications


def repointed(found: Observed) -> list[str]:
    return [action.of.metadata.name for action in actions(plan(found), UpdateService)]


def test_the_services_are_made_once_all_applications_run() -> None:
    owner = service(pending="svc-new")
    new = deployed(owner, "svc-new")
    assert actions(plan(observed(owner, seen(new, status="DEPLOYING"))), CreateService) == []
    head, serve = (action.obj for action in actions(plan(observed(owner, seen(new))), CreateService))
    assert (head["metadata"]["name"], serve["metadata"]["name"]) == ("svc-head-svc", "svc-serve-svc")
    assert head["metadata"]["labels"] == {
        "ray.io/originated-from-cr-name": "svc",
        "ray.io/originated-from-crd": "RayService",
        "ray.io/node-type": "head",
        "ray.io/identifier": "svc-head",
        "app.kubernetes.io/name": "kuberay",
        "app.kubernetes.io/created-by": "kuberay-operator",
    }
    assert head["spec"]["selector"]["ray.io/cluster"] == "svc-new"
    assert serve["metadata"]["labels"]["ray.io/serve"] == "svc-serve"
    assert serve["spec"] == {
        "selector": {"ray.io/cluster": "svc-new", "ray.io/serve": "true"},
        "ports": [{"name": "serve", "port": 8000}],
    }
    assert [found["metadata"]["ownerReferences"][0]["kind"] for found in (head, serve)] == ["RayService"] * 2


def test_a_serve_service_of_the_user_keeps_what_they_wrote_but_selector_and_ports() -> None:
    mine = {
        "metadata": {"name": "mine", "labels": {"team": "fruit"}, "annotations": {"lb": "internal"}},
        "spec": {"type": "LoadBalancer", "selector": {"x": "y"}, "ports": [{"port": 1}], "sessionAffinity": "ClientIP"},
    }
    owner = service(pending="svc-new", serveService=mine)
    _, made = (action.obj for action in actions(plan(observed(owner, seen(deployed(owner, "svc-new")))), CreateService))
    assert made["metadata"]["name"] == "mine"
    assert made["metadata"]["labels"].items() >= {"team": "fruit", "ray.io/serve": "svc-serve"}.items()
    assert made["metadata"]["annotations"] == {"lb": "internal"}
    assert made["spec"] == {
        "type": "LoadBalancer",
        "sessionAffinity": "ClientIP",
        "selector": {"ray.io/cluster": "svc-new", "ray.io/serve": "true"},
        "ports": [{"name": "serve", "port": 8000}],
    }


def test_a_pending_cluster_is_promoted_once_both_services_point_at_it() -> None:
    owner = service(pending="svc-new")
    new = seen(deployed(owner, "svc-new"))
    one = Observed(owner, (new,), (svc("svc-head-svc", "svc-new"),))
    assert plan(one).names == Names("", "svc-new")
    found = observed(owner, new, points_at="svc-new")
    told = status(found)
    assert told["activeServiceStatus"]["rayClusterName"] == "svc-new"
    assert "pendingServiceStatus" not in told
    assert (told["serviceStatus"], told["numServeEndpoints"]) == ("Running", 2)
    assert condition(told, "Ready") == ("True", "NonZeroServeEndpoints")


def upgrading(**new_cluster: Any) -> Observed:
    owner = service(active="svc-old", pending="svc-new")
    new = seen(deployed(owner, "svc-new"), **new_cluster)
    return observed(owner, new, seen(deployed(owner, "svc-old")), points_at="svc-old")


def test_traffic_moves_when_all_runs_and_every_healthy_proxy_is_behind_a_ready_pod() -> None:
    assert repointed(upgrading(status="DEPLOYING")) == []
    assert repointed(upgrading(applications=None)) == []
    assert repointed(upgrading(pods=pods_of("svc-new", workers_ready=False))) == []
    assert repointed(upgrading(pods=())) == []
    assert repointed(upgrading()) == ["svc-head-svc", "svc-serve-svc"]


def test_a_proxy_that_never_gets_ready_holds_traffic_up_for_a_minute_only() -> None:
    straggling = pods_of("svc-new", workers_ready=False)
    assert repointed(upgrading(pods=straggling, running_for=59)) == []
    assert repointed(upgrading(pods=straggling, running_for=60)) != []


def test_what_was_edited_of_the_services_comes_with_the_next_cluster() -> None:
    edited = {"spec": {"type": "NodePort", "sessionAffinity": "ClientIP", "clusterIP": "10.96.0.7"}}
    owner = service(active="svc-old", pending="svc-new", serveService=edited)
    found = observed(owner, seen(deployed(owner, "svc-new")), seen(made_for(owner, "svc-old")), points_at="svc-old")
    _, serve = actions(plan(found), UpdateService)
    assert serve.patch["spec"].items() >= {"type": "NodePort", "sessionAffinity": "ClientIP"}.items()
    assert "clusterIP" not in serve.patch["spec"], "an address is given once"


def test_traffic_never_moves_to_where_nobody_would_answer() -> None:
    nobody = pods_of("svc-new", workers_ready=False, head_serves=False)
    assert repointed(upgrading(pods=nobody, head_serves=False, running_for=600)) == []


def test_traffic_moves_at_once_where_the_active_cluster_has_no_endpoint_left() -> None:
    owner = service(active="svc-old", pending="svc-new")
    old = seen(deployed(owner, "svc-old"), pods=())
    new = seen(deployed(owner, "svc-new"), pods=pods_of("svc-new", workers_ready=False))
    assert repointed(observed(owner, new, old, points_at="svc-old")) == ["svc-head-svc", "svc-serve-svc"]


def test_a_service_that_was_repointed_alone_goes_back_while_the_pending_cluster_does_not_serve() -> None:
    owner = service(active="svc-old", pending="svc-new")
    clusters = (seen(deployed(owner, "svc-new"), status="DEPLOYING"), seen(deployed(owner, "svc-old")))
    services = (svc("svc-head-svc", "svc-new"), svc("svc-serve-svc", "svc-old"))
    (back,) = actions(plan(Observed(owner, clusters, services)), UpdateService)
    assert (back.of.metadata.name, back.patch["spec"]["selector"]["ray.io/cluster"]) == ("svc-head-svc", "svc-old")


@pytest.mark.parametrize(
    ("answers", "label", "outside", "gcs", "becomes"),
    [
        (True, "false", False, None, [True]),
        (True, "true", False, None, []),
        (False, "true", False, None, [False]),
        (None, "true", False, None, []),
        (None, "false", False, None, []),
        (True, "false", True, None, []),
        (True, "true", True, None, [False]),
        (True, "true", False, False, [False]),
        (True, "true", False, True, []),
        (False, "true", False, True, [False]),
    ],
)
def test_the_head_serves_while_its_proxy_answers_and_its_gcs_is_not_known_to_be_gone(
    answers: bool | None, label: str, outside: bool, gcs: bool | None, becomes: list[bool]
) -> None:
    owner = service(active="svc-old", excludeHeadPodFromServeSvc=outside)
    pods = pods_of("svc-old", head_serves=label == "true")
    found = observed(owner, seen(deployed(owner, "svc-old"), pods=pods, head_serves=answers), points_at="svc-old")
    made = plan(found, may_serve=lambda _pod: gcs)
    assert [action.serves for action in actions(made, LabelHead)] == becomes


def test_a_head_that_alone_gets_requests_goes_on_getting_them_without_its_gcs() -> None:
    owner = service(active="svc-old")
    pods = pods_of("svc-old", workers_ready=False)
    found = observed(owner, seen(deployed(owner, "svc-old"), pods=pods), points_at="svc-old")
    assert actions(plan(found, may_serve=lambda _pod: False), LabelHead) == []


def test_the_head_s_label_is_looked_after_even_while_the_spec_is_invalid() -> None:
    owner = service(active="svc-old", serveConfigV2="[")
    found = observed(owner, seen(deployed(owner, "svc-old"), head_serves=False), points_at="svc-old")
    made = plan(found)
    assert [action.serves for action in actions(made, LabelHead)] == [False]
    assert made.requeue_after == 2.0


def test_what_is_not_known_now_stays_as_it_was_told() -> None:
    owner = service(active="svc-old")
    owner.status["activeServiceStatus"]["applicationStatuses"] = {"app": {"status": "RUNNING"}}
    found = observed(owner, seen(deployed(owner, "svc-old"), applications=None), points_at="svc-old")
    assert status(found)["activeServiceStatus"]["applicationStatuses"] == {"app": {"status": "RUNNING"}}


def test_a_service_without_endpoints_is_not_ready_any_more() -> None:
    ready = {"type": "Ready", "status": "True", "reason": "NonZeroServeEndpoints"}
    owner = service(active="svc-old", conditions=[ready])
    found = observed(owner, seen(deployed(owner, "svc-old"), pods=()), points_at="svc-old")
    told = status(found)
    assert condition(told, "Ready") == ("False", "ZeroServeEndpoints")
    assert (told["serviceStatus"], told["numServeEndpoints"]) == ("", 0)


def test_endpoints_are_ready_pods_that_the_serve_service_selects() -> None:
    owner = service(active="svc-old")
    label = {"ray.io/serve": "true"}
    pods: tuple[Pod, ...] = (
        *pods_of("svc-old", head_serves=False),
        pod("unready", of="svc-old", labels=label, ready=False),
        pod("going", of="svc-old", labels=label, deleting=True),
        pod("other", of="svc-old"),
    )
    found = observed(owner, seen(deployed(owner, "svc-old"), pods=pods), points_at="svc-old")
    assert status(found)["numServeEndpoints"] == 1


def test_an_upgrade_shows_both_clusters_in_the_status() -> None:
    told = status(upgrading(status="DEPLOYING"))
    assert condition(told, "UpgradeInProgress") == ("True", "BothActivePendingClustersExist")
    assert told["pendingServiceStatus"]["applicationStatuses"] == {"app": {"status": "DEPLOYING"}}
    assert told["activeServiceStatus"]["rayClusterName"] == "svc-old"


def test_heads_are_asked_at_their_own_address_and_ports() -> None:
    spec = cluster_spec()
    spec["headGroupSpec"]["rayStartParams"] = {"dashboard-port": "9999"}
    spec["headGroupSpec"]["template"]["spec"]["containers"][0]["ports"] = [{"name": "serve", "containerPort": 9000}]
    cluster = made_for(service(cluster=spec), "svc-x")
    assert dashboard_url(cluster, pod("h", "head", ip="10.0.0.9")) == "http://10.0.0.9:9999"
    assert proxy_url(cluster, pod("h", "head", ip="fd00::9")) == "http://[fd00::9]:9000"


def test_serve_s_answer_is_read_as_status_shows_it() -> None:
    answer = {
        "proxies": {
            "a": {"status": "HEALTHY", "node_ip": "10.0.0.2"},
            "b": {"status": "STARTING", "node_ip": "10.0.0.3"},
        },
        "applications": {
            "app": {
                "status": "DEPLOY_FAILED",
                "message": "boom",
                "deployments": {"D": {"status": "UNHEALTHY", "message": ""}},
                "deployed_app_config": {"secret": "x"},
            }
        },
    }
    assert read_applications(answer) == Applications(
        {
            "app": {
                "status": "DEPLOY_FAILED",
                "message": "boom",
                "serveDeploymentStatuses": {"D": {"status": "UNHEALTHY"}},
            }
        },
        frozenset({"10.0.0.2"}),
    )
    with pytest.raises(ValueError, match="no applications"):
        read_applications({"detail": "Not Found"})
