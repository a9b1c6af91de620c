"""The wire: who may ask, in which form questions and answers travel, and what every refusal looks like."""

import asyncio
import io
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
import yaml
from aiohttp import web
from tests.unit.server_core.objects import config_map, widget_crd

from headstay.local.seams import SYSTEM, Attributes, Decision, User
from headstay.local.server.about import About
from headstay.local.server.http import BODY_LIMIT, Surroundings, create_app, start
from headstay.local.server.metrics import Metrics
from headstay.local.server.rest import Api
from headstay.model.errors import StatusError
from headstay.model.objects import Obj
from headstay.model.resource import CUSTOM_RESOURCE_DEFINITIONS

CONFIGMAPS = "/api/v1/namespaces/default/configmaps"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"


@dataclass
class Rights:
    """Knows one user by a header, and what was asked of it."""

    allowed: bool = True
    asked: list[Attributes] = field(default_factory=list)

    def authenticate(self, request: web.Request) -> User:
        if request.headers.get("Authorization") != "Bearer good":
            raise StatusError(401, "Unauthorized", "Unauthorized")
        return User("jane", ("system:authenticated",))

    def authorize(self, user: User, attributes: Attributes) -> Decision:
        self.asked.append(attributes)
        return Decision(self.allowed or user == SYSTEM, "")


@dataclass
class Wire:
    api: Api
    rights: Rights
    session: aiohttp.ClientSession
    url: str

    async def send(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any, Any]:
        """(code, decoded body, headers)"""
        data = body if isinstance(body, bytes | io.BytesIO | None) else json.dumps(body).encode()
        named = {"Authorization": "Bearer good"} | {key.replace("_", "-"): value for key, value in headers.items()}
        async with self.session.request(method, self.url + path, data=data, headers=named) as response:
            text = await response.text()
            is_json = response.content_type == "application/json" and text
            return response.status, json.loads(text) if is_json else text, response.headers

    async def get(self, path: str, **headers: str) -> tuple[int, Any, Any]:
        return await self.send("GET", path, **headers)


@pytest.fixture
async def wire(api: Api) -> AsyncIterator[Wire]:
    rights = Rights()
    around = Surroundings(rights.authenticate, rights, watch_seconds=0.3, bookmark_seconds=0.1)
    runner = await start(create_app(api, around, About(api.kinds, checks=lambda: {"etcd": True})), "127.0.0.1", 0)
    async with aiohttp.ClientSession() as session:
        yield Wire(api, rights, session, f"http://127.0.0.1:{runner.addresses[0][1]}")
    await runner.cleanup()


async def test_nobody_gets_in_without_credentials(wire: Wire) -> None:
    for path in (CONFIGMAPS, "/version", "/healthz", "/apis", "/nowhere"):
        code, status, _ = await wire.get(path, Authorization="Bearer bad")
        assert (code, status["kind"], status["reason"]) == (401, "Status", "Unauthorized")


async def test_who_may_not_is_told_what(wire: Wire) -> None:
    wire.rights.allowed = False
    code, status, _ = await wire.get(f"{CONFIGMAPS}/a")
    assert code == 403
    assert status["message"] == (
        'configmaps "a" is forbidden: User "jane" cannot get resource "configmaps" in API group "" '
        'in the namespace "default"'
    )


