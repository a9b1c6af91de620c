"""Whatever stands where a Pod template should, the answer is an Event or a Pod, never a crash; and deletion ends."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.plan.clusters import NOW, SETTINGS, cluster, finalizers, ft_cluster, group, head_template, plan, pod

from headstay.plan.raycluster.plan import Observed
from headstay.plan.raycluster.status import next_status
from headstay.plan.raycluster.validation import validate


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("text", "headGroupSpec.template must be a mapping"),
        ({"spec": []}, "headGroupSpec.template.spec must be a mapping"),
        ({"spec": {"containers": {}}}, "headGroupSpec.template.spec.containers must be a list"),
        ({"spec": {"containers": [None]}}, "headGroupSpec.template.spec.containers[0] is empty"),
        (head_template(env={"A": "b"}), "containers[0].env must be a list"),
        (head_template(env=[{"value": "b"}]), "containers[0].env[0].name is missing"),
        (head_template(env=[{"name": "A", "value": 1}]), "containers[0].env[0].value must be a text"),
        (head_template(ports=[{"name": "x"}]), "containers[0].ports[0].containerPort is missing"),
        (head_template(ports=[{"containerPort": "80"}]), "containers[0].ports[0].containerPort must be a number"),
        (head_template(resources={"limits": {"cpu": True}}), "limits.cpu must be a text or a number"),
        (head_template(command="ray"), "containers[0].command must be a list"),
        (head_template() | {"metadata": {"labels": {"a": 1}}}, "metadata.labels.a must be a text"),
    ],
)
def test_a_malformed_template_is_refused_by_field(template: Any, words: str) -> None:
    event = validate(cluster(head={"template": template}))
    assert event is not None
    assert event.reason == "InvalidRayClusterSpec"
    assert words in event.note


def test_a_malformed_template_does_not_trap_a_cluster_that_is_deleted() -> None:
    assert finalizers(plan(Observed(ft_cluster(deleted_for=1, head={"template": {"spec": {"containers": "x"}}})))) == ()


_FIELDS = """metadata spec containers initContainers env ports name value labels annotations resources limits cpu memory
volumes volumeMounts command args containerPort x"""
_keys = st.sampled_from(_FIELDS.split())
_junk: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text("a/-1 ", max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_keys, inner, max_size=4),
    max_leaves=12,
)
_container = st.dictionaries(_keys, _junk, max_size=5)
_template = st.fixed_dictionaries(
    {"spec": st.fixed_dictionaries({"containers": st.lists(_container | _junk, max_size=2)}) | _junk},
    optional={"metadata": st.dictionaries(_keys, _junk, max_size=3) | _junk},
)


@given(template=_template | _junk, deleted=st.booleans())
@settings(max_examples=150, deadline=None)
def test_no_template_makes_the_decision_crash(template: Any, *, deleted: bool) -> None:
    chosen = {"head": {"template": template}, "groups": [group(template=template)]}
    of = ft_cluster(deleted_for=5, **chosen) if deleted else ft_cluster(**chosen)
    for pods in ((), (pod("head", "head"), pod("w"))):
        observed = Observed(of, pods=pods)
        found = plan(observed, SETTINGS)
        assert found.events or found.actions or found.reason
        if found.status:
            next_status(observed, found, None, NOW)
