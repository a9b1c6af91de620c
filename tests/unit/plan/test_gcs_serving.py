"""What a condition and users' traffic make of what is known of a head's GCS."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from tests.unit.plan.clusters import NOW, ft_cluster, pod

from headstay.model.head_report import HeadReport, heard
from headstay.model.keeper_state import GcsNow, KeeperState, RedisNow, Revival
from headstay.model.meta import Pod
from headstay.model.ray import RayCluster
from headstay.plan.raycluster.heads import head_target, may_serve, out_of_traffic, routing, serving_condition
from headstay.plan.raycluster.plan import Observed
from headstay.plan.raycluster.settings import Settings

SETTINGS = Settings(keeper="a2VlcGVy")
KEPT = {"headstay.io/keeper-port": "44250"}
IN_PLACE = {"headstay.io/gcs-recovery": "InPlace"}


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def head(**fields: Any) -> Pod:
    return pod("head", "head", **({"ip": "10.0.0.1", "annotations": KEPT} | fields))


def report(phase: Any, *, since: float = 0, at: float = 0, redis: RedisNow | None = None, why: str = "") -> HeadReport:
    now = after(at).timestamp()
    state = KeeperState("life", 1, now, GcsNow(phase, after(since).timestamp(), why), redis or RedisNow())
    return heard("uid-head", state, after(at), None)


def condition(found: HeadReport | None, *, at: float = 0, of: Pod | None = None) -> tuple[str, str, str]:
    observed = Observed(ft_cluster(annotations=IN_PLACE), pods=(of or head(),), report=found)
    entry = serving_condition(observed, SETTINGS, after(at)).condition or {}
    return entry.get("status", ""), entry.get("reason", ""), entry.get("message", "")


def test_the_condition_says_whether_the_gcs_serves_and_why_not() -> None:
    assert condition(report("Serving"))[:2] == ("True", "Serving")
    assert condition(report("Gone", why="it ended with signal 9")) == ("False", "Gone", "it ended with signal 9")
    assert condition(report("Loading"))[:2] == ("False", "Loading")


def test_while_redis_is_away_the_reason_is_redis_s() -> None:
    away = RedisNow("Away", 0, "redis:6379: connection refused")
    status, reason, message = condition(report("WaitingForRedis", redis=away))
    assert (status, reason) == ("False", "RedisAway")
    assert "redis:6379: connection refused" in message
    assert condition(report("WaitingForRedis", redis=RedisNow("Refuses", 0, "WRONGPASS")))[1] == "RedisRefuses"
    assert condition(report("Serving", redis=RedisNow("Refuses", 0, "WRONGPASS")))[:2] == ("True", "RedisRefuses")


def test_a_keeper_out_of_reach_is_unknown_after_ten_seconds() -> None:
    unreachable = HeadReport("uid-head", "Unknown", NOW, "no route")
    assert condition(unreachable, at=9) == ("", "", "")
    assert condition(unreachable, at=10)[:2] == ("Unknown", "KeeperUnreachable")


def test_a_head_without_a_keeper_and_no_head_are_said_by_name() -> None:
    assert condition(None, of=head(annotations={}))[:2] == ("Unknown", "NoKeeper")
    assert condition(None, of=head(deleting=True))[:2] == ("False", "NoHeadPod")


def test_with_restart_head_there_is_no_condition() -> None:
    observed = Observed(ft_cluster(), pods=(head(),), report=report("Serving"))
    assert not serving_condition(observed, SETTINGS, NOW).holds


def test_traffic_stays_for_the_grace_and_goes_then() -> None:
    gone = report("Gone")
    during = routing(gone, 1.0, after(0.4))
    assert during.serve is None
    assert during.again == pytest.approx(0.6, abs=1e-3)
    assert routing(gone, 1.0, after(1.001)) == (False, None)
    assert may_serve(report("Serving"), 1.0, NOW) is True
    assert may_serve(None, 1.0, NOW) is None
    assert may_serve(HeadReport("uid-head", "Unknown", NOW), 1.0, after(100)) is None


def test_a_gcs_that_loads_again_has_been_gone_since_it_was_lost() -> None:
    lost = Revival(1, "Gone", "", lost=NOW.timestamp(), detected=NOW.timestamp() + 0.1, started=NOW.timestamp() + 3)
    state = KeeperState("life", 2, after(3.5).timestamp(), GcsNow("Loading", after(3).timestamp()), revivals=(lost,))
    assert heard("uid-head", state, after(3.5), None).since == NOW
    unserved = heard("uid-head", KeeperState("b", 1, 5.0, GcsNow("Loading", 5.0)), after(5), report("Gone"))
    assert unserved.since == NOW


def rayservice(**labels: str) -> Observed:
    cluster = ft_cluster(labels={"ray.io/originated-from-crd": "RayService"})
    worker = pod("w", labels={"ray.io/serve": "true"}, ready=True)
    return Observed(cluster, pods=(head(labels=labels), worker), report=report("Gone"))


def test_a_head_that_alone_gets_requests_goes_on_getting_them() -> None:
    """Its proxy answers without a GCS, and a Service without endpoints answers nobody."""
    observed = rayservice(**{"ray.io/serve": "true"})
    for others in ((), (pod("w", labels={"ray.io/serve": "true"}, ready=False),), (pod("w", ready=True),)):
        alone = replace(observed, pods=(observed.pods[0], *others))
        assert out_of_traffic(alone, SETTINGS, after(9)) == ((), None)


def test_the_head_of_a_rayservice_loses_its_serve_label_after_the_grace() -> None:
    observed = rayservice(**{"ray.io/serve": "true"})
    none_yet, again = out_of_traffic(observed, SETTINGS, after(0.5))
    assert none_yet == ()
    assert again == pytest.approx(0.5, abs=1e-3)
    (action,), _ = out_of_traffic(observed, SETTINGS, after(1.1))
    assert action.labels == {"ray.io/serve": "false"}
    assert action.done is not None
    patient = Settings(keeper="a2VlcGVy", gcs_grace_seconds=5)
    assert out_of_traffic(observed, patient, after(1.1))[0] == ()


def test_what_is_not_in_serve_s_service_or_not_a_rayservice_s_keeps_its_labels() -> None:
    assert out_of_traffic(rayservice(**{"ray.io/serve": "false"}), SETTINGS, after(9)) == ((), None)
    plain = Observed(ft_cluster(), pods=(head(labels={"ray.io/serve": "true"}),), report=report("Gone"))
    assert out_of_traffic(plain, SETTINGS, after(9)) == ((), None)


def target(of: RayCluster, *pods: Pod) -> Any:
    return head_target(Observed(of, pods=pods))


def test_a_keeper_is_asked_where_its_pod_says_and_otherwise_the_gcs_s_port() -> None:
    assert target(ft_cluster(), head()) == ("uid-head", "10.0.0.1", 44250, True)
    assert target(ft_cluster(), head(annotations={})) == ("uid-head", "10.0.0.1", 6379, False)
    assert target(ft_cluster(), head(annotations={"headstay.io/keeper-port": "x"})) is None


def test_nobody_is_asked_where_there_is_nobody_to_ask() -> None:
    plain = ft_cluster()
    plain.metadata.annotations.clear()
    assert target(plain, head()) is None
    assert target(ft_cluster(), head(ip="")) is None
    assert target(ft_cluster(), head(phase="Pending")) is None
    assert target(ft_cluster(), head(deleting=True)) is None
    assert target(ft_cluster(deleted_for=1), head()) is None
    assert target(ft_cluster()) is None
