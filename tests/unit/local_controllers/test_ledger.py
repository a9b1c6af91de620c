"""What is taken on each node, kept as Pods come and go, is what adding up all Pods would give."""

from collections import Counter
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from headstay.local.controllers.ledger import Ledger, amounts
from headstay.local.controllers.schedulingviews import SchedulingPod

NODES = ["", "one", "two"]


def pod(uid: str, node: str, phase: str, cpu: int, port: int, *, wary: bool) -> SchedulingPod:
    container = {"resources": {"requests": {"cpu": f"{cpu}m"}}, "ports": [{"hostPort": port}]}
    document = {
        "metadata": {"name": uid, "uid": uid},
        "spec": {
            "nodeName": node,
            "containers": [container],
            "affinity": {"podAntiAffinity": {"required": []}} if wary else {},
        },
        "status": {"phase": phase},
    }
    return msgspec.convert(document, SchedulingPod)


PODS = st.builds(
    pod,
    st.sampled_from("abc"),
    st.sampled_from(NODES),
    st.sampled_from(["Pending", "Running", "Succeeded"]),
    st.integers(0, 3000),
    st.sampled_from([0, 80, 443]),
    wary=st.booleans(),
)


@settings(deadline=None)
@given(st.lists(PODS | st.sampled_from("abc"), max_size=30))
def test_what_is_kept_is_what_a_look_at_all_pods_would_find(steps: list[Any]) -> None:
    ledger = Ledger()
    there: dict[str, SchedulingPod] = {}
    for step in steps:
        if isinstance(step, str):
            ledger.remove(step)
            there.pop(step, None)
        else:
            ledger.put(step)
            there[step.metadata.uid] = step
    holding = [found for found in there.values() if found.occupies]

    assert {found.metadata.uid for found in ledger} == {found.metadata.uid for found in holding}
    assert {p.metadata.uid for p in ledger.wary()} == {
        p.metadata.uid for p in holding if p.spec.affinity.get("podAntiAffinity")
    }
    for node in NODES[1:]:
        on = [found for found in holding if found.spec.node_name == node]
        cpu = sum(amounts(found.spec.containers[0].resources.requests)["cpu"] for found in on)
        ports = Counter(found.spec.containers[0].ports[0].host_port for found in on)
        place = ledger.place(node)
        assert (place.taken.get("pods", 0), place.taken.get("cpu", 0)) == (len(on), cpu)
        assert [place.has_port(("TCP", port)) for port in (80, 443)] == [ports[80] > 0, ports[443] > 0]
