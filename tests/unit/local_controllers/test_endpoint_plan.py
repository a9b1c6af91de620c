"""Which Pods stand behind a Service, and how they are written down."""

from typing import Any

import msgspec

from headstay.local.controllers import endpointplan as plan
from headstay.local.network.views import Service
from headstay.model.meta import Pod
from headstay.model.objects import dig

HTTP = {"name": "http", "port": 80, "targetPort": 8080}


def service(**spec: Any) -> Service:
    spec = {"selector": {"app": "web"}, "clusterIP": "10.0.0.1", "ports": [HTTP]} | spec
    labels = {"team": "a"}
    meta = {"name": "web", "namespace": "default", "uid": "service-uid", "labels": labels}
    return msgspec.convert({"metadata": meta, "spec": spec}, Service)


def pod(name: str, ip: str = "10.88.0.2", *, ready: bool = True, phase: str = "Running", **more: Any) -> Pod:
    meta = {"name": name, "namespace": "default", "uid": f"uid-{name}", "labels": {"app": "web"}}
    document = {
        "metadata": meta | more.pop("metadata", {}),
        "spec": {"nodeName": "one"} | more,
        "status": {
            "phase": phase,
            "podIP": ip,
            "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
        },
    }
    return msgspec.convert(document, Pod)


LEAVING = {"deletionTimestamp": "2026-01-01T00:00:00Z"}


def conditions(service: Service, *pods: Pod) -> dict[str, tuple[bool, bool, bool]]:
    """(ready, serving, terminating) by Pod."""
    return {
        endpoint["targetRef"]["name"]: tuple(endpoint["conditions"][c] for c in ("ready", "serving", "terminating"))
        for found in plan.wanted_slices(service, pods)
        for endpoint in found["endpoints"]
    }


def test_readiness_and_leaving_are_told_apart() -> None:
    found = conditions(
        service(),
        pod("ready"),
        pod("unready", ready=False),
        pod("leaving", metadata=LEAVING),
        pod("left", ready=False, metadata=LEAVING),
    )
    assert found == {
        "ready": (True, True, False),
        "unready": (False, False, False),
        "leaving": (False, True, True),
        "left": (False, False, True),
    }


def test_a_service_may_publish_what_is_not_ready() -> None:
    found = conditions(
        service(publishNotReadyAddresses=True), pod("unready", ready=False), pod("leaving", metadata=LEAVING)
    )
    assert found == {"unready": (True, False, False), "leaving": (True, True, True)}


def test_finished_unselected_and_addressless_pods_are_left_out() -> None:
    pods = [
        pod("done", phase="Succeeded"),
        pod("failed", phase="Failed"),
        pod("starting", ip=""),
        pod("other", metadata={"labels": {"app": "db"}}),
    ]
    [empty] = plan.wanted_slices(service(), pods)
    assert empty["endpoints"] == []
    assert "subsets" not in plan.wanted_endpoints(service(), pods)


def test_a_slice_says_whose_it_is() -> None:
    [found] = plan.wanted_slices(service(clusterIP="None"), [pod("a")])
    assert found["metadata"]["labels"] == {
        "team": "a",
        "service.kubernetes.io/headless": "",
        "kubernetes.io/service-name": "web",
        "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
    }
    assert dig(found, "metadata", "ownerReferences", 0, "uid") == "service-uid"
    assert found["ports"] == [{"name": "http", "protocol": "TCP", "port": 8080}]
    assert found["endpoints"][0]["nodeName"] == "one"


def test_a_named_target_port_is_each_pods_own() -> None:
    def declares(number: int) -> dict[str, Any]:
        return {"containers": [{"ports": [{"name": "gcs", "containerPort": number}]}]}

    named = service(ports=[{"name": "p", "port": 1, "targetPort": "gcs"}])
    pods = [pod("a", **declares(6379)), pod("b", **declares(6380)), pod("c")]
    found = {
        tuple(port["port"] for port in one["ports"]): [e["targetRef"]["name"] for e in one["endpoints"]]
        for one in plan.wanted_slices(named, pods)
    }
    assert found == {(6379,): ["a"], (6380,): ["b"], (): ["c"]}
    subsets = plan.wanted_endpoints(named, pods)["subsets"]
    assert [subset["ports"][0]["port"] for subset in subsets] == [6379, 6380]


