"""Where requests go while the head of a RayService moves: what Kubernetes does, and what is left to the operator."""

import msgspec
import pytest
from tests.unit.plan import clusters
from tests.unit.plan.clusters import cluster, deleted, head_svc, pod
from tests.unit.plan.rayservices import SETTINGS, actions, deployed, observed, plan, seen, service, status

from headstay.model.meta import Pod
from headstay.model.objects import Obj
from headstay.model.ray import OPERATOR_VERSION, RECREATE_HASH
from headstay.plan.raycluster.heads import gets_requests
from headstay.plan.raycluster.plan import Observed
from headstay.plan.raycluster.pods import head_pod
from headstay.plan.raycluster.steps import is_beyond_repair
from headstay.plan.rayservice.plan import LabelHead

OWNER = service(active="svc-old")
OLD = deployed(OWNER, "svc-old")
WORKER = pod("w", of="svc-old", ip="10.0.0.2", labels={"ray.io/serve": "true"})


def new_head(*, label: str = "") -> Pod:
    """Ready, which says that its raylet and its GCS answer, and nothing of Serve."""
    document = head_pod(OLD, SETTINGS)
    document["metadata"] |= {"name": "h", "uid": "uid-h"}
    document["metadata"]["labels"] |= {"ray.io/serve": label} if label else {}
    document["status"] = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    return msgspec.convert(document, Pod)


def endpoints(head: Pod, answers: bool | None) -> tuple[int, list[bool]]:
    """How many there are, and what the head's label becomes."""
    found = observed(OWNER, seen(OLD, pods=(head, WORKER), head_serves=answers), points_at="svc-old")
    return status(found)["numServeEndpoints"], [action.serves for action in actions(plan(found), LabelHead)]


def test_a_new_head_gets_requests_once_its_proxy_answers_which_serve_s_controller_has_started() -> None:
    assert endpoints(new_head(), None) == (1, [])
    assert endpoints(new_head(), False) == (1, [])
    assert endpoints(new_head(), True) == (1, [True])
    assert endpoints(new_head(label="true"), True) == (2, [])


def test_a_head_whose_container_was_started_again_leaves_until_the_new_proxy_answers() -> None:
    assert endpoints(new_head(label="true"), False) == (2, [False])


@pytest.mark.parametrize(
    "broken",
    [
        {"phase": "Failed", "ready": False},
        {"phase": "Succeeded", "ready": False},
        {"restart_policy": "Never", "ready": False, "container_state": {"terminated": {"exitCode": 1}}},
    ],
)
def test_a_head_that_the_operator_replaces_is_one_that_gets_no_requests_any_more(broken: Obj) -> None:
    head = pod("h", "head", labels={"ray.io/serve": "true"}, **broken)
    assert is_beyond_repair(head)
    assert not gets_requests(head)


def test_no_changed_spec_makes_the_operator_delete_a_head_of_a_rayservice() -> None:
    """`Recreate` would end all its Pods at once; the RayService moves to another RayCluster instead."""
    outdated = {RECREATE_HASH: "OLD", OPERATOR_VERSION: SETTINGS.version}
    pods = (pod("h", "head", annotations=outdated), pod("w"))
    of_a_service = {"ray.io/originated-from-crd": "RayService"}
    for of in (cluster(labels=of_a_service), cluster(labels=of_a_service, upgradeStrategy={"type": "Recreate"})):
        assert deleted(clusters.plan(Observed(of, pods=pods, services=(head_svc(),)))) == []


def test_a_head_that_is_being_deleted_is_no_endpoint_from_that_moment_on() -> None:
    going = pod("h", "head", of="svc-old", labels={"ray.io/serve": "true"}, deleting=True)
    assert endpoints(going, True) == (1, [])
