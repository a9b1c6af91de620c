"""Real kubectl is the judge: what users type, against the API server alone."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.local.api_server import Server, api_server
from tests.unit.server_core.objects import config_map, deployment, service_account, widget, widget_crd

from headstay.model.objects import Obj


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with api_server(tmp_path) as running:
        yield running


async def test_apply_changes_what_changed_and_says_so(server: Server) -> None:
    assert await server.run("apply", "-f-", stdin=config_map("a")) == "configmap/a created\n"
    assert await server.run("apply", "-f-", stdin=config_map("a")) == "configmap/a unchanged\n"
    changed = config_map("a", data={"b": "2"})
    assert await server.run("apply", "-f-", stdin=changed) == "configmap/a configured\n"
    assert json.loads(await server.run("get", "cm", "a", "-ojsonpath={.data}")) == {"b": "2"}


async def test_the_verbs_of_a_day(server: Server) -> None:
    await server.run("create", "configmap", "a", "--from-literal=x=1")
    assert await server.run("label", "cm", "a", "color=red") == "configmap/a labeled\n"
    assert await server.run("annotate", "cm", "a", "note=n") == "configmap/a annotated\n"
    for kind, patch in (
        ("merge", {"data": {"second": "2"}}),
        ("strategic", {"data": {"z": "3"}}),
        ("json", [{"op": "remove", "path": "/data/x"}]),
    ):
        assert "patched" in await server.run("patch", "cm", "a", f"--type={kind}", f"-p={json.dumps(patch)}")
    assert await server.run("get", "cm", "-l", "color=red", "-ojsonpath={.items[0].data}") == '{"second":"2","z":"3"}'
    assert 'note: "n"' in await server.run("get", "cm", "a", "-oyaml")
    described = await server.run("describe", "cm", "a")
    assert "color=red" in described
    server.environment["KUBE_EDITOR"] = 'sed -i \'s/second: "2"/second: "9"/\''
    assert "configmap/a edited" in await server.run("edit", "cm", "a")
    assert await server.run("get", "cm", "a", "-ojsonpath={.data.second}") == "9"
    assert "replaced" in await server.run("replace", "-f-", stdin=config_map("a"))
    assert await server.run("delete", "cm", "a") == 'configmap "a" deleted\n'
    assert await server.refused("get", "cm", "a") == 'Error from server (NotFound): configmaps "a" not found\n'


async def test_every_kind_that_kubectl_can_create_from_flags(server: Server) -> None:
    for arguments in (
        "namespace n",
        "serviceaccount default",
        "serviceaccount sa",
        "secret generic s --from-literal=p=w",
        "deployment d --image=nginx --replicas=0",
        "job j --image=x -- true",
        "cronjob cj --image=x --schedule=@daily",
        "quota q --hard=pods=3",
        "service clusterip svc --tcp=80:90",
        "service nodeport np --tcp=80",
        "role r --verb=get --resource=pods",
        "clusterrole cr --verb=get --resource=nodes",
        "rolebinding rb --role=r --user=u",
        "clusterrolebinding crb --clusterrole=cr --group=g",
        "ingress i --rule=a.b/*=svc:80",
        "poddisruptionbudget p --min-available=50% --selector=a=b",
        "priorityclass pc --value=5",
    ):
        assert "created" in await server.run("create", *arguments.split())
    assert "created" in await server.run("run", "pod", "--image=nginx")
    assert "exposed" in await server.run("expose", "deployment", "d", "--port=80")
    assert await server.run("get", "deploy,job,cj,quota,svc,role,rolebinding,ingress,pdb", "--no-headers")
    decoded = await server.run("get", "secret", "s", "-ojsonpath={.data.p}")
    assert decoded == "dw=="


async def test_tables_have_the_columns_that_users_know(server: Server) -> None:
    await server.run("create", "serviceaccount", "default")
    await server.run("run", "p", "--image=nginx")
    header, row = (await server.run("get", "pods")).splitlines()
    assert header.split() == ["NAME", "READY", "STATUS", "RESTARTS", "AGE"]
    assert row.split()[:4] == ["p", "0/1", "Pending", "0"]
    wide = (await server.run("get", "pods", "-owide")).splitlines()[0]
    assert wide.split()[5:7] == ["IP", "NODE"]
    await server.run("create", "-f-", stdin=deployment("d", 3))
    assert (await server.run("get", "deploy", "--no-headers")).split()[:4] == ["d", "0/3", "0", "0"]
    assert "pod/p" in await server.run("get", "all")
    assert (await server.run("get", "pods", "--sort-by=.metadata.name", "-oname")) == "pod/p\n"


async def test_watching_prints_each_change_as_it_comes(server: Server) -> None:
    process = await server.start_kubectl("get", "cm", "-w", "--output-watch-events", "--no-headers")
    assert process.stdout is not None
    lines: list[list[str]] = []
    async with asyncio.timeout(30):
        while server.api.broadcaster.count() == 0:
            await asyncio.sleep(0.02)
        await server.run("create", "configmap", "a", "--from-literal=x=1")
        await server.run("label", "cm", "a", "x=y")
        await server.run("delete", "cm", "a")
        while len(lines) < 3:
            lines.append((await process.stdout.readline()).decode().split())
    process.terminate()
    await process.wait()
    assert [line[:3] for line in lines] == [["ADDED", "a", "1"], ["MODIFIED", "a", "1"], ["DELETED", "a", "1"]]


async def test_a_watch_ends_at_the_server_when_its_reader_goes(server: Server) -> None:
    process = await server.start_kubectl("get", "cm", "-w")
    async with asyncio.timeout(30):
        while server.api.broadcaster.count() == 0:
            await asyncio.sleep(0.02)
        process.kill()
        await process.wait()
        while server.api.broadcaster.count():
            await asyncio.sleep(0.02)


async def test_waiting_for_a_deletion_that_a_finalizer_holds(server: Server) -> None:
    held = config_map("a", finalizers=["example.com/hold"])
    await server.run("create", "-f-", stdin=held)
    await server.run("delete", "cm", "a", "--wait=false")
    waiting = asyncio.create_task(server.run("wait", "--for=delete", "cm/a", "--timeout=20s"))
    await asyncio.sleep(0.3)
    assert not waiting.done()
    await server.run("patch", "cm", "a", "--type=merge", '-p={"metadata":{"finalizers":null}}')
    assert "condition met" in await waiting


async def test_server_side_apply_names_the_manager_it_conflicts_with(server: Server) -> None:
    apply = ("apply", "--server-side", "-f-")
    assert await server.run(*apply, stdin=config_map("a")) == "configmap/a serverside-applied\n"
    other = config_map("a", data={"a": "other"})
    complaint = await server.refused(*apply, "--field-manager=other", stdin=other)
    assert 'Apply failed with 1 conflict: conflict with "kubectl": .data.a' in complaint
    await server.run(*apply, "--field-manager=other", "--force-conflicts", stdin=other)
    assert await server.run("get", "cm", "a", "-ojsonpath={.data.a}") == "other"


async def test_a_custom_kind_behaves_like_any_other(server: Server) -> None:
    await server.run("apply", "-f-", stdin=widget_crd())
    await server.run("wait", "--for=condition=Established", "crd/widgets.example.com", "--timeout=10s")
    await server.run("apply", "-f-", stdin=widget("w", size=3))
    header, row = (await server.run("get", "wd")).splitlines()
    assert (header.split(), row.split()[:2]) == (["NAME", "SIZE", "AGE"], ["w", "3"])
    assert "scaled" in await server.run("scale", "widget/w", "--replicas=5")
    assert await server.run("get", "widget", "w", "-ojsonpath={.spec.size}") == "5"
    invalid = await server.refused("apply", "-f-", stdin=widget("bad", size="many"))
    assert "spec.size" in invalid
    await server.run("delete", "crd", "widgets.example.com")
    # Either kubectl still has the kind in its discovery cache, or it has looked again.
    gone = await server.refused("get", "widgets")
    assert "could not find the requested resource" in gone or "doesn't have a resource type" in gone


async def test_unknown_fields_are_refused_by_name(server: Server) -> None:
    misspelt = config_map("a") | {"dta": {"x": "y"}}
    complaint = await server.refused("create", "--validate=strict", "-f-", stdin=misspelt)
    assert 'unknown field "dta"' in complaint
    code, _, err = await server.kubectl("create", "--validate=warn", "-f-", stdin=misspelt)
    assert code == 0
    assert 'Warning: unknown field "dta"' in err


async def test_deployments_scale_and_dry_runs_change_nothing(server: Server) -> None:
    await server.run("create", "-f-", stdin=deployment("d", 1))
    assert "scaled" in await server.run("scale", "deploy/d", "--replicas=4")
    await server.run("scale", "deploy/d", "--replicas=9", "--dry-run=server")
    assert await server.run("get", "deploy", "d", "-ojsonpath={.spec.replicas} {.metadata.generation}") == "4 2"
    assert "restarted" in await server.run("rollout", "restart", "deploy/d")
    assert "image updated" in await server.run("set", "image", "deploy/d", "main=other")


async def test_three_hundred_objects_come_and_go_in_chunks(server: Server) -> None:
    many: list[Obj] = [config_map(f"c{turn:03}") for turn in range(300)]
    await server.run("create", "-f-", stdin={"apiVersion": "v1", "kind": "List", "items": many})
    names = (await server.run("get", "cm", "-oname", "--chunk-size=70")).split()
    assert names == sorted(f"configmap/c{turn:03}" for turn in range(300))
    await server.run("delete", "cm", "--all", "--wait=false")
    assert await server.run("get", "cm", "-oname") == ""


async def test_a_restarted_server_has_everything_that_was_acknowledged(tmp_path: Path) -> None:
    database = tmp_path / "store" / "objects.sqlite"
    async with api_server(tmp_path, database) as first:
        await first.run("create", "-f-", stdin=[service_account(), widget_crd()])
        await first.run("create", "-f-", stdin=widget("w", size=1))
        before = await first.run("get", "wd", "w", "-oyaml")
    async with api_server(tmp_path, database) as second:
        assert await second.run("get", "wd", "w", "-oyaml") == before
