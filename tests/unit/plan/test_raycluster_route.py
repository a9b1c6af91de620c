"""The Route to the dashboard, on OpenShift in place of the Ingress: made on request, and left as it is then."""

from typing import Any

import msgspec
import pytest
from tests.unit.plan.clusters import UID, cluster, created, head_svc, head_template, plan, pod

from headstay.model.objects import Obj
from headstay.model.ray import RayCluster, Route
from headstay.plan.raycluster.ingress import route_for
from headstay.plan.raycluster.plan import Create, Observed, Plan

ON = {"enableIngress": True}


def asking(**head: Any) -> RayCluster:
    return cluster(head=ON | head)


def decide(of: RayCluster, *present: Obj) -> Plan:
    routes = tuple(msgspec.convert(document, Route) for document in present)
    pods = (pod("head", "head"), pod("w"))
    return plan(Observed(of, pods=pods, services=(head_svc(),), routes=routes))


def test_it_leads_to_the_dashboard_of_the_head_service() -> None:
    (action,) = decide(asking()).actions
    assert isinstance(action, Create)
    route = action.obj
    assert (route["apiVersion"], route["kind"]) == ("route.openshift.io/v1", "Route")
    assert route["metadata"]["name"] == "raycluster-head-route"
    assert route["metadata"]["labels"] == {
        "ray.io/cluster": "raycluster",
        "ray.io/identifier": "raycluster-head",
        "app.kubernetes.io/name": "kuberay",
        "app.kubernetes.io/created-by": "kuberay-operator",
    }
    (owner,) = route["metadata"]["ownerReferences"]
    assert (owner["uid"], owner["controller"]) == (UID, True)
    assert route["spec"] == {
        "to": {"kind": "Service", "name": "raycluster-head-svc", "weight": 100},
        "port": {"targetPort": 8265},
        "wildcardPolicy": "None",
    }
    assert (action.created.type, action.created.reason, action.created.action) == ("Normal", "CreatedRoute", "Create")
    assert (action.failed.type, action.failed.reason) == ("Warning", "FailedToCreateRoute")


def test_it_follows_the_names_and_ports_the_user_chose() -> None:
    ports = [{"name": "dashboard", "containerPort": 9000}]
    head = {"headService": {"metadata": {"name": "mine"}}, "template": head_template(ports=ports)}
    spec = route_for(asking(**head))["spec"]
    assert (spec["to"]["name"], spec["port"]["targetPort"]) == ("mine", 9000)


def test_annotations_are_copied_but_for_kubectl_s_own_and_ours() -> None:
    ours = {"kubectl.kubernetes.io/last-applied-configuration": "{}", "headstay.io/recoveries": "[]"}
    theirs = {"haproxy.router.openshift.io/timeout": "5m", "kubernetes.io/ingress.class": "nginx"}
    assert route_for(cluster(annotations=ours | theirs, head=ON))["metadata"]["annotations"] == theirs


def test_only_where_it_is_asked_for() -> None:
    assert created(plan(Observed(asking(), routes=()))) == ["Service", "Pod/head", "Pod/worker", "Route"]
    assert "Route" not in created(plan(Observed(cluster(), routes=())))
    assert "Route" not in created(plan(Observed(asking())))


def test_one_that_is_there_stays_as_others_left_it() -> None:
    present = route_for(asking())
    present["spec"] = {"host": "ray.apps.example"}
    present["metadata"]["annotations"] = {"theirs": "1"}
    found = decide(asking(), present)
    assert (found.actions, found.events) == ((), ())


def test_somebody_else_s_route_of_that_name_is_told_of_and_left_alone() -> None:
    present = route_for(asking())
    present["metadata"]["ownerReferences"] = []
    found = decide(asking(), present)
    assert found.actions == ()
    (event,) = found.events
    assert (event.type, event.reason) == ("Warning", "FailedToCreateRoute")
    assert "rename or remove it" in event.note


@pytest.mark.parametrize("made", [True, False])
def test_options_of_an_ingress_are_said_to_be_passed_over(made: bool) -> None:
    of = asking(ingressOptions={"host": "ray.example"})
    found = decide(of, *([route_for(of)] if made else []))
    (event,) = found.events
    assert (event.type, event.reason) == ("Warning", "FeatureNotSupported")
    assert "USE_INGRESS_ON_OPENSHIFT=true" in event.note
    assert len(found.actions) == (0 if made else 1)
