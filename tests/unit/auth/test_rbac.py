from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.auth.memory_reader import MemoryReader

from headstay.local.seams import SYSTEM, Attributes, User
from headstay.local.server.auth.bootstrap import bindings, roles
from headstay.local.server.auth.rbac import RbacAuthorizer, forbidden
from headstay.local.server.auth.rules import Rule, compacted, uncovered
from headstay.model.objects import Obj
from headstay.model.resource import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, ROLE_BINDINGS, ROLES

ALICE = User("alice", ("dev", "system:authenticated"))


class Cluster:
    def __init__(self) -> None:
        self.reader = MemoryReader()
        self.authorizer = RbacAuthorizer(self.reader)
        for role in roles():
            self.reader.put(CLUSTER_ROLES, role)
        for binding in bindings():
            self.reader.put(CLUSTER_ROLE_BINDINGS, binding)

    def cluster_role(self, name: str, *rules: Obj, **rest: Any) -> None:
        self.reader.put(CLUSTER_ROLES, {"metadata": {"name": name}, "rules": list(rules), **rest})
        self.authorizer.changed()

    def role(self, namespace: str, name: str, *rules: Obj) -> None:
        self.reader.put(ROLES, {"metadata": {"name": name, "namespace": namespace}, "rules": list(rules)})
        self.authorizer.changed()

    def bind(self, name: str, role: str, *subjects: Obj, namespace: str = "") -> None:
        kind, _, role_name = role.partition("/")
        meta = {"name": name, **({"namespace": namespace} if namespace else {})}
        binding = {"metadata": meta, "roleRef": {"kind": kind, "name": role_name}, "subjects": list(subjects)}
        self.reader.put(ROLE_BINDINGS if namespace else CLUSTER_ROLE_BINDINGS, binding)
        self.authorizer.changed()

    def allows(
        self, user: User, verb: str, resource: str, namespace: str = "", *, name: str = "", group: str = ""
    ) -> bool:
        resource, _, subresource = resource.partition("/")
        asked = Attributes(verb, group, "v1", resource, subresource, namespace, name)
        return self.authorizer.authorize(user, asked).allowed


def rule(verbs: str, resources: str, group: str = "", **rest: Any) -> Obj:
    return {"verbs": verbs.split(), "resources": resources.split(), "apiGroups": [group], **rest}


def user(name: str) -> Obj:
    return {"kind": "User", "name": name}


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


def test_masters_may_do_everything(cluster: Cluster) -> None:
    assert cluster.allows(SYSTEM, "delete", "nodes")


def test_who_is_bound_to_nothing_may_do_nothing_but_look_around(cluster: Cluster) -> None:
    assert not cluster.allows(ALICE, "get", "pods", "default")
    assert cluster.allows(ALICE, "create", "selfsubjectaccessreviews", group="authorization.k8s.io")
    assert cluster.authorizer.authorize(ALICE, Attributes("get", path="/apis/apps/v1")).allowed
    assert not cluster.authorizer.authorize(ALICE, Attributes("get", path="/metrics")).allowed


def test_a_role_binding_holds_in_its_namespace_only(cluster: Cluster) -> None:
    cluster.role("apps", "reader", rule("get list", "pods"))
    cluster.bind("b", "Role/reader", user("alice"), namespace="apps")
    assert cluster.allows(ALICE, "list", "pods", "apps")
    assert not cluster.allows(ALICE, "list", "pods", "other")
    assert not cluster.allows(ALICE, "list", "pods")
    assert not cluster.allows(ALICE, "watch", "pods", "apps")


def test_a_role_binding_can_lend_a_cluster_role_to_a_namespace(cluster: Cluster) -> None:
    cluster.bind("b", "ClusterRole/view", {"kind": "Group", "name": "dev"}, namespace="apps")
    assert cluster.allows(ALICE, "get", "pods/log", "apps")
    assert not cluster.allows(ALICE, "get", "secrets", "apps")
    assert not cluster.allows(ALICE, "get", "pods", "other")


