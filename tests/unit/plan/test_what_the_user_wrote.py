"""What the user wrote survives: for any template, unknown fields included, it is in what we make.

The listed edits: `command` and `args` (run before Ray), the labels that selectors use, the name of worker Pods, and
restartPolicy where Ray's autoscaler v2 or a job beside the head forbids restarts. All else only gains.
"""

from copy import deepcopy
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.plan.clusters import FT, SETTINGS, cluster, group, head_template

from headstay.model.objects import Obj
from headstay.plan.raycluster.pods import head_pod, worker_pod
from headstay.plan.raycluster.services import head_service

_words = st.text("abcdefghij", min_size=1, max_size=6)
_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | _words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_words, inner, max_size=3),
    max_leaves=6,
)
_unknown = st.dictionaries(_words.map(lambda word: f"x{word}"), _values, max_size=3)
_env = st.lists(st.fixed_dictionaries({"name": _words, "value": _words}), max_size=3)
_ports = st.lists(
    st.fixed_dictionaries({"name": _words, "containerPort": st.integers(1, 65535)}, optional={"protocol": _words}),
    max_size=2,
)
_amounts = st.dictionaries(st.sampled_from(["cpu", "memory", "nvidia.com/gpu"]), st.sampled_from(["1", "2Gi", 3]))
_resources = st.fixed_dictionaries({}, optional={"limits": _amounts, "requests": _amounts})
_optional = {
    "ports": _ports,
    "resources": _resources,
    "livenessProbe": _unknown,
    "readinessProbe": _unknown,
    "startupProbe": _unknown,
    "lifecycle": _unknown,
    "securityContext": _unknown,
    "envFrom": st.lists(_unknown, max_size=2),
}
_volumes = st.lists(st.fixed_dictionaries({"name": _words, "configMap": _unknown}), max_size=2)
_kinds = st.sampled_from(
    [
        {"annotations": FT},
        {"annotations": FT | {"ray.io/overwrite-container-cmd": "true"}},
        {"gcsFaultToleranceOptions": {"redisAddress": "redis:6379", "redisPassword": {"value": "x"}}},
        {"labels": {"ray.io/originated-from-crd": "RayService"}, "rayVersion": "2.40.0"},
        {"rayVersion": "2.60.0"},
    ]
)
_mounts = st.lists(st.fixed_dictionaries({"name": _words, "mountPath": _words.map(lambda w: f"/{w}")}), max_size=2)


@st.composite
def _templates(draw: st.DrawFn) -> Obj:
    container = draw(_unknown) | {"name": "ray", "env": draw(_env), "volumeMounts": draw(_mounts)}
    container |= draw(st.fixed_dictionaries({}, optional=_optional))
    sidecars = [draw(_unknown) | {"name": f"side{index}"} for index in range(draw(st.integers(0, 2)))]
    init = [draw(_unknown) | {"name": f"init{index}", "env": draw(_env)} for index in range(draw(st.integers(0, 2)))]
    metadata = draw(_unknown) | {"labels": draw(st.dictionaries(_words, _words, max_size=3))}
    metadata["annotations"] = draw(st.dictionaries(_words, _words, max_size=3))
    return {
        "metadata": metadata,
        "spec": draw(_unknown)
        | {"containers": [container, *sidecars], "initContainers": init, "volumes": draw(_volumes)}
        | draw(
            st.fixed_dictionaries({}, optional={"restartPolicy": st.sampled_from(["Always", "OnFailure", "Never"])})
        ),
    }


def _contains(made: Any, written: Any) -> bool:
    """Whether all of `written` is in `made`: every key, every list item in the same order, possibly with more."""
    if isinstance(written, dict):
        return isinstance(made, dict) and all(key in made and _contains(made[key], written[key]) for key in written)
    if isinstance(written, list):
        remaining = iter(made)
        return all(any(_contains(candidate, item) for candidate in remaining) for item in written)
    return bool(made == written)


@given(template=_templates(), kind=_kinds)
@settings(max_examples=100, deadline=None)
def test_what_the_user_wrote_is_in_the_pod_unknown_fields_included(template: Obj, kind: dict[str, Any]) -> None:
    of = cluster(head={"template": template}, groups=[group(template=deepcopy(template))], **kind)
    for made in (head_pod(of, SETTINGS), worker_pod(of, of.worker_groups[0], SETTINGS, replica_index=0)):
        assert _contains({"metadata": made["metadata"], "spec": made["spec"]}, template)


@given(command=st.lists(_words, max_size=3), args=st.lists(_words, max_size=3), starts=st.booleans())
@settings(max_examples=60, deadline=None)
def test_what_the_user_runs_is_run_before_ray_or_instead_of_it(
    command: list[str], args: list[str], *, starts: bool
) -> None:
    """`command` and `args` are the one field of the user's that is rewritten."""
    args = [*args, "ray start --head"] if starts else args
    of = cluster(head={"template": head_template(command=command, args=args)})
    container = head_pod(of, SETTINGS)["spec"]["containers"][0]
    if starts:
        assert (container["command"], container["args"]) == (command, args)
    else:
        words = " ".join([*command, *args])
        assert container["args"][0].startswith(f"{words} && ulimit" if words else "ulimit")


@given(service=st.fixed_dictionaries({"metadata": _unknown, "spec": _unknown}))
@settings(max_examples=40, deadline=None)
def test_what_the_user_wrote_of_the_head_service_is_in_it(service: Obj) -> None:
    made = head_service(cluster(head={"headService": service}), SETTINGS)
    assert _contains(made, service)