@pytest.mark.parametrize(
    ("method", "path", "attributes"),
    [
        ("GET", CONFIGMAPS, Attributes("list", "", "v1", "configmaps", "", "default")),
        (
            "GET",
            f"{CONFIGMAPS}?fieldSelector=metadata.name%3Da&watch=1&timeoutSeconds=1",
            Attributes("watch", "", "v1", "configmaps", "", "default", "a"),
        ),
        ("GET", "/api/v1/pods", Attributes("list", "", "v1", "pods")),
        ("DELETE", CONFIGMAPS, Attributes("deletecollection", "", "v1", "configmaps", "", "default")),
        (
            "PATCH",
            "/apis/apps/v1/namespaces/n/deployments/d/scale",
            Attributes("patch", "apps", "v1", "deployments", "scale", "n", "d"),
        ),
        ("GET", "/api/v1/namespaces/n", Attributes("get", "", "v1", "namespaces", "", "n", "n")),
        ("PUT", "/api/v1/namespaces/n/finalize", Attributes("update", "", "v1", "namespaces", "finalize", "n", "n")),
        ("GET", "/healthz", Attributes("get", path="/healthz")),
        ("GET", "/apis/apps/v1", Attributes("get", path="/apis/apps/v1")),
    ],
)
async def test_rights_are_asked_in_the_terms_of_rbac(
    wire: Wire, method: str, path: str, attributes: Attributes
) -> None:
    await wire.send(method, path)
    assert wire.rights.asked == [attributes]


async def test_impersonation_is_refused_by_name_where_nobody_checks_it(wire: Wire) -> None:
    code, status, _ = await wire.get(CONFIGMAPS, Impersonate_User="root")
    assert (code, status["message"]) == (501, "unsupported by this server: impersonation")


async def test_objects_travel_as_json_and_as_yaml(wire: Wire) -> None:
    text = yaml.safe_dump(config_map("a", data={"when": "2001-01-01"})).encode()
    code, made, _ = await wire.send("POST", CONFIGMAPS, text, Content_Type="application/yaml")
    assert (code, made["data"]) == (201, {"when": "2001-01-01"})
    code, found, headers = await wire.get(f"{CONFIGMAPS}/a", Accept="application/yaml")
    assert (code, headers["Content-Type"]) == (200, "application/yaml")
    assert yaml.safe_load(found) == made


async def test_a_date_in_yaml_stays_the_text_that_was_written(wire: Wire) -> None:
    body = b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {when: 2001-01-01}\n"
    _, made, _ = await wire.send("POST", CONFIGMAPS, body, Content_Type="application/yaml")
    assert made["data"] == {"when": "2001-01-01"}


@pytest.mark.parametrize(
    ("accept", "code"),
    [
        ("application/vnd.kubernetes.protobuf,application/json", 200),
        ("*/*", 200),
        ("text/html, */*;q=0.5", 200),
        ("application/vnd.kubernetes.protobuf", 406),
        ("application/json;as=Nonsense;v=v1;g=meta.k8s.io", 406),
    ],
)
async def test_who_takes_json_gets_json(wire: Wire, accept: str, code: int) -> None:
    found, body, _ = await wire.get(CONFIGMAPS, Accept=accept)
    assert found == code
    assert body["kind"] == ("ConfigMapList" if code == 200 else "Status")


@pytest.mark.parametrize(
    ("method", "path", "body", "content_type", "refusal"),
    [
        ("POST", CONFIGMAPS, b"{not json", "application/json", (400, "BadRequest")),
        ("POST", CONFIGMAPS, b"[]", "application/json", (400, "BadRequest")),
        ("POST", CONFIGMAPS, b"x", "text/plain", (415, "UnsupportedMediaType")),
        ("POST", CONFIGMAPS, b"k8s\x00\x0a\x7f", "application/vnd.kubernetes.protobuf", (400, "BadRequest")),
        ("PATCH", f"{CONFIGMAPS}/a", b"{}", "application/json", (415, "UnsupportedMediaType")),
        ("POST", CONFIGMAPS, io.BytesIO(b"x" * (BODY_LIMIT + 1)), "application/json", (413, "RequestEntityTooLarge")),
        ("PUT", CONFIGMAPS, b"{}", "application/json", (405, "MethodNotAllowed")),
        ("POST", "/api/v1/configmaps", b"{}", "application/json", (405, "MethodNotAllowed")),
        ("GET", "/api/v1/nonsense", None, "", (404, "NotFound")),
        ("GET", "/nowhere", None, "", (404, "NotFound")),
        ("GET", f"{CONFIGMAPS}?limit=x", None, "", (400, "BadRequest")),
        ("POST", f"{CONFIGMAPS}?dryRun=Some", b"{}", "application/json", (422, "Invalid")),
        ("GET", f"{CONFIGMAPS}?resourceVersion=99999", None, "", (504, "Timeout")),
    ],
)
async def test_every_refusal_is_a_status(
    wire: Wire, method: str, path: str, *, body: Any, content_type: str, refusal: tuple[int, str]
) -> None:
    headers = {"Content_Type": content_type} if content_type else {}
    code, status, _ = await wire.send(method, path, body, **headers)
    assert (code, status["code"], status["kind"], status["reason"]) == (refusal[0], refusal[0], "Status", refusal[1])


