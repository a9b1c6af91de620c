from decimal import Decimal
from typing import Any

import pytest
from tests.unit.strategies.world import World

from headstay.local.server.strategies.quantities import format_quantity
from headstay.local.server.strategies.quota import RESOURCE_QUOTAS
from headstay.model.errors import StatusError
from headstay.model.objects import Obj
from headstay.model.quantity import parse_quantity
from headstay.model.resource import JOBS, PODS, SERVICES


def limit(world: World, hard: Obj, **spec: Any) -> None:
    world.add(RESOURCE_QUOTAS, {"metadata": {"name": "q", "namespace": "default"}, "spec": {"hard": hard, **spec}})


def pod(name: str, cpu: str = "", **spec: Any) -> Obj:
    container: Obj = {"name": "c", "image": "i:1"}
    if cpu:
        container["resources"] = {"requests": {"cpu": cpu}}
    return {"metadata": {"name": name}, "spec": {"containers": [container], **spec}}


def test_one_pod_too_many_is_forbidden(world: World) -> None:
    limit(world, {"pods": "1"})
    world.create(PODS, pod("a"))
    with pytest.raises(StatusError) as refused:
        world.create(PODS, pod("b"))
    assert refused.value.code == 403
    assert refused.value.reason == "Forbidden"
    assert refused.value.message == (
        'pods "b" is forbidden: exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1'
    )


def test_requests_are_added_up_and_shown_as_kubernetes_would(world: World) -> None:
    limit(world, {"requests.cpu": "1"})
    world.create(PODS, pod("a", "500m"))
    with pytest.raises(StatusError, match=r"requested: requests.cpu=600m, used: requests.cpu=500m, limited: "):
        world.create(PODS, pod("b", "0.6"))
    world.create(PODS, pod("c", "500m"))


def test_under_a_compute_quota_every_pod_must_say_what_it_wants(world: World) -> None:
    limit(world, {"requests.cpu": "1", "limits.memory": "1Gi"})
    with pytest.raises(StatusError, match=r"failed quota: q: must specify limits.memory for: c; requests.cpu for: c"):
        world.create(PODS, pod("a"))


def test_a_pod_that_ended_takes_nothing(world: World) -> None:
    limit(world, {"pods": "1"})
    world.create(PODS, pod("a"))
    stored = world.get(PODS, "default", "a")
    assert stored is not None
    stored["status"]["phase"] = "Succeeded"
    world.create(PODS, pod("b"))


def test_a_pod_being_deleted_counts_until_its_grace_is_over(world: World) -> None:
    limit(world, {"pods": "1"})
    world.create(PODS, pod("a"))
    stored = world.get(PODS, "default", "a")
    assert stored is not None
    stored["metadata"] |= {"deletionTimestamp": "2026-01-02T03:04:00Z", "deletionGracePeriodSeconds": 30}
    with pytest.raises(StatusError, match="exceeded quota"):
        world.create(PODS, pod("b"))
    stored["metadata"]["deletionGracePeriodSeconds"] = 1
    world.create(PODS, pod("b"))


def test_scopes_choose_the_pods_that_count(world: World) -> None:
    limit(world, {"pods": "0"}, scopes=["BestEffort"])
    world.create(PODS, pod("burstable", "1m"))
    with pytest.raises(StatusError, match="exceeded quota"):
        world.create(PODS, pod("best-effort"))


def test_jobs_and_services_are_counted_too(world: World) -> None:
    limit(world, {"count/jobs.batch": "0", "services": "0"})
    document = {"spec": {"template": pod("x", restartPolicy="Never")}}
    with pytest.raises(StatusError, match=r'jobs.batch "x" is forbidden: exceeded quota: q, requested: count/jobs'):
        world.create(JOBS, document)
    with pytest.raises(StatusError, match='services "x" is forbidden: exceeded quota'):
        world.create(SERVICES, {"spec": {"ports": [{"port": 1}]}})


@pytest.mark.parametrize("text", ["0", "1", "500m", "1500m", "2k", "1Gi", "1536Mi", "3", "100u", "1T"])
def test_a_canonical_quantity_is_printed_as_it_was_written(text: str) -> None:
    assert format_quantity(parse_quantity(text), binary=text.endswith("i")) == text


def test_a_quantity_below_all_units_is_printed_in_nanos() -> None:
    assert format_quantity(Decimal("1e-10")) in {"0n", "1n"}
