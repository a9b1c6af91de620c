import json
from collections.abc import Callable
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from headstay.local.server.patch.apply import not_declared, server_side_apply
from headstay.local.server.patch.managed import track
from headstay.local.server.seams import Schema
from headstay.model.errors import StatusError
from headstay.model.objects import LAST_APPLIED, Obj

Kind = Callable[[str], Schema]
T0 = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def apply(schema: Schema | None, live: Obj | None, applied: Obj, manager: str = "one", **options: Any) -> Obj:
    minute = options.pop("minute", 0)
    before = deepcopy((live, applied))
    result = server_side_apply(
        schema,
        live,
        applied,
        manager=manager,
        api_version=applied["apiVersion"],
        now=T0 + timedelta(minutes=minute),
        **options,
    )
    assert (live, applied) == before, "apply leaves its arguments alone"
    return result


def update(schema: Schema | None, old: Obj | None, new: Obj, manager: str, minute: int = 0) -> Obj:
    written = deepcopy(new)
    now = T0 + timedelta(minutes=minute)
    track(schema, old, written, manager=manager, api_version=new["apiVersion"], now=now)
    return written


def fields(obj: Obj, manager: str) -> Any:
    found = [e["fieldsV1"] for e in obj["metadata"]["managedFields"] if e["manager"] == manager]
    return found[0] if found else None


def config_map(data: dict[str, str] | None = None, **meta: Any) -> Obj:
    obj: Obj = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "namespace": "n", **meta}}
    return obj if data is None else obj | {"data": data}


def deployment(*containers: Obj, **spec: Any) -> Obj:
    template: Obj = {"spec": {"containers": list(containers)}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "d", "namespace": "n"},
        "spec": {"template": template, **spec},
    }


def test_an_apply_of_nothing_there_creates_it_and_owns_what_it_says(kind: Kind) -> None:
    created = apply(kind("core.v1.ConfigMap"), None, config_map({"a": "1"}, labels={"x": "y"}))
    assert created == {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": "c",
            "namespace": "n",
            "labels": {"x": "y"},
            "managedFields": [
                {
                    "manager": "one",
                    "operation": "Apply",
                    "apiVersion": "v1",
                    "time": "2026-01-02T03:04:05Z",
                    "fieldsType": "FieldsV1",
                    "fieldsV1": {"f:data": {"f:a": {}}, "f:metadata": {"f:labels": {"f:x": {}}}},
                }
            ],
        },
        "data": {"a": "1"},
    }


def test_a_field_no_longer_applied_goes_unless_somebody_else_holds_it(kind: Kind) -> None:
    schema = kind("core.v1.ConfigMap")
    live = apply(schema, None, config_map({"a": "1", "b": "2", "c": "3"}))
    live = apply(schema, live, config_map({"b": "2"}), "two", minute=1)
    live = update(schema, live, live | {"data": live["data"] | {"d": "4"}}, "three", 2)
    after = apply(schema, live, config_map({"a": "1"}), minute=3)
    assert after["data"] == {"a": "1", "b": "2", "d": "4"}
    gone = apply(schema, after, config_map(), minute=4)
    assert gone["data"] == {"b": "2", "d": "4"}
    assert fields(gone, "one") is None


def test_another_managers_value_is_a_conflict_in_kubernetes_words(kind: Kind) -> None:
    schema = kind("core.v1.ConfigMap")
    live = update(schema, None, config_map({"key": "1"}), "kubectl-client-side-apply")
    with pytest.raises(StatusError) as refused:
        apply(schema, live, config_map({"key": "2"}))
    error = refused.value
    assert (error.code, error.reason) == (409, "Conflict")
    assert error.message == (
        'Apply failed with 1 conflict: conflict with "kubectl-client-side-apply" using v1: .data.key'
    )
    assert error.causes == (
        ("FieldManagerConflict", 'conflict with "kubectl-client-side-apply" using v1', ".data.key"),
    )


