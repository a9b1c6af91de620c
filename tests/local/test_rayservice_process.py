"""The operator as a process, real kubectl, and a RayService; the heads' Pods and Ray's interface are played here."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from tests.local.api_server import Server, api_server
from tests.local.operator_process import operator

from headstay.model.objects import Obj
from headstay.model.ray_crds import raycluster_crd, rayservice_crd

SECONDS = 120
CONFIG = "applications:\n- name: fruit\n  import_path: fruit:app\n"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with api_server(tmp_path) as running:
        await running.run("apply", "-f-", stdin=[raycluster_crd(), rayservice_crd()])
        for name in ("rayclusters", "rayservices"):
            await running.run("wait", "--for=condition=Established", f"crd/{name}.ray.io", "--timeout=30s")
        await running.run("create", "serviceaccount", "default")
        yield running


class Ray:
    """What the dashboard and the proxy of every head say. One port for both: all heads have the same address here."""

    def __init__(self) -> None:
        self.told: list[Obj] = []

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[int]:
        app = web.Application()
        app.router.add_get("/-/healthz", self._healthy)
        app.router.add_get("/api/serve/applications/", self._applications)
        app.router.add_put("/api/serve/applications/", self._deploy)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        try:
            yield int(site.name.rpartition(":")[2])
        finally:
            await runner.cleanup()

    async def _healthy(self, _: web.Request) -> web.Response:
        return web.Response(text="success")

    async def _applications(self, _: web.Request) -> web.Response:
        applications = self.told[-1]["applications"] if self.told else []
        return web.json_response({"applications": {found["name"]: {"status": "RUNNING"} for found in applications}})

    async def _deploy(self, request: web.Request) -> web.Response:
        self.told.append(await request.json())
        return web.Response()


def rayservice(port: int, image: str) -> Obj:
    ports = [{"name": "serve", "containerPort": port}]
    container = {"name": "ray-head", "image": image, "ports": ports}
    head = {"rayStartParams": {"dashboard-port": str(port)}, "template": {"spec": {"containers": [container]}}}
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayService",
        "metadata": {"name": "fruit", "namespace": "default"},
        "spec": {
            "rayClusterDeletionDelaySeconds": 1,
            "serveConfigV2": CONFIG,
            "rayClusterConfig": {"rayVersion": "2.60.0", "headGroupSpec": head},
        },
    }


async def _get(server: Server, what: str) -> list[Obj]:
    items: list[Obj] = json.loads(await server.run("get", what, "-o", "json"))["items"]
    return items


async def _play_kubelet(server: Server) -> None:
    """Every head that has no address yet runs and is Ready."""
    while True:
        for pod in await _get(server, "pods"):
            if "podIP" not in (pod.get("status") or {}) and not pod["metadata"].get("deletionTimestamp"):
                ready = [{"type": "Ready", "status": "True"}]
                patch: Any = {"status": {"phase": "Running", "podIP": "127.0.0.1", "conditions": ready}}
                name = pod["metadata"]["name"]
                await server.kubectl(
                    "patch", "pod", name, "--subresource=status", "--type=merge", f"-p={json.dumps(patch)}"
                )
        await asyncio.sleep(0.5)


async def _until_image_serves(server: Server, image: str) -> str:
    """The name of the active cluster, once it is the only one and of that image."""
    async with asyncio.timeout(SECONDS):
        while True:
            (found,) = await _get(server, "rayservices")
            status = found.get("status") or {}
            active = (status.get("activeServiceStatus") or {}).get("rayClusterName")
            clusters = {c["metadata"]["name"]: c["spec"] for c in await _get(server, "rayclusters")}
            if list(clusters) == [active] and status.get("serviceStatus") == "Running":
                template = clusters[active]["headGroupSpec"]["template"]
                if template["spec"]["containers"][0]["image"] == image:
                    return str(active)
            await asyncio.sleep(0.5)


@pytest.mark.timeout(600)
async def test_a_rayservice_goes_from_apply_to_ready_to_another_cluster_and_away(server: Server) -> None:
    ray = Ray()
    async with ray.serving() as port, operator(server) as running:
        kubelet = asyncio.create_task(_play_kubelet(server))
        await server.run("apply", "-f-", stdin=rayservice(port, "ray:1"))
        await server.run("wait", "--for=condition=Ready", "rayservice/fruit", f"--timeout={SECONDS}s")
        first = await _until_image_serves(server, "ray:1")
        assert ray.told == [{"applications": [{"name": "fruit", "import_path": "fruit:app"}]}]
        services = {found["metadata"]["name"]: found for found in await _get(server, "services")}
        assert services["fruit-serve-svc"]["spec"]["selector"] == {"ray.io/cluster": first, "ray.io/serve": "true"}
        assert services["fruit-head-svc"]["spec"]["selector"]["ray.io/cluster"] == first
        (head,) = await _get(server, "pods")
        assert head["metadata"]["labels"]["ray.io/serve"] == "true"
        ready = {"name": "fruit", "namespace": "default", "condition": "true"}
        await running.until_shown("kuberay_service_condition_ready", ready)

        await server.run("apply", "-f-", stdin=rayservice(port, "ray:2"))
        second = await _until_image_serves(server, "ray:2")
        assert second != first
        assert len(ray.told) == 2

        await server.run("delete", "rayservice", "fruit", f"--timeout={SECONDS}s")
        assert await _get(server, "rayclusters") == []
        events = await _get(server, "events.events.k8s.io")
        said = {(found["reason"], found["type"]) for found in events if found["regarding"]["kind"] == "RayService"}
        assert said >= {
            ("CreatedRayCluster", "Normal"),
            ("CreatedService", "Normal"),
            ("UpdatedService", "Normal"),
            ("UpdatedServeApplications", "Normal"),
            ("UpdatedHeadPodServeLabel", "Normal"),
            ("DeletedRayCluster", "Normal"),
        }
        assert {found["reportingController"] for found in events if found["regarding"]["kind"] == "RayService"} == {
            "rayservice-controller"
        }
        kubelet.cancel()
