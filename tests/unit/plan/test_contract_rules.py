"""What KubeRay refuses, in its order, and what is accepted and said aloud."""

from typing import Any

import pytest
from tests.unit.plan.clusters import (
    FT,
    cluster,
    created,
    group,
    head_template,
    plan,
)

from headstay.model.objects import Obj
from headstay.model.ray import RayCluster
from headstay.plan.raycluster.plan import Observed
from headstay.plan.raycluster.validation import validate


def with_head_env(**env: str) -> Obj:
    return {"template": head_template(env=[{"name": name, "value": value} for name, value in env.items()])}


# --- validation ---


def test_rules_are_asked_in_kuberay_s_order() -> None:
    """A cluster that breaks many: each repair uncovers the next."""
    fields: dict[str, Any] = {
        "name": "a" * 54,
        "annotations": FT,
        "head": {
            "resources": {"CPU": 1},
            "rayStartParams": {"num-cpus": "1", "redis-username": "x"},
            "template": head_template(),
        },
        "groups": [group(minReplicas=3, maxReplicas=2)],
        "gcsFaultToleranceOptions": {"storage": {}},
        "autoscalerOptions": {"idleTimeoutSeconds": -1},
        "historyServerOptions": {},
        "authOptions": {"mode": "token"},
        "networkPolicy": {},
        "tlsOptions": {"enabled": True},
        "upgradeStrategy": {"type": "Sideways"},
        "status": {
            "conditions": [
                {"type": f"RayCluster{kind}", "status": "True", "reason": "x"} for kind in ("Suspending", "Suspended")
            ]
        },
    }
    steps: list[tuple[str, Any, str]] = [
        ("name", "a", "metadata.name"),
        ("head", fields["head"] | {"resources": {}}, "headGroupSpec: resources"),
        ("groups", [], "minReplicas"),
        ("annotations", {}, "remove the annotation"),
        ("gcsFaultToleranceOptions", {}, "storage belongs"),
        ("head", {}, "redis-username"),
        ("autoscalerOptions", {}, "idleTimeoutSeconds"),
        ("historyServerOptions", None, "historyServerOptions"),
        ("authOptions", None, "authOptions"),
        ("networkPolicy", None, "networkPolicy"),
        ("tlsOptions", None, "tlsOptions"),
        ("upgradeStrategy", None, "upgradeStrategy"),
        ("status", {}, "status.conditions"),
    ]
    for field, repaired, words in steps:
        event = validate(cluster(**fields))
        assert event is not None
        assert words in event.note, f"{event.note} comes before {words}"
        fields[field] = repaired
    assert validate(cluster(**fields)) is None


def test_a_variable_for_the_version_and_the_field_exclude_each_other() -> None:
    of = cluster(
        enableInTreeAutoscaling=True,
        autoscalerOptions={"version": "v2"},
        head=with_head_env(RAY_enable_autoscaler_v2="1"),
    )
    event = validate(of)
    assert event is not None
    assert "both set" in event.note


@pytest.mark.parametrize("where", ["head", "worker"])
def test_autoscaler_v2_accepts_no_restarts(where: str) -> None:
    template: Obj = {"spec": {"containers": [{"name": "r"}], "restartPolicy": "Always"}}
    groups = [group(template=template)] if where == "worker" else []
    parts: Obj = {"head": {"template": template}} if where == "head" else {}
    of = cluster(enableInTreeAutoscaling=True, autoscalerOptions={"version": "v2"}, groups=groups, **parts)
    event = validate(of)
    assert event is not None
    assert "restartPolicy is Always" in event.note


def test_the_autoscaler_s_own_variable_is_reserved() -> None:
    of = cluster(autoscalerOptions={"env": [{"name": "KUBERAY_GEN_AUTOSCALER_START_CMD", "value": "x"}]})
    event = validate(of)
    assert event is not None
    assert "autoscalerOptions.env" in event.note


@pytest.mark.parametrize("version", ["2.54.0", "", "nightly"])
def test_kubernetes_token_authentication_needs_a_newer_ray(version: str) -> None:
    event = validate(cluster(rayVersion=version, authOptions={"mode": "token", "enableK8sTokenAuth": True}))
    assert event is not None
    assert "2.55.0" in event.note


def test_kubernetes_token_authentication_has_no_secret() -> None:
    options = {"mode": "token", "enableK8sTokenAuth": True, "secretName": "x"}
    event = validate(cluster(rayVersion="2.55.0", authOptions=options))
    assert event is not None
    assert "secretName" in event.note


@pytest.mark.parametrize(("version", "good"), [("2.55.9", False), ("2.56.0", True)])
def test_a_group_s_priority_needs_ray_2_56_and_autoscaler_v2(version: str, *, good: bool) -> None:
    options = {"version": "v2"}
    of = cluster(
        rayVersion=version, enableInTreeAutoscaling=True, autoscalerOptions=options, groups=[group(priority=1)]
    )
    assert (validate(of) is None) is good


# --- what is not acted on ---


@pytest.mark.parametrize(
    ("of", "field"),
    [
        (cluster(enableInTreeAutoscaling=True), "enableInTreeAutoscaling"),
        (cluster(authOptions={}), "authOptions"),
        (cluster(rayVersion="2.60.0", authOptions={"mode": "token"}), "authOptions"),
        (
            cluster(rayVersion="2.60.0", autoscalerOptions={"version": "v2"}, groups=[group(priority=1)]),
            "workerGroupSpecs[0].priority",
        ),
        (
            cluster(autoscalerOptions={"version": "v2"}, groups=[group(idleTimeoutSeconds=1)]),
            "workerGroupSpecs[0].idleTimeoutSeconds",
        ),
        (cluster(labels={"ray.io/gang-scheduling-enabled": "true"}), "metadata.labels[ray.io/gang-scheduling-enabled]"),
        (cluster(labels={"ray.io/priority-class-name": "x"}), "metadata.labels[ray.io/priority-class-name]"),
        (
            cluster(
                annotations={"ray.io/enable-serve-service": "true"},
                head={"template": head_template(ports=[{"name": "x", "containerPort": 1}])},
            ),
            "metadata.annotations[ray.io/enable-serve-service]",
        ),
    ],
)
def test_what_is_not_acted_on_is_said_once_and_by_name(of: RayCluster, field: str) -> None:
    found = plan(Observed(of))
    (event,) = [event for event in found.events if event.reason == "FeatureNotSupported"]
    assert (event.type, event.note.split()[0]) == ("Warning", field)
    assert "Pod/head" in created(found), "the rest works"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("gcsFaultToleranceOptions", {"backend": "rocksdb"}),
        ("historyServerOptions", {"collectorOptions": {}}),
        ("networkPolicy", {"mode": "DenyAll"}),
        ("tlsOptions", {"enabled": True}),
    ],
)
def test_what_kuberay_refuses_while_its_gate_is_off_is_refused_by_name(field: str, value: Any) -> None:
    found = plan(Observed(cluster(**{field: value})))
    assert created(found) == []
    (event,) = found.events
    assert event.reason == "InvalidRayClusterSpec"
    assert field in event.note


def test_switches_that_are_off_need_no_word() -> None:
    of = cluster(authOptions={"mode": "disabled"}, tlsOptions={"enabled": False}, enableInTreeAutoscaling=False)
    assert plan(Observed(of)).events == ()
