"""The Service for Serve of a RayCluster that no RayService owns: without its head while the GCS is gone."""

from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest
from tests.unit.plan.clusters import NOW, UID, ft_cluster, pod

from headstay.model.head_report import HeadReport
from headstay.model.meta import Pod
from headstay.model.objects import Obj
from headstay.model.ray import Service
from headstay.plan.raycluster.decide import plan_raycluster
from headstay.plan.raycluster.plain_serve import WITHOUT_HEAD, proxies_to_ask, route_around_head
from headstay.plan.raycluster.plan import Create, Observed, Update
from headstay.plan.raycluster.services import serve_service_for
from headstay.plan.raycluster.settings import Settings

SETTINGS = Settings()
ENABLED = {"ray.io/enable-serve-service": "true"}
WITH_HEAD = {"ray.io/cluster": "raycluster"}
WORKERS = WITH_HEAD | {"ray.io/node-type": "worker"}
HEAD = pod("head", "head", ip="10.0.0.1")
WORKER = pod("w", ip="10.0.0.2")


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def report(gcs: Any, pod_uid: str = "uid-head") -> HeadReport:
    return HeadReport(pod_uid, gcs, NOW)


def service(*, selector: Obj = WITH_HEAD, marked: bool = False, owner: str = UID) -> Service:
    metadata = {
        "name": "raycluster-serve-svc",
        "namespace": "default",
        "resourceVersion": "3",
        "annotations": {WITHOUT_HEAD: "true"} if marked else {},
        "ownerReferences": [{"uid": owner}],
    }
    return msgspec.convert({"metadata": metadata, "spec": {"selector": selector}}, Service)


OURS = service()
OUT = service(selector=WORKERS, marked=True)


def observe(
    gcs: HeadReport | None,
    of: Service = OURS,
    *,
    pods: tuple[Pod, ...] = (HEAD, WORKER),
    annotations: Obj = ENABLED,
    answers: bool = True,
    **fields: Any,
) -> Observed:
    cluster = ft_cluster(annotations=annotations, **fields)
    return Observed(cluster, pods=pods, services=(of,), report=gcs, proxy_answers=answers)


def patches(observed: Observed, seconds: float) -> list[Obj]:
    return [action.patch for action in route_around_head(observed, SETTINGS, after(seconds)).actions]


def test_our_service_selects_what_kuberay_s_does() -> None:
    made = serve_service_for(ft_cluster(annotations=ENABLED))
    assert made["spec"]["selector"] == WITH_HEAD
    assert WITHOUT_HEAD not in str(made)


def test_the_head_goes_after_the_grace_and_not_before() -> None:
    observed = observe(report("Gone"))
    early = route_around_head(observed, SETTINGS, after(0.4))
    assert early.actions == ()
    assert early.again == pytest.approx(0.6, abs=1e-3)
    (action,) = route_around_head(observed, SETTINGS, after(1.01)).actions
    assert (action.of.name, action.of.resource_version) == ("raycluster-serve-svc", "3")
    assert action.patch == {
        "metadata": {"annotations": {WITHOUT_HEAD: "true"}},
        "spec": {"selector": {"ray.io/node-type": "worker"}},
    }
    assert action.updated.reason == "UpdatedService"


def test_only_where_a_worker_s_proxy_answers() -> None:
    """A worker is Ready without one, and a head alone answers without a GCS."""
    silent = observe(report("Gone"), answers=False)
    assert proxies_to_ask(silent, SETTINGS, after(1.01)) == ("http://10.0.0.2:8000",)
    found = route_around_head(silent, SETTINGS, after(1.01))
    assert found.actions == ()
    assert found.again == 2
    for others in ((), (pod("w", ip="10.0.0.2", ready=False),), (pod("w", ip="10.0.0.2", deleting=True),)):
        alone = observe(report("Gone"), pods=(HEAD, *others))
        assert proxies_to_ask(alone, SETTINGS, after(9)) == ()
        assert patches(alone, 9) == []


def test_workers_that_an_older_kuberay_s_service_does_not_select_get_no_requests() -> None:
    older = service(selector=WITH_HEAD | {"ray.io/serve": "true"})
    assert patches(observe(report("Gone"), older), 9) == []
    labelled = pod("w", ip="10.0.0.2", labels={"ray.io/serve": "true"})
    assert len(patches(observe(report("Gone"), older, pods=(HEAD, labelled)), 9)) == 1


