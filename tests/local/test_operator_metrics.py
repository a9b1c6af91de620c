"""The metrics of the operator's own process: what its start wires together."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.local.api_server import Server, api_server
from tests.local.operator_process import operator
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


async def test_the_operator_s_process_serves_its_lease_its_loop_and_its_clusters(server: Server) -> None:
    async with operator(server) as running:
        await running.until_shown("leader_election_master_status", {"name": LEASE})
        await server.run("apply", "-f-", stdin=raycluster("it"))
        info = {"name": "it", "namespace": "default", "owner_kind": "None"}
        await running.until_shown("kuberay_cluster_info", info)
        found = await running.until_shown("controller_runtime_reconcile", {"controller": "raycluster-controller"})
    methods = {sample.labels["method"] for sample in found["rest_client_requests"].samples}
    assert {"GET", "PATCH"} <= methods
    for family in ("headstay_gcs_recoveries", "headstay_gcs_ft_cleanups", "headstay_gcs_ft_debts"):
        assert found[family].samples
