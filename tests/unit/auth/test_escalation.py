import pytest
from tests.unit.auth.test_rbac import Cluster, rule, user

from headstay.local.seams import SYSTEM, User
from headstay.local.server.auth.escalation import refuse_escalation
from headstay.model.errors import StatusError
from headstay.model.objects import Obj
from headstay.model.resource import CLUSTER_ROLES, PODS, ROLE_BINDINGS, ROLES

BOB = User("bob", ("system:authenticated",))


@pytest.fixture
def cluster() -> Cluster:
    """Bob may write roles and bindings in `apps`, and reads Pods there."""
    found = Cluster()
    # Not `*`: that would hold `escalate` and `bind` too.
    verbs = "create update patch delete get"
    found.role("apps", "r", rule("get list", "pods"), rule(verbs, "roles rolebindings", "rbac.authorization.k8s.io"))
    found.bind("b", "Role/r", user("bob"), namespace="apps")
    return found


def role(*rules: Obj) -> Obj:
    return {"metadata": {"name": "new", "namespace": "apps"}, "rules": list(rules)}


def binding(kind: str, name: str) -> Obj:
    reference = {"kind": kind, "name": name}
    return {"metadata": {"name": "new", "namespace": "apps"}, "roleRef": reference, "subjects": [user("bob")]}


def test_what_one_holds_one_may_grant(cluster: Cluster) -> None:
    refuse_escalation(ROLES, role(rule("get", "pods", resourceNames=["x"])), None, BOB, cluster.authorizer)
    refuse_escalation(ROLE_BINDINGS, binding("Role", "r"), None, BOB, cluster.authorizer)


def test_what_one_does_not_hold_one_may_not_write_into_a_role(cluster: Cluster) -> None:
    with pytest.raises(StatusError) as refused:
        refuse_escalation(ROLES, role(rule("get create watch", "pods")), None, BOB, cluster.authorizer)
    assert refused.value.message == (
        'roles.rbac.authorization.k8s.io "new" is forbidden: user "bob" (groups=["system:authenticated"]) is '
        "attempting to grant RBAC permissions not currently held:\n"
        '{APIGroups:[""], Resources:["pods"], Verbs:["create" "watch"]}'
    )


def test_what_one_does_not_hold_one_may_not_bind(cluster: Cluster) -> None:
    with pytest.raises(StatusError, match="not currently held"):
        refuse_escalation(ROLE_BINDINGS, binding("ClusterRole", "cluster-admin"), None, BOB, cluster.authorizer)
    with pytest.raises(StatusError, match='"none" not found'):
        refuse_escalation(ROLE_BINDINGS, binding("ClusterRole", "none"), None, BOB, cluster.authorizer)


def test_escalate_and_bind_lift_it(cluster: Cluster) -> None:
    cluster.role("apps", "x", rule("escalate bind", "roles clusterroles", "rbac.authorization.k8s.io"))
    cluster.bind("x", "Role/x", user("bob"), namespace="apps")
    refuse_escalation(ROLES, role(rule("*", "*")), None, BOB, cluster.authorizer)
    refuse_escalation(ROLE_BINDINGS, binding("ClusterRole", "cluster-admin"), None, BOB, cluster.authorizer)


def test_a_write_that_grants_nothing_new_passes(cluster: Cluster) -> None:
    old = role(rule("*", "*"))
    new = {**old, "metadata": {**old["metadata"], "finalizers": []}}
    refuse_escalation(ROLES, new, old, BOB, cluster.authorizer)
    refuse_escalation(PODS, {}, None, BOB, cluster.authorizer)


def test_aggregation_is_for_who_holds_everything(cluster: Cluster) -> None:
    aggregating = {"metadata": {"name": "new"}, "aggregationRule": {"clusterRoleSelectors": []}}
    with pytest.raises(StatusError, match="cluster-admin privileges"):
        refuse_escalation(CLUSTER_ROLES, aggregating, None, BOB, cluster.authorizer)
    refuse_escalation(CLUSTER_ROLES, aggregating, None, SYSTEM, cluster.authorizer)
