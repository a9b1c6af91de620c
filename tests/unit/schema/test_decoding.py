"""Kubernetes' own kinds as Go decodes them."""

from typing import Any

import pytest
from tests.unit.schema.widgets import DEFINITIONS, Widgets

from headstay.local.server.schema.kinds import KindSchemas
from headstay.local.server.schema.quantities import canonical
from headstay.model.errors import StatusError
from headstay.model.objects import Obj

SCHEMAS = KindSchemas(DEFINITIONS)


def decoded(obj: Obj) -> Obj:
    group, _, version = obj["apiVersion"].rpartition("/")
    node = SCHEMAS.of(group, version, obj["kind"])
    assert node is not None
    SCHEMAS.prune(node, obj)
    return obj


def pod(**container: Any) -> Obj:
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {}, "spec": {"containers": [{"name": "a"} | container]}}


def deployment(**spec: Any) -> Obj:
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": spec}


@pytest.mark.parametrize(
    ("obj", "error"),
    [
        (
            deployment(replicas="3"),
            (
                'Deployment in version "v1" cannot be handled as a Deployment: json: cannot unmarshal string into Go '
                "struct field DeploymentSpec.spec.replicas of type int32"
            ),
        ),
        (
            deployment(replicas=2**40),
            "cannot unmarshal number 1099511627776 into Go struct field DeploymentSpec.spec.replicas of type int32",
        ),
        (
            deployment(template={"spec": {"containers": {"name": "a"}}}),
            (
                "json: cannot unmarshal object into Go struct field PodSpec.spec.template.spec.containers of type "
                "[]v1.Container"
            ),
        ),
        (
            pod(env=[{"name": "A", "value": 1}]),
            "json: cannot unmarshal number into Go struct field EnvVar.spec.containers.env.value of type string",
        ),
        (
            {"apiVersion": "v1", "kind": "Pod", "metadata": {"labels": {"a": True}}},
            "json: cannot unmarshal bool into Go struct field ObjectMeta.metadata.labels of type string",
        ),
        (
            {"apiVersion": "v1", "kind": "Pod", "spec": "x"},
            "json: cannot unmarshal string into Go struct field Pod.spec of type v1.PodSpec",
        ),
        (
            pod(resources={"limits": {"cpu": "lots"}}),
            "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
        ),
        (
            {"apiVersion": "v1", "kind": "Secret", "data": {"a": "not base64"}},
            "illegal base64 data at input byte 3",
        ),
        ({"apiVersion": "v1", "kind": "Secret", "data": {"a": "YWJja"}}, "illegal base64 data at input byte 4"),
        (
            {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "spec": {"renewTime": "2026-01-02T03:04:05Z"}},
            (
                'parsing time "2026-01-02T03:04:05Z" as "2006-01-02T15:04:05.000000Z07:00": cannot parse '
                '"2026-01-02T03:04:05Z" as "2006"'
            ),
        ),
        (
            pod(livenessProbe={"httpGet": {"port": True}}),
            "json: cannot unmarshal bool into Go value of type int32",
        ),
    ],
)
def test_a_value_of_the_wrong_type_is_a_bad_request_in_gos_words(obj: Obj, error: str) -> None:
    with pytest.raises(StatusError) as caught:
        decoded(obj)
    assert (caught.value.code, caught.value.reason) == (400, "BadRequest")
    assert caught.value.message.endswith(error)
    assert caught.value.message.startswith(f'{obj["kind"]} in version "v1" cannot be handled as a {obj["kind"]}: ')


def test_unknown_fields_are_named_and_dropped() -> None:
    obj = pod(imagee="x")
    obj["spec"]["contaniers"] = []
    node = SCHEMAS.of("", "v1", "Pod")
    assert node is not None
    assert SCHEMAS.unknown_fields(node, obj) == ["spec.containers[0].imagee", "spec.contaniers"]
    assert decoded(obj)["spec"] == {"containers": [{"name": "a"}]}


def test_line_breaks_in_base64_are_dropped() -> None:
    assert decoded({"apiVersion": "v1", "kind": "Secret", "data": {"a": "Y\nQ==\n"}})["data"] == {"a": "YQ=="}


def test_null_is_the_same_as_absent() -> None:
    assert decoded(pod(command=None))["spec"]["containers"] == [{"name": "a"}]
    assert decoded({"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": None}})["data"] == {"a": ""}


