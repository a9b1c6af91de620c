"""What a RayService must keep to, what becomes of one that does not, and how one ends."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from tests.unit.plan.clusters import NOW, head_template
from tests.unit.plan.rayservices import (
    actions,
    ago,
    cluster_spec,
    condition,
    made_for,
    observed,
    plan,
    pods_of,
    seen,
    service,
    status,
)

from headstay.model.objects import Obj
from headstay.model.rayservice import RayService
from headstay.plan.rayservice.plan import CreateCluster, DeleteCluster, Names, SetFinalizers, UpdateCluster
from headstay.plan.rayservice.serve_config import ServeConfigError, serve_config
from headstay.plan.rayservice.status import is_worth_writing
from headstay.plan.rayservice.validation import seconds_of, validate

SAMPLES = Path(__file__).parents[3] / "config" / "samples"
INCREMENTAL = "NewClusterWithIncrementalUpgrade"
PACE = {"maxSurgePercent": 50, "stepSizePercent": 10, "intervalSeconds": 5, "gatewayClassName": "istio"}


def incremental(*, autoscaling: bool = True, **pace: Any) -> Obj:
    return {
        "upgradeStrategy": {"type": INCREMENTAL, "clusterUpgradeOptions": PACE | pace},
        "cluster": cluster_spec(enableInTreeAutoscaling=autoscaling),
    }


def head(**fields: Any) -> Obj:
    return {"cluster": cluster_spec(headGroupSpec={"rayStartParams": {}, "template": head_template()} | fields)}


BROKEN: list[tuple[Obj, str, str]] = [
    ({"name": "s" * 48}, "Metadata", "metadata.name has 48 characters; use at most 47"),
    ({"name": "1st"}, "Metadata", "not a DNS label"),
    ({"annotations": {"ray.io/initializing-timeout": "soon"}}, "Metadata", 'use a time above zero such as "10m"'),
    ({"annotations": {"ray.io/initializing-timeout": "0"}}, "Metadata", "use a time above zero"),
    (
        {"cluster": cluster_spec(authOptions={"enableK8sTokenAuth": True})},
        "Spec",
        "enableK8sTokenAuth is not supported for a RayService",
    ),
    (head(template={"spec": {"containers": []}}), "Spec", "rayClusterConfig: headGroupSpec.template.spec.containers"),
    ({"cluster": cluster_spec(upgradeStrategy={"type": "Recreate"})}, "Spec", "upgradeStrategy cannot be set"),
    (
        {
            "annotations": {"ray.io/external-storage-namespace": "x"},
            "cluster": cluster_spec(gcsFaultToleranceOptions={"redisAddress": "redis:6379"}),
        },
        "Spec",
        "external-storage-namespace",
    ),
    (head(headService={"metadata": {"name": "mine"}}), "Spec", 'headService.metadata.name is "mine"; remove it'),
    ({"upgradeStrategy": {"type": "Rolling"}}, "Spec", f"use NewCluster, {INCREMENTAL} or None"),
    ({"rayClusterDeletionDelaySeconds": -1}, "Spec", "rayClusterDeletionDelaySeconds is -1"),
    (incremental(autoscaling=False), "Spec", "needs rayClusterConfig.enableInTreeAutoscaling"),
    (incremental() | {"upgradeStrategy": {"type": INCREMENTAL}}, "Spec", "needs upgradeStrategy.clusterUpgradeOptions"),
    (incremental(maxSurgePercent=101), "Spec", "maxSurgePercent is 101; use 0 to 100"),
    (incremental(stepSizePercent=-1), "Spec", "stepSizePercent is -1; use 0 to 100"),
    (incremental(stepSizePercent=60), "Spec", "stepSizePercent 60 is above maxSurgePercent 50"),
    (incremental(intervalSeconds=0), "Spec", "intervalSeconds is 0"),
    (incremental(gatewayClassName=""), "Spec", "gatewayClassName is not set"),
    ({"serveConfigV2": "applications: ["}, "Spec", "serveConfigV2 is not YAML"),
    ({"serveConfigV2": "- a"}, "Spec", "serveConfigV2 is a list; it must be a mapping"),
    (
        head(template=head_template(ports=[{"name": "dashboard", "containerPort": 8265}])),
        "Spec",
        'none is named "serve"; add {"name": "serve", "containerPort": 8000}',
    ),
]


@pytest.mark.parametrize(("fields", "kind", "words"), BROKEN)
def test_a_broken_rule_is_named_with_its_fix_and_nothing_is_made(fields: Obj, kind: str, words: str) -> None:
    found = observed(service(**fields))
    made = plan(found)
    assert [(event.type, event.reason) for event in made.events] == [("Warning", f"InvalidRayService{kind}")]
    assert words in made.events[0].note
    assert (made.actions, made.requeue_after) == ((), None)
    assert condition(status(found, made), "Ready") == ("False", "ValidationFailed")


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"name": "s" * 47},
        {"annotations": {"ray.io/initializing-timeout": "10m"}},
        incremental(),
        {"serveConfigV2": ""},
        {"rayClusterDeletionDelaySeconds": 0},
        {"upgradeStrategy": {"type": "None"}},
    ],
)
def test_what_keeps_the_rules_is_acted_on(fields: Obj) -> None:
    assert validate(service(**fields)) is None


@pytest.mark.parametrize("sample", sorted(SAMPLES.glob("ray-service.*.yaml")), ids=lambda path: path.name)
def test_the_samples_pass(sample: Path) -> None:
    documents = [found for found in yaml.safe_load_all(sample.read_text()) if found["kind"] == "RayService"]
    assert documents
    for document in documents:
        assert validate(msgspec.convert(document, RayService)) is None


def test_an_invalid_edit_leaves_a_running_service_alone() -> None:
    owner = service(active="svc-old", serveConfigV2="[", conditions=[{"type": "Ready", "status": "True"}])
    found = observed(owner, seen(made_for(owner, "svc-old")), points_at="svc-old")
    made = plan(found)
    assert (made.actions, made.names) == ((), Names("svc-old"))


def test_an_invalid_rayservice_can_be_deleted() -> None:
    made = plan(observed(service(deleting=True, serveConfigV2="[")))
    assert made.actions == (SetFinalizers(()),)


@pytest.mark.parametrize(("text", "seconds"), [("90", 90), ("90s", 90), ("1h30m", 5400), ("1.5m", 90), ("500ms", 0.5)])
def test_times_are_go_s_durations_or_whole_seconds(text: str, seconds: float) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "0", "-5", "-5s", "5 s", "s", "5x", "0s", "1m x", "٣"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        seconds_of(text)


def test_a_short_text_cannot_stand_for_an_endless_configuration() -> None:
    bomb = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{new}: &{new} [{','.join([f'*{old}'] * 10)}]\n" for old, new in zip("abcdefg", "bcdefgh", strict=True)
    )
    with pytest.raises(ServeConfigError, match="aliases"):
        serve_config(bomb)
    with pytest.raises(ServeConfigError, match="aliases"):
        serve_config("a: &a [*a]")


def test_a_value_that_json_has_no_word_for_is_named() -> None:
    with pytest.raises(ServeConfigError, match="put it in quotes"):
        serve_config("applications: 2026-01-02")


@pytest.mark.parametrize("field", ["serviceUnhealthySecondThreshold", "deploymentUnhealthySecondThreshold"])
def test_a_field_that_is_not_acted_on_is_told_of(field: str) -> None:
    asked: Obj = {field: 300}
    notes = [event.note for event in plan(observed(service(**asked))).events]
    assert [field in note for note in notes] == [True]


def test_an_incremental_upgrade_is_made_in_one_step_and_told_of() -> None:
    (event,) = plan(observed(service(**incremental()))).events
    assert (event.type, event.reason) == ("Warning", "FeatureNotSupported")
    assert "all traffic moves at once" in event.note


def test_what_somebody_else_manages_is_left_alone() -> None:
    made = plan(observed(service(managedBy="kueue.x-k8s.io/multikueue", finalizers=())))
    assert (made.actions, made.names, made.events) == ((), None, ())


def test_beside_a_kuberay_operator_nothing_is_done_but_to_say_so() -> None:
    owner = service(active="svc-old", finalizers=())
    found = observed(owner, beside="kuberay-operator")
    made = plan(found)
    assert (made.actions, [event.reason for event in made.events]) == ((), ["ManagedByKubeRay"])
    told = status(found, made)
    assert told["activeServiceStatus"] == owner.status["activeServiceStatus"]
    assert condition(told, "headstay.io/ManagedByKubeRay") == ("True", "KubeRayIsRunning")
    owner.status = told
    assert condition(status(observed(owner)), "headstay.io/ManagedByKubeRay") is not None  # until the finalizer is on
    owner = service(conditions=told["conditions"])
    assert condition(status(observed(owner)), "headstay.io/ManagedByKubeRay") is None


@pytest.mark.parametrize(
    "annotation",
    ["headstay.io/gcs-recovery", "headstay.io/worker-return-timeout", "headstay.io/replace-lost-workers"],
)
def test_how_a_cluster_recovers_reaches_one_that_runs(annotation: str) -> None:
    old = made_for(service(), "svc-old")
    owner = service(active="svc-old", annotations={annotation: "x"})
    updates = [action for action in plan(observed(owner, seen(old))).actions if isinstance(action, UpdateCluster)]
    assert {"metadata": {"annotations": {annotation: "x"}}} in [update.patch for update in updates]


# --- deletion and suspension ------------------------------------------------------------------------------------------


def test_a_deleted_rayservice_waits_for_its_rayclusters() -> None:
    owner = service(deleting=True, active="svc-old", annotations={"ray.io/gcs-ft-deletion-timeout": "30"})
    old = made_for(service(), "svc-old")
    made = plan(observed(owner, seen(old)))
    assert [type(action) for action in made.actions] == [UpdateCluster, DeleteCluster]
    assert made.in_order
    made = plan(observed(owner, seen(made_for(owner, "svc-old", deleting=True))))
    assert (made.actions, made.requeue_after) == ((), 2.0)
    assert plan(observed(owner)).actions == (SetFinalizers(()),)


def test_other_finalizers_stay_and_a_rayservice_without_ours_is_left_to_them() -> None:
    owner = service(deleting=True, finalizers=("other", "ray.io/rayservice-finalizer"))
    assert plan(observed(owner)).actions == (SetFinalizers(("other",)),)
    assert plan(observed(service(deleting=True, finalizers=("other",)))).actions == ()


def suspended(*, wanted: bool, suspending: bool = False, done: bool = False, **more: Any) -> Any:
    conditions = [
        {"type": "Suspending", "status": str(suspending)},
        {"type": "Suspended", "status": str(done)},
        {"type": "Ready", "status": "False", "reason": "SuspendRequested", "lastTransitionTime": ago(1000)},
    ]
    return service(suspend=wanted, conditions=conditions if suspending or done else [], **more)


def test_suspension_deletes_all_clusters_at_once_and_says_when_it_is_done() -> None:
    owner = suspended(wanted=True, active="svc-old")
    clusters = (seen(made_for(owner, "svc-old")),)
    asked = plan(observed(owner, *clusters, points_at="svc-old"))
    assert asked.actions == ()
    told = status(observed(owner, *clusters, points_at="svc-old"), asked)
    assert condition(told, "Suspending") == ("True", "SuspendRequested")
    assert condition(told, "Ready") == ("False", "SuspendRequested")

    owner = suspended(wanted=True, suspending=True, active="svc-old")
    going = plan(observed(owner, *clusters, points_at="svc-old"))
    assert [action.even_if_used for action in actions(going, DeleteCluster)] == [True]

    told = status(observed(owner, points_at="svc-old"))
    assert condition(told, "Suspended") == ("True", "SuspendComplete")
    assert condition(told, "Suspending") == ("False", "SuspendComplete")
    assert "activeServiceStatus" not in told


def test_a_suspension_that_has_begun_is_ended_before_it_is_undone() -> None:
    owner = suspended(wanted=False, suspending=True, active="svc-old")
    assert actions(plan(observed(owner, seen(made_for(owner, "svc-old")))), DeleteCluster) != []
    owner = suspended(wanted=False, done=True)
    told = status(observed(owner))
    assert condition(told, "Suspended") == ("False", "RayServiceResumed")
    assert condition(told, "Ready") == ("False", "Initializing")
    began = next(found["lastTransitionTime"] for found in told["conditions"] if found["type"] == "Ready")
    assert began == ago(0)  # an initializing timeout counts from here


def test_a_suspended_rayservice_makes_nothing() -> None:
    made = plan(observed(suspended(wanted=True, done=True)))
    assert (made.actions, made.names, made.requeue_after) == ((), Names(), None)


# --- the initializing timeout -----------------------------------------------------------------------------------------


def initializing(seconds: float, reason: str = "Initializing", ready: str = "False") -> list[Obj]:
    return [{"type": "Ready", "status": ready, "reason": reason, "lastTransitionTime": ago(seconds)}]


@pytest.mark.parametrize(
    ("conditions", "given_up"),
    [
        (initializing(59), False),
        (initializing(61), True),
        (initializing(61, "ZeroServeEndpoints"), False),
        (initializing(61, "NonZeroServeEndpoints", "True"), False),
        (initializing(1, "InitializingTimeout"), True),
    ],
)
def test_a_service_that_never_got_ready_in_time_is_given_up_for_good(conditions: list[Obj], given_up: bool) -> None:
    timeout = {"ray.io/initializing-timeout": "1m"}
    owner = service(annotations=timeout, pending="svc-new", conditions=conditions)
    found = observed(owner, seen(made_for(owner, "svc-new"), status="", pods=pods_of("svc-new", head_ready=False)))
    made = plan(found)
    assert (made.names == Names()) == given_up
    if given_up:
        assert condition(status(found, made), "Ready") == ("False", "InitializingTimeout")
        assert actions(made, CreateCluster) == []


def test_giving_up_is_told_once_and_the_cluster_goes_after_the_delay() -> None:
    timeout = {"ray.io/initializing-timeout": "60"}
    owner = service(annotations=timeout, pending="svc-new", conditions=initializing(61))
    made = plan(observed(owner, seen(made_for(owner, "svc-new"), status="")))
    assert [event.reason for event in made.events] == ["RayServiceInitializingTimeout"]
    owner = service(annotations=timeout, conditions=initializing(61, "InitializingTimeout"))
    made = plan(observed(owner, seen(made_for(owner, "svc-new"), status="")))
    assert (made.events, len(actions(made, UpdateCluster))) == ((), 1)


# --- the status -------------------------------------------------------------------------------------------------------


def test_a_new_rayservice_is_initializing() -> None:
    told = status(observed(service()))
    assert condition(told, "Ready") == ("False", "Initializing")
    assert condition(told, "UpgradeInProgress") == ("Unknown", "NoActiveCluster")
    assert (told["observedGeneration"], told["lastUpdateTime"]) == (1, ago(0))


def test_an_idle_service_costs_no_write() -> None:
    owner = service(active="svc-old")
    cluster = made_for(owner, "svc-old")
    cluster.status |= {"state": "ready", "lastUpdateTime": ago(9)}
    found = observed(owner, seen(cluster), points_at="svc-old")
    told = status(found)
    assert is_worth_writing(owner.status, told)
    owner.status = told
    cluster.status |= {"lastUpdateTime": ago(1)}
    assert not is_worth_writing(told, status(found, now=NOW + timedelta(seconds=5)))
