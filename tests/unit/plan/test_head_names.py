"""What a head is called: the same for two operators that decide on the same, another than the head before."""

from tests.unit.plan.clusters import SETTINGS, cluster, created, head_svc, plan, pod

from headstay.model.objects import Obj
from headstay.model.ray import RayCluster
from headstay.plan.raycluster.head_names import LAST_HEAD
from headstay.plan.raycluster.ingress import ingress_for
from headstay.plan.raycluster.plan import Create, MarkCluster, Observed
from headstay.plan.raycluster.pods import head_pod
from headstay.plan.raycluster.settings import Settings


def name_of_next(of: RayCluster) -> str:
    return str(head_pod(of, SETTINGS)["metadata"]["name"])


def had(name: str, **annotations: str) -> RayCluster:
    status: Obj = {"head": {"podName": name}} if name else {}
    return cluster(status=status, annotations=annotations)


def marks(of: RayCluster, *pods: object, settings: Settings = SETTINGS, unsettled: frozenset[str] = frozenset()) -> Obj:
    found = plan(Observed(of, pods=pods, services=(head_svc(),), unsettled=unsettled), settings)  # type: ignore[arg-type]
    noted = [action for action in found.actions if isinstance(action, MarkCluster)]
    assert not noted or (found.actions == tuple(noted) and not found.status), "alone, and before the status forgets it"
    return dict(noted[0].annotations) if noted else {}


def test_two_operators_that_know_the_same_ask_for_the_same_head() -> None:
    first, again = name_of_next(cluster()), name_of_next(cluster())
    assert first == again
    assert first.startswith("raycluster-head-")
    assert len(first) == len("raycluster-head-") + 5
    assert head_pod(cluster(), SETTINGS)["metadata"]["generateName"] == "raycluster-head-"


def test_the_next_head_is_called_otherwise_and_so_is_that_of_another_cluster() -> None:
    first = name_of_next(cluster())
    second = name_of_next(cluster(annotations={LAST_HEAD: first}))
    third = name_of_next(cluster(annotations={LAST_HEAD: second}))
    other = cluster()
    other.metadata.uid = "another"
    assert len({first, second, third, name_of_next(other)}) == 4


def test_a_head_that_is_gone_is_noted_before_another_is_made() -> None:
    assert marks(had("raycluster-head-abcde")) == {LAST_HEAD: "raycluster-head-abcde"}
    noted = had("raycluster-head-abcde", **{LAST_HEAD: "raycluster-head-abcde"})
    assert marks(noted) == {}
    found = plan(Observed(noted, services=(head_svc(),)))
    (head,) = [found for found in found.actions if isinstance(found, Create) and found.group == ""]
    assert head.obj["metadata"]["name"] == name_of_next(noted)


def test_nothing_is_noted_while_a_head_is_there_or_on_its_way_or_was_never_seen() -> None:
    assert marks(had("h"), pod("h", "head")) == {}
    assert marks(had("h"), pod("h", "head", deleting=True)) == {}
    assert marks(had("h"), unsettled=frozenset({""})) == {}
    assert marks(had("")) == {}


def test_it_is_noted_also_while_suspended_since_the_status_forgets_it_there() -> None:
    of = had("h")
    of.status["conditions"] = [{"type": "RayClusterSuspending", "status": "True"}]
    assert marks(of) == {LAST_HEAD: "h"}


def test_names_that_are_given_are_kept_and_need_no_note() -> None:
    fixed = Settings(deterministic_head_pod_name=True)
    assert head_pod(cluster(), fixed)["metadata"]["name"] == "raycluster-head"
    assert marks(had("raycluster-head"), settings=fixed) == {}


def test_the_note_is_not_copied_to_the_ingress() -> None:
    assert LAST_HEAD not in ingress_for(cluster(annotations={LAST_HEAD: "h"}))["metadata"]["annotations"]


def test_a_refused_head_is_asked_for_again_under_the_same_name() -> None:
    first = plan(Observed(cluster(), services=(head_svc(),)))
    again = plan(Observed(cluster(), services=(head_svc(),)))
    assert created(first) == created(again)