def test_nobody_is_asked_while_nothing_hangs_on_it() -> None:
    for seconds, gcs, of in ((0.4, "Gone", OURS), (9, "Serving", OURS), (9, "Unknown", OURS), (9, "Gone", OUT)):
        assert proxies_to_ask(observe(report(gcs), of), SETTINGS, after(seconds)) == ()
    many = (HEAD, *(pod(f"w{n}", ip=f"10.0.1.{n}") for n in range(100)))
    assert len(proxies_to_ask(observe(report("Gone"), pods=many), SETTINGS, after(2))) == 16


@pytest.mark.parametrize(
    "observed",
    [
        observe(report("Gone"), service(selector=WITH_HEAD | {"team": "a"})),
        observe(report("Gone"), service(owner="somebody")),
        observe(report("Gone"), annotations={}),
        observe(report("Gone"), labels={"ray.io/originated-from-crd": "RayService"}),
        observe(report("Gone", "uid-of-another")),
        observe(report("Gone"), pods=(pod("head", "head", ip="10.0.0.1", ready=False), WORKER)),
        observe(report("Unknown")),
        observe(None),
    ],
    ids=["edited", "another's", "not enabled", "a RayService's", "another head", "not Ready", "unknown", "unheard"],
)
def test_what_is_not_ours_to_decide_stays_as_it_is(observed: Observed) -> None:
    assert patches(observed, 99) == []


def test_the_head_comes_back_with_its_gcs_or_its_successor_s() -> None:
    assert patches(observe(report("Gone"), OUT), 99) == []
    (patch,) = patches(observe(report("Serving"), OUT), 0)
    assert patch == {
        "metadata": {"annotations": {WITHOUT_HEAD: None}},
        "spec": {"selector": {"ray.io/node-type": None}},
    }
    other = pod("next", "head", ip="10.0.0.3", ready=False)
    assert len(patches(observe(report("Serving", "uid-next"), OUT, pods=(other, WORKER)), 0)) == 1


def test_the_head_comes_back_where_nobody_else_gets_requests_or_nothing_is_known() -> None:
    assert len(patches(observe(report("Gone"), OUT, pods=(HEAD,)), 5)) == 1
    unknown = observe(report("Unknown"), OUT)
    assert route_around_head(unknown, SETTINGS, after(4)).again == pytest.approx(6)
    assert len(patches(unknown, 10)) == 1
    assert len(patches(observe(None, OUT, annotations=ENABLED | {"ray.io/ft-enabled": "false"}), 5)) == 1
    assert patches(observe(None, OUT), 5) == [], "a new leader has not heard yet"


def test_a_selector_that_the_user_changed_meanwhile_stays() -> None:
    theirs = service(selector={"app": "mine"}, marked=True)
    for gcs in ("Serving", "Gone"):
        (patch,) = patches(observe(report(gcs), theirs), 0)
        assert patch == {"metadata": {"annotations": {WITHOUT_HEAD: None}}}


def test_it_comes_last_in_its_pass_so_that_a_refusal_costs_nothing_else() -> None:
    found = plan_raycluster(observe(report("Gone")), SETTINGS, after(2))
    assert isinstance(found.actions[-1], Update)
    assert len([action for action in found.actions if isinstance(action, Update)]) == 1
    assert plan_raycluster(observe(report("Gone")), SETTINGS, after(0.5)).requeue_after == pytest.approx(0.5, abs=1e-3)


def test_the_head_comes_back_to_a_cluster_whose_spec_has_become_invalid() -> None:
    both = {"redisAddress": "redis:6379"}
    found = plan_raycluster(observe(report("Serving"), OUT, gcsFaultToleranceOptions=both), SETTINGS, after(5))
    assert [type(action) for action in found.actions] == [Update]
    gone = observe(report("Gone"), gcsFaultToleranceOptions=both)
    assert plan_raycluster(gone, SETTINGS, after(5)).actions == ()
    assert proxies_to_ask(gone, SETTINGS, after(5)) == ()


def test_proxies_that_do_not_answer_are_asked_ever_more_seldom() -> None:
    silent = observe(report("Gone"), answers=False)
    found = [route_around_head(silent, SETTINGS, after(seconds)).again for seconds in (2, 60, 600)]
    assert found == [2, 12, 30]


def test_the_ingress_does_not_wait_for_the_service() -> None:
    observed = observe(report("Gone"), head=ft_cluster().head_group | {"enableIngress": True})
    found = plan_raycluster(observed, SETTINGS, after(5))
    assert [type(action) for action in found.actions[-2:]] == [Create, Update]
