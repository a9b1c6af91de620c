import pytest
from multidict import CIMultiDict
from tests.unit.auth.test_rbac import Cluster, rule, user

from headstay.local.seams import SYSTEM, User
from headstay.local.server.auth.impersonation import effective_user
from headstay.model.errors import StatusError

CAROL = User("carol", ("system:authenticated",))


def as_(*headers: tuple[str, str]) -> CIMultiDict[str]:
    return CIMultiDict(headers)


def test_without_the_headers_one_is_oneself() -> None:
    assert effective_user(as_(), CAROL, Cluster().authorizer) is CAROL


def test_an_admin_becomes_another_and_keeps_nothing() -> None:
    found = effective_user(as_(("Impersonate-User", "bob"), ("Impersonate-Group", "dev")), SYSTEM, Cluster().authorizer)
    assert found == User("bob", ("dev", "system:authenticated"))


def test_a_service_account_comes_with_its_groups() -> None:
    found = effective_user(as_(("Impersonate-User", "system:serviceaccount:a:b")), SYSTEM, Cluster().authorizer)
    assert found.groups == ("system:serviceaccounts", "system:serviceaccounts:a", "system:authenticated")


def test_extra_names_are_unescaped_and_values_kept_in_order() -> None:
    headers = as_(
        ("Impersonate-User", "bob"),
        ("Impersonate-Uid", "7"),
        ("Impersonate-Extra-Acme.com%2Fscopes", "one"),
        ("Impersonate-Extra-Acme.com%2Fscopes", "Two"),
    )
    found = effective_user(headers, SYSTEM, Cluster().authorizer)
    assert (found.uid, found.extra) == ("7", {"acme.com/scopes": ["one", "Two"]})


def test_each_part_needs_the_verb_impersonate() -> None:
    cluster = Cluster()
    headers = as_(("Impersonate-User", "bob"))
    with pytest.raises(StatusError) as refused:
        effective_user(headers, CAROL, cluster.authorizer)
    assert refused.value.message == (
        'users "bob" is forbidden: User "carol" cannot impersonate resource "users" in API group "" '
        "at the cluster scope"
    )
    cluster.cluster_role("r", rule("impersonate", "users", resourceNames=["bob"]))
    cluster.bind("b", "ClusterRole/r", user("carol"))
    assert effective_user(headers, CAROL, cluster.authorizer).name == "bob"
    for name, value, resource in (
        ("Impersonate-Group", "system:masters", "groups"),
        ("Impersonate-Uid", "1", "uids"),
        ("Impersonate-Extra-scopes", "x", "userextras/scopes"),
    ):
        with pytest.raises(StatusError, match=f'cannot impersonate resource "{resource}"'):
            effective_user(as_(("Impersonate-User", "bob"), (name, value)), CAROL, cluster.authorizer)
    with pytest.raises(StatusError, match='resource "users"'):
        effective_user(as_(("Impersonate-User", "alice")), CAROL, cluster.authorizer)


def test_groups_without_a_user_make_no_sense() -> None:
    with pytest.raises(StatusError, match="without impersonating a user") as refused:
        effective_user(as_(("Impersonate-Group", "dev")), SYSTEM, Cluster().authorizer)
    assert refused.value.code == 500
