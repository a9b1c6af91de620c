"""Round-robin allocation, names and neighbours of Pod addresses."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pytest
from tests.local.network_lab import CONFIG

from headstay.local.network.addresses import next_address
from headstay.local.network.commands import NetworkError
from headstay.local.network.firewall import blocking_chains, missing_rules, wanted_rules
from headstay.local.network.links import check, mac_of, overlapping, port_name

NETWORK = IPv4Network("10.88.0.0/29")  # .2 to .6 are for Pods


def address(last: int) -> IPv4Address:
    return NETWORK.network_address + last


def test_the_first_pod_comes_after_the_bridge() -> None:
    assert next_address(NETWORK, set(), None) == address(2)


def test_an_address_just_freed_is_the_last_to_come_back() -> None:
    given, last = [], None
    for _ in range(6):
        last = next_address(NETWORK, set(), last)
        given.append(last)
    assert given == [address(n) for n in (2, 3, 4, 5, 6, 2)]


def test_taken_addresses_are_skipped_across_the_wrap() -> None:
    assert next_address(NETWORK, {address(6), address(2)}, address(5)) == address(3)


def test_a_full_network_says_so() -> None:
    with pytest.raises(NetworkError, match=r"all 5 addresses of the Pod network 10\.88\.0\.0/29 are taken"):
        next_address(NETWORK, {address(n) for n in range(2, 7)}, address(3))


def test_a_last_address_of_another_network_starts_from_the_beginning() -> None:
    assert next_address(NETWORK, set(), IPv4Address("10.1.1.1")) == address(2)


def test_a_port_is_named_after_the_address_and_fits_an_interface_name() -> None:
    assert port_name(CONFIG, IPv4Address("10.88.1.2")) == "nettest-102"
    assert mac_of(IPv4Address("10.88.1.2")) == "0a:58:0a:58:01:02"
    check(replace(CONFIG, instance="ninechars"))
    with pytest.raises(NetworkError, match="too wide"):
        check(replace(CONFIG, instance="ninechars", pod_network=IPv4Network("11.0.0.0/8")))


def test_networks_that_overlap_each_other_are_refused() -> None:
    with pytest.raises(NetworkError, match="overlaps the Service network"):
        check(replace(CONFIG, service_network=IPv4Network("10.88.128.0/17")))


def test_a_network_that_the_machine_routes_elsewhere_is_refused_by_the_route() -> None:
    routes = [
        {"dst": "default", "dev": "eth0"},
        {"dst": "10.88.0.0/16", "dev": "nettest-br"},
        {"dst": "10.0.0.0/8", "dev": "tun0"},
        {"dst": "10.88.0.4", "dev": "tun1"},
    ]
    assert overlapping(NETWORK, routes, "nettest-br") == "10.88.0.4/32 on tun1"
    assert overlapping(NETWORK, routes[:3], "nettest-br") == "", "a wider route only loses to ours"


def test_an_open_firewall_is_left_alone() -> None:
    assert missing_rules(["-P INPUT ACCEPT", "-P FORWARD ACCEPT"], wanted_rules(CONFIG)) == []
    assert missing_rules([], wanted_rules(CONFIG)) == []


def test_a_closed_forward_chain_gets_our_rules_once() -> None:
    wanted = wanted_rules(CONFIG)
    docker = ["-P INPUT ACCEPT", "-P FORWARD DROP", "-A FORWARD -j DOCKER-USER"]
    missing = missing_rules(docker, wanted)
    assert missing == wanted[:2]
    assert missing_rules(docker + missing, wanted) == []


def test_our_own_rules_are_no_reason_for_more_of_them() -> None:
    wanted = wanted_rules(CONFIG)
    assert missing_rules(["-P INPUT ACCEPT", "-P FORWARD ACCEPT", wanted[0]], wanted) == []


def chain(family: str, table: str, name: str, **more: str) -> dict[str, Any]:
    return {"chain": {"family": family, "table": table, "name": name, **more}}


def test_a_chain_that_drops_and_cannot_be_preceded_is_named() -> None:
    listed = {
        "nftables": [
            {"metainfo": {}},
            chain("inet", "guard", "fwd", hook="forward", policy="drop"),
            chain("inet", "guard", "out", hook="output", policy="drop"),
            chain("inet", "guard", "open", hook="input", policy="accept"),
            chain("inet", "guard", "jumped-to"),
            chain("ip", "filter", "FORWARD", hook="forward", policy="drop"),
        ]
    }
    assert blocking_chains(listed, CONFIG) == ["inet guard fwd"]
