"""Recoveries of the GCS, told from what the objects say now and from the last look."""

from datetime import timedelta
from typing import Any

import pytest
from tests.unit.plan.clusters import NOW, cluster, ft_cluster, pod

from headstay.model.meta import Pod
from headstay.model.objects import Obj
from headstay.model.ray import RayCluster
from headstay.model.timestamps import rfc3339
from headstay.plan.raycluster.plan import Observed, Recovery
from headstay.plan.raycluster.recoveries import HeadSeen, look_at_head

PROVISIONED: Obj = {"type": "RayClusterProvisioned", "status": "True"}


def at(seconds: float) -> str:
    return rfc3339(NOW + timedelta(seconds=seconds))


def ft(*conditions: Obj, **fields: Any) -> RayCluster:
    return ft_cluster(status={"conditions": [PROVISIONED, *conditions]}, **fields)


def head(
    name: str = "head",
    *,
    ready: bool,
    since: float,
    restarts: int = 0,
    ended: float | None = None,
    started: float | None = None,
    created: float = 0,
    **fields: Any,
) -> Pod:
    last = {"terminated": {"exitCode": 1, "finishedAt": at(ended)}} if ended is not None else {}
    state = {"running": {"startedAt": at(started)}} if started is not None else {"waiting": {"reason": "Waiting"}}
    condition = {"status": "True" if ready else "False", "lastTransitionTime": at(since)}
    found = pod(name, "head", container_state=state, last_state=last, ready_condition=condition, **fields)
    found.status.container_statuses[0].restart_count = restarts
    found.metadata.creation_timestamp = at(created)
    return found


def looks(*observed: Observed, before: HeadSeen | None = None) -> list[Recovery]:
    found = []
    for one in observed:
        look = look_at_head(one, before)
        before = look.seen
        if look.recovery is not None:
            found.append(look.recovery)
    return found


WELL = head(ready=True, since=0, started=0)
BACK = head(ready=True, since=27, restarts=1, ended=5, started=7)


def test_a_restarted_head_is_one_recovery_with_the_length_of_its_phases() -> None:
    down = head(ready=False, since=2, started=0)
    found = looks(*(Observed(ft(), pods=(at_that_time,)) for at_that_time in (WELL, down, BACK, BACK)))
    assert found == [Recovery("restarted", "head", {"detect": 3, "restart": 2, "ready": 20, "total": 25})]


def test_what_happened_between_two_looks_is_told_from_the_pod() -> None:
    found = looks(Observed(ft(), pods=(WELL,)), Observed(ft(), pods=(BACK,)))
    assert found == [Recovery("restarted", "head", {"detect": 0, "restart": 2, "ready": 20, "total": 22})]


def test_a_deleted_head_is_replaced_from_the_moment_it_was_told_to_go() -> None:
    going = head(ready=True, since=0, started=0)
    going.metadata.deletion_timestamp, going.metadata.deletion_grace_period_seconds = at(40), 30
    new = head("new", ready=True, since=60, started=50, created=42)
    gone = Observed(ft())
    found = looks(Observed(ft(), pods=(WELL,)), Observed(ft(), pods=(going,)), gone, Observed(ft(), pods=(new,)))
    assert found == [Recovery("replaced", "new", {"detect": 32, "restart": 8, "ready": 10, "total": 50})]


def test_a_probe_that_failed_for_a_while_is_no_recovery() -> None:
    unready = head(ready=False, since=2, started=0)
    again = head(ready=True, since=9, started=0)
    assert looks(*(Observed(ft(), pods=(one,)) for one in (WELL, unready, again))) == []


def test_a_new_leader_does_not_count_what_was_complete_before() -> None:
    assert looks(Observed(ft(), pods=(BACK,)), Observed(ft(), pods=(BACK,))) == []


@pytest.mark.parametrize(
    ("under_way", "complete", "how"),
    [
        (head(ready=False, since=3, restarts=1, ended=2, started=4), BACK, "restarted"),
        (None, head("new", ready=True, since=60, started=50, created=42), "replaced"),
        (head("new", ready=False, since=42, created=42), head("new", ready=True, since=60, created=42), "replaced"),
    ],
)
def test_a_new_leader_counts_what_was_under_way(under_way: Pod | None, complete: Pod, how: str) -> None:
    down = {"type": "HeadPodReady", "status": "False", "lastTransitionTime": at(3)}
    first = Observed(ft(down), pods=(under_way,) if under_way else ())
    (found,) = looks(first, Observed(ft(), pods=(complete,)))
    assert found.how == how


def test_a_new_leader_does_not_take_a_head_that_merely_is_unready_for_a_new_one() -> None:
    down = {"type": "HeadPodReady", "status": "False", "lastTransitionTime": at(3)}
    unready = head(ready=False, since=3, started=0, created=-9)
    assert looks(Observed(ft(down), pods=(unready,)), Observed(ft(), pods=(WELL,))) == []


@pytest.mark.parametrize(
    "of",
    [
        cluster(status={"conditions": [PROVISIONED]}),
        ft_cluster(),
        ft(suspend=True),
        ft({"type": "RayClusterSuspended", "status": "True"}),
        ft(deleted_for=3),
    ],
    ids=["without FT", "never complete", "to be suspended", "suspended", "being deleted"],
)
def test_a_cluster_with_nothing_to_recover_is_forgotten(of: RayCluster) -> None:
    look = look_at_head(Observed(of, pods=(BACK,)), HeadSeen("uid-head", 0))
    assert (look.seen, look.recovery) == (None, None)


def test_a_head_whose_status_tells_no_times_is_counted_all_the_same() -> None:
    bare = pod("new", "head")
    (found,) = looks(Observed(ft(), pods=(WELL,)), Observed(ft(), pods=(bare,)))
    assert (found.how, found.seconds) == ("replaced", {})
