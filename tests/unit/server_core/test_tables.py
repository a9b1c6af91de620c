"""What `kubectl get` shows, cell by cell, against kubectl's own printers."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from headstay.local.server.builtin import builtin_kinds
from headstay.local.server.kinds import Served
from headstay.local.server.printing.ages import duration
from headstay.local.server.printing.jsonpath import JsonPath
from headstay.local.server.printing.pods import PodText, pod_text
from headstay.local.server.printing.printers import printer_of
from headstay.model.objects import Obj
from headstay.model.resource import Resource
from headstay.model.timestamps import rfc3339

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def ago(seconds: int) -> str:
    return rfc3339(NOW - timedelta(seconds=seconds))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "<invalid>"),
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (125, "2m5s"),
        (599, "9m59s"),
        (601, "10m"),
        (10799, "179m"),
        (10800, "3h"),
        (3 * 3600 + 720, "3h12m"),
        (8 * 3600 + 59, "8h"),
        (48 * 3600, "2d"),
        (51 * 3600, "2d3h"),
        (8 * 86400, "8d"),
        (800 * 86400, "2y70d"),
        (9 * 365 * 86400, "9y"),
    ],
)
def test_durations_have_two_units_at_most(seconds: int, text: str) -> None:
    assert duration(seconds) == text


def container(name: str = "c", **state: Any) -> Obj:
    return {"name": name, "restartCount": 0, "ready": False, "state": state}


RUNNING: Obj = {"running": {"startedAt": ago(60)}}


def pod(statuses: list[Obj], *, phase: str = "Running", init: list[Obj] | None = None, **more: Any) -> Obj:
    spec = {"containers": [{"name": status["name"]} for status in statuses] or [{"name": "c"}]}
    if init is not None:
        spec["initContainers"] = [{"name": status["name"]} for status in init]
    status: Obj = {"phase": phase, "containerStatuses": statuses}
    if init is not None:
        status["initContainerStatuses"] = init
    status |= more.pop("status", {})
    return {"metadata": {"name": "p"} | more, "spec": spec, "status": status}


READY = [{"type": "Initialized", "status": "True"}, {"type": "Ready", "status": "True"}]


@pytest.mark.parametrize(
    ("obj", "expected"),
    [
        (pod([], phase="Pending"), PodText("0/1", "Pending", "0")),
        (pod([container(**RUNNING) | {"ready": True}]), PodText("1/1", "Running", "0")),
        (
            pod([container(waiting={"reason": "ContainerCreating"})], phase="Pending"),
            PodText("0/1", "ContainerCreating", "0"),
        ),
        (
            pod(
                [
                    container(waiting={"reason": "CrashLoopBackOff"})
                    | {"restartCount": 3, "lastState": {"terminated": {"exitCode": 1, "finishedAt": ago(64)}}}
                ]
            ),
            PodText("0/1", "CrashLoopBackOff", "3 (64s ago)"),
        ),
        (
            pod([container(terminated={"exitCode": 0, "reason": "Completed"})], phase="Succeeded"),
            PodText("0/1", "Completed", "0"),
        ),
        (pod([container(terminated={"exitCode": 137, "reason": "OOMKilled"})]), PodText("0/1", "OOMKilled", "0")),
        (pod([container(terminated={"exitCode": 3})]), PodText("0/1", "ExitCode:3", "0")),
        (pod([container(terminated={"exitCode": 3, "signal": 9})]), PodText("0/1", "Signal:9", "0")),
        (
            pod([container(waiting={"reason": "PodInitializing"})], phase="Pending", init=[container("i", **RUNNING)]),
            PodText("0/1", "Init:0/1", "0"),
        ),
        (
            pod(
                [container(waiting={"reason": "PodInitializing"})],
                phase="Pending",
                init=[
                    container("i", terminated={"exitCode": 0}),
                    container("j", waiting={"reason": "CrashLoopBackOff"}) | {"restartCount": 2},
                ],
            ),
            PodText("0/1", "Init:CrashLoopBackOff", "2"),
        ),
        (
            pod(
                [container(waiting={"reason": "PodInitializing"})],
                init=[container("i", terminated={"exitCode": 1, "reason": "Error"})],
            ),
            PodText("0/1", "Init:Error", "0"),
        ),
        (
            pod(
                [
                    container("a", **RUNNING) | {"ready": True},
                    container("b", terminated={"exitCode": 0, "reason": "Completed"}),
                ],
                status={"conditions": READY},
            ),
            PodText("1/2", "Running", "0"),
        ),
        (pod([container(**RUNNING) | {"ready": True}], deletionTimestamp=ago(1)), PodText("1/1", "Terminating", "0")),
        (
            pod(
                [container(terminated={"exitCode": 0, "reason": "Completed"})],
                phase="Succeeded",
                deletionTimestamp=ago(1),
            ),
            PodText("0/1", "Completed", "0"),
        ),
        (pod([], phase="Failed", status={"reason": "Evicted"}), PodText("0/1", "Evicted", "0")),
        (
            pod(
                [],
                phase="Pending",
                status={"conditions": [{"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}]},
            ),
            PodText("0/1", "SchedulingGated", "0"),
        ),
    ],
)
def test_a_pods_status_is_what_users_know(obj: Obj, expected: PodText) -> None:
    assert pod_text(obj, NOW) == expected


def cells(table: str, obj: Obj) -> list[Any]:
    """The cells of a built-in kind's object, those of `-o wide` included."""
    kind = next(kind for kind in builtin_kinds({}) if str(kind.resource) == table)
    obj.setdefault("metadata", {}).setdefault("name", "x")
    obj["metadata"].setdefault("creationTimestamp", ago(30))
    printer = printer_of(Served(kind))
    found = printer.cells(obj, NOW)
    assert len(found) == len(printer.columns)
    return found


