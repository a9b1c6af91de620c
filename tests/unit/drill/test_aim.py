"""Whom the load asks: the Service always, a worker while it belongs there, the head whatever it is like."""

from typing import Any

from headstay.drill.history import PodSeen
from headstay.drill.load import LEAST, Aim
from headstay.drill.onlooker import PodNow
from headstay.drill.requests import HOPS

SERVICE = ("svc", "10.0.0.1", 8000)


def pod(name: str, role: Any, *, ready: bool = True, leaving: bool = False, address: str = "10.1.0.1") -> PodNow:
    return PodNow(PodSeen(name, name, role, 0, ready), address, "ray", leaving)


def asked(aim: Aim, *pods: PodNow) -> dict[str, list[str]]:
    return {stream["hop"]: [target[0] for target in stream["targets"]] for stream in aim.streams(50, pods)}


def test_a_worker_is_asked_from_when_it_is_first_ready_until_it_is_on_its_way_out() -> None:
    aim = Aim(SERVICE)
    assert asked(aim, pod("w", "worker", ready=False))["worker-proxies"] == []
    assert asked(aim, pod("w", "worker"))["worker-proxies"] == ["w"]
    assert asked(aim, pod("w", "worker", ready=False))["worker-proxies"] == ["w"], "its losses have to be seen"
    assert asked(aim, pod("w", "worker", leaving=True), pod("v", "worker"))["worker-proxies"] == ["v"]


def test_the_last_head_is_asked_until_there_is_another() -> None:
    aim = Aim(SERVICE)
    assert asked(aim)["head-proxy"] == []
    assert asked(aim, pod("h", "head", ready=False))["head-proxy"] == ["h"]
    assert asked(aim)["head-proxy"] == ["h"]
    assert asked(aim, pod("h", "head", leaving=True), pod("i", "head", ready=False, address=""))["head-proxy"] == ["h"]
    assert asked(aim, pod("i", "head", ready=False))["head-proxy"] == ["i"]


def test_the_service_has_the_rate_and_the_others_a_small_share_but_not_too_few() -> None:
    for rate, beside in ((100, 4), (75, 3), (10, LEAST)):
        streams = Aim(SERVICE).streams(rate, [pod("w", "worker"), pod("r", "redis")])
        assert [(stream["hop"], stream["rate"]) for stream in streams] == list(
            zip(HOPS, (rate, beside, beside), strict=True)
        )
        assert streams[0]["targets"] == [SERVICE]
        assert [target[0] for target in streams[1]["targets"]] == ["w"]
