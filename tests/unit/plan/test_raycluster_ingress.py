"""The Ingress to the dashboard: made on request, put right when it drifts, never in the way of a Pod."""

from typing import Any

import msgspec
import pytest
from tests.unit.plan.clusters import UID, cluster, created, head_svc, head_template, plan, pod

from headstay.model.objects import Obj
from headstay.model.ray import Ingress, RayCluster
from headstay.plan.raycluster.ingress import ingress_for
from headstay.plan.raycluster.plan import Create, Observed, Plan, Update

ANNOTATIONS = {"kubernetes.io/ingress.class": "nginx", "nginx.example/rewrite": "/"}
ON = {"enableIngress": True}


def asking(**head: Any) -> RayCluster:
    return cluster(annotations=ANNOTATIONS, head=ON | head)


def decide(of: RayCluster, *present: Obj) -> Plan:
    ingresses = tuple(msgspec.convert(document, Ingress) for document in present)
    pods = (pod("head", "head"), pod("w"))
    return plan(Observed(of, pods=pods, services=(head_svc(),), ingresses=ingresses))


def test_it_leads_to_the_dashboard_of_the_head_service() -> None:
    (action,) = decide(asking()).actions
    assert isinstance(action, Create)
    ingress = action.obj
    assert ingress["metadata"]["name"] == "raycluster-head-ingress"
    assert ingress["metadata"]["ownerReferences"][0]["uid"] == UID
    assert ingress["spec"] == {
        "ingressClassName": "nginx",
        "rules": [
            {
                "http": {
                    "paths": [
                        {
                            "path": "/",
                            "pathType": "Prefix",
                            "backend": {"service": {"name": "raycluster-head-svc", "port": {"number": 8265}}},
                        }
                    ]
                }
            }
        ],
    }
    assert (action.created.type, action.created.reason, action.created.action) == ("Normal", "CreatedIngress", "Create")
    assert (action.failed.type, action.failed.reason) == ("Warning", "FailedToCreateIngress")


def test_it_follows_the_names_and_ports_the_user_chose() -> None:
    ports = [{"name": "dashboard", "containerPort": 9000}]
    head = {"headService": {"metadata": {"name": "mine"}}, "template": head_template(ports=ports)}
    (path,) = ingress_for(asking(**head))["spec"]["rules"][0]["http"]["paths"]
    assert path["backend"]["service"] == {"name": "mine", "port": {"number": 9000}}


def test_options_give_host_path_and_tls() -> None:
    tls = [{"hosts": ["ray.example"], "secretName": "cert"}]
    options = {"host": "ray.example", "path": "/ray", "pathType": "Exact", "tls": tls}
    spec = ingress_for(asking(ingressOptions=options))["spec"]
    assert (spec["tls"], spec["rules"][0]["host"]) == (tls, "ray.example")
    assert (spec["rules"][0]["http"]["paths"][0]["path"], spec["rules"][0]["http"]["paths"][0]["pathType"]) == (
        "/ray",
        "Exact",
    )


def test_annotations_are_copied_but_for_the_class_and_kubectl_s_own() -> None:
    of = cluster(annotations=ANNOTATIONS | {"kubectl.kubernetes.io/last-applied-configuration": "{}"}, head=ON)
    assert ingress_for(of)["metadata"]["annotations"] == {"nginx.example/rewrite": "/"}


def test_long_names_keep_their_end() -> None:
    assert ingress_for(cluster(name="a" * 53))["metadata"]["name"] == "a" * 37 + "-head-ingress"


def test_one_that_is_right_is_left_alone_with_what_others_added() -> None:
    present = ingress_for(asking())
    present["metadata"]["annotations"]["cert-manager.io/issuer"] = "theirs"
    assert decide(asking(), present).actions == ()
    unclassed = cluster(head=ON)
    defaulted = ingress_for(unclassed)
    defaulted["spec"]["ingressClassName"] = "the-default"
    assert decide(unclassed, defaulted).actions == ()


@pytest.mark.parametrize(
    ("path", "wrong"),
    [
        (("spec", "rules"), []),
        (("spec", "tls"), [{"hosts": ["old"]}]),
        (("spec", "ingressClassName"), "other"),
        (("metadata", "annotations"), {}),
        (("metadata", "labels"), {"ray.io/cluster": "raycluster"}),
    ],
)
def test_drift_is_put_right(path: tuple[str, str], wrong: Any) -> None:
    present = ingress_for(asking())
    present[path[0]][path[1]] = wrong
    (action,) = decide(asking(), present).actions
    assert isinstance(action, Update)
    assert path[1] in action.patch[path[0]]
    assert (action.updated.reason, action.failed.reason) == ("UpdatedIngress", "FailedToUpdateIngress")


def test_somebody_else_s_ingress_of_that_name_is_told_of_and_left_alone() -> None:
    present = ingress_for(asking())
    present["metadata"]["ownerReferences"] = []
    found = decide(asking(), present)
    assert found.actions == ()
    (event,) = found.events
    assert (event.type, event.reason) == ("Warning", "FailedToCreateIngress")


def test_it_comes_after_the_pods() -> None:
    assert created(plan(Observed(asking()))) == ["Service", "Pod/head", "Pod/worker", "Ingress"]
    assert "Ingress" not in created(plan(Observed(cluster())))