def test_a_hostname_needs_the_service_as_its_subdomain() -> None:
    pods = [
        pod("mine", hostname="head-0", subdomain="web"),
        pod("elsewhere", hostname="head-1", subdomain="db"),
        pod("none", hostname="head-2"),
    ]
    [found] = plan.wanted_slices(service(), pods)
    assert {e["targetRef"]["name"]: e.get("hostname") for e in found["endpoints"]} == {
        "mine": "head-0",
        "elsewhere": None,
        "none": None,
    }


def test_endpoints_hold_ready_and_unready_and_nobody_who_leaves() -> None:
    pods = [pod("a", "10.88.0.2"), pod("b", "10.88.0.3", ready=False), pod("c", "10.88.0.4", metadata=LEAVING)]
    [subset] = plan.wanted_endpoints(service(), pods)["subsets"]
    assert [address["ip"] for address in subset["addresses"]] == ["10.88.0.2"]
    assert [address["ip"] for address in subset["notReadyAddresses"]] == ["10.88.0.3"]
    assert subset["ports"] == [{"name": "http", "port": 8080, "protocol": "TCP"}]


def test_endpoints_are_listed_by_address() -> None:
    [subset] = plan.wanted_endpoints(service(), [pod("a", "10.88.0.10"), pod("b", "10.88.0.9")])["subsets"]
    assert [address["ip"] for address in subset["addresses"]] == ["10.88.0.9", "10.88.0.10"]


def test_more_than_a_hundred_endpoints_take_more_slices() -> None:
    pods = [pod(f"p{n:03}", f"10.88.1.{n}") for n in range(201)]
    found = plan.wanted_slices(service(), pods)
    assert [len(one["endpoints"]) for one in found] == [100, 100, 1]
    assert len({one["metadata"]["name"] for one in found}) == 3


def test_a_service_keeps_its_slice_when_its_last_pod_goes() -> None:
    [full], [empty] = plan.wanted_slices(service(), [pod("a")]), plan.wanted_slices(service(), [])
    assert full["metadata"]["name"] == empty["metadata"]["name"]


def test_the_same_pods_in_another_order_give_the_same_documents() -> None:
    pods = [pod(f"p{n}", f"10.88.1.{n}") for n in range(5)]
    assert plan.wanted_slices(service(), pods) == plan.wanted_slices(service(), reversed(pods))
    assert plan.wanted_endpoints(service(), pods) == plan.wanted_endpoints(service(), reversed(pods))


def test_a_headless_service_without_ports_still_has_endpoints() -> None:
    bare = service(clusterIP="None", ports=[])
    [found] = plan.wanted_slices(bare, [pod("a")])
    assert found["ports"] == []
    assert [address["ip"] for address in plan.wanted_endpoints(bare, [pod("a")])["subsets"][0]["addresses"]]


def test_hand_written_endpoints_are_mirrored() -> None:
    endpoints = {
        "metadata": {"name": "web", "namespace": "default", "uid": "endpoints-uid"},
        "subsets": [
            {"addresses": [{"ip": "192.0.2.9"}], "notReadyAddresses": [{"ip": "192.0.2.8"}], "ports": [{"port": 6379}]}
        ],
    }
    [found] = plan.mirrored_slices(service(selector=None), endpoints)
    assert [(e["addresses"], e["conditions"]["ready"]) for e in found["endpoints"]] == [
        (["192.0.2.9"], True),
        (["192.0.2.8"], False),
    ]
    assert found["ports"] == [{"name": "", "protocol": "TCP", "port": 6379}]
    assert dig(found, "metadata", "ownerReferences", 0, "uid") == "endpoints-uid"
    assert plan.mirrored_slices(service(), endpoints) == []
