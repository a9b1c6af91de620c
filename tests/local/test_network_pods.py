"""Pod addresses and namespaces: the same again after any interruption, and nothing left in the end."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.local.network_lab import CONFIG, Host, private_machine, sh

from headstay.local.network import links, pods
from headstay.local.network.commands import NetworkError, ip_batch
from headstay.local.network.pods import BridgeNetwork

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")


@pytest.fixture
async def network() -> AsyncIterator[BridgeNetwork]:
    with private_machine():
        found = BridgeNetwork(CONFIG)
        await found.start()
        yield found
        assert await links.remove_all(CONFIG) == []
        assert "nettest" not in sh("ip", "link") + sh("ip", "route")
        assert not list(links.NETNS_DIR.glob("nettest-*"))


async def host(network: BridgeNetwork, uid: str) -> Host:
    place = await network.attach(uid, uid)
    return Host(place.namespace_path, str(place.address))


async def test_a_pod_keeps_its_address_whoever_asks_again(network: BridgeNetwork) -> None:
    first = await network.attach("uid-a", "a")
    assert await network.attach("uid-a", "a") == first
    again = BridgeNetwork(CONFIG)
    await again.start()
    assert again.attached() == {"uid-a": first.address}
    assert await again.attach("uid-a", "a") == first


async def test_an_address_is_not_given_again_at_once_not_even_after_a_restart(network: BridgeNetwork) -> None:
    first = await network.attach("uid-a", "a")
    await network.detach("uid-a")
    again = BridgeNetwork(CONFIG)
    await again.start()
    assert (await again.attach("uid-b", "b")).address == first.address + 1


async def test_pods_attached_together_get_addresses_of_their_own(network: BridgeNetwork) -> None:
    places = await asyncio.gather(*(network.attach(f"uid-{n}", f"p{n}") for n in range(20)))
    assert len({place.address for place in places}) == 20


async def test_detaching_takes_all_away_and_may_be_repeated(network: BridgeNetwork) -> None:
    place = await network.attach("uid-a", "a")
    for _ in range(2):
        await network.detach("uid-a")
        assert not place.namespace_path.exists()
        assert not links.exists(links.port_name(CONFIG, place.address))
    await network.detach("uid-never-there")


async def test_a_pod_listens_on_low_ports_pings_and_has_a_loopback_without_any_capability(
    network: BridgeNetwork,
) -> None:
    pod = await host(network, "uid-a")
    bind = "import socket; socket.socket().bind(('0.0.0.0', 80)); socket.socket(2, 2, 1); print('fine')"
    drop = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--bounding-set=-all", "--inh-caps=-all")
    assert await pod.run(*drop, "/usr/bin/python3", "-c", bind) == (0, "fine")
    code, output = await pod.run("ip", "-4", "-brief", "address")
    assert (code, "127.0.0.1/8" in output, f"{pod.address}/32" in output) == (0, True, True)


async def test_nothing_that_pods_could_be_told_moves_their_traffic_past_the_rules(network: BridgeNetwork) -> None:
    pod = await host(network, "uid-a")
    for name in ("all", "eth0"):
        path = f"/proc/sys/net/ipv4/conf/{name}/accept_redirects"
        assert await pod.run("cat", path) == (0, "0")


@pytest.mark.parametrize("lines", range(1, 7))
async def test_attaching_cut_short_after_any_step_is_made_good(
    network: BridgeNetwork, monkeypatch: pytest.MonkeyPatch, lines: int
) -> None:
    async def cut(batch: list[str]) -> None:
        await ip_batch(batch[:lines])
        raise NetworkError("cut short")

    monkeypatch.setattr(pods, "ip_batch", cut)
    with pytest.raises(NetworkError, match="cut short"):
        await network.attach("uid-a", "a")
    monkeypatch.setattr(pods, "ip_batch", ip_batch)
    await check_reachable(network)

    monkeypatch.setattr(pods, "ip_batch", cut)
    with pytest.raises(NetworkError, match="cut short"):
        await network.attach("uid-b", "b")
    monkeypatch.setattr(pods, "ip_batch", ip_batch)
    after_crash = BridgeNetwork(CONFIG)
    await after_crash.start()
    await check_reachable(after_crash)
    await after_crash.attach("uid-b", "b")
    assert len(set(after_crash.attached().values())) == 2


async def check_reachable(network: BridgeNetwork) -> None:
    pod = await host(network, "uid-a")
    server = await pod.serve(8080, "a")
    try:
        assert await Host().get(f"{pod.address}:8080") == f"a saw {CONFIG.bridge_address}"
    finally:
        server.kill()
        await server.wait()


async def test_a_port_that_somebody_removed_comes_back_with_the_same_address(network: BridgeNetwork) -> None:
    before = await network.attach("uid-a", "a")
    sh("ip", "link", "del", "dev", links.port_name(CONFIG, before.address))
    assert await network.attach("uid-a", "a") == before
    await check_reachable(network)


async def test_the_bare_file_that_a_reboot_leaves_does_not_stand_in_the_way(network: BridgeNetwork) -> None:
    path = pods.namespace_path(CONFIG, "uid-a")
    path.touch()
    await check_reachable(network)


async def test_everything_goes_by_name_alone_even_while_processes_run_in_it(network: BridgeNetwork) -> None:
    pod = await host(network, "uid-a")
    server = await pod.serve(8080, "a")
    Path(links.NETNS_DIR, "nettest-leftover").touch()
    try:
        assert await links.remove_all(CONFIG) == []
        assert "nettest" not in sh("ip", "link")
    finally:
        server.kill()
        await server.wait()


async def test_another_instance_is_not_touched(network: BridgeNetwork) -> None:
    other = replace(CONFIG, instance="nettestx")
    await network.attach("uid-a", "a")
    assert await links.remove_all(other) == []
    assert links.exists(CONFIG.bridge)
    assert len(network.attached()) == 1
    await check_reachable(network)


async def test_a_network_in_use_elsewhere_is_refused_by_the_name_of_its_route() -> None:
    with private_machine():
        sh("ip", "route", "add", "10.88.3.0/24", "dev", "uplink")
        with pytest.raises(NetworkError, match=r"overlaps the route 10\.88\.3\.0/24 on uplink.*HEADSTAY_POD_NETWORK"):
            await BridgeNetwork(CONFIG).start()
        assert not links.exists(CONFIG.bridge)


async def test_a_missing_program_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent))
    with pytest.raises(NetworkError, match="the command 'ip' is not on this machine's PATH"):
        await BridgeNetwork(CONFIG).start()