def test_an_empty_list_or_map_is_the_same_as_absent_unless_it_is_required_and_an_empty_struct_is_not() -> None:
    obj = pod(command=[], env=[], resources={"limits": {}}) | {"metadata": {"labels": {}, "finalizers": []}}
    obj["spec"]["securityContext"] = {}
    assert decoded(obj) == {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {},
        "spec": {"containers": [{"name": "a", "resources": {}}], "securityContext": {}},
    }
    empty: Obj = {"apiVersion": "v1", "kind": "Pod", "metadata": {}, "spec": {"containers": []}}
    assert decoded(empty)["spec"] == {"containers": []}


def test_quantities_come_out_canonical() -> None:
    resources = {"limits": {"cpu": 0.5, "memory": "1024Mi"}, "requests": {"cpu": 1, "memory": "1Gi"}}
    assert decoded(pod(resources=resources))["spec"]["containers"][0]["resources"] == {
        "limits": {"cpu": "500m", "memory": "1Gi"},
        "requests": {"cpu": "1", "memory": "1Gi"},
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", "0"), ("1000m", "1"), ("1500m", "1500m"), ("1.5", "1500m"), ("100M", "100M"), ("1e3", "1e3"),
        ("1000", "1k"), ("1536Mi", "1536Mi"), ("2048Ki", "2Mi"), ("0.5Gi", "512Mi"), ("1.5Gi", "1536Mi"),
        ("100Ki", "100Ki"), ("512", "512"), ("1E", "1E"), ("0.1n", "1n"), ("-2k", "-2k"), ("12e6", "12e6"),
        ("12E", "12E"), ("0.12345678901234567890", "123456790n"), ("1e300", "9223372036854775807e18"),
    ],
)  # fmt: skip
def test_the_canonical_form_of_a_quantity(text: str, expected: str) -> None:
    assert canonical(text) == expected


def test_times_come_out_in_utc() -> None:
    obj = {"apiVersion": "v1", "kind": "Pod", "metadata": {"creationTimestamp": "2026-01-02T03:04:05.5+01:00"}}
    assert decoded(obj)["metadata"]["creationTimestamp"] == "2026-01-02T02:04:05Z"
    lease = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "spec": {"renewTime": "2026-01-02T03:04:05.123456Z"},
    }
    assert decoded(lease)["spec"]["renewTime"] == "2026-01-02T03:04:05.123456Z"


def test_metadata_of_custom_resources_is_decoded_too() -> None:
    widgets = Widgets({"type": "object"})
    with pytest.raises(StatusError, match=r"ObjectMeta.metadata.labels of type string"):
        widgets.pruned({}, metadata={"labels": {"a": 1}})


def test_metadata_of_embedded_objects_is_decoded_too() -> None:
    embedded = {"type": "object", "x-kubernetes-embedded-resource": True, "x-kubernetes-preserve-unknown-fields": True}
    widgets = Widgets({"type": "object", "properties": {"list": {"type": "array", "items": embedded}}})
    part = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "labels": None, "creationTimestamp": None}}
    assert widgets.pruned({"list": [part]})["list"][0]["metadata"] == {"name": "a"}
    with pytest.raises(StatusError, match=r"ObjectMeta.spec.list\[0\].metadata.labels of type string"):
        widgets.pruned({"list": [part | {"metadata": {"labels": {"a": 1}}}]})


def test_free_form_data_is_left_as_it_is() -> None:
    obj = {"apiVersion": "apps/v1", "kind": "ControllerRevision", "data": {"a": None, "b": [{"c": 1}]}, "revision": 1}
    assert decoded(obj)["data"] == {"a": None, "b": [{"c": 1}]}


def test_a_crds_schema_keeps_what_json_schema_allows() -> None:
    properties = {"a": {"type": "string", "default": "x", "enum": ["x", None]}, "b": {"additionalProperties": True}}
    schema = {"type": "object", "properties": properties, "tpye": "object"}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    obj: Obj = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "spec": {"versions": [version]},
    }
    found = decoded(obj)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    assert found == {"type": "object", "properties": properties}


def test_required_fields_of_built_in_kinds() -> None:
    node = SCHEMAS.of("apps", "v1", "Deployment")
    assert node is not None
    obj = deployment(template={"spec": {"containers": [{"env": [{"value": "x"}]}]}})
    causes = [f"{cause.field}: {cause.message}" for cause in SCHEMAS.validate(node, obj, None)]
    assert sorted(causes) == [
        "spec.selector: Required value",
        "spec.template.spec.containers[0].env[0].name: Required value",
        "spec.template.spec.containers[0].name: Required value",
    ]


def test_status_may_be_incomplete() -> None:
    node = SCHEMAS.of("", "v1", "Pod")
    assert node is not None
    obj = pod() | {"status": {"containerStatuses": [{"name": "a"}]}}
    assert SCHEMAS.validate(node, obj, None) == []
