"""The published documents: complete, consistent, in Kubernetes' dialects."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from tests.unit.schema.widgets import DEFINITIONS, crd_for

from headstay.local.server.assembly import build_api
from headstay.local.server.requests import Call, Target
from headstay.local.server.rest import Api
from headstay.local.server.schema.openapi import OpenApi
from headstay.model.errors import StatusError
from headstay.model.objects import Obj
from headstay.model.resource import CUSTOM_RESOURCE_DEFINITIONS

WIDGET_SPEC: Obj = {
    "type": "object",
    "description": "What it should be.",
    "properties": {
        "size": {"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]},
        "maybe": {"type": "string", "nullable": True},
    },
}


@pytest.fixture
def api() -> Api:
    return build_api()


@pytest.fixture
def openapi(api: Api) -> OpenApi:
    api.create(Target(api.served(CUSTOM_RESOURCE_DEFINITIONS)), crd_for(WIDGET_SPEC), Call())
    return OpenApi(DEFINITIONS, api.kinds, api.reader)


def documents(openapi: OpenApi) -> dict[str, Obj]:
    paths = json.loads(openapi.index_v3())["paths"]
    return {path: json.loads(openapi.document_v3(path) or b"") for path in paths}


def walk(value: Any) -> Iterator[Obj]:
    if isinstance(value, dict):
        yield value
        for child in value.values():
            yield from walk(child)
    elif isinstance(value, list):
        for child in value:
            yield from walk(child)


def test_every_group_version_has_a_document_whose_references_lead_somewhere(openapi: OpenApi) -> None:
    found = documents(openapi)
    assert {"api/v1", "apis/apps/v1", "apis/example.com/v1"} <= set(found)
    for path, document in found.items():
        schemas = document["components"]["schemas"]
        targets = {node["$ref"] for node in walk(document) if isinstance(node.get("$ref"), str)}
        assert {f"#/components/schemas/{name}" for name in schemas} >= targets, path


def test_v2_holds_everything_and_its_references_lead_somewhere(openapi: OpenApi) -> None:
    document = json.loads(openapi.document_v2())
    targets = {node["$ref"] for node in walk(document) if isinstance(node.get("$ref"), str)}
    assert {f"#/definitions/{name}" for name in document["definitions"]} >= targets
    assert "/apis/apps/v1/namespaces/{namespace}/deployments/{name}/scale" in document["paths"]


def test_nothing_is_left_of_what_the_data_file_adds_for_validators(openapi: OpenApi) -> None:
    for document in [*documents(openapi).values(), json.loads(openapi.document_v2())]:
        for node in walk(document):
            assert not (isinstance(node.get("type"), list)), node
            assert not str(node.get("$ref", "")).startswith("#/$defs/"), node


def test_v3_wraps_a_reference_that_has_a_description_and_v2_does_not(openapi: OpenApi) -> None:
    v3 = documents(openapi)["api/v1"]["components"]["schemas"]["io.k8s.api.core.v1.Pod"]["properties"]["spec"]
    assert v3["allOf"] == [{"$ref": "#/components/schemas/io.k8s.api.core.v1.PodSpec"}]
    assert v3["description"].startswith("Specification of the desired behavior of the pod.")
    v2 = json.loads(openapi.document_v2())["definitions"]["io.k8s.api.core.v1.Pod"]["properties"]["spec"]
    assert v2["$ref"] == "#/definitions/io.k8s.api.core.v1.PodSpec"


def test_merge_keys_are_published(openapi: OpenApi) -> None:
    schemas = documents(openapi)["api/v1"]["components"]["schemas"]
    containers = schemas["io.k8s.api.core.v1.PodSpec"]["properties"]["containers"]
    assert containers["x-kubernetes-patch-merge-key"] == "name"
    assert containers["x-kubernetes-list-map-keys"] == ["name"]


def test_a_custom_resource_is_published_with_its_schema(openapi: OpenApi) -> None:
    schemas = documents(openapi)["apis/example.com/v1"]["components"]["schemas"]
    widget = schemas["com.example.v1.Widget"]
    assert widget["x-kubernetes-group-version-kind"] == [{"group": "example.com", "kind": "Widget", "version": "v1"}]
    assert widget["properties"]["spec"]["description"] == "What it should be."
    assert widget["properties"]["metadata"]["allOf"][0]["$ref"].endswith("ObjectMeta")
    assert schemas["com.example.v1.WidgetList"]["properties"]["items"]["type"] == "array"


def test_v2_leaves_out_what_it_cannot_say(openapi: OpenApi) -> None:
    widget = json.loads(openapi.document_v2())["definitions"]["com.example.v1.Widget"]
    assert widget["properties"]["spec"]["properties"] == {"size": {"x-kubernetes-int-or-string": True}, "maybe": {}}


@pytest.mark.parametrize("path", ["api/v1", "apis/apps/v1", "apis/example.com/v1"])
def test_patch_takes_dry_run_and_field_validation(openapi: OpenApi, path: str) -> None:
    patches = [item["patch"] for item in documents(openapi)[path]["paths"].values() if "patch" in item]
    assert patches
    for operation in patches:
        assert {"dryRun", "fieldValidation", "fieldManager"} <= {p["name"] for p in operation["parameters"]}
        assert operation["x-kubernetes-group-version-kind"]["kind"]


def test_the_index_names_a_new_hash_when_a_crd_changes(api: Api, openapi: OpenApi) -> None:
    def url(path: str) -> str:
        found: str = json.loads(openapi.index_v3())["paths"][path]["serverRelativeURL"]
        return found

    before, core = url("apis/example.com/v1"), url("api/v1")
    target = Target(api.served(CUSTOM_RESOURCE_DEFINITIONS), "", "widgets.example.com")
    crd = json.loads(api.get(target))
    version = crd["spec"]["versions"][0]
    version["schema"]["openAPIV3Schema"]["properties"]["spec"]["description"] = "Changed."
    api.update(target, crd, Call())
    assert url("apis/example.com/v1") != before
    assert url("api/v1") == core


def test_documents_are_found_by_path(openapi: OpenApi) -> None:
    for path in ("/openapi/v2", "/openapi/v3", "/openapi/v3/api/v1", "/openapi/v3/apis/example.com/v1"):
        found = openapi.document(path, "application/json")
        assert found is not None
        assert found.content_type == "application/json"
    assert openapi.document("/openapi/v3/apis/none/v1", "*/*") is None
    assert openapi.document("/openapi/v4", "") is None


def test_a_client_that_takes_no_json_is_told_so(openapi: OpenApi) -> None:
    with pytest.raises(StatusError) as caught:
        openapi.document("/openapi/v3/api/v1", "application/com.github.proto-openapi.spec.v3@v1.0+protobuf")
    assert caught.value.code == 406
