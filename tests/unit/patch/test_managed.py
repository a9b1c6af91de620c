from collections.abc import Callable
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import Any

from headstay.local.server.patch.managed import track
from headstay.local.server.seams import Schema
from headstay.model.objects import Obj

Kind = Callable[[str], Schema]
T0 = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def write(
    schema: Schema | None, old: Obj | None, new: Obj, manager: str = "m", *, minute: int = 0, **options: Any
) -> Obj:
    written = deepcopy(new)
    track(
        schema, old, written, manager=manager, now=T0 + timedelta(minutes=minute), **({"api_version": "v1"} | options)
    )
    return written


def fields(obj: Obj, manager: str, subresource: str = "") -> Any:
    for entry in obj["metadata"].get("managedFields", []):
        if entry["manager"] == manager and entry.get("subresource", "") == subresource:
            return entry["fieldsV1"]
    return None


def config_map(**data: str) -> Obj:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "namespace": "n"}, "data": data}


def test_a_creation_is_recorded_as_on_a_real_server(kind: Kind) -> None:
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p", "uid": "u", "labels": {"app": "a"}, "finalizers": ["x/y"]},
        "spec": {
            "containers": [
                {"name": "c", "image": "i", "resources": {}, "ports": [{"containerPort": 80, "protocol": "TCP"}]}
            ],
            "restartPolicy": "Always",
            "securityContext": {},
            "tolerations": [{"operator": "Exists"}],
        },
    }
    created = write(kind("core.v1.Pod"), None, pod, "kubectl-create")
    assert created["metadata"]["managedFields"] == [
        {
            "manager": "kubectl-create",
            "operation": "Update",
            "apiVersion": "v1",
            "time": "2026-01-02T03:04:05Z",
            "fieldsType": "FieldsV1",
            "fieldsV1": {
                "f:metadata": {
                    "f:finalizers": {".": {}, 'v:"x/y"': {}},
                    "f:labels": {".": {}, "f:app": {}},
                },
                "f:spec": {
                    "f:containers": {
                        'k:{"name":"c"}': {
                            ".": {},
                            "f:image": {},
                            "f:name": {},
                            "f:ports": {
                                ".": {},
                                'k:{"containerPort":80,"protocol":"TCP"}': {
                                    ".": {},
                                    "f:containerPort": {},
                                    "f:protocol": {},
                                },
                            },
                            "f:resources": {},
                        }
                    },
                    "f:restartPolicy": {},
                    "f:securityContext": {},
                    "f:tolerations": {},
                },
            },
        }
    ]


def test_a_custom_resource_owns_its_spec_too() -> None:
    cluster = {"apiVersion": "ray.io/v1", "kind": "RayCluster", "metadata": {"name": "r"}, "spec": {"a": {"b": [1]}}}
    created = write(None, None, cluster, api_version="ray.io/v1")
    assert fields(created, "m") == {"f:spec": {".": {}, "f:a": {".": {}, "f:b": {}}}}


def test_who_changes_a_field_owns_it_alone(kind: Kind) -> None:
    schema = kind("core.v1.ConfigMap")
    first = write(schema, None, config_map(a="1", b="1"), "one")
    second = write(schema, first, first | {"data": {"a": "1", "b": "2", "c": "2"}}, "two", minute=1)
    assert fields(second, "one") == {"f:data": {".": {}, "f:a": {}}}
    assert fields(second, "two") == {"f:data": {"f:b": {}, "f:c": {}}}


def test_a_removed_field_belongs_to_nobody_and_a_manager_of_nothing_is_gone(kind: Kind) -> None:
    schema = kind("core.v1.ConfigMap")
    first = write(schema, None, config_map(a="1"), "one")
    second = write(schema, first, first | {"data": {"a": "1", "b": "2"}}, "two", minute=1)
    third = write(schema, second, second | {"data": {"a": "1"}}, "three", minute=2)
    assert fields(third, "one") == {"f:data": {".": {}, "f:a": {}}}
    assert [entry["manager"] for entry in third["metadata"]["managedFields"]] == ["one"]


def test_a_write_that_changes_nothing_leaves_every_time_alone(kind: Kind) -> None:
    schema = kind("core.v1.ConfigMap")
    first = write(schema, None, config_map(a="1"), "one")
    again = write(schema, first, first, "one", minute=5)
    other = write(schema, first, first, "two", minute=5)
    assert again == other == first


def test_a_second_write_of_the_same_manager_adds_to_its_entry_and_moves_its_time(kind: Kind) -> None:
    schema = kind("core.v1.ConfigMap")
    first = write(schema, None, config_map(a="1"), "one")
    second = write(schema, first, first | {"data": {"a": "1", "b": "2"}}, "one", minute=1)
    assert fields(second, "one") == {"f:data": {".": {}, "f:a": {}, "f:b": {}}}
    assert second["metadata"]["managedFields"][0]["time"] == "2026-01-02T03:05:05Z"


