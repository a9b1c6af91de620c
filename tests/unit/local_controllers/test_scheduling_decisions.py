"""Where a Pod fits, and the words for where it does not."""

from typing import Any

import msgspec
import pytest

from headstay.local.controllers.ledger import Ledger, requests
from headstay.local.controllers.scheduling import Fits, Unfit
from headstay.local.controllers.scheduling import place as place_in
from headstay.local.controllers.schedulingviews import SchedulingNode, SchedulingPod
from headstay.local.controllers.snapshot import Snapshot
from headstay.model.objects import ObjectKey

GI = 2**30


def node(name: str = "one", *, taints: Any = (), unschedulable: bool = False, **allocatable: str) -> SchedulingNode:
    document = {
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, "disk": "ssd", "size": "12"}},
        "spec": {"taints": list(taints), "unschedulable": unschedulable},
        "status": {"allocatable": {"cpu": "2", "memory": "4Gi", "pods": "110"} | allocatable},
    }
    return msgspec.convert(document, SchedulingNode)


def pod(name: str = "p", *, on: str = "", phase: str = "Pending", cpu: str = "", memory: str = "", **spec: Any) -> Any:
    wanted = {key: value for key, value in {"cpu": cpu, "memory": memory}.items() if value}
    containers = spec.pop("containers", [{"resources": {"requests": wanted}}])
    meta = {"name": name, "namespace": "default", "uid": f"uid-{name}"} | spec.pop("metadata", {})
    document = {
        "metadata": meta,
        "spec": {"nodeName": on, "containers": containers, **spec},
        "status": {"phase": phase},
    }
    return msgspec.convert(document, SchedulingPod)


def place(pod: SchedulingPod, nodes: list[SchedulingNode], others: list[SchedulingPod], **more: Any) -> Fits | Unfit:
    return place_in(pod, Snapshot(nodes, Ledger(others), **more))


def test_a_pod_that_fits_gets_the_node() -> None:
    assert place(pod(cpu="2", memory="4Gi"), [node()], []) == Fits("one")


def test_a_pod_larger_than_the_node_is_told_so_in_kubernetes_words() -> None:
    assert place(pod(memory="5Gi"), [node()], []) == Unfit(
        "0/1 nodes are available: 1 Insufficient memory. "
        "preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling."
    )


def test_a_pod_that_others_leave_no_room_is_told_that_nobody_is_thrown_out_for_it() -> None:
    assert place(pod(cpu="1", memory="2Gi"), [node()], [pod("a", on="one", cpu="1500m", memory="3Gi")]) == Unfit(
        "0/1 nodes are available: 1 Insufficient cpu, 1 Insufficient memory. "
        "preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod."
    )


def test_finished_pods_and_pods_elsewhere_take_no_room() -> None:
    others = [
        pod("a", on="one", phase="Succeeded", memory="4Gi"),
        pod("b", on="one", phase="Failed", memory="4Gi"),
        pod("c", on="two", memory="4Gi"),
        pod("d", memory="4Gi"),
    ]
    assert place(pod(memory="4Gi"), [node()], others) == Fits("one")


def test_a_pod_does_not_stand_in_its_own_way() -> None:
    assert place(pod(memory="3Gi"), [node()], [pod(on="one", memory="3Gi")]) == Fits("one")


def test_the_number_of_pods_is_bounded_too() -> None:
    found = place(pod(), [node(pods="1")], [pod("a", on="one")])
    assert isinstance(found, Unfit)
    assert found.message.startswith("0/1 nodes are available: 1 Too many pods. preemption:")


def test_an_extended_resource_the_node_lacks_is_named() -> None:
    found = place(pod(containers=[{"resources": {"requests": {"nvidia.com/gpu": "1"}}}]), [node()], [])
    assert isinstance(found, Unfit)
    assert "1 Insufficient nvidia.com/gpu." in found.message


def test_no_node_at_all_has_words_of_its_own() -> None:
    assert place(pod(), [], []) == Unfit("no nodes available to schedule pods")


