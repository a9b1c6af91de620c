"""What another operator made is adopted as it is; what we do not act on is said aloud."""

from tests.unit.plan.clusters import cluster, deleted, head_svc, plan, pod

from headstay.plan.raycluster.plan import Annotate, Observed, Plan
from headstay.plan.raycluster.recreate import spec_hash
from headstay.plan.raycluster.settings import Settings

RECREATE = {"type": "Recreate"}


def with_head(version: str | None, strategy: dict[str, str] | None) -> Plan:
    of = cluster(upgradeStrategy=strategy) if strategy else cluster()
    marks = {"ray.io/upgrade-strategy-recreate-hash": "THEIRS"}
    head = pod("head", "head", annotations=marks | ({"ray.io/kuberay-version": version} if version else {}))
    return plan(Observed(of, pods=(head, pod("w")), services=(head_svc(),)))


def test_a_head_of_another_version_is_marked_as_ours_and_not_replaced() -> None:
    found = with_head("v1.7.0", RECREATE)
    assert deleted(found) == []
    (action,) = found.actions
    assert isinstance(action, Annotate)
    assert action.annotations == {
        "ray.io/upgrade-strategy-recreate-hash": spec_hash(cluster(upgradeStrategy=RECREATE)),
        "ray.io/kuberay-version": Settings().version,
    }


def test_heads_are_marked_only_where_the_mark_is_used() -> None:
    assert with_head("v1.7.0", None).actions == ()
    assert with_head(None, RECREATE).actions == ()


def test_features_that_are_not_built_are_named_and_the_rest_works() -> None:
    of = cluster(
        enableInTreeAutoscaling=True,
        authOptions={"mode": "token"},
        rayVersion="2.60.0",
    )
    found = plan(Observed(of))
    assert [event.reason for event in found.events] == ["FeatureNotSupported"] * 2
    assert [event.note.split()[0] for event in found.events] == [
        "enableInTreeAutoscaling",
        "authOptions",
    ]
    assert found.actions
    assert plan(Observed(cluster())).events == ()
