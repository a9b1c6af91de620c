"""The metrics of the operator's own process: what its start wires together."""

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import yaml
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from tests.local.api_server import Server, api_server
from tests.local.test_release_finalizers import raycluster

from headstay.controllers.manifests import LEASE
from headstay.model.ray_crds import raycluster_crd


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with api_server(tmp_path) as running:
        await running.run("apply", "-f-", stdin=raycluster_crd())
        await running.run("wait", "--for=condition=Established", "crd/rayclusters.ray.io", "--timeout=30s")
        await running.run("create", "serviceaccount", "default")
        yield running


@pytest.fixture
async def metrics(server: Server) -> AsyncIterator[str]:
    """The URL of an operator's metrics; its Lease is in namespace `default`."""
    kubeconfig = server.home / "kubeconfig"
    context = {"name": "it", "context": {"cluster": "it", "namespace": "default"}}
    config = {"current-context": "it", "clusters": [{"name": "it", "cluster": {"server": server.url}}]}
    kubeconfig.write_text(yaml.safe_dump(config | {"contexts": [context]}))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    command = [sys.executable, "-m", "headstay.controllers", "--kubeconfig", str(kubeconfig)]
    command += ["--metrics-address", address, "--leader-election-namespace", "default"]
    process = await asyncio.create_subprocess_exec(*command, env={"PATH": os.environ["PATH"]})
    try:
        yield f"http://{address}/metrics"
    finally:
        process.terminate()
        async with asyncio.timeout(20):
            assert await process.wait() == 0


async def scrape(url: str) -> dict[str, Metric]:
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return {family.name: family for family in text_string_to_metric_families(await answer.text())}


async def until_shown(url: str, family: str, labels: dict[str, str]) -> dict[str, Metric]:
    async with asyncio.timeout(60):
        while True:
            try:
                found = await scrape(url)
            except aiohttp.ClientConnectionError:
                found = {}
            samples = found[family].samples if family in found else []
            if any(labels.items() <= sample.labels.items() and sample.value for sample in samples):
                return found
            await asyncio.sleep(0.1)


async def test_the_operator_s_process_serves_its_lease_its_loop_and_its_clusters(server: Server, metrics: str) -> None:
    await until_shown(metrics, "leader_election_master_status", {"name": LEASE})
    await server.run("apply", "-f-", stdin=raycluster("it"))
    await until_shown(metrics, "kuberay_cluster_info", {"name": "it", "namespace": "default", "owner_kind": "None"})
    found = await until_shown(metrics, "controller_runtime_reconcile", {"controller": "raycluster-controller"})
    methods = {sample.labels["method"] for sample in found["rest_client_requests"].samples}
    assert {"GET", "PATCH"} <= methods
    for family in ("headstay_gcs_recoveries", "headstay_gcs_ft_cleanups", "headstay_gcs_ft_debts"):
        assert found[family].samples
    await server.run("patch", "raycluster", "it", "--type=merge", '-p={"metadata":{"finalizers":null}}')
