"""The nftables text as a function of Services and EndpointSlices."""

from typing import Any

import msgspec
from tests.local.network_lab import CONFIG, at, endpoint_slice, service

from headstay.local.network.rules import Target, Wanted, forwardings, host_ports, render
from headstay.local.network.views import EndpointSlice, PublishingPod, Service

PORTS = [{"name": "http", "port": 80, "nodePort": 30080}]


def rendered(services: list[Service], slices: list[EndpointSlice]) -> str:
    return render(CONFIG, Wanted(forwardings(services, slices)))


def publishing(name: str, address: str, *ports: dict[str, Any], phase: str = "Running", **spec: Any) -> PublishingPod:
    document = {
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"containers": [{"ports": list(ports)}], **spec},
        "status": {"phase": phase, "podIP": address},
    }
    return msgspec.convert(document, PublishingPod)


def test_only_ready_endpoints_are_targets() -> None:
    slices = [endpoint_slice("web", [at("10.88.0.2"), at("10.88.0.3", conditions={"ready": False})], http=8080)]
    [found] = forwardings([service("web", clusterIP="10.89.0.9", ports=PORTS)], slices)
    assert found.targets == (Target("10.88.0.2", 8080),)


def test_terminating_endpoints_that_still_serve_are_used_when_nothing_is_ready() -> None:
    leaving = {"ready": False, "serving": True, "terminating": True}
    slices = [endpoint_slice("web", [at("10.88.0.2", conditions=leaving)], http=8080)]
    [found] = forwardings([service("web", clusterIP="10.89.0.9", ports=PORTS)], slices)
    assert found.targets == (Target("10.88.0.2", 8080),)


def test_services_without_an_address_or_endpoints_have_no_rule() -> None:
    services = [
        service("headless", clusterIP="None", ports=PORTS),
        service("external", type="ExternalName", externalName="example.org"),
        service("empty", clusterIP="10.89.0.8", ports=PORTS),
        service("six", clusterIP="fd00::1", ports=PORTS),
    ]
    slices = [endpoint_slice(name, [at("10.88.0.2")], http=80) for name in ("headless", "external", "six")]
    assert forwardings(services, slices) == []


def test_two_slices_of_a_service_are_joined_and_an_address_counts_once() -> None:
    one = endpoint_slice("web", [at("10.88.0.2"), at("10.88.0.3")], http=80)
    two = endpoint_slice("web", [at("10.88.0.3"), at("10.88.0.4")], http=80)
    [found] = forwardings([service("web", clusterIP="10.89.0.9", ports=PORTS)], [one, two])
    assert [target.address for target in found.targets] == ["10.88.0.2", "10.88.0.3", "10.88.0.4"]


def test_the_text_does_not_depend_on_the_order_of_what_is_seen() -> None:
    services = [service(name, clusterIP=f"10.89.0.{n}", ports=PORTS[:1]) for n, name in enumerate("abc", 5)]
    slices = [endpoint_slice(name, [at("10.88.0.2"), at("10.88.0.3")], http=80) for name in "abc"]
    forth = rendered(services, slices)
    back = rendered(services[::-1], slices[::-1])
    assert forth == back


def test_several_targets_are_drawn_at_random_and_stick_to_a_client_where_asked() -> None:
    slices = [endpoint_slice("web", [at("10.88.0.2"), at("10.88.0.3")], http=80)]
    random = service("web", clusterIP="10.89.0.9", ports=PORTS)
    sticky = service("web", clusterIP="10.89.0.9", ports=PORTS, sessionAffinity="ClientIP")
    assert "numgen random mod 2 map { 0 : 10.88.0.2 . 80, 1 : 10.88.0.3 . 80 }" in rendered([random], slices)
    assert "jhash ip saddr mod 2" in rendered([sticky], slices)


def test_two_services_that_claim_one_address_and_port_do_not_break_all_others() -> None:
    services = [service(name, clusterIP="10.89.0.9", ports=PORTS) for name in ("a", "b")]
    slices = [endpoint_slice(name, [at("10.88.0.2")], http=80) for name in ("a", "b")]
    [found] = forwardings(services, slices)
    assert found.label == "default/a:http"


def test_a_pods_host_port_leads_to_it() -> None:
    web = publishing("web", "10.88.0.2", {"containerPort": 80, "hostPort": 8080}, {"containerPort": 81})
    [found] = host_ports(CONFIG, [web])
    assert (found.protocol, found.port, found.target) == ("tcp", 8080, Target("10.88.0.2", 80))
    text = render(CONFIG, Wanted(host_ports=[found]))
    assert "tcp . 8080 : goto host-tcp-8080" in text
    assert "10.88.0.2 . 10.88.0.2" in text, "a Pod may reach itself through its node's port"


def test_a_host_port_is_given_once_and_never_the_apis_or_the_dns_servers() -> None:
    pods = [
        publishing(name, address, {"containerPort": 80, "hostPort": port})
        for name, address, port in [
            ("b", "10.88.0.3", 8080),
            ("a", "10.88.0.2", 8080),
            ("c", "10.88.0.4", CONFIG.api_port),
            ("d", "10.88.0.5", 53),
        ]
    ]
    assert [found.label for found in host_ports(CONFIG, pods)] == ["default/a"]


def test_a_pod_that_does_not_run_or_has_the_nodes_network_publishes_nothing_here() -> None:
    port = {"containerPort": 80, "hostPort": 8080}
    pods = [
        publishing("done", "10.88.0.2", port, phase="Succeeded"),
        publishing("host", "10.88.0.1", port, hostNetwork=True),
        publishing("new", "", port),
    ]
    assert host_ports(CONFIG, pods) == []