def test_several_conflicts_are_listed_by_manager(kind: Kind) -> None:
    schema = kind("core.v1.ConfigMap")
    live = apply(schema, None, config_map({"a": "1", "b": "1"}), "two")
    live = update(schema, live, live | {"data": live["data"] | {"c": "1"}}, "edit", 1)
    with pytest.raises(StatusError) as refused:
        apply(schema, live, config_map({"a": "2", "b": "2", "c": "2"}))
    assert refused.value.message == (
        'Apply failed with 3 conflicts: conflicts with "edit" using v1:\n- .data.c\n'
        'conflicts with "two":\n- .data.a\n- .data.b'
    )


def test_force_takes_the_field_and_equal_values_are_shared(kind: Kind) -> None:
    schema = kind("core.v1.ConfigMap")
    live = apply(schema, None, config_map({"a": "1", "b": "1"}), "two")
    shared = apply(schema, live, config_map({"b": "1"}))
    assert fields(shared, "two") == {"f:data": {"f:a": {}, "f:b": {}}}
    assert fields(shared, "one") == {"f:data": {"f:b": {}}}
    forced = apply(schema, shared, config_map({"b": "2"}), force=True)
    assert forced["data"] == {"a": "1", "b": "2"}
    assert fields(forced, "two") == {"f:data": {"f:a": {}}}


def test_an_apply_of_the_same_changes_nothing_not_even_the_time(kind: Kind) -> None:
    schema = kind("apps.v1.Deployment")
    live = apply(schema, None, deployment({"name": "a", "image": "1"}, replicas=2))
    assert apply(schema, live, deployment({"name": "a", "image": "1"}, replicas=2), minute=9) == live


def test_lists_of_named_things_merge_and_keep_the_appliers_order(kind: Kind) -> None:
    schema = kind("apps.v1.Deployment")
    live = update(schema, None, deployment({"name": "a"}, {"name": "sidecar"}, {"name": "b"}), "injector")
    after = apply(schema, live, deployment({"name": "b", "image": "1"}, {"name": "c"}, {"name": "a"}))
    containers = after["spec"]["template"]["spec"]["containers"]
    assert [container["name"] for container in containers] == ["sidecar", "b", "c", "a"]
    assert containers[1] == {"name": "b", "image": "1"}
    without = apply(schema, after, deployment({"name": "b", "image": "1"}))
    names = [container["name"] for container in without["spec"]["template"]["spec"]["containers"]]
    assert names == ["sidecar", "b", "a"]


def test_an_apply_that_changes_the_order_alone_changes_nothing(kind: Kind) -> None:
    schema = kind("apps.v1.Deployment")
    live = apply(schema, None, deployment({"name": "a"}, {"name": "b"}))
    assert apply(schema, live, deployment({"name": "b"}, {"name": "a"}), minute=1) == live


def test_an_item_with_fields_of_others_is_only_robbed_of_ours(kind: Kind) -> None:
    schema = kind("apps.v1.Deployment")
    live = apply(schema, None, deployment({"name": "a", "image": "1", "env": [{"name": "X", "value": "1"}]}))
    changed = deepcopy(live)
    changed["spec"]["template"]["spec"]["containers"][0]["env"].append({"name": "Y", "value": "2"})
    live = update(schema, live, changed, "edit", 1)
    after = apply(schema, live, deployment({"name": "a", "image": "1"}), minute=2)
    assert after["spec"]["template"]["spec"]["containers"] == [
        {"name": "a", "image": "1", "env": [{"name": "Y", "value": "2"}]}
    ]


def test_sets_are_merged_member_by_member(kind: Kind) -> None:
    schema = kind("core.v1.ConfigMap")
    live = apply(schema, None, config_map(finalizers=["a/a", "b/b"]))
    live = apply(schema, live, config_map(finalizers=["c/c"]), "two", minute=1)
    assert live["metadata"]["finalizers"] == ["a/a", "b/b", "c/c"]
    after = apply(schema, live, config_map(finalizers=["b/b"]), minute=2)
    assert after["metadata"]["finalizers"] == ["b/b", "c/c"]


def test_atomic_lists_and_maps_belong_to_one_manager_as_a_whole(kind: Kind) -> None:
    schema = kind("apps.v1.Deployment")
    selector = {"matchLabels": {"app": "a"}}
    live = apply(schema, None, deployment({"name": "a", "command": ["x"]}, selector=selector))
    assert fields(live, "one")["f:spec"]["f:selector"] == {}
    with pytest.raises(StatusError, match=r"2 conflicts"):
        apply(
            schema,
            live,
            deployment({"name": "a", "command": ["y"]}, selector={"matchLabels": {"app": "b"}}),
            "two",
        )