def test_services_show_their_ports_and_addresses() -> None:
    spec = {
        "type": "NodePort",
        "clusterIP": "10.96.0.9",
        "ports": [{"port": 80, "nodePort": 30080, "protocol": "TCP"}, {"port": 53, "protocol": "UDP"}],
        "selector": {"b": "2", "a": "1"},
    }
    assert cells("services", {"spec": spec}) == [
        "x", "NodePort", "10.96.0.9", "<none>", "80:30080/TCP,53/UDP", "30s", "a=1,b=2",
    ]  # fmt: skip
    balanced = {"spec": {"type": "LoadBalancer", "clusterIP": "10.96.0.9"}}
    assert cells("services", balanced)[3] == "<pending>"
    external = {"spec": {"type": "ExternalName", "externalName": "example.com"}}
    assert cells("services", external)[2:5] == ["<none>", "example.com", "<none>"]


def test_jobs_tell_how_far_they_are() -> None:
    job: Obj = {"spec": {"completions": 3}, "status": {"succeeded": 1, "startTime": ago(100)}}
    assert cells("jobs.batch", job)[:5] == ["x", "Running", "1/3", "100s", "30s"]
    job["status"] |= {"completionTime": ago(40), "conditions": [{"type": "Complete", "status": "True"}]}
    assert cells("jobs.batch", job)[1:4] == ["Complete", "1/3", "60s"]


def test_nodes_show_their_readiness_and_roles() -> None:
    labels = {"node-role.kubernetes.io/control-plane": "", "node-role.kubernetes.io/worker": ""}
    status = {
        "conditions": [{"type": "Ready", "status": "True"}],
        "nodeInfo": {"kubeletVersion": "v1.32.0"},
        "addresses": [{"type": "InternalIP", "address": "10.0.0.1"}],
    }
    node = {"metadata": {"labels": labels}, "spec": {"unschedulable": True}, "status": status}
    assert cells("nodes", node)[:6] == [
        "x", "Ready,SchedulingDisabled", "control-plane,worker", "30s", "v1.32.0", "10.0.0.1",
    ]  # fmt: skip


