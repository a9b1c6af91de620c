"""CustomResourceDefinitions: what is refused, what their status says."""

import copy
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.unit.scanning import Scanning
from tests.unit.schema.widgets import DEFINITIONS, crd_for

from headstay.local.seams import SYSTEM
from headstay.local.server.schema.crd import CustomResourceDefinitionStrategy
from headstay.local.server.schema.structural import Structural
from headstay.local.server.seams import WriteContext
from headstay.model.objects import Obj
from headstay.model.resource import Resource

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
STRATEGY = CustomResourceDefinitionStrategy(Structural(DEFINITIONS))
AT = "spec.validation.openAPIV3Schema"


class Stored(Scanning):
    """The CRDs that are there already."""

    def __init__(self, *crds: Obj) -> None:
        self.crds = crds

    def get(self, resource: Resource, namespace: str, name: str) -> Obj | None:
        return next((crd for crd in self.crds if crd["metadata"]["name"] == name), None)

    def list(self, resource: Resource, namespace: str = "") -> Iterable[Obj]:
        return self.crds


def created(crd: Obj, *others: Obj) -> Obj:
    new = copy.deepcopy(crd)
    STRATEGY.default(new)
    STRATEGY.prepare_create(new, WriteContext(SYSTEM, NOW, Stored(*others)))
    return new


def updated(new: Obj, old: Obj, now: datetime = NOW) -> Obj:
    new = copy.deepcopy(new) | {"status": copy.deepcopy(old["status"])}
    STRATEGY.default(new)
    STRATEGY.prepare_update(new, old, WriteContext(SYSTEM, now, Stored(old)))
    return new


def errors(crd: Obj, old: Obj | None = None) -> list[str]:
    causes = STRATEGY.validate(crd, old, WriteContext(SYSTEM, NOW, Stored()))
    return [f"{cause.field}: {cause.message}" for cause in causes]


def widget_crd(**spec: Any) -> Obj:
    crd = crd_for({"type": "object"})
    crd["spec"] |= spec
    return crd


def schema_errors(schema: Obj) -> list[str]:
    """What is said of a CRD whose spec.x has this schema, less the path of x."""
    crd = crd_for({"type": "object", "properties": {"x": schema}})
    return [error.replace(f"{AT}.properties[spec].properties[x]", "x") for error in errors(created(crd))]


def conditions(crd: Obj) -> dict[str, tuple[str, str]]:
    return {c["type"]: (c["status"], c["reason"]) for c in crd["status"]["conditions"]}


def test_a_new_crd_is_established_at_once_and_remembers_its_storage_version() -> None:
    crd = created(widget_crd())
    assert conditions(crd) == {
        "NamesAccepted": ("True", "NoConflicts"),
        "Established": ("True", "InitialNamesAccepted"),
    }
    assert crd["status"]["storedVersions"] == ["v1"]
    assert crd["status"]["conditions"][0]["lastTransitionTime"] == "2026-01-02T03:04:05Z"
    assert errors(crd) == []


def test_names_are_completed() -> None:
    crd = created(widget_crd(names={"plural": "widgets", "kind": "Widget", "shortNames": ["wd"]}))
    expected = {
        "plural": "widgets",
        "singular": "widget",
        "kind": "Widget",
        "listKind": "WidgetList",
        "shortNames": ["wd"],
    }
    assert crd["spec"]["names"] == expected
    assert crd["status"]["acceptedNames"] == expected
    assert crd["spec"]["conversion"] == {"strategy": "None"}


def test_a_crd_whose_names_are_taken_is_not_established() -> None:
    first = created(widget_crd(names={"plural": "widgets", "kind": "Widget", "shortNames": ["wd"]}))
    second = widget_crd(names={"plural": "gadgets", "kind": "Gadget", "shortNames": ["wd"]})
    second["metadata"]["name"] = "gadgets.example.com"
    found = created(second, first)
    assert conditions(found) == {
        "NamesAccepted": ("False", "ShortNamesConflict"),
        "Established": ("False", "NotAccepted"),
    }
    assert found["status"]["conditions"][0]["message"] == '"wd" is already in use'
    assert "shortNames" not in found["status"]["acceptedNames"]


