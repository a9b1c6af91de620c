import base64
from copy import deepcopy
from typing import Any

import pytest
from tests.unit.strategies.world import World

from headstay.model.objects import Obj
from headstay.model.resource import CONFIGMAPS, SECRETS


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def secret(**fields: Any) -> Obj:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, **fields}


def test_string_data_becomes_data_and_wins(world: World) -> None:
    created = world.create(SECRETS, secret(data={"a": encoded("1"), "b": encoded("2")}, stringData={"b": "3"}))
    assert created["type"] == "Opaque"
    assert created["data"] == {"a": encoded("1"), "b": encoded("3")}
    assert "stringData" not in created


@pytest.mark.parametrize(
    ("fields", "problems"),
    [
        ({"type": "kubernetes.io/tls"}, ["data[tls.crt]: Required value", "data[tls.key]: Required value"]),
        ({"type": "kubernetes.io/ssh-auth"}, ["data[ssh-privatekey]: Required value"]),
        (
            {"type": "kubernetes.io/basic-auth"},
            ["data[username]: Required value", "data[password]: Required value"],
        ),
        ({"type": "kubernetes.io/dockerconfigjson"}, ["data[.dockerconfigjson]: Required value"]),
        (
            {"type": "kubernetes.io/service-account-token"},
            ["metadata.annotations[kubernetes.io/service-account.name]: Required value"],
        ),
        ({"data": {"a": "A" * 1_500_000}}, ["data: Too long: may not be more than 1048576 bytes"]),
    ],
)
def test_a_secrets_type_asks_for_its_keys(world: World, fields: Obj, problems: list[str]) -> None:
    assert world.problems(SECRETS, secret(**fields)) == problems


def test_a_docker_config_must_be_json(world: World) -> None:
    kind = "kubernetes.io/dockerconfigjson"
    world.create(SECRETS, secret(type=kind, data={".dockerconfigjson": encoded("{}")}))
    found = world.problems(SECRETS, secret(type=kind, data={".dockerconfigjson": encoded("x")}))
    assert found[0].startswith('data[.dockerconfigjson]: Invalid value: "<secret contents redacted>"')


def test_keys_are_checked(world: World) -> None:
    found = world.problems(CONFIGMAPS, {"data": {"a b": "", "..": ""}, "binaryData": {"c": "", "d": ""}})
    assert found[0].startswith('data[a b]: Invalid value: "a b": a valid config key must consist of alphanumeric')
    assert "data[..]: Invalid value: \"..\": must not be '..'" in found
    twice = world.problems(CONFIGMAPS, {"data": {"c": ""}, "binaryData": {"c": ""}})
    assert twice == ['data[c]: Invalid value: "c": duplicate of key present in binaryData']


def test_a_type_never_changes(world: World) -> None:
    created = world.create(SECRETS, secret())
    created["type"] = "x/y"
    assert world.update_problems(SECRETS, created) == ['type: Invalid value: "x/y": field is immutable']


@pytest.mark.parametrize("resource", [CONFIGMAPS, SECRETS])
def test_what_is_immutable_stays_as_it_is(world: World, resource: Any) -> None:
    created = world.create(resource, {"metadata": {"name": "s"}, "data": {"a": encoded("1")}, "immutable": True})
    labelled = deepcopy(created)
    labelled["metadata"]["labels"] = {"a": "b"}
    assert world.update_problems(resource, labelled) == []
    changed = deepcopy(created) | {"data": {}, "immutable": False}
    assert world.update_problems(resource, changed) == [
        "immutable: Forbidden: field is immutable when `immutable` is set",
        "data: Forbidden: field is immutable when `immutable` is set",
    ]