def test_a_ports_protocol_is_part_of_its_key_even_when_it_is_left_out(kind: Kind) -> None:
    schema = kind("core.v1.Service")
    service: Obj = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "s"},
        "spec": {"ports": [{"port": 53, "name": "t"}, {"port": 53, "protocol": "UDP", "name": "u"}]},
    }
    live = apply(schema, None, service)
    keys = list(fields(live, "one")["f:spec"]["f:ports"])
    assert keys == ['k:{"port":53,"protocol":"TCP"}', 'k:{"port":53,"protocol":"UDP"}']
    live["spec"]["ports"][0]["protocol"] = "TCP"
    assert apply(schema, live, service)["spec"]["ports"] == [
        {"port": 53, "name": "t", "protocol": "TCP"},
        {"port": 53, "protocol": "UDP", "name": "u"},
    ]


def test_a_struct_that_held_only_our_fields_goes_with_them(kind: Kind) -> None:
    schema = kind("apps.v1.Deployment")
    live = apply(schema, None, deployment({"name": "a", "securityContext": {"runAsUser": 1}}))
    after = apply(schema, live, deployment({"name": "a"}), minute=1)
    assert after["spec"]["template"]["spec"]["containers"] == [{"name": "a"}]


def test_where_the_schema_is_silent_maps_merge_and_lists_are_whole() -> None:
    def cluster(spec: Obj) -> Obj:
        return {"apiVersion": "ray.io/v1", "kind": "RayCluster", "metadata": {"name": "r"}, "spec": spec}

    live = apply(None, None, cluster({"a": {"x": 1, "y": 2}, "l": [1]}))
    live = apply(None, live, cluster({"a": {"z": 3}}), "two", minute=1)
    after = apply(None, live, cluster({"a": {"x": 1}, "l": [2]}), minute=2)
    assert after["spec"] == {"a": {"x": 1, "z": 3}, "l": [2]}


def test_preserved_unknown_fields_are_deduced_and_the_rest_follows_the_schema(
    inline: Callable[[dict[str, Any]], Schema],
) -> None:
    schema = inline(
        {
            "type": "object",
            "properties": {
                "metadata": {"type": "object"},
                "spec": {
                    "type": "object",
                    "x-kubernetes-preserve-unknown-fields": True,
                    "properties": {
                        "groups": {
                            "type": "array",
                            "x-kubernetes-list-type": "map",
                            "x-kubernetes-list-map-keys": ["name"],
                            "items": {"type": "object", "properties": {"name": {"type": "string"}}},
                        }
                    },
                },
            },
        }
    )

    def thing(spec: Obj) -> Obj:
        return {"apiVersion": "x.io/v1", "kind": "Thing", "metadata": {"name": "t"}, "spec": spec}

    live = apply(schema, None, thing({"groups": [{"name": "a"}], "other": {"deep": {"x": 1}}}))
    after = apply(schema, live, thing({"groups": [{"name": "b"}], "other": {"deep": {"y": 1}}}), "two", minute=1)
    assert after["spec"] == {"groups": [{"name": "a"}, {"name": "b"}], "other": {"deep": {"x": 1, "y": 1}}}


def test_null_is_nothing_unless_the_schema_says_that_it_is_a_value(
    kind: Kind, inline: Callable[[dict[str, Any]], Schema]
) -> None:
    document = deployment({"name": "a"})
    document["spec"]["template"]["metadata"] = {"creationTimestamp": None, "labels": {"app": "a"}}
    schema = kind("apps.v1.Deployment")
    live = apply(schema, None, document)
    assert live["spec"]["template"]["metadata"] == {"labels": {"app": "a"}}
    assert apply(schema, live, document, "two")["spec"] == live["spec"]
    nullable = inline(
        {"type": "object", "properties": {"spec": {"type": "object", "properties": {"a": {"type": "string"}}}}}
    )
    thing: Obj = {"apiVersion": "x.io/v1", "kind": "T", "metadata": {"name": "t"}, "spec": {"a": None}}
    assert apply(nullable, None, thing)["spec"] == {}
    nullable = inline(
        {
            "type": "object",
            "properties": {"spec": {"type": "object", "properties": {"a": {"type": "string", "nullable": True}}}},
        }
    )
    assert apply(nullable, None, thing)["spec"] == {"a": None}