async def test_a_bug_is_a_status_too_and_is_logged(
    wire: Wire, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_arguments: object, **_options: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(wire.api, "list", broken)
    code, status, _ = await wire.get(CONFIGMAPS)
    assert (code, status["reason"]) == (500, "InternalError")
    assert "ZeroDivisionError" in caplog.text


async def test_warnings_travel_in_the_header(wire: Wire) -> None:
    body = config_map("a") | {"dta": {}}
    _, _, headers = await wire.send("POST", CONFIGMAPS, body, Content_Type="application/json")
    assert headers["Warning"] == '299 - "unknown field \\"dta\\""'


async def test_tables_and_metadata_alone(wire: Wire) -> None:
    await wire.send("POST", CONFIGMAPS, config_map("a"), Content_Type="application/json")
    _, table, _ = await wire.get(CONFIGMAPS, Accept=TABLE)
    assert [column["name"] for column in table["columnDefinitions"]] == ["Name", "Data", "Age"]
    (row,) = table["rows"]
    assert (row["cells"], row["object"]["kind"]) == (["a", 1, "0s"], "PartialObjectMetadata")
    _, bare, _ = await wire.get(f"{CONFIGMAPS}?includeObject=None", Accept=TABLE)
    assert bare["rows"][0]["object"] is None
    accept = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
    _, partial, _ = await wire.get(CONFIGMAPS, Accept=accept)
    assert partial["items"][0]["metadata"]["name"] == "a"
    assert "data" not in partial["items"][0]


async def lines(wire: Wire, query: str, accept: str = "application/json") -> list[Obj]:
    headers = {"Authorization": "Bearer good", "Accept": accept}
    async with wire.session.get(f"{wire.url}{CONFIGMAPS}?watch=true&{query}", headers=headers) as response:
        assert (response.status, response.headers["Transfer-Encoding"]) == (200, "chunked")
        return [json.loads(line) async for line in response.content]


async def test_a_watch_is_one_json_line_for_each_event(wire: Wire) -> None:
    watching = asyncio.create_task(lines(wire, "allowWatchBookmarks=true"))
    await asyncio.sleep(0.05)
    await wire.send("POST", CONFIGMAPS, config_map("a"), Content_Type="application/json")
    first, *rest = await watching
    assert (first["type"], first["object"]["metadata"]["name"]) == ("ADDED", "a")
    assert {event["type"] for event in rest} == {"BOOKMARK"}
    assert rest[-1]["object"]["metadata"]["resourceVersion"] == first["object"]["metadata"]["resourceVersion"]


async def test_the_old_form_of_a_watch_is_one_too(wire: Wire) -> None:
    for name in ("a", "b"):
        await wire.send("POST", CONFIGMAPS, config_map(name), Content_Type="application/json")
    path = "/api/v1/watch/namespaces/default/configmaps/b?timeoutSeconds=1"
    async with wire.session.get(wire.url + path, headers={"Authorization": "Bearer good"}) as response:
        events = [json.loads(line) async for line in response.content]
    assert [(event["type"], event["object"]["metadata"]["name"]) for event in events] == [("ADDED", "b")]


async def test_a_watch_that_cannot_go_on_ends_with_an_error_event(wire: Wire) -> None:
    for turn in range(5):
        await wire.send("POST", CONFIGMAPS, config_map(f"c{turn}"), Content_Type="application/json")
    wire.api.store.compact(keep=1, batch=100)
    (event,) = await lines(wire, "resourceVersion=2")
    assert (event["type"], event["object"]["kind"], event["object"]["code"]) == ("ERROR", "Status", 410)
    assert event["object"]["reason"] == "Expired"


async def test_a_table_watch_sends_its_columns_once(wire: Wire) -> None:
    for name in ("a", "b"):
        await wire.send("POST", CONFIGMAPS, config_map(name), Content_Type="application/json")
    first, second = (event["object"] for event in await lines(wire, "timeoutSeconds=1", TABLE))
    assert (first["kind"], len(first["columnDefinitions"]), first["rows"][0]["cells"][0]) == ("Table", 3, "a")
    assert (second["columnDefinitions"], second["rows"][0]["cells"][0]) == ([], "b")


async def test_discovery_plain_and_aggregated_tell_the_same(wire: Wire) -> None:
    _, plain, _ = await wire.get("/apis")
    accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"
    _, aggregated, headers = await wire.get("/apis", Accept=accept)
    assert headers["Content-Type"] == "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    assert [g["name"] for g in plain["groups"]] == [g["metadata"]["name"] for g in aggregated["items"]]
    code, _, _ = await wire.get("/apis", Accept=accept, If_None_Match=headers["ETag"])
    assert code == 304
    _, core, _ = await wire.get("/api/v1")
    names = {resource["name"] for resource in core["resources"]}
    assert {"namespaces", "namespaces/finalize", "pods/log", "pods/status", "services/status"} <= names


async def test_a_new_custom_kind_is_discovered_at_once(wire: Wire) -> None:
    path = CUSTOM_RESOURCE_DEFINITIONS.path()
    await wire.send("POST", path, widget_crd(versions=("v1", "v1beta1")), Content_Type="application/json")
    _, group, _ = await wire.get("/apis/example.com")
    assert [version["version"] for version in group["versions"]] == ["v1", "v1beta1"]
    assert group["preferredVersion"]["version"] == "v1"
    _, listed, _ = await wire.get("/apis/example.com/v1")
    assert [resource["name"] for resource in listed["resources"]] == ["widgets", "widgets/scale", "widgets/status"]


async def test_version_and_health(wire: Wire) -> None:
    for path in ("/version", "/version/"):
        assert (await wire.get(path))[1]["gitVersion"] == "v1.32.0"
    for path in ("/healthz", "/livez", "/readyz", "/readyz/etcd"):
        assert (await wire.get(path))[:2] == (200, "ok")
    assert (await wire.get("/readyz?verbose"))[1] == "[+]ping ok\n[+]etcd ok\nreadyz check passed\n"


async def test_metrics_count_requests_objects_and_watches(api: Api) -> None:
    rights, metrics = Rights(), Metrics(api)
    around = Surroundings(rights.authenticate, rights, observed=metrics.request)
    runner = await start(create_app(api, around, About(api.kinds, metrics=metrics.render)), "127.0.0.1", 0)
    async with aiohttp.ClientSession() as session:
        wire = Wire(api, rights, session, f"http://127.0.0.1:{runner.addresses[0][1]}")
        await wire.get(f"{CONFIGMAPS}/missing")
        await wire.send("POST", CONFIGMAPS, config_map("a"), Content_Type="application/json")
        _, text, _ = await wire.get("/metrics")
    await runner.cleanup()
    assert 'apiserver_request_total{code="404",resource="configmaps",verb="get"} 1.0' in text
    assert 'apiserver_request_total{code="201",resource="configmaps",verb="create"} 1.0' in text
    assert 'apiserver_storage_objects{resource="configmaps"} 1.0' in text
    assert "apiserver_registered_watchers 0.0" in text