def test_a_pod_that_never_preempts_is_told_so() -> None:
    found = place(pod(memory="9Gi", preemptionPolicy="Never"), [node()], [])
    assert isinstance(found, Unfit)
    assert found.message.endswith("preemption: not eligible due to preemptionPolicy=Never.")


TAINT = {"key": "gpu", "value": "yes", "effect": "NoSchedule"}


@pytest.mark.parametrize(
    ("tolerations", "fits"),
    [
        ([], False),
        ([{"key": "gpu", "operator": "Equal", "value": "yes", "effect": "NoSchedule"}], True),
        ([{"key": "gpu", "value": "yes"}], True),
        ([{"key": "gpu", "operator": "Exists"}], True),
        ([{"operator": "Exists"}], True),
        ([{"key": "gpu", "value": "no"}], False),
        ([{"key": "gpu", "operator": "Exists", "effect": "NoExecute"}], False),
    ],
)
def test_a_taint_keeps_out_who_does_not_tolerate_it(tolerations: Any, fits: bool) -> None:
    found = place(pod(tolerations=tolerations), [node(taints=[TAINT])], [])
    assert isinstance(found, Fits) == fits
    if isinstance(found, Unfit):
        assert "1 node(s) had untolerated taint {gpu: yes}." in found.message


def test_a_preference_not_to_schedule_keeps_nobody_out() -> None:
    assert place(pod(), [node(taints=[TAINT | {"effect": "PreferNoSchedule"}])], []) == Fits("one")


def test_a_cordoned_node_is_unschedulable() -> None:
    found = place(pod(), [node(unschedulable=True)], [])
    assert isinstance(found, Unfit)
    assert "1 node(s) were unschedulable." in found.message


def affinity(*expressions: dict[str, Any]) -> dict[str, Any]:
    terms = [{"matchExpressions": list(expressions)}] if expressions else [{}]
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}


@pytest.mark.parametrize(
    ("spec", "fits"),
    [
        ({"nodeSelector": {"disk": "ssd"}}, True),
        ({"nodeSelector": {"disk": "hdd"}}, False),
        ({"affinity": affinity({"key": "disk", "operator": "In", "values": ["ssd", "nvme"]})}, True),
        ({"affinity": affinity({"key": "disk", "operator": "NotIn", "values": ["ssd"]})}, False),
        ({"affinity": affinity({"key": "gpu", "operator": "DoesNotExist"})}, True),
        ({"affinity": affinity({"key": "gpu", "operator": "Exists"})}, False),
        ({"affinity": affinity({"key": "size", "operator": "Gt", "values": ["11"]})}, True),
        ({"affinity": affinity({"key": "size", "operator": "Lt", "values": ["12"]})}, False),
        ({"affinity": affinity({"key": "disk", "operator": "Lt", "values": ["12"]})}, False),
        ({"affinity": affinity()}, False),
    ],
)
def test_required_node_labels_are_required(spec: dict[str, Any], fits: bool) -> None:
    found = place(pod(**spec), [node()], [])
    assert isinstance(found, Fits) == fits
    if isinstance(found, Unfit):
        assert "1 node(s) didn't match Pod's node affinity/selector." in found.message


def test_a_host_port_is_given_once() -> None:
    ported = [{"ports": [{"hostPort": 80}]}]
    found = place(pod(containers=ported), [node()], [pod("a", on="one", containers=ported)])
    assert isinstance(found, Unfit)
    assert "1 node(s) didn't have free ports for the requested pod ports." in found.message


def test_an_init_container_counts_while_it_runs_and_a_sidecar_for_ever() -> None:
    def asks(cpu: str, **more: str) -> dict[str, Any]:
        return {"resources": {"requests": {"cpu": cpu}}, **more}

    plain = pod(containers=[asks("1"), asks("500m")], initContainers=[asks("3")])
    assert requests(plain)["cpu"] == 3
    with_sidecar = pod(
        containers=[asks("1")], initContainers=[asks("1", restartPolicy="Always"), asks("2")], overhead={"cpu": "1"}
    )
    assert requests(with_sidecar)["cpu"] == 4


