from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from tests.unit.auth.test_rbac import Cluster, rule, user

from headstay.local.seams import SYSTEM, User
from headstay.local.server.auth.certificates import key_to_pem
from headstay.local.server.auth.reviews import Reviews
from headstay.local.server.auth.tokens import ServiceAccountTokens
from headstay.model.errors import StatusError
from headstay.model.objects import Obj
from headstay.model.resource import SERVICE_ACCOUNTS

DAN = User("dan", ("system:authenticated",), "uid-1", {"k": ["v"]})


class World:
    def __init__(self, directory: Path) -> None:
        self.cluster = Cluster()
        self.cluster.role("apps", "r", rule("get", "pods"))
        self.cluster.bind("b", "Role/r", user("dan"), namespace="apps")
        self.cluster.reader.put(SERVICE_ACCOUNTS, {"metadata": {"name": "bot", "namespace": "apps", "uid": "1"}})
        path = directory / "key"
        path.write_bytes(key_to_pem(ec.generate_private_key(ec.SECP256R1())))
        self.tokens = ServiceAccountTokens(path, self.cluster.reader, lambda: datetime(2026, 1, 2, tzinfo=UTC))
        self.reviews = Reviews(self.cluster.authorizer, self.tokens)

    def status(self, kind: str, spec: Obj, asker: User = DAN, namespace: str = "") -> Any:
        posted = {"kind": kind, "apiVersion": "authorization.k8s.io/v1", "spec": spec}
        return self.reviews.review(kind, posted, asker, namespace=namespace)["status"]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def pods(verb: str, namespace: str) -> Obj:
    return {"resourceAttributes": {"verb": verb, "resource": "pods", "namespace": namespace}}


def test_one_may_ask_about_oneself(world: World) -> None:
    yes = world.status("SelfSubjectAccessReview", pods("get", "apps"))
    assert yes == {"allowed": True, "reason": 'RBAC: allowed by RoleBinding "b/apps" of Role "r" to User "dan"'}
    assert world.status("SelfSubjectAccessReview", pods("get", "other")) == {"allowed": False}


def test_one_may_ask_about_others(world: World) -> None:
    assert world.status("SubjectAccessReview", {**pods("get", "apps"), "user": "dan"}, SYSTEM)["allowed"]
    assert not world.status("SubjectAccessReview", {**pods("get", "apps"), "user": "eve"}, SYSTEM)["allowed"]
    url = {"nonResourceAttributes": {"path": "/version", "verb": "get"}, "groups": ["system:authenticated"]}
    assert world.status("SubjectAccessReview", url, SYSTEM)["allowed"]


def test_the_answer_repeats_the_question(world: World) -> None:
    posted = {"apiVersion": "authorization.k8s.io/v1", "spec": pods("get", "apps")}
    answer = world.reviews.review("SelfSubjectAccessReview", posted, DAN)
    assert answer["spec"] == posted["spec"]
    assert (answer["kind"], answer["apiVersion"]) == ("SelfSubjectAccessReview", "authorization.k8s.io/v1")


@pytest.mark.parametrize(
    ("kind", "spec", "message"),
    [
        ("SelfSubjectAccessReview", {}, "exactly one of nonResourceAttributes or resourceAttributes"),
        ("SubjectAccessReview", pods("get", "apps"), "at least one of user or group"),
        ("LocalSubjectAccessReview", {**pods("get", "x"), "user": "d"}, "must match namespace: apps"),
        ("SelfSubjectRulesReview", {}, "no namespace on request"),
        ("TokenReview", {}, "token is required"),
    ],
)
def test_a_question_without_meaning_is_refused(world: World, kind: str, spec: Obj, message: str) -> None:
    with pytest.raises(StatusError, match=message):
        world.status(kind, spec, namespace="apps")


def test_a_local_review_stays_in_its_namespace(world: World) -> None:
    spec = {**pods("get", "apps"), "user": "dan"}
    assert world.status("LocalSubjectAccessReview", spec, namespace="apps")["allowed"]


def test_one_may_list_ones_rules(world: World) -> None:
    status = world.status("SelfSubjectRulesReview", {"namespace": "apps"})
    assert {"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]} in status["resourceRules"]
    assert any("/healthz" in found["nonResourceURLs"] for found in status["nonResourceRules"])
    everything = world.status("SelfSubjectRulesReview", {"namespace": "apps"}, SYSTEM)["resourceRules"]
    assert {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]} in everything


def test_who_am_i(world: World) -> None:
    assert world.reviews.review("SelfSubjectReview", {"apiVersion": "authentication.k8s.io/v1"}, DAN) == {
        "kind": "SelfSubjectReview",
        "apiVersion": "authentication.k8s.io/v1",
        "metadata": {"creationTimestamp": None},
        "status": {
            "userInfo": {"username": "dan", "uid": "uid-1", "groups": ["system:authenticated"], "extra": {"k": ["v"]}}
        },
    }


def test_a_token_can_be_looked_at(world: World) -> None:
    token = world.tokens.issue("apps", "bot", {})["status"]["token"]
    status = world.status("TokenReview", {"token": token}, SYSTEM)
    assert status["authenticated"] is True
    assert status["user"]["username"] == "system:serviceaccount:apps:bot"
    refused = world.status("TokenReview", {"token": token, "audiences": ["vault"]}, SYSTEM)
    assert "authenticated" not in refused
    assert "invalid bearer token" in refused["error"]