def test_a_service_account_is_bound_by_namespace_and_name(cluster: Cluster) -> None:
    cluster.cluster_role("r", rule("get", "nodes"))
    cluster.bind("b", "ClusterRole/r", {"kind": "ServiceAccount", "name": "bot", "namespace": "apps"})
    assert cluster.allows(User("system:serviceaccount:apps:bot"), "get", "nodes")
    assert not cluster.allows(User("system:serviceaccount:other:bot"), "get", "nodes")


def test_a_decision_names_the_binding_the_role_and_the_subject(cluster: Cluster) -> None:
    cluster.role("apps", "reader", rule("get", "pods"))
    cluster.bind("b", "Role/reader", {"kind": "ServiceAccount", "name": "bot"}, namespace="apps")
    bot = User("system:serviceaccount:apps:bot")
    decision = cluster.authorizer.authorize(bot, Attributes("get", resource="pods", namespace="apps"))
    assert decision.reason == 'RBAC: allowed by RoleBinding "b/apps" of Role "reader" to ServiceAccount "bot/apps"'


def test_a_binding_to_a_role_that_is_not_there_says_so(cluster: Cluster) -> None:
    cluster.bind("b", "ClusterRole/none", user("alice"))
    decision = cluster.authorizer.authorize(ALICE, Attributes("get", resource="pods"))
    assert decision == (False, 'RBAC: clusterrole.rbac.authorization.k8s.io "none" not found')


@pytest.mark.parametrize(
    ("given_rule", "asked", "allowed"),
    [
        (rule("*", "pods"), ("delete", "pods"), True),
        (rule("get", "*"), ("get", "pods/log"), True),
        (rule("get", "pods"), ("get", "pods/log"), False),
        (rule("get", "pods/log"), ("get", "pods"), False),
        (rule("get", "pods/log"), ("get", "pods/log"), True),
        (rule("get", "*/log"), ("get", "pods/log"), True),
        (rule("get", "pods/*"), ("get", "pods/log"), False),
        (rule("get", "pods", group="*"), ("get", "pods"), True),
        (rule("get", "pods", group="apps"), ("get", "pods"), False),
    ],
)
def test_what_a_rule_allows(cluster: Cluster, given_rule: Obj, asked: tuple[str, str], allowed: bool) -> None:
    cluster.cluster_role("r", given_rule)
    cluster.bind("b", "ClusterRole/r", user("alice"))
    assert cluster.allows(ALICE, *asked) is allowed


def test_resource_names_bind_to_names(cluster: Cluster) -> None:
    cluster.cluster_role("r", rule("get", "secrets", resourceNames=["mine"]))
    cluster.bind("b", "ClusterRole/r", user("alice"))
    assert cluster.allows(ALICE, "get", "secrets", "x", name="mine")
    assert not cluster.allows(ALICE, "get", "secrets", "x", name="other")
    assert not cluster.allows(ALICE, "get", "secrets", "x")


@pytest.mark.parametrize(
    ("pattern", "path", "allowed"),
    [
        ("/healthz", "/healthz", True),
        ("/healthz", "/healthz/x", False),
        ("/logs/*", "/logs/a/b", True),
        ("*", "/x", True),
    ],
)
def test_urls_match_whole_or_by_their_start(cluster: Cluster, pattern: str, path: str, allowed: bool) -> None:
    cluster.cluster_role("r", {"verbs": ["get"], "nonResourceURLs": [pattern]})
    cluster.bind("b", "ClusterRole/r", user("root"))
    assert cluster.authorizer.authorize(User("root"), Attributes("get", path=path)).allowed is allowed


def test_aggregated_roles_are_the_sum_of_their_parts(cluster: Cluster) -> None:
    cluster.bind("b", "ClusterRole/admin", user("alice"), namespace="apps")
    for verb, resource, group in (
        ("create", "roles", "rbac.authorization.k8s.io"),
        ("delete", "pods", ""),
        ("get", "endpointslices", "discovery.k8s.io"),
    ):
        assert cluster.allows(ALICE, verb, resource, "apps", group=group)
    assert not cluster.allows(ALICE, "get", "rayclusters", "apps", group="ray.io")
    label = {"rbac.authorization.k8s.io/aggregate-to-view": "true"}
    extension = {"metadata": {"name": "ray-view", "labels": label}, "rules": [rule("get", "rayclusters", "ray.io")]}
    cluster.reader.put(CLUSTER_ROLES, extension)
    cluster.authorizer.changed()
    view = {"kind": "User", "name": "bob"}
    cluster.bind("v", "ClusterRole/view", view)
    assert cluster.allows(User("bob"), "get", "rayclusters", "apps", group="ray.io")


