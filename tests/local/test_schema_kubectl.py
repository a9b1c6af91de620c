"""What real kubectl makes of our schemas: explain, misspelt fields, dry runs, custom resources."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from headstay.local.seams import SYSTEM, Attributes, Decision, User
from headstay.local.server.about import About
from headstay.local.server.assembly import build_api
from headstay.local.server.http import Surroundings, create_app, start
from headstay.local.server.schema.kinds import KindSchemas
from headstay.local.server.schema.openapi import OpenApi
from headstay.model.objects import Obj

ROOT = Path(__file__).parents[2]


class Everyone:
    """May do everything: these tests are not about rights."""

    def authorize(self, user: User, attributes: Attributes) -> Decision:
        return Decision(allowed=True, reason="")


@dataclass
class Kubectl:
    server: str
    home: Path

    async def run(self, *arguments: str, stdin: Any = None, ok: bool = True) -> str:
        """Kubectl's output (stdout and stderr together)."""
        process = await asyncio.create_subprocess_exec(
            "kubectl",
            f"--server={self.server}",
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={"HOME": str(self.home), "PATH": os.environ["PATH"], "KUBECONFIG": "/dev/null"},
        )
        text = None if stdin is None else yaml.safe_dump(stdin).encode()
        async with asyncio.timeout(60):
            output, _ = await process.communicate(text)
        assert (process.returncode == 0) is ok, output.decode()
        return output.decode()


@pytest.fixture
async def kubectl(tmp_path: Path) -> AsyncIterator[Kubectl]:
    api = build_api()
    assert isinstance(api.schemas, KindSchemas)
    openapi = OpenApi(api.schemas.definitions, api.kinds, api.reader)
    around = Surroundings(authenticate=lambda request: SYSTEM, authorizer=Everyone())
    runner = await start(create_app(api, around, About(api.kinds, openapi=openapi.document)), "127.0.0.1", 0)
    port = runner.addresses[0][1]
    yield Kubectl(f"http://127.0.0.1:{port}", tmp_path)
    await runner.cleanup()


def crds() -> list[Obj]:
    files = sorted((ROOT / "config" / "crd").glob("ray*.yaml"))
    return [crd for file in files for crd in yaml.safe_load_all(file.read_text()) if crd]


async def with_crds(kubectl: Kubectl) -> None:
    for crd in crds():
        await kubectl.run("create", "-f", "-", stdin=crd)
    names = [f"crd/{crd['metadata']['name']}" for crd in crds()]
    await kubectl.run("wait", "--for=condition=established", "--timeout=10s", *names)


def service(**spec: Any) -> Obj:
    base = {"selector": {"a": "b"}, "ports": [{"port": 80}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": base | spec}


async def test_explain_shows_built_in_fields_with_their_descriptions(kubectl: Kubectl) -> None:
    found = await kubectl.run("explain", "pod.spec.containers")
    assert "FIELD: containers <[]Container>" in found
    assert "List of containers belonging to the pod" in found
    assert "image\t<string>" in found
    found = await kubectl.run("explain", "pod.spec.containers", "--recursive")
    assert "secretKeyRef" in found


async def test_explain_shows_custom_fields(kubectl: Kubectl) -> None:
    await with_crds(kubectl)
    found = await kubectl.run("explain", "raycluster.spec.headGroupSpec")
    assert "GROUP:      ray.io" in found
    assert "rayStartParams\t<map[string]string>" in found
    assert "template\t<Object> -required-" in found
    assert "metadata\t<ObjectMeta>" in await kubectl.run("explain", "rayclusters")


async def test_a_misspelt_field_is_refused(kubectl: Kubectl) -> None:
    found = await kubectl.run("apply", "-f", "-", stdin=service(prots=[]), ok=False)
    assert 'strict decoding error: unknown field "spec.prots"' in found
    found = await kubectl.run("apply", "--validate=warn", "-f", "-", stdin=service(prots=[]))
    assert 'Warning: unknown field "spec.prots"' in found


async def test_a_wrong_type_reads_as_in_kubernetes(kubectl: Kubectl) -> None:
    spec = {"selector": {"matchLabels": {"a": "b"}}, "template": {"spec": {}}, "replicas": "3"}
    deployment = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": spec}
    found = await kubectl.run("create", "-f", "-", stdin=deployment, ok=False)
    assert (
        'Deployment in version "v1" cannot be handled as a Deployment: json: cannot unmarshal string into Go struct '
        "field DeploymentSpec.spec.replicas of type int32"
    ) in found


async def test_a_custom_resource_that_is_wrong_is_refused(kubectl: Kubectl) -> None:
    await with_crds(kubectl)
    cluster: Obj = {"apiVersion": "ray.io/v1", "kind": "RayCluster", "metadata": {"name": "c"}}
    found = await kubectl.run("create", "-f", "-", stdin=cluster | {"spec": {"headGroupSpec": {}}}, ok=False)
    assert 'The RayCluster "c" is invalid: spec.headGroupSpec.template: Required value' in found
    head: Obj = {"template": {}, "rayStartParam": {}}
    found = await kubectl.run("create", "-f", "-", stdin=cluster | {"spec": {"headGroupSpec": head}}, ok=False)
    assert 'unknown field "spec.headGroupSpec.rayStartParam"' in found


async def test_rules_of_the_crd_hold(kubectl: Kubectl) -> None:
    await with_crds(kubectl)
    spec = {"headGroupSpec": {"template": {}}, "managedBy": "ray.io/kuberay-operator"}
    cluster: Obj = {"apiVersion": "ray.io/v1", "kind": "RayCluster", "metadata": {"name": "c"}, "spec": spec}
    await kubectl.run("create", "-f", "-", stdin=cluster)
    found = await kubectl.run(
        "patch", "raycluster", "c", "--type=merge", "-p", json.dumps({"spec": {"managedBy": "me"}}), ok=False
    )
    assert 'spec.managedBy: Invalid value: "string": the managedBy field is immutable' in found


async def test_a_server_side_dry_run_is_offered_for_built_in_and_custom_kinds(kubectl: Kubectl) -> None:
    await with_crds(kubectl)
    assert "created (server dry run)" in await kubectl.run("apply", "--dry-run=server", "-f", "-", stdin=service())
    cluster: Obj = {
        "apiVersion": "ray.io/v1",
        "kind": "RayCluster",
        "metadata": {"name": "c"},
        "spec": {"headGroupSpec": {"template": {}}},
    }
    assert "created (server dry run)" in await kubectl.run("apply", "--dry-run=server", "-f", "-", stdin=cluster)


async def test_a_crd_may_change_and_explain_follows(kubectl: Kubectl) -> None:
    await with_crds(kubectl)
    patch = [
        {
            "op": "add",
            "path": "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/newField",
            "value": {"type": "string", "description": "As new as can be."},
        }
    ]
    await kubectl.run("patch", "crd", "rayclusters.ray.io", "--type=json", "-p", json.dumps(patch))
    assert "As new as can be." in await kubectl.run("explain", "raycluster.spec.newField")