def test_the_first_apply_to_an_untracked_object_finds_an_owner_for_what_was_there(kind: Kind) -> None:
    schema = kind("core.v1.ConfigMap")
    live = config_map({"a": "1", "b": "1"})
    after = apply(schema, live, config_map({"a": "1"}))
    assert fields(after, "before-first-apply") == {"f:data": {".": {}, "f:a": {}, "f:b": {}}}
    with pytest.raises(StatusError, match=r'conflict with "before-first-apply" using v1: .data.b'):
        apply(schema, live, config_map({"b": "2"}))


def test_kubectls_own_client_side_apply_is_no_conflict_for_its_server_side_apply(kind: Kind) -> None:
    schema = kind("core.v1.ConfigMap")
    last = config_map({"a": "1"})
    annotated = config_map({"a": "1"}, annotations={LAST_APPLIED: json.dumps(last)})
    live = update(schema, None, annotated, "kubectl-client-side-apply")
    after = apply(schema, live, config_map({"a": "2"}), "kubectl", minute=1)
    assert after["data"] == {"a": "2"}
    assert json.loads(after["metadata"]["annotations"][LAST_APPLIED])["data"] == {"a": "2"}
    edited = update(schema, live, live | {"data": {"a": "9"}}, "edit", 1)
    with pytest.raises(StatusError, match=r'conflict with "edit" using v1: .data.a'):
        apply(schema, edited, config_map({"a": "2"}), "kubectl", minute=2)


def test_the_status_has_owners_of_its_own(kind: Kind) -> None:
    schema = kind("apps.v1.Deployment")
    live = apply(schema, None, deployment({"name": "a"}))
    status: Obj = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "d", "namespace": "n"},
        "status": {"replicas": 1},
    }
    after = apply(schema, live, status, "controller", subresource="status")
    assert after["status"] == {"replicas": 1}
    assert after["spec"] == live["spec"]
    entry = next(e for e in after["metadata"]["managedFields"] if e["manager"] == "controller")
    assert entry["subresource"] == "status"
    with pytest.raises(StatusError, match=r'conflict with "controller" with subresource "status": .status.replicas'):
        apply(schema, after, status | {"status": {"replicas": 2}}, "other", subresource="status")


def test_what_cannot_be_applied_is_refused_by_name(kind: Kind) -> None:
    schema = kind("core.v1.Service")
    service: Obj = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s", "namespace": "n"}}
    with pytest.raises(StatusError, match=r"metadata.managedFields must be nil") as refused:
        apply(schema, None, service | {"metadata": {"name": "s", "managedFields": []}})
    assert refused.value.code == 400
    with pytest.raises(StatusError, match=r"fieldManager: Required value: is required for apply patch"):
        apply(schema, None, service, "")
    with pytest.raises(StatusError, match=r"metadata.name must be set"):
        apply(schema, None, service | {"metadata": {}})
    with pytest.raises(StatusError, match="Incorrect version specified in apply patch"):
        server_side_apply(schema, None, service, manager="m", api_version="v2", now=T0)
    twice = service | {"spec": {"ports": [{"port": 1}, {"port": 1}]}}
    with pytest.raises(StatusError) as doubled:
        apply(schema, None, twice)
    assert doubled.value.message == (
        "failed to create typed patch object (n/s; v1, Kind=Service): "
        '.spec.ports: duplicate entries for key [port=1,protocol="TCP"]'
    )
    with pytest.raises(
        StatusError, match='element 0: associative list with keys has an element that omits key field "p'
    ):
        apply(schema, None, service | {"spec": {"ports": [{"name": "x"}]}})
    with pytest.raises(StatusError, match="expected list, got"):
        apply(schema, None, service | {"spec": {"ports": "80"}})
    assert not_declared(service, "spec.x").message == (
        "failed to create typed patch object (n/s; v1, Kind=Service): .spec.x: field not declared in schema"
    )