def test_of_several_nodes_the_one_with_the_most_free_memory_is_taken() -> None:
    nodes = [node("a"), node("b", memory="8Gi"), node("c")]
    assert place(pod(), nodes, []) == Fits("b")
    assert place(pod(), nodes, [pod("x", on="b", memory="7Gi")]) == Fits("a")


def test_the_reasons_of_several_nodes_are_counted() -> None:
    nodes = [node("a", unschedulable=True), node("b", memory="1Gi"), node("c", memory="1Gi")]
    assert place(pod(memory="2Gi"), nodes, []) == Unfit(
        "0/3 nodes are available: 1 node(s) were unschedulable, 2 Insufficient memory. "
        "preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling."
    )


def with_claim(name: str) -> dict[str, Any]:
    return {"volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": name}}, {"name": "tmp"}]}


def test_a_claim_that_does_not_exist_is_named() -> None:
    assert place(pod(**with_claim("data")), [node()], []) == Unfit(
        '0/1 nodes are available: persistentvolumeclaim "data" not found. '
        "preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling."
    )
    assert place(pod(**with_claim("data")), [node()], [], claims={ObjectKey("default", "data")}) == Fits("one")
    assert isinstance(place(pod(**with_claim("data")), [node()], [], claims={ObjectKey("other", "data")}), Unfit)


def near(kind: str, app: str, **more: Any) -> dict[str, Any]:
    term = {"labelSelector": {"matchLabels": {"app": app}}, "topologyKey": "kubernetes.io/hostname", **more}
    return {"affinity": {kind: {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}}


def labelled(app: str, namespace: str = "default") -> dict[str, Any]:
    return {"metadata": {"labels": {"app": app}, "namespace": namespace}}


def reason(found: Fits | Unfit) -> str:
    return "" if isinstance(found, Fits) else found.message.partition(": 1 ")[2].partition(". preemption")[0]


def test_pods_that_shun_each_other_do_not_share_a_node() -> None:
    shy = near("podAntiAffinity", "web")
    first, second = pod("a", on="one", **labelled("web"), **shy), pod("b", **labelled("web"), **shy)
    assert reason(place(second, [node()], [first])) == "node(s) didn't match pod anti-affinity rules"
    assert place(second, [node(), node("two")], [first]) == Fits("two")
    assert place(second, [node()], [pod("c", on="one", **labelled("db"))]) == Fits("one")


def test_a_pod_is_not_put_beside_one_that_shuns_it() -> None:
    shy = pod("a", on="one", **near("podAntiAffinity", "web"))
    assert (
        reason(place(pod(**labelled("web")), [node()], [shy]))
        == "node(s) didn't satisfy existing pods anti-affinity rules"
    )
    assert place(pod(**labelled("db")), [node()], [shy]) == Fits("one")


def test_a_pod_waits_for_the_company_it_asks_for_unless_it_is_the_first_of_its_kind() -> None:
    follower = pod(**near("podAffinity", "web"))
    assert reason(place(follower, [node()], [])) == "node(s) didn't match pod affinity rules"
    assert place(follower, [node(), node("two")], [pod("a", on="two", **labelled("web"))]) == Fits("two")
    assert place(pod(**labelled("web"), **near("podAffinity", "web")), [node()], []) == Fits("one")


def test_affinity_speaks_of_the_pods_own_namespace_unless_it_names_others() -> None:
    there = pod("a", on="one", **labelled("web", "team"))
    assert place(pod(**near("podAntiAffinity", "web")), [node()], [there]) == Fits("one")
    assert reason(place(pod(**near("podAntiAffinity", "web", namespaces=["team"])), [node()], [there]))
    by_label = pod(**near("podAntiAffinity", "web", namespaceSelector={"matchLabels": {"tier": "a"}}))
    assert reason(place(by_label, [node()], [there], namespaces={"team": {"tier": "a"}}))
    assert place(by_label, [node()], [there], namespaces={"team": {"tier": "b"}}) == Fits("one")