def test_a_new_storage_version_is_added_to_the_stored_ones() -> None:
    old = created(widget_crd())
    new = copy.deepcopy(old)
    new["spec"]["versions"][0]["storage"] = False
    new["spec"]["versions"].append(new["spec"]["versions"][0] | {"name": "v2", "storage": True})
    new = updated(new, old, datetime(2027, 1, 1, tzinfo=UTC))
    assert new["status"]["storedVersions"] == ["v1", "v2"]
    assert new["status"]["conditions"] == old["status"]["conditions"]
    assert errors(new, old) == []


def test_a_version_that_objects_are_stored_in_cannot_go() -> None:
    old = created(widget_crd())
    new = copy.deepcopy(old)
    new["spec"]["versions"][0]["name"] = "v2"
    found = errors(updated(new, old), old)
    assert 'status.storedVersions[0]: Invalid value: "v1": must appear in spec.versions' in found


@pytest.mark.parametrize(
    ("spec", "error"),
    [
        ({"group": "other.com"}, 'metadata.name: Invalid value: "widgets.example.com": must be spec.names.plural'),
        ({"group": "nodots"}, 'spec.group: Invalid value: "nodots": should be a domain with at least one dot'),
        ({"group": "x.k8s.io"}, "metadata.annotations[api-approved.kubernetes.io]: Required value: protected groups"),
        ({"scope": "World"}, 'spec.scope: Unsupported value: "World": supported values: "Cluster", "Namespaced"'),
        ({"preserveUnknownFields": True}, "spec.preserveUnknownFields: Invalid value: true: cannot set to true"),
        ({"names": {"plural": "widgets", "kind": "Wid_get"}}, 'spec.names.kind: Invalid value: "Wid_get": may have'),
        ({"conversion": {"strategy": "Webhook"}}, "conversion webhooks are not supported by this server"),
    ],
)  # fmt: skip
def test_a_crd_that_is_wrong_is_refused(spec: Obj, error: str) -> None:
    assert any(error in found for found in errors(created(widget_crd(**spec))))


def version(**more: Any) -> Obj:
    schema = {"openAPIV3Schema": {"type": "object"}}
    return {"name": "v1", "served": True, "storage": True, "schema": schema} | more


@pytest.mark.parametrize(
    ("versions", "error"),
    [
        (
            [version(storage=False)],
            'Invalid value: []interface {}{"v1"}: must have exactly one version marked as storage version',
        ),
        ([version(), version(storage=False)], "spec.versions: Invalid value: "),
        ([version(name="V1")], 'spec.versions[0].name: Invalid value: "V1": a DNS-1035 label must'),
        ([version(schema={})], "spec.versions[0].schema.openAPIV3Schema: Required value: schemas are required"),
        (
            [version(subresources={"scale": {"specReplicasPath": ".status.x", "statusReplicasPath": ".status.y"}})],
            'specReplicasPath: Invalid value: ".status.x": should be a json path under .spec',
        ),
        (
            [version(additionalPrinterColumns=[{"name": "a", "type": "text", "jsonPath": ".a"}])],
            'spec.additionalPrinterColumns[0].type: Invalid value: "text": must be one of boolean,date',
        ),
        (
            [version(selectableFields=[{"jsonPath": ".spec.none"}])],
            'selectableFields[0].jsonPath: Invalid value: ".spec.none": is an invalid path: does not refer to a valid',
        ),
    ],
)
def test_versions_that_are_wrong_are_refused(versions: list[Obj], error: str) -> None:
    assert any(error in found for found in errors(created(widget_crd(versions=versions))))


def test_what_an_established_crd_is_cannot_change() -> None:
    old = created(widget_crd())
    new = copy.deepcopy(old)
    new["spec"]["scope"] = "Cluster"
    new["spec"]["names"]["kind"] = "Gadget"
    assert errors(updated(new, old), old) == [
        'spec.scope: Invalid value: "Cluster": field is immutable',
        'spec.names.kind: Invalid value: "Gadget": field is immutable',
    ]


