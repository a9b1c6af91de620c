"""Whether a KubeRay operator is alive, and what Headstay does then: nothing."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.unit.plan.clusters import NOW, SETTINGS, cluster, ft_cluster, plan, pod

from headstay.model.objects import Obj
from headstay.model.ray import RayCluster
from headstay.model.timestamps import rfc3339_micro
from headstay.plan.raycluster.beside import MANAGED_BY_KUBERAY, Seen, describe, is_fresh, look_again
from headstay.plan.raycluster.plan import Observed
from headstay.plan.raycluster.settings import Settings
from headstay.plan.raycluster.status import next_status

BESIDE = "kuberay-operator-abc (Lease ray-operator-leader in namespace kuberay)"


def lease(**spec: Any) -> Obj:
    metadata = {"name": "ray-operator-leader", "namespace": "kuberay"}
    holder = {"holderIdentity": "kuberay-operator-abc_1234", "leaseDurationSeconds": 15}
    return {"metadata": metadata, "spec": holder | {"renewTime": rfc3339_micro(NOW)} | spec}


def test_a_lease_seen_for_the_first_time_counts_until_it_had_time_to_be_renewed() -> None:
    seen = look_again(None, lease(), 100)
    assert is_fresh(seen, 100, NOW)
    assert is_fresh(seen, 114.9, NOW)
    assert not is_fresh(seen, 115, NOW)


def test_a_renewal_counts_from_when_we_saw_it_whatever_its_clock_says() -> None:
    early = lease(renewTime=rfc3339_micro(NOW - timedelta(minutes=3)))
    seen = look_again(Seen(lease(), 100), early, 120)
    assert is_fresh(seen, 134, NOW)
    assert look_again(seen, early, 130) == seen


def test_a_lease_that_was_given_up_or_left_behind_long_ago_counts_for_nothing() -> None:
    assert not is_fresh(look_again(None, lease(holderIdentity=""), 0), 0, NOW)
    assert not is_fresh(look_again(None, lease(renewTime=rfc3339_micro(NOW - timedelta(hours=1))), 0), 0, NOW)
    assert is_fresh(look_again(None, lease(renewTime="nonsense"), 0), 0, NOW)


def test_it_is_named_as_kubectl_would_find_it() -> None:
    assert describe(look_again(None, lease(), 0)) == BESIDE


@pytest.mark.parametrize("found", [cluster(), ft_cluster(), ft_cluster(deleted_for=1000.0)])
def test_beside_kuberay_nothing_is_done_but_said(found: RayCluster) -> None:
    observed = Observed(found, pods=(pod("h", "head", phase="Failed"),), beside=BESIDE)
    decided = plan(observed)
    assert decided.actions == ()
    (event,) = decided.events
    assert (event.type, event.reason) == ("Warning", "ManagedByKubeRay")
    assert BESIDE in event.note
    status = next_status(observed, decided, None, NOW)
    (condition,) = status.pop("conditions")
    assert (condition["type"], condition["status"]) == (MANAGED_BY_KUBERAY, "True")
    assert status == {}, "the rest of the status is KubeRay's to write"


def test_what_is_managed_by_others_is_not_even_told_of() -> None:
    assert plan(Observed(cluster(managedBy="kueue.x-k8s.io/multikueue"), beside=BESIDE)).conditions == ()


def test_the_condition_goes_once_kuberay_is_gone() -> None:
    told = {"conditions": [{"type": MANAGED_BY_KUBERAY, "status": "True", "reason": "KubeRayIsRunning"}]}
    observed = Observed(cluster(status=told))
    status = next_status(observed, plan(observed), None, NOW)
    assert MANAGED_BY_KUBERAY not in {condition["type"] for condition in status["conditions"]}


def test_the_switch() -> None:
    assert Settings.from_environment({"HEADSTAY_IGNORE_KUBERAY": "True"}) == replace(SETTINGS, ignore_kuberay=True)
    assert not Settings.from_environment({}).ignore_kuberay
