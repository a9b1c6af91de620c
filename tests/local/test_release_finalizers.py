"""`headstay operator release-finalizers` and the kubectl line of docs/uninstall.md, against a real API server."""

import json
import re
import shlex
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from tests.local.api_server import Output, Server, api_server
from tests.local.operator_process import headstay, operator
from tests.unit.controllers.take_over import documents

from headstay.model.objects import Obj
from headstay.model.ray import REDIS_CLEANUP_FINALIZER
from headstay.model.ray_crds import raycluster_crd, rayservice_crd
from headstay.model.rayservice import RAYSERVICE_FINALIZER
from headstay.model.timestamps import rfc3339_micro

PAGE = Path(__file__).parents[2] / "docs" / "uninstall.md"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with api_server(tmp_path) as running:
        await running.run("apply", "-f-", stdin=raycluster_crd())
        await running.run("wait", "--for=condition=Established", "crd/rayclusters.ray.io", "--timeout=30s")
        await running.run("create", "namespace", "other")
        yield running


def raycluster(name: str, *finalizers: str, namespace: str = "default", **options: str) -> Obj:
    spec: Obj = {"headGroupSpec": {"rayStartParams": {}, "template": {"spec": {"containers": [{"name": "ray-head"}]}}}}
    spec["gcsFaultToleranceOptions"] = {"redisAddress": "redis:6379"} | options
    metadata = {"name": name, "namespace": namespace, "finalizers": list(finalizers)}
    return {"apiVersion": "ray.io/v1", "kind": "RayCluster", "metadata": metadata, "spec": spec}


def lease(name: str, *, renewed: timedelta) -> Obj:
    renew_time = rfc3339_micro(datetime.now(UTC) - renewed)
    spec = {"holderIdentity": "operator-1", "leaseDurationSeconds": 30, "renewTime": renew_time}
    metadata = {"name": name, "namespace": "other"}
    return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}


async def release(server: Server, *arguments: str, answer: str = "") -> Output:
    return await headstay(server, "operator", "release-finalizers", *arguments, answer=answer)


async def finalizers(server: Server, name: str, namespace: str = "default") -> list[str] | None:
    """None when the RayCluster is gone."""
    text = await server.run("get", "raycluster", name, "-n", namespace, "--ignore-not-found", "-ojson")
    return json.loads(text)["metadata"].get("finalizers", []) if text else None


async def test_a_deletion_that_hangs_without_an_operator_ends_and_the_keys_are_named(server: Server) -> None:
    stuck = raycluster("stuck", REDIS_CLEANUP_FINALIZER, externalStorageNamespace="my-ns")
    await server.run("apply", "-f-", stdin=stuck)
    await server.run("delete", "raycluster", "stuck", "--wait=false")
    assert await finalizers(server, "stuck") == [REDIS_CLEANUP_FINALIZER]
    done = await release(server, "--yes")
    assert done == (
        0,
        "released RayCluster default/stuck, being deleted; keys of storage namespace my-ns stay in Redis\n",
        "",
    )
    assert await finalizers(server, "stuck") is None
    nothing = "No object in namespace default has a finalizer of Headstay.\n"
    assert (await release(server, "--yes")).out == nothing


async def test_only_that_finalizer_goes_and_only_where_it_was_asked_for(server: Server) -> None:
    here = raycluster("here", "example.org/mine", REDIS_CLEANUP_FINALIZER)
    there = raycluster("there", REDIS_CLEANUP_FINALIZER, namespace="other")
    await server.run("apply", "-f-", stdin=[here, there])
    assert (await release(server, "--yes")).code == 0
    assert await finalizers(server, "here") == ["example.org/mine"]
    assert await finalizers(server, "there", "other") == [REDIS_CLEANUP_FINALIZER]
    done = await release(server, "--all-namespaces", "--yes", "-o", "json")
    uid = await server.run("get", "raycluster", "there", "-n", "other", "-ojsonpath={.metadata.uid}")
    released = {"kind": "RayCluster", "namespace": "other", "name": "there", "beingDeleted": False}
    assert json.loads(done.out) == {"released": [released | {"storageNamespace": uid}], "failed": []}
    assert await finalizers(server, "there", "other") == []


async def test_a_rayservice_is_let_go_too(server: Server) -> None:
    await server.run("apply", "-f-", stdin=rayservice_crd())
    await server.run("wait", "--for=condition=Established", "crd/rayservices.ray.io", "--timeout=30s")
    metadata = {"name": "it", "namespace": "default", "finalizers": [RAYSERVICE_FINALIZER]}
    spec = {"rayClusterConfig": raycluster("it")["spec"]}
    await server.run(
        "apply",
        "-f-",
        stdin={"apiVersion": "ray.io/v1", "kind": "RayService", "metadata": metadata, "spec": spec},
    )
    await server.run("delete", "rayservice", "it", "--wait=false")
    assert (await release(server, "--yes")).out == "released RayService default/it, being deleted\n"
    assert await server.run("get", "rayservices", "--ignore-not-found") == ""