def test_events_show_when_and_about_what() -> None:
    event = {
        "type": "Warning",
        "reason": "BackOff",
        "message": " again \n",
        "count": 4,
        "firstTimestamp": ago(300),
        "lastTimestamp": ago(10),
        "involvedObject": {"kind": "Pod", "name": "p", "fieldPath": "spec.containers{c}"},
        "source": {"component": "kubelet", "host": "n"},
    }
    assert cells("events", event) == [
        "10s", "Warning", "BackOff", "pod/p", "spec.containers{c}", "kubelet, n", "again", "5m", 4, "x",
    ]  # fmt: skip


def test_endpoints_beyond_three_are_counted() -> None:
    addresses = [{"ip": f"10.0.0.{turn}"} for turn in range(1, 6)]
    assert cells("endpoints", {"subsets": [{"addresses": addresses, "ports": [{"port": 80}]}]})[1] == (
        "10.0.0.1:80,10.0.0.2:80,10.0.0.3:80 + 2 more..."
    )
    assert cells("endpoints", {})[1] == "<none>"


def test_every_built_in_kind_prints_an_empty_object() -> None:
    for kind in builtin_kinds({}):
        if "list" in kind.verbs and kind.storage is None:
            assert cells(str(kind.resource), {"roleRef": {}})[-1] is not None or kind.resource.plural == "pods"


def test_custom_columns_follow_their_paths_and_types() -> None:
    columns = (
        {"name": "Ready", "type": "string", "jsonPath": '.status.conditions[?(@.type=="Ready")].status'},
        {"name": "Size", "type": "integer", "jsonPath": ".spec.size"},
        {"name": "Missing", "type": "string", "jsonPath": ".spec.nothing"},
        {"name": "All", "type": "string", "jsonPath": ".spec.names[*]"},
        {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
        {"name": "On", "type": "boolean", "jsonPath": ".spec.on"},
        {"name": "Odd", "type": "string", "jsonPath": ".spec.names[(@.length-1)]"},
    )
    kind = next(iter(builtin_kinds({})))._replace(resource=Resource("example.com", "v1", "widgets", "Widget"))
    obj: Obj = {
        "metadata": {"name": "w", "creationTimestamp": ago(3600)},
        "spec": {"size": 3, "names": ["a", "b"], "on": True},
        "status": {"conditions": [{"type": "Other", "status": "?"}, {"type": "Ready", "status": "False"}]},
    }
    printer = printer_of(Served(kind, custom=True, columns=columns))
    assert printer.cells(obj, NOW) == ["w", "False", 3, None, "a b", "60m", True, "<unsupported JSONPath>"]


DOCUMENT: Obj = {
    "a": {"b.c": 1, "list": [{"n": "x", "v": 1}, {"n": "y", "v": 2}], "d": {"n": "deep"}},
    "flag": True,
}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (".a.list[0].n", ["x"]),
        ("{.a.list[-1].v}", [2]),
        ("a.list[*].v", [1, 2]),
        (".a.list[?(@.v>1)].n", ["y"]),
        (".a.list[?(@.n!='x')].v", [2]),
        (".a.list[?(@.w)].v", []),
        (".a['b.c']", [1]),
        (r".a.b\.c", [1]),
        (".a.list[0:1].n", ["x"]),
        ("..n", ["x", "y", "deep"]),
        (".nothing.there", []),
        (".flag", [True]),
    ],
)
def test_paths_find_what_they_name(path: str, found: list[Any]) -> None:
    assert JsonPath(path).find(DOCUMENT) == found


@pytest.mark.parametrize("path", [".a[(@.length-1)]", ".a[?(@.b =~ /x/)]", ".a[", ".a[?(@.b==c)]"])
def test_paths_that_crds_do_not_use_are_refused(path: str) -> None:
    with pytest.raises(ValueError, match="unsupported JSONPath"):
        JsonPath(path)
