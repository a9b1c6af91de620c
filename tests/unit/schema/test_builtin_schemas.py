"""Kubernetes' own schemas, as strategic merge, server-side apply and validation read them."""

import pytest

from headstay.local.server.schema.builtin import Definitions
from headstay.local.server.schema.node import Node
from headstay.local.server.seams import Schema

DEFINITIONS = Definitions()


def at(kind: tuple[str, str, str], *path: str) -> Node:
    """The node at `path`; "[]" steps into a list."""
    node = DEFINITIONS.of(*kind)
    for step in path:
        assert node is not None, f"nothing above {step}"
        node = node.items if step == "[]" else node.property(step)
    assert node is not None
    return node


POD = ("", "v1", "Pod")
DEPLOYMENT = ("apps", "v1", "Deployment")


def test_a_node_is_a_schema() -> None:
    schema: Schema = at(POD)
    assert schema.type == "object"


def test_containers_merge_by_name() -> None:
    containers = at(DEPLOYMENT, "spec", "template", "spec", "containers")
    assert (containers.type, containers.list_type, containers.list_map_keys) == ("array", "map", ("name",))
    assert (containers.patch_strategy, containers.patch_merge_key) == (frozenset({"merge"}), "name")


def test_container_ports_merge_by_two_keys_in_apply_and_one_in_a_strategic_patch() -> None:
    ports = at(POD, "spec", "containers", "[]", "ports")
    assert ports.list_map_keys == ("containerPort", "protocol")
    assert ports.patch_merge_key == "containerPort"


def test_a_ports_protocol_defaults_to_tcp_as_a_list_key() -> None:
    assert at(POD, "spec", "containers", "[]", "ports", "[]").default_of(("protocol",)) == "TCP"
    assert at(("", "v1", "Service"), "spec", "ports", "[]").default_of(("protocol",)) == "TCP"
    assert at(("", "v1", "Service"), "spec", "ports", "[]").default_of(("name",)) is None


def test_volumes_keep_only_the_keys_of_the_patch() -> None:
    assert at(POD, "spec", "volumes").patch_strategy == {"merge", "retainKeys"}
    assert at(DEPLOYMENT, "spec", "strategy").patch_strategy == {"retainKeys"}


def test_a_reference_with_a_map_type_beside_it_differs_from_the_type_it_refers_to() -> None:
    assert not at(("", "v1", "PersistentVolume"), "spec", "claimRef").atomic_map
    assert at(("", "v1", "Event"), "involvedObject").atomic_map


def test_a_label_selector_is_atomic() -> None:
    assert at(DEPLOYMENT, "spec", "selector").atomic_map


def test_a_list_without_a_list_type_is_atomic() -> None:
    assert at(("", "v1", "Pod"), "spec", "tolerations").list_type == "atomic"


def test_labels_have_a_schema_for_any_key() -> None:
    assert at(POD, "metadata", "labels", "app").type == "string"


def test_optional_fields_lose_the_null_that_the_data_file_adds() -> None:
    assert at(DEPLOYMENT, "spec", "replicas").type == "integer"
    assert at(DEPLOYMENT, "spec", "replicas").format == "int32"


def test_quantities_and_int_or_strings_are_no_unions() -> None:
    quantity = at(POD, "spec", "containers", "[]", "resources", "limits", "cpu")
    assert (quantity.type, quantity.format) == ("string", "quantity")
    port = at(POD, "spec", "containers", "[]", "livenessProbe", "httpGet", "port")
    assert port.int_or_string


def test_a_schema_that_contains_itself_ends() -> None:
    path = ("spec", "versions", "[]", "schema", "openAPIV3Schema", "properties", "a", "items", "items", "properties")
    node = at(("apiextensions.k8s.io", "v1", "CustomResourceDefinition"), *path)
    assert node.property("b") is not None


def test_free_form_fields_keep_what_they_hold() -> None:
    assert at(POD, "metadata", "managedFields", "[]", "fieldsV1").preserve_unknown_fields
    assert at(("apps", "v1", "ControllerRevision"), "data").preserve_unknown_fields


def test_unknown_kinds_and_fields_have_no_schema() -> None:
    assert DEFINITIONS.of("", "v1", "Nothing") is None
    assert at(POD, "spec").property("contaniers") is None


@pytest.mark.parametrize("kind", [POD, DEPLOYMENT, ("batch", "v1", "Job"), ("", "v1", "Service")])
def test_every_kind_has_object_metadata(kind: tuple[str, str, str]) -> None:
    assert at(kind, "metadata", "ownerReferences").list_map_keys == ("uid",)
