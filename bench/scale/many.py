"""Many clusters of one size: how long, how many writes, how much memory; heads that fail; all deleted."""

import asyncio
import os
import time
from functools import partial
from typing import Any

from bench.scale.figures import Figures, quantile
from bench.scale.parts import BOUND, Bench, How, in_parallel, running
from bench.scale.shapes import cluster, minimal_writes

from headstay.model.meta import Pod
from headstay.model.ray import CLUSTER, RAYCLUSTERS
from headstay.model.resource import PODS

FAILED_HEADS = 50
IDLE_SECONDS = 20.0
WRITES = ("POST", "PATCH", "DELETE")  # the lease is kept with PUT
RECONCILE = "controller_runtime_reconcile_time_seconds"


async def measure(count: int, workers: int, how: How) -> dict[str, Any]:
    async with running(how) as bench:
        results: dict[str, Any] = {"clusters": count, "pods": count * (1 + workers), "load_before": os.getloadavg()[0]}
        results["lease"] = how.lease
        results |= {f"{part.name}_memory_empty_mb": part.peak_megabytes() for part in bench.parts}
        cpu = {part.name: part.cpu_seconds() for part in bench.parts}
        names = [f"ray-{number:04}" for number in range(count)]
        results |= await _create(bench, names, workers)
        results |= _spent(bench, cpu, "")
        results["load_when_ready"] = os.getloadavg()[0]
        results["operator_idle_cpu_percent"] = await _idle(bench)
        failing = names[:: max(1, count // FAILED_HEADS)][:FAILED_HEADS]
        results["heads_replaced_s"] = await _replace_heads(bench, failing)
        results |= await _delete(bench)
        results |= _spent(bench, cpu, "_whole_run")
        results["load_after"] = os.getloadavg()[0]
        return results


def _spent(bench: Bench, before: dict[str, float], suffix: str) -> dict[str, float]:
    found: dict[str, float] = {}
    for part in bench.parts:
        found[f"{part.name}_cpu_s{suffix}"] = round(part.cpu_seconds() - before[part.name], 1)
        found[f"{part.name}_peak_mb{suffix}"] = part.peak_megabytes()
    return found


async def _create(bench: Bench, names: list[str], workers: int) -> dict[str, Any]:
    count = len(names)
    before = bench.operator_metrics()
    written, said = await operator_writes(bench)
    ready: set[str] = set()
    bench.clusters.on_change(lambda _, new: ready.add(new.name) if new and new.status.get("state") == "ready" else None)
    results: dict[str, Any] = {}
    cpu = bench.server.cpu_seconds()
    began = time.monotonic()
    await in_parallel(partial(bench.client.create, RAYCLUSTERS, cluster(name, workers)) for name in names)
    results["created_s"] = round(time.monotonic() - began, 2)
    await bench.until(lambda: len(ready) == count, "all ready")
    results["all_ready_s"] = round(time.monotonic() - began, 2)
    results["server_cpu_s_until_ready"] = round(bench.server.cpu_seconds() - cpu, 1)
    await _quiet(bench)
    results["quiet_s"] = round(time.monotonic() - began, 2)
    after = bench.operator_metrics()
    all_written, all_said = await operator_writes(bench)
    patched = (await bench.server_metrics()).by("apiserver_request_total", "verb", "resource")["patch rayclusters"]
    per_cluster = (all_written - written) / count
    results["writes_per_cluster"] = round(per_cluster, 2)
    results["status_writes_per_cluster"] = round(patched / count - 1, 2)
    results["writes_over_minimal"] = round(per_cluster / minimal_writes(workers), 3)
    results["events_per_cluster"] = round((all_said - said) / count, 2)
    results["reads_per_cluster"] = round((_reads(after) - _reads(before)) / count, 2)
    reconciles = after.total(f"{RECONCILE}_count") - before.total(f"{RECONCILE}_count")
    results["reconciles_per_cluster"] = round(reconciles / count, 1)
    for share in (0.5, 0.99):
        found = quantile(share, after.buckets(RECONCILE), before.buckets(RECONCILE))
        results[f"reconcile_p{share * 100:.0f}_s"] = found
    return results


async def operator_writes(bench: Bench) -> tuple[float, float]:
    """(writes, Events) of the operator so far. Only it makes Events about RayClusters, and only those are made here."""
    requests = bench.operator_metrics()
    events = (await bench.server_metrics()).by("apiserver_request_total", "verb", "resource")
    said = events.get("create events", 0) + events.get("patch events", 0)
    return sum(requests.total("rest_client_requests_total", method=method) for method in WRITES) - said, said


def _reads(figures: Figures) -> float:
    return figures.total("rest_client_requests_total", method="GET")


async def _quiet(bench: Bench) -> None:
    """Until the operator has written nothing for three seconds, Events included."""
    last = (-1.0, -1.0)
    while (now := await operator_writes(bench)) != last:
        last = now
        await asyncio.sleep(3)


async def _idle(bench: Bench) -> float:
    before = bench.operator.cpu_seconds()
    await asyncio.sleep(IDLE_SECONDS)
    return round(100 * (bench.operator.cpu_seconds() - before) / IDLE_SECONDS, 2)


async def _delete(bench: Bench) -> dict[str, float]:
    began = time.monotonic()
    await bench.client.delete_collection(RAYCLUSTERS, "default")
    await bench.until(lambda: not bench.clusters.cache.list(), "all RayClusters gone")
    results = {"all_deleted_s": round(time.monotonic() - began, 2)}
    while (await bench.client.list_page(PODS, "default", limit=1)).items:
        if time.monotonic() - began > BOUND:
            raise SystemExit("Pods are left")
        await asyncio.sleep(0.2)
    return results | {"all_pods_gone_s": round(time.monotonic() - began, 2)}


async def _replace_heads(bench: Bench, names: list[str]) -> float:
    failing = {pod.metadata.labels[CLUSTER]: pod for pod in bench.heads.cache.list()}
    old = {name: failing[name].metadata.uid for name in names}
    fresh: set[str] = set()

    def seen(_: Pod | None, new: Pod | None) -> None:
        if new is not None and new.ready:
            name = new.metadata.labels[CLUSTER]
            if name in old and new.metadata.uid != old[name]:
                fresh.add(name)

    bench.heads.on_change(seen)
    failed = {"status": {"phase": "Failed", "reason": "Evicted"}}
    began = time.monotonic()
    await in_parallel(
        partial(bench.client.patch, PODS, "default", failing[name].metadata.name, failed, subresource="status")
        for name in names
    )
    await bench.until(lambda: len(fresh) == len(names), "all heads replaced")
    return round(time.monotonic() - began, 2)
