from copy import deepcopy
from typing import Any

import pytest
from tests.unit.strategies.world import World

from headstay.model.errors import StatusError
from headstay.model.objects import Obj
from headstay.model.resource import SERVICES


def service(name: str = "s", **spec: Any) -> Obj:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"ports": [{"port": 80}], "selector": {"app": "a"}} | spec,
    }


def test_a_plain_service_gets_an_address_and_every_default(world: World) -> None:
    created = world.create(SERVICES, service())
    address = created["spec"]["clusterIP"]
    assert address.startswith("10.96.")
    assert created["spec"] == {
        "clusterIP": address,
        "clusterIPs": [address],
        "internalTrafficPolicy": "Cluster",
        "ipFamilies": ["IPv4"],
        "ipFamilyPolicy": "SingleStack",
        "ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}],
        "selector": {"app": "a"},
        "sessionAffinity": "None",
        "type": "ClusterIP",
    }
    assert created["status"] == {"loadBalancer": {}}


def test_addresses_are_unique_until_the_network_is_full_and_free_again_with_the_service() -> None:
    world = World("10.0.0.0/28")
    addresses = [world.create(SERVICES, service(f"s{n}"))["spec"]["clusterIP"] for n in range(13)]
    assert len(set(addresses)) == 13
    assert not {"10.0.0.0", "10.0.0.1", "10.0.0.15"} & set(addresses)
    with pytest.raises(StatusError, match="failed to allocate a serviceIP: range is full"):
        world.create(SERVICES, service("last"))
    del world.stored["services", "default", "s3"]
    assert world.create(SERVICES, service("last"))["spec"]["clusterIP"] == addresses[3]


def test_an_address_may_be_asked_for_if_it_is_free_and_in_the_network(world: World) -> None:
    assert world.create(SERVICES, service("a", clusterIP="10.96.0.10"))["spec"]["clusterIPs"] == ["10.96.0.10"]
    with pytest.raises(StatusError) as taken:
        world.create(SERVICES, service("b", clusterIP="10.96.0.10"))
    assert taken.value.message == (
        'Service "b" is invalid: spec.clusterIPs: Invalid value: []string{"10.96.0.10"}: '
        "failed to allocate IP 10.96.0.10: provided IP is already allocated"
    )
    with pytest.raises(StatusError, match="is not in the valid range"):
        world.create(SERVICES, service("c", clusterIP="10.1.0.1"))


def test_a_headless_service_has_no_address_and_needs_no_ports(world: World) -> None:
    created = world.create(SERVICES, service(clusterIP="None", ports=[]))
    assert created["spec"]["clusterIP"] == "None"
    assert created["spec"]["clusterIPs"] == ["None"]


def test_an_external_name_has_neither_address_nor_policy(world: World) -> None:
    created = world.create(SERVICES, {"spec": {"type": "ExternalName", "externalName": "example.com"}})
    assert created["spec"] == {"type": "ExternalName", "externalName": "example.com", "sessionAffinity": "None"}
    assert world.problems(SERVICES, {"spec": {"type": "ExternalName"}}) == ["spec.externalName: Required value"]


def test_a_node_port_is_given_kept_and_shared_between_protocols(world: World) -> None:
    ports = [{"name": "u", "port": 53, "protocol": "UDP"}, {"name": "t", "port": 53}]
    created = world.create(SERVICES, service(type="NodePort", ports=ports))
    given = [port["nodePort"] for port in created["spec"]["ports"]]
    assert given[0] == given[1]
    assert 30000 <= given[0] <= 32767
    assert created["spec"]["externalTrafficPolicy"] == "Cluster"
    again = service(type="NodePort", ports=ports)
    again["metadata"]["namespace"] = "default"
    updated, problems = world.try_update(SERVICES, again)
    assert problems == []
    assert [port["nodePort"] for port in updated["spec"]["ports"]] == given
    with pytest.raises(StatusError, match="provided port is already allocated"):
        world.create(SERVICES, service("b", type="NodePort", ports=[{"port": 1, "nodePort": given[0]}]))
    with pytest.raises(StatusError, match="The range of valid ports is 30000-32767"):
        world.create(SERVICES, service("b", type="NodePort", ports=[{"port": 1, "nodePort": 80}]))


def test_an_update_that_does_not_speak_of_the_address_keeps_it_and_one_that_changes_it_is_refused(
    world: World,
) -> None:
    created = world.create(SERVICES, service())
    silent = service(ports=[{"port": 81}])
    silent["metadata"]["namespace"] = "default"
    updated, problems = world.try_update(SERVICES, silent)
    assert problems == []
    assert updated["spec"]["clusterIP"] == created["spec"]["clusterIP"]
    changed = deepcopy(created)
    changed["spec"] |= {"clusterIP": "10.96.7.7", "clusterIPs": ["10.96.7.7"]}
    assert world.update_problems(SERVICES, changed) == [
        'spec.clusterIPs[0]: Invalid value: []string{"10.96.7.7"}: may not change once set'
    ]


def test_changing_the_type_gives_back_ports_and_addresses(world: World) -> None:
    created = world.create(SERVICES, service(type="NodePort"))
    plain = deepcopy(created)
    plain["spec"]["type"] = "ClusterIP"
    updated, problems = world.try_update(SERVICES, plain)
    assert problems == []
    assert "nodePort" not in updated["spec"]["ports"][0]
    assert "externalTrafficPolicy" not in updated["spec"]
    named = deepcopy(created)
    named["spec"] |= {"type": "ExternalName", "externalName": "example.com"}
    updated, problems = world.try_update(SERVICES, named)
    assert problems == []
    assert "clusterIP" not in updated["spec"]


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        ({"ports": []}, "spec.ports: Required value"),
        ({"ports": [{"port": 1}, {"port": 2}]}, "spec.ports[0].name: Required value"),
        (
            {"ports": [{"name": "a", "port": 1}, {"name": "a", "port": 2}]},
            'spec.ports[1].name: Duplicate value: "a"',
        ),
        ({"ports": [{"port": 0}]}, "spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive"),
        (
            {"type": "Best"},
            (
                'spec.type: Unsupported value: "Best": supported values: "ClusterIP", "ExternalName", "LoadBalancer", '
                '"NodePort"'
            ),
        ),
        (
            {"ports": [{"port": 1, "nodePort": 30001}]},
            "spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'",
        ),
        (
            {"sessionAffinity": "Often"},
            'spec.sessionAffinity: Unsupported value: "Often": supported values: "ClientIP", "None"',
        ),
        ({"selector": {"a": "b c"}}, 'spec.selector: Invalid value: "b c": a valid label must be'),
    ],
)
def test_an_invalid_service_is_refused_in_kubernetes_words(world: World, spec: Obj, problem: str) -> None:
    assert any(found.startswith(problem) for found in world.problems(SERVICES, service(**spec)))


def test_ipv6_is_refused_by_name(world: World) -> None:
    with pytest.raises(StatusError, match=r'spec.ipFamilies\[0\]: Invalid value: "IPv6": not configured'):
        world.create(SERVICES, service(ipFamilies=["IPv6"]))
    with pytest.raises(StatusError, match="not configured for dual-stack"):
        world.create(SERVICES, service(ipFamilyPolicy="RequireDualStack"))


def test_client_affinity_lasts_three_hours_unless_said_otherwise(world: World) -> None:
    created = world.create(SERVICES, service(sessionAffinity="ClientIP"))
    assert created["spec"]["sessionAffinityConfig"] == {"clientIP": {"timeoutSeconds": 10800}}
