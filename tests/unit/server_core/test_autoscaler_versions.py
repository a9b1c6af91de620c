"""One HorizontalPodAutoscaler, two versions."""

from headstay.local.server.autoscaling import V1, V2, convert
from headstay.local.server.inprocess import InProcessClient
from headstay.model.objects import Obj
from headstay.model.resource import Resource

AUTOSCALERS = Resource("autoscaling", "v1", "horizontalpodautoscalers", "HorizontalPodAutoscaler")
TARGET = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"}


async def test_what_kubectl_autoscale_writes_is_read_as_v2(client: InProcessClient) -> None:
    old = {
        "apiVersion": V1,
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "h", "namespace": "default"},
        "spec": {"scaleTargetRef": TARGET, "maxReplicas": 3, "targetCPUUtilizationPercentage": 50},
    }
    await client.create(AUTOSCALERS, old)
    new = await client.get(AUTOSCALERS._replace(version="v2"), "default", "h")
    target = {"type": "Utilization", "averageUtilization": 50}
    assert new["spec"]["metrics"] == [{"type": "Resource", "resource": {"name": "cpu", "target": target}}]
    again = await client.get(AUTOSCALERS, "default", "h")
    assert again["spec"] == old["spec"]


def test_nothing_of_a_v2_object_is_lost_on_its_way_through_v1() -> None:
    target = {"type": "AverageValue", "averageValue": "1Gi"}
    new: Obj = {
        "apiVersion": V2,
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "h", "annotations": {"a": "b"}},
        "spec": {
            "scaleTargetRef": TARGET,
            "maxReplicas": 3,
            "metrics": [{"type": "Resource", "resource": {"name": "memory", "target": target}}],
            "behavior": {"scaleDown": {"stabilizationWindowSeconds": 0}},
        },
    }
    old = convert(new, V1)
    assert "metrics" not in old["spec"]
    assert convert(old, V2) == new