@pytest.mark.parametrize(
    ("schema", "error"),
    [
        ({}, "x.type: Required value: must not be empty for specified object fields"),
        ({"type": "text"}, 'x.type: Unsupported value: "text": supported values: "array", "boolean"'),
        ({"type": "null"}, "x.type: Forbidden: type cannot be set to null, use nullable as an alternative"),
        ({"type": "array"}, "x.items: Required value: must be specified"),
        ({"type": "array", "items": {}}, "x.items.type: Required value: must not be empty for"),
        ({"type": "array", "items": {"minimum": 1}}, "x.items.type: Required value: must not be empty for"),
        ({"type": "object", "$ref": "#/x"}, "x.$ref: Forbidden: $ref is not supported"),
        (
            {"type": "object", "additionalProperties": {"type": "string"}, "properties": {"a": {"type": "string"}}},
            "x.additionalProperties: Forbidden: additionalProperties and properties are mutual exclusive",
        ),
        ({"type": "string", "uniqueItems": True}, "x.uniqueItems: Forbidden: uniqueItems cannot be set"),
        ({"x-kubernetes-embedded-resource": True}, "x.type: Required value: must be object if"),
        ({"type": "object", "x-kubernetes-preserve-unknown-fields": False}, "must be true or undefined"),
        ({"type": "string", "pattern": "("}, 'x.pattern: Invalid value: "(": must be a valid regular'),
        ({"type": "object", "anyOf": [{"type": "object"}]}, "x.anyOf[0].type: Forbidden: must be empty"),
        ({"type": "integer", "default": "1"}, 'x.default: Invalid value: "string":  in body must be'),
        ({"type": "object", "default": {"b": 1}}, "must not have unknown fields"),
        (
            {"type": "array", "x-kubernetes-list-type": "map", "items": {"type": "object"}},
            "x.x-kubernetes-list-map-keys: Required value: must not be empty if x-kubernetes-list-type is map",
        ),
        (
            {
                "type": "array",
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["a"],
                "items": {"type": "object", "properties": {"a": {"type": "string"}}},
            },
            "x.items.properties[a].default: Required value: this property is in",
        ),
        (
            {"type": "object", "x-kubernetes-validations": [{"rule": "slef.a"}]},
            'x.x-kubernetes-validations[0].rule: Invalid value: "slef.a": compilation failed: undeclared',
        ),
        (
            {"type": "array", "items": {"type": "string", "x-kubernetes-validations": [{"rule": "self == oldSelf"}]}},
            "oldSelf cannot be used on the uncorrelatable portion of the schema within x",
        ),
        (
            {"type": "object", "x-kubernetes-validations": [{"rule": "true", "reason": "Because"}]},
            'x.x-kubernetes-validations[0].reason: Unsupported value: "Because"',
        ),
    ],
)  # fmt: skip
def test_a_schema_that_is_not_structural_is_refused(schema: Obj, error: str) -> None:
    found = schema_errors(schema)
    assert any(error in one for one in found), found


@pytest.mark.parametrize(
    "schema",
    [
        {"x-kubernetes-preserve-unknown-fields": True},
        {"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]},
        {"x-kubernetes-int-or-string": True, "allOf": [{"anyOf": [{"type": "integer"}, {"type": "string"}]}]},
        {"type": "object", "additionalProperties": {"type": "string"}, "default": {"a": "b"}},
        {"type": "object", "properties": {"a": {"type": "string"}}, "oneOf": [{"required": ["a"]}]},
        {"type": "object", "x-kubernetes-embedded-resource": True, "x-kubernetes-preserve-unknown-fields": True},
    ],
)
def test_a_structural_schema_is_taken(schema: Obj) -> None:
    assert schema_errors(schema) == []


def test_what_a_combination_speaks_of_must_be_declared() -> None:
    crd = crd_for({"type": "object"}, anyOf=[{"properties": {"a": {"minimum": 1}}}])
    assert errors(created(crd)) == [
        f"{AT}.properties[a]: Required value: because it is defined in {AT}.anyOf[0].properties[a]"
    ]


@pytest.mark.parametrize("versions", [[], None])
def test_a_crd_without_versions_is_refused(versions: list[Obj] | None) -> None:
    found = errors(created(widget_crd(versions=versions)))
    assert any("must have exactly one version marked as storage version" in error for error in found)


def test_a_root_without_a_type_is_refused() -> None:
    crd = widget_crd(versions=[version(schema={"openAPIV3Schema": {"x-kubernetes-validations": []}})])
    assert errors(created(crd)) == [f"{AT}.type: Required value: must not be empty at the root"]


def test_metadata_is_not_the_schemas_to_say() -> None:
    metadata = {"type": "object", "properties": {"labels": {"type": "object"}}}
    crd = crd_for({"type": "object"}, properties={"metadata": metadata})
    assert "must not specify anything other than name and generateName" in errors(created(crd))[0]
