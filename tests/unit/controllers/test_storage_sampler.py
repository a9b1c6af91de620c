"""Measuring storage namespaces: one at a time, spread out, and with no figure rather than an old one."""

import asyncio
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from tests.unit.plan.clusters import SETTINGS, ft_cluster, head_template

from headstay.controllers.redis_access import CleaningError, RedisAccess
from headstay.controllers.storage_metrics import StorageMetrics
from headstay.controllers.storage_sampler import LOOK_SECONDS, StorageSampler
from headstay.gcs.measuring import Size
from headstay.model.objects import ObjectKey
from headstay.model.ray import RayCluster
from headstay.plan.raycluster.sampling import INTERVAL_SECONDS, next_turns, sample_of
from headstay.plan.raycluster.storage import STORAGE, Storage

RUNS = {"head": {"podName": "head"}}


class Redis(RedisAccess):
    def __init__(self) -> None:
        self.asked: list[tuple[float, str]] = []
        self.at_once = 0
        self.away = False

    async def measure(self, storage: Storage, namespace: str, *, password: str = "", seconds: float) -> Size:
        assert self.at_once == 0
        self.at_once += 1
        await asyncio.sleep(0.5)
        self.at_once -= 1
        self.asked.append((asyncio.get_running_loop().time(), storage.namespace))
        if self.away:
            raise CleaningError("Redis is away")
        return Size(3, 1000)


class Bench:
    def __init__(self, count: int) -> None:
        self.looks = 0
        self.clusters = [named(f"c{number}") for number in range(count)]
        self.redis = Redis()
        self.registry = CollectorRegistry()
        draw = random.Random(7).random
        self.sampler = StorageSampler(self.redis, SETTINGS, self._listed, StorageMetrics(self.registry), draw=draw)

    def _listed(self) -> list[RayCluster]:
        self.looks += 1
        return self.clusters

    def bytes_of(self, name: str) -> float | None:
        labels = {"namespace": "default", "name": name}
        return self.registry.get_sample_value("headstay_gcs_storage_bytes", labels)

    async def run(self, seconds: float) -> None:
        work = asyncio.create_task(self.sampler.run())
        await asyncio.sleep(seconds)
        work.cancel()
        await asyncio.wait({work})


def named(name: str) -> RayCluster:
    found = ft_cluster(name=name, status=RUNS, annotations={"ray.io/external-storage-namespace": name})
    found.metadata.uid = f"uid-{name}"
    return found


@pytest.mark.looptime
async def test_each_is_measured_once_in_an_interval_and_not_all_at_once() -> None:
    bench = Bench(20)
    await bench.run(INTERVAL_SECONDS + 15)
    times = [at for at, _ in bench.redis.asked]
    assert {name for _, name in bench.redis.asked} == {cluster.name for cluster in bench.clusters}
    assert len(times) <= 25
    assert max(times) - min(times) > INTERVAL_SECONDS / 2, "spread over the interval"
    assert all(bench.bytes_of(cluster.name) == 1000 for cluster in bench.clusters)


@pytest.mark.looptime
async def test_it_does_not_look_at_all_clusters_for_each_that_it_measures() -> None:
    bench = Bench(100)
    await bench.run(INTERVAL_SECONDS)
    assert len(bench.redis.asked) > 90
    assert bench.looks <= INTERVAL_SECONDS / LOOK_SECONDS + 1


@pytest.mark.looptime
async def test_what_cannot_be_measured_any_more_has_no_figure_and_is_said_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    bench = Bench(1)
    await bench.run(INTERVAL_SECONDS * 2)
    assert bench.bytes_of("c0") == 1000
    bench.redis.away = True
    await bench.run(INTERVAL_SECONDS * 5)
    assert bench.bytes_of("c0") is None
    assert caplog.text.count("Redis is away") == 1


@pytest.mark.looptime
async def test_a_cluster_that_is_gone_or_going_leaves_no_figure() -> None:
    bench = Bench(2)
    await bench.run(INTERVAL_SECONDS * 2)
    del bench.clusters[0]
    bench.clusters[0].metadata.deletion_timestamp = "2026-01-01T00:00:00Z"
    await bench.run(20)
    assert (bench.bytes_of("c0"), bench.bytes_of("c1")) == (None, None)


@given(st.integers(1, 300), st.floats(0, 1, exclude_max=True))
def test_after_a_restart_turns_are_spread_over_one_interval(count: int, draw: float) -> None:
    turns = next_turns({}, [ObjectKey("default", f"c{number}") for number in range(count)], 1000.0, draw)
    assert all(1000 <= turn <= 1000 + INTERVAL_SECONDS for turn in turns.values())
    tenths = [int((turn - 1000) / INTERVAL_SECONDS * 10) for turn in turns.values()]
    assert max(tenths.count(tenth) for tenth in range(10)) <= count / 10 + 4


PLAIN = [{"name": "RAY_REDIS_ADDRESS", "value": "redis:6379"}, {"name": "REDIS_PASSWORD", "value": "sesame"}]


@pytest.mark.parametrize(
    ("cluster", "host", "password"),
    [
        (ft_cluster(status=RUNS), "redis.default", ""),
        (ft_cluster(status=RUNS, head={"template": head_template(env=PLAIN)}), "redis.default", "sesame"),
        (ft_cluster(), None, ""),
        (ft_cluster(status=RUNS, deleted_for=1), None, ""),
        (ft_cluster(status=RUNS, managedBy="kueue.x-k8s.io/multikueue"), None, ""),
        (ft_cluster(status=RUNS, annotations={"ray.io/ft-enabled": "false"}), None, ""),
        (
            ft_cluster(status=RUNS, annotations={STORAGE: Storage(namespace="n", host="running").to_json()}),
            "running",
            "",
        ),
    ],
)
def test_it_is_measured_where_its_head_writes_if_there_is_a_way_in(
    cluster: RayCluster, host: str | None, password: str
) -> None:
    found = sample_of(cluster, SETTINGS)
    assert (found.storage.host if found else None) == host
    assert (found.password if found else "") == password
    assert "sesame" not in repr(found)