@pytest.mark.parametrize(("answer", "kept"), [("n\n", True), ("", True), ("y\n", False)])
async def test_it_asks_before_it_acts(server: Server, answer: str, kept: bool) -> None:
    await server.run("apply", "-f-", stdin=raycluster("it", REDIS_CLEANUP_FINALIZER))
    done = await release(server, answer=answer)
    assert done.code == (1 if kept else 0)
    assert await finalizers(server, "it") == ([REDIS_CLEANUP_FINALIZER] if kept else [])


@pytest.mark.parametrize("name", ["headstay-operator-leader", "ray-operator-leader"])
async def test_it_refuses_while_an_operator_would_put_the_finalizer_on_again(server: Server, name: str) -> None:
    fresh = lease(name, renewed=timedelta(seconds=1))
    await server.run("apply", "-f-", stdin=[raycluster("it", REDIS_CLEANUP_FINALIZER), fresh])
    done = await release(server, "--yes")
    assert done.code == 1
    assert f"an operator is running (Lease other/{name}, held by operator-1)" in done.err
    assert await finalizers(server, "it") == [REDIS_CLEANUP_FINALIZER]
    assert (await release(server, "--yes", "--force")).code == 0
    assert await finalizers(server, "it") == []


async def test_a_lease_that_a_crash_left_behind_runs_out(server: Server) -> None:
    old = lease("headstay-operator-leader", renewed=timedelta(seconds=31))
    await server.run("apply", "-f-", stdin=[raycluster("it", REDIS_CLEANUP_FINALIZER), old])
    assert (await release(server, "--yes")).code == 0
    assert await finalizers(server, "it") == []


async def test_json_asks_no_questions(server: Server) -> None:
    assert (await release(server, "-o", "json")).code == 2
    assert (await release(server, "-n", "other", "-A", "--yes")).code == 2


async def test_the_page_s_kubectl_line_does_it_too(server: Server) -> None:
    (line,) = re.findall(r"^kubectl (patch .*)$", PAGE.read_text(), re.MULTILINE)
    await server.run("apply", "-f-", stdin=raycluster("it", REDIS_CLEANUP_FINALIZER))
    await server.run("delete", "raycluster", "it", "--wait=false")
    await server.run(*shlex.split(line.replace("NAMESPACE", "default").replace("NAME", "it")))
    assert await finalizers(server, "it") is None


async def test_a_kuberay_fleet_is_taken_over_and_let_go_again_without_one_object_touched(server: Server) -> None:
    """All of it as users do it: KubeRay is gone, Headstay comes, is uninstalled, and the cluster is deleted."""
    await server.run("create", "serviceaccount", "default")
    cluster, *children = documents("1.3/multi-host")
    old = cluster["metadata"].pop("uid")
    await server.run("create", "-f-", stdin=cluster)
    status = json.dumps({"status": cluster["status"]})
    await server.run("patch", "raycluster", "ray", "--type=merge", "--subresource=status", f"-p={status}")
    uid = await server.run("get", "raycluster", "ray", "-ojsonpath={.metadata.uid}")
    await server.run("create", "-f-", stdin=list(yaml.safe_load_all(yaml.safe_dump_all(children).replace(old, uid))))
    for child in (child for child in children if child["kind"] == "Pod"):
        status = json.dumps({"status": child["status"]})
        await server.run("patch", "pod", child["metadata"]["name"], "--subresource=status", f"-p={status}")
    everything = ("get", "pods,services,jobs", "-ojson")
    before = json.loads(await server.run(*everything))["items"]
    async with operator(server) as running:
        await running.until_said("adopted as it is; its 5 Pods were made by a KubeRay that leaves no version")
        content = {"controller": "raycluster-controller", "result": "requeue_after"}
        await running.until_shown("controller_runtime_reconcile", content)
        refused = await release(server, "--yes")
        assert (refused.code, "an operator is running" in refused.err) == (1, True)
    assert json.loads(await server.run(*everything))["items"] == before
    await server.run("delete", "raycluster", "ray", "--wait=false")
    assert await finalizers(server, "ray") == [REDIS_CLEANUP_FINALIZER]
    assert (await release(server, "--yes")).code == 0, "its Lease was given back"
    assert await finalizers(server, "ray") is None