def test_aggregation_is_followed_as_deep_as_the_roles_are_nested(cluster: Cluster) -> None:
    label = {"rbac.authorization.k8s.io/aggregate-to-view": "true"}
    extension = {"metadata": {"name": "ray-view", "labels": label}, "rules": [rule("get", "rayclusters", "ray.io")]}
    cluster.reader.put(CLUSTER_ROLES, extension)
    cluster.authorizer.changed()
    cluster.bind("b", "ClusterRole/admin", user("alice"))
    assert cluster.allows(ALICE, "get", "rayclusters", "apps", group="ray.io")


def test_roles_that_aggregate_each_other_come_to_an_end(cluster: Cluster) -> None:
    for name, other in (("a", "b"), ("b", "a")):
        selector = {"clusterRoleSelectors": [{"matchLabels": {"for": name}}]}
        role = {"metadata": {"name": name, "labels": {"for": other}}, "aggregationRule": selector}
        cluster.reader.put(CLUSTER_ROLES, role)
    leaf = {"metadata": {"name": "leaf", "labels": {"for": "b"}}, "rules": [rule("get", "pods")]}
    cluster.reader.put(CLUSTER_ROLES, leaf)
    cluster.bind("b", "ClusterRole/a", user("alice"))
    assert cluster.allows(ALICE, "get", "pods")


@pytest.mark.parametrize(
    ("attributes", "reason", "message"),
    [
        (
            Attributes("list", "", "v1", "pods", namespace="default"),
            "",
            'pods is forbidden: User "alice" cannot list resource "pods" in API group "" in the namespace "default"',
        ),
        (
            Attributes("get", "ray.io", "v1", "rayclusters", "status", "apps", "c"),
            "",
            (
                'rayclusters.ray.io "c" is forbidden: User "alice" cannot get resource "rayclusters/status" '
                'in API group "ray.io" in the namespace "apps"'
            ),
        ),
        (
            Attributes("delete", "", "v1", "nodes", name="n"),
            "why",
            (
                'nodes "n" is forbidden: User "alice" cannot delete resource "nodes" in API group "" '
                "at the cluster scope: why"
            ),
        ),
        (Attributes("get", path="/metrics"), "", 'forbidden: User "alice" cannot get path "/metrics"'),
    ],
)
def test_a_refusal_says_it_as_kubernetes_does(attributes: Attributes, reason: str, message: str) -> None:
    error = forbidden(ALICE, attributes, reason)
    assert (error.code, error.reason, error.message) == (403, "Forbidden", message)


def some(*values: str, least: int = 1) -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(st.sampled_from(values), min_size=least, max_size=3, unique=True).map(tuple)


RULES = st.builds(
    Rule,
    some("get", "list", "*"),
    some("", "apps", "*"),
    some("pods", "pods/log", "*/log", "*"),
    some("x", "y", least=0),
)
ASKED = st.builds(
    Attributes,
    st.sampled_from(["get", "list", "delete"]),
    st.sampled_from(["", "apps"]),
    st.just("v1"),
    st.sampled_from(["pods", "nodes"]),
    st.sampled_from(["", "log", "exec"]),
    name=st.sampled_from(["", "x", "y"]),
)


@given(st.lists(RULES, max_size=3), st.lists(RULES, max_size=2), ASKED)
def test_rules_that_are_covered_allow_nothing_more(owned: list[Rule], wanted: list[Rule], asked: Attributes) -> None:
    if not uncovered(owned, wanted) and any(rule.allows(asked) for rule in wanted):
        assert any(rule.allows(asked) for rule in owned)


@given(st.lists(RULES, max_size=3), ASKED)
def test_compacting_pieces_changes_no_decision(rules: list[Rule], asked: Attributes) -> None:
    pieces = [piece for rule in rules for piece in rule.pieces()]
    whole = any(rule.allows(asked) for rule in rules)
    assert any(rule.allows(asked) for rule in pieces) == whole
    assert any(rule.allows(asked) for rule in compacted(pieces)) == whole
