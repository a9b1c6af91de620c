"""The chart's admission policy and the operator's own validation say the same of a RayCluster."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.plan import test_raycluster_validation as rules
from tests.unit.plan.clusters import cluster, group, head_template

from headstay.local.seams import User
from headstay.local.server.admission.matching import Request, matches
from headstay.local.server.admission.policy import compile_policy, judge, problems
from headstay.model.objects import Obj
from headstay.model.ray import RAYCLUSTERS, RayCluster
from headstay.plan.raycluster.validation import validate

RENDERED = Path(__file__).parents[3] / "config" / "admission-policy" / "operator.yaml"
DOCUMENT: Obj = next(
    found for found in yaml.safe_load_all(RENDERED.read_text()) if found["kind"] == "ValidatingAdmissionPolicy"
)
POLICY = compile_policy(DOCUMENT)


def stored(found: RayCluster) -> Obj:
    """As the API server holds it: what is null is absent."""
    document: Obj = {"metadata": msgspec.to_builtins(found.metadata), "spec": found.spec, "status": found.status}
    return dict(without_null(document))


def without_null(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_null(item) for key, item in value.items() if item is not None}
    return [without_null(item) for item in value] if isinstance(value, list) else value


def refusals(new: RayCluster, old: RayCluster | None = None) -> list[str]:
    before = stored(old) if old is not None else None
    request = Request("UPDATE" if old else "CREATE", RAYCLUSTERS, User("user"), stored(new), before)
    assert matches(POLICY.constraints, request)
    found = judge(POLICY, request)
    assert not [denial for denial in found if denial.failed], found
    return [denial.message for denial in found]


def marked(test: Any) -> list[Any]:
    (mark,) = (mark for mark in test.pytestmark if mark.name == "parametrize")
    cases: list[Any] = mark.args[1]
    return cases


def test_every_expression_compiles() -> None:
    assert problems(DOCUMENT["spec"]) == []
    assert len(POLICY.validations) > 25


@pytest.mark.parametrize(
    "bad", [case[0] for case in marked(rules.test_a_broken_rule_is_named_with_its_fix) if case[1] != "Status"]
)
def test_what_the_operator_does_not_act_on_is_refused_with_a_message(bad: RayCluster) -> None:
    assert validate(bad) is not None
    assert refusals(bad)


@pytest.mark.parametrize("good", marked(rules.test_a_good_cluster_passes))
def test_what_the_operator_acts_on_passes(good: RayCluster) -> None:
    assert refusals(good) == []


@pytest.mark.parametrize("sample", sorted(rules.SAMPLES.glob("*.yaml")), ids=lambda path: path.name)
def test_the_samples_pass(sample: Path) -> None:
    for document in yaml.safe_load_all(sample.read_text()):
        if document["kind"] == "RayCluster":
            assert refusals(msgspec.convert(document, RayCluster)) == []


def test_what_is_already_wrong_can_be_relieved_of_its_finalizer_and_is_refused_only_when_its_spec_changes() -> None:
    bad = cluster(networkPolicy={}, finalizers=("a",))
    assert refusals(cluster(networkPolicy={}, annotations={"a": "b"}), bad) == []
    assert refusals(cluster(networkPolicy={}, suspend=True), bad)
    assert refusals(cluster(networkPolicy={}, suspend=True, deleted_for=5), bad) == []
    assert refusals(cluster(suspend=True), bad) == [], "a repair"


def test_a_cluster_of_another_manager_is_none_of_ours() -> None:
    assert refusals(cluster(networkPolicy={}, managedBy="kueue.x-k8s.io/multikueue")) == []
    assert refusals(cluster(networkPolicy={}, managedBy="ray.io/kuberay-operator"))


def some(**fields: Any) -> Any:
    """A dict with any of these fields."""
    return st.fixed_dictionaries({}, optional={name.replace("_", "-"): found for name, found in fields.items()})


ENV = st.lists(
    st.sampled_from(["RAY_REDIS_ADDRESS", "REDIS_PASSWORD", "REDIS_USERNAME", "RAY_enable_autoscaler_v2", "A"]).flatmap(
        lambda name: st.sampled_from(["", "1", "True", "x"]).map(lambda value: {"name": name, "value": value})
    ),
    max_size=3,
)
PARAMS = some(
    num_cpus=st.just("1"),
    labels=st.just("a=b"),
    redis_password=st.sampled_from(["", "x"]),
    redis_username=st.sampled_from(["", "x"]),
)
LABELS = st.dictionaries(
    st.sampled_from(["a", "a b", "x.io/a", "/a", "a/b/c", "-a", "X/a", "a" * 64]),
    st.sampled_from(["", "b", "-", "a b", "a" * 64]),
    max_size=2,
)
RARELY = st.integers(0, 6).map(lambda number: number == 0)


@st.composite
def groups(draw: st.DrawFn) -> Obj:
    found = group(draw(st.sampled_from(["a", "b", "c"])))
    choices: dict[str, list[Any]] = {
        "minReplicas": [0, 1, 5, -1, None],
        "maxReplicas": [10, 3, -1, None],
        "idleTimeoutSeconds": [5, -1],
        "priority": [0, 1],
        "suspend": [True, False],
        "resources": [{}, {"CPU": "1"}],
    }
    for name, values in choices.items():
        if draw(RARELY):
            found[name] = draw(st.sampled_from(values))
    if draw(RARELY):
        found["template"] = draw(st.sampled_from([{"spec": {}}, {"spec": {"containers": []}}]))
    if draw(RARELY):
        found["template"]["spec"]["restartPolicy"] = draw(st.sampled_from(["Always", "Never"]))
    if draw(RARELY):
        found["rayStartParams"] = draw(PARAMS)
    if draw(RARELY):
        found["labels"] = draw(LABELS)
    return found


SPEC: dict[str, st.SearchStrategy[Any]] = {
    "enableInTreeAutoscaling": st.booleans(),
    "autoscalerOptions": st.fixed_dictionaries(
        {},
        optional={
            "version": st.sampled_from(["v1", "v2"]),
            "idleTimeoutSeconds": st.sampled_from([-1, 0, 60]),
            "env": st.sampled_from([[], [{"name": "A"}], [{"name": "KUBERAY_GEN_AUTOSCALER_START_CMD"}]]),
        },
    ),
    "rayVersion": st.sampled_from(["", "2.9.0", "2.52.0", "2.54.1", "v2.55.0", "2.56.0rc1", "3.0"]),
    "gcsFaultToleranceOptions": st.fixed_dictionaries(
        {}, optional={"backend": st.sampled_from(["redis", "rocksdb"]), "storage": st.just({})}
    ),
    "authOptions": st.fixed_dictionaries(
        {},
        optional={
            "mode": st.sampled_from(["token", "disabled"]),
            "enableK8sTokenAuth": st.booleans(),
            "secretName": st.sampled_from(["", "a"]),
        },
    ),
    "upgradeStrategy": st.fixed_dictionaries({}, optional={"type": st.sampled_from(["Recreate", "None", "Sideways"])}),
    "historyServerOptions": st.just({}),
    "networkPolicy": st.just({}),
    "tlsOptions": st.fixed_dictionaries({}, optional={"enabled": st.booleans()}),
}


@st.composite
def clusters(draw: st.DrawFn) -> RayCluster:
    head: Obj = {"template": head_template(env=draw(ENV)) if draw(st.booleans()) else head_template()}
    if draw(RARELY):
        head["rayStartParams"] = draw(PARAMS)
    if draw(RARELY):
        head["resources"] = {"CPU": "1"}
    if draw(RARELY):
        head["labels"] = draw(LABELS)
    annotations = {}
    if draw(st.booleans()):
        annotations["ray.io/ft-enabled"] = draw(st.sampled_from(["true", "True", "false", ""]))
    if draw(RARELY):
        annotations["ray.io/external-storage-namespace"] = draw(st.sampled_from(["", "a"]))
    spec: dict[str, Any] = {name: draw(values) for name, values in SPEC.items() if draw(RARELY)}
    made_by = {"ray.io/originated-from-crd": draw(st.sampled_from(["RayJob", "RayCluster", "RayService"]))}
    return cluster(
        name=draw(st.sampled_from(["a", "a-1", "a" * 53, "a" * 54, "1a", "a-", "A"]) if draw(RARELY) else st.just("a")),
        annotations=annotations,
        labels=made_by if draw(RARELY) else {},
        head=head,
        groups=draw(st.lists(groups(), max_size=3)),
        **spec,
    )


@settings(max_examples=150, deadline=None)
@given(clusters())
def test_policy_and_operator_agree_on_any_cluster(found: RayCluster) -> None:
    event = validate(found)
    said = refusals(found)
    assert bool(said) == (event is not None), f"policy: {said}; operator: {event.note if event else 'acts on it'}"