def test_what_one_of_many_like_objects_becomes_is_not_taken_for_another(kind: Kind) -> None:
    """Comparisons are remembered: by what is compared, and by the schema it is seen through."""
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": [{"name": "c"}]}}
    twin, other = deepcopy(pod), deepcopy(pod)
    other["spec"]["containers"][0]["image"] = "i"  # type: ignore[index]
    schema = kind("core.v1.Pod")
    one, same, third = (write(schema, None, each) for each in (pod, twin, other))
    assert fields(one, "m") == fields(same, "m")
    key = 'k:{"name":"c"}'
    assert "f:image" not in fields(one, "m")["f:spec"]["f:containers"][key]
    assert "f:image" in fields(third, "m")["f:spec"]["f:containers"][key]
    changed = write(schema, one, one | {"spec": other["spec"]}, "second", minute=1)
    assert fields(changed, "second") == {"f:spec": {"f:containers": {key: {"f:image": {}}}}}
    assert fields(same, "m") == fields(one, "m") == fields(changed, "m")
    assert fields(write(None, None, pod), "m")["f:spec"] == {"f:containers": {}}


def test_a_large_field_is_compared_as_a_small_one_is(kind: Kind) -> None:
    schema = kind("core.v1.ConfigMap")
    large = "x" * 20_000
    first = write(schema, None, config_map(a=large), "one")
    second = write(schema, first, first | {"data": {"a": large, "b": "2"}}, "two", minute=1)
    assert fields(second, "two") == {"f:data": {"f:b": {}}}


def test_a_subresource_has_an_entry_of_its_own_and_cannot_edit_the_others(kind: Kind) -> None:
    schema = kind("core.v1.Pod")
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": []}}
    created = write(schema, None, pod, "one")
    sent = deepcopy(created)
    sent["status"] = {"phase": "Running"}
    sent["metadata"]["managedFields"] = []
    updated = write(schema, created, sent, "kubelet", subresource="status", minute=1)
    assert fields(updated, "one") == fields(created, "one")
    assert fields(updated, "kubelet", "status") == {"f:status": {".": {}, "f:phase": {}}}
    assert updated["metadata"]["managedFields"][-1]["subresource"] == "status"


def test_a_client_that_forgets_managed_fields_does_not_lose_them_and_one_that_empties_them_does(kind: Kind) -> None:
    schema = kind("core.v1.ConfigMap")
    first = write(schema, None, config_map(a="1"), "one")
    forgetful = deepcopy(first)
    del forgetful["metadata"]["managedFields"]
    assert write(schema, first, forgetful, "two", minute=1) == first
    emptied = deepcopy(first)
    emptied["metadata"]["managedFields"] = [{}]
    assert "managedFields" not in write(schema, first, emptied, "two", minute=1)["metadata"]
    nonsense = deepcopy(first)
    nonsense["metadata"]["managedFields"] = [{"manager": "x"}]
    assert write(schema, first, nonsense, "two", minute=1) == first


def test_an_object_that_nobody_tracked_stays_untracked(kind: Kind) -> None:
    live = config_map(a="1")
    assert "managedFields" not in write(kind("core.v1.ConfigMap"), live, config_map(a="2"))["metadata"]


def test_beyond_ten_updaters_the_oldest_are_put_together(kind: Kind) -> None:
    schema = kind("core.v1.ConfigMap")
    obj = write(schema, None, config_map(k0="1"), "m00")
    for n in range(1, 15):
        data = obj["data"] | {f"k{n}": "1"}
        obj = write(schema, obj, obj | {"data": data}, f"m{n:02}", minute=n)
    managers = [entry["manager"] for entry in obj["metadata"]["managedFields"]]
    assert len(managers) == 10
    assert managers[0] == "ancient-changes"
    assert fields(obj, "ancient-changes") == {"f:data": {".": {}} | {f"f:k{n}": {} for n in range(6)}}


def test_duplicates_and_items_without_a_key_do_not_stop_a_write(kind: Kind) -> None:
    schema = kind("core.v1.Service")
    old = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": {"ports": [{"name": "x"}]}}
    created = write(schema, None, old)
    doubled = deepcopy(created)
    doubled["spec"]["ports"] = [{"port": 1, "protocol": "TCP"}, {"port": 1, "protocol": "TCP"}]
    updated = write(schema, created, doubled, "two", minute=1)
    assert 'k:{"port":1,"protocol":"TCP"}' in fields(updated, "two")["f:spec"]["f:ports"]
