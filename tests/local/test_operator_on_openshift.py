"""The operator's process beside an API that serves OpenShift's Routes: what it finds out when it starts."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.local.api_server import Server, api_server
from tests.local.operator_bench import NAME, sample_cluster
from tests.local.operator_process import operator
from tests.unit.controllers.test_raycluster_route_over_the_api import routes_crd

from headstay.model.objects import Obj
from headstay.model.ray_crds import raycluster_crd


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with api_server(tmp_path) as running:
        await running.run("apply", "-f-", stdin=[raycluster_crd(), routes_crd()])
        names = ("crd/rayclusters.ray.io", "crd/routes.route.openshift.io")
        await running.run("wait", "--for=condition=Established", *names, "--timeout=30s")
        await running.run("create", "serviceaccount", "default")
        yield running


def asking() -> Obj:
    document = sample_cluster()
    document["spec"]["headGroupSpec"]["enableIngress"] = True
    return document


async def test_a_route_leads_to_the_dashboard_where_the_api_serves_routes(server: Server) -> None:
    async with operator(server) as running:
        await running.until_said("the API serves Routes")
        await server.run("apply", "-f-", stdin=asking())
        await server.run("wait", "--for=create", f"route/{NAME}-head-route", "--timeout=30s")
        service = await server.run("get", "route", f"{NAME}-head-route", "-o=jsonpath={.spec.to.name}")
        assert service == f"{NAME}-head-svc"
        assert "No resources" in (await server.kubectl("get", "ingress")).err


async def test_an_ingress_is_made_there_where_the_operator_is_told_so(server: Server) -> None:
    async with operator(server, USE_INGRESS_ON_OPENSHIFT="true"):
        await server.run("apply", "-f-", stdin=asking())
        await server.run("wait", "--for=create", f"ingress/{NAME}-head-ingress", "--timeout=30s")
        assert "No resources" in (await server.kubectl("get", "route")).err
