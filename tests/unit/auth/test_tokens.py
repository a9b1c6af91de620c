from base64 import b64encode, urlsafe_b64decode
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.auth.memory_reader import MemoryReader

from headstay.local.server.auth.certificates import key_to_pem
from headstay.local.server.auth.jwt import InvalidTokenError, SigningKey
from headstay.local.server.auth.tokens import (
    ISSUER,
    ServiceAccountTokens,
    TokenRefusedError,
    openid_configuration,
)
from headstay.model.errors import StatusError
from headstay.model.objects import Obj
from headstay.model.resource import NODES, PODS, SECRETS, SERVICE_ACCOUNTS

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
PEM = key_to_pem(ec.generate_private_key(ec.SECP256R1()))


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now


class World:
    """One namespace `apps` with ServiceAccount `bot`, Pod `p` running as it on node `n`, and a Secret `s`."""

    def __init__(self, directory: Path) -> None:
        self.clock = Clock()
        self.reader = MemoryReader()
        self.reader.put(SERVICE_ACCOUNTS, named("bot", "sa-1"))
        pod = named("p", "pod-1")
        pod["spec"] = {"serviceAccountName": "bot", "nodeName": "n"}
        self.reader.put(PODS, pod)
        self.reader.put(SECRETS, named("s", "secret-1"))
        self.reader.put(NODES, {"metadata": {"name": "n", "uid": "node-1"}})
        path = directory / "key"
        path.write_bytes(PEM)
        self.tokens = ServiceAccountTokens(path, self.reader, self.clock)

    def token(self, **spec: Any) -> str:
        issued: str = self.tokens.issue("apps", "bot", {"spec": spec})["status"]["token"]
        return issued


def named(name: str, uid: str) -> Obj:
    return {"metadata": {"name": name, "namespace": "apps", "uid": uid}}


def reference(kind: str, name: str, uid: str = "") -> Obj:
    return {"kind": kind, "apiVersion": "v1", "name": name, "uid": uid}


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_a_token_stands_for_its_service_account(world: World) -> None:
    user = world.tokens.verify(world.token()).user
    assert user.name == "system:serviceaccount:apps:bot"
    assert user.groups == ("system:serviceaccounts", "system:serviceaccounts:apps", "system:authenticated")
    assert user.uid == "sa-1"


def test_a_token_bound_to_a_pod_says_which(world: World) -> None:
    user = world.tokens.verify(world.token(boundObjectRef=reference("Pod", "p", "pod-1"))).user
    found = {name.rpartition("/")[2]: values for name, values in user.extra.items() if "credential" not in name}
    assert found == {"pod-name": ["p"], "pod-uid": ["pod-1"], "node-name": ["n"], "node-uid": ["node-1"]}


def test_the_request_comes_back_with_a_token_and_its_end(world: World) -> None:
    issued = world.tokens.issue("apps", "bot", {"spec": {"expirationSeconds": 7200}})
    assert issued["kind"] == "TokenRequest"
    assert issued["spec"] == {"audiences": [ISSUER], "expirationSeconds": 7200, "boundObjectRef": None}
    assert issued["status"]["expirationTimestamp"] == "2026-01-02T05:04:05Z"


def test_a_token_ends_when_it_said(world: World) -> None:
    token = world.token(expirationSeconds=600)
    world.clock.now += timedelta(seconds=599)
    world.tokens.verify(token)
    world.clock.now += timedelta(seconds=1)
    with pytest.raises(TokenRefusedError, match="expired"):
        world.tokens.verify(token)


def test_a_token_for_others_does_not_log_in_here(world: World) -> None:
    token = world.token(audiences=["vault"])
    with pytest.raises(TokenRefusedError, match="vault"):
        world.tokens.verify(token)
    assert world.tokens.verify(token, ["vault", "x"]).audiences == ("vault",)


@pytest.mark.parametrize(
    ("resource", "bound", "name"),
    [
        (SERVICE_ACCOUNTS, None, "bot"),
        (PODS, reference("Pod", "p"), "p"),
        (SECRETS, reference("Secret", "s"), "s"),
    ],
)
def test_a_token_ends_with_what_it_is_bound_to(world: World, resource: Any, bound: Obj | None, name: str) -> None:
    token = world.token(boundObjectRef=bound)
    world.tokens.verify(token)
    old = world.reader.get(resource, "apps", name)
    assert old is not None
    world.reader.put(resource, {**old, "metadata": {**old["metadata"], "uid": "another"}})
    with pytest.raises(TokenRefusedError, match="another one by now"):
        world.tokens.verify(token)
    world.reader.remove(resource, "apps", name)
    with pytest.raises(TokenRefusedError, match="is gone"):
        world.tokens.verify(token)


def test_a_terminating_pod_keeps_its_token_for_its_grace(world: World) -> None:
    token = world.token(boundObjectRef=reference("Pod", "p"))
    pod = world.reader.get(PODS, "apps", "p")
    assert pod is not None
    pod["metadata"]["deletionTimestamp"] = "2026-01-02T03:04:35Z"
    world.clock.now += timedelta(seconds=80)
    world.tokens.verify(token)
    world.clock.now += timedelta(seconds=20)
    with pytest.raises(TokenRefusedError, match="has been deleted"):
        world.tokens.verify(token)


@pytest.mark.parametrize(
    ("spec", "reason", "message"),
    [
        ({"expirationSeconds": 10}, "Invalid", "may not specify a duration less than 10 minutes"),
        ({"expirationSeconds": 1 << 40}, "Invalid", r"2\^32 seconds"),
        ({"boundObjectRef": reference("Pod", "none")}, "NotFound", 'pods "none" not found'),
        ({"boundObjectRef": reference("Pod", "p", "older")}, "Conflict", "does not match the UID in record"),
        ({"boundObjectRef": reference("ConfigMap", "c")}, "BadRequest", "cannot bind token to object of type"),
    ],
)
def test_a_request_that_cannot_be_met_is_refused(world: World, spec: Obj, reason: str, message: str) -> None:
    with pytest.raises(StatusError, match=message) as refused:
        world.tokens.issue("apps", "bot", {"spec": spec})
    assert refused.value.reason == reason


def test_a_pod_lends_its_name_to_its_own_service_account_only(world: World) -> None:
    world.reader.put(SERVICE_ACCOUNTS, named("other", "sa-2"))
    with pytest.raises(StatusError, match="different serviceaccount name"):
        world.tokens.issue("apps", "other", {"spec": {"boundObjectRef": reference("Pod", "p")}})


def test_no_service_account_no_token(world: World) -> None:
    with pytest.raises(StatusError, match='serviceaccounts "none" not found'):
        world.tokens.issue("apps", "none", {})


def test_a_token_of_a_secret_is_good_while_the_secret_holds_it(world: World) -> None:
    account = world.reader.get(SERVICE_ACCOUNTS, "apps", "bot")
    assert account is not None
    token = world.tokens.issue_for_secret(account, "s")
    with pytest.raises(TokenRefusedError, match="does not hold this token"):
        world.tokens.verify(token)
    secret = world.reader.put(SECRETS, {**named("s", "1"), "data": {"token": b64encode(token.encode()).decode()}})
    world.clock.now += timedelta(days=10_000)
    user = world.tokens.verify(token).user
    assert (user.name, user.uid) == ("system:serviceaccount:apps:bot", "sa-1")
    with pytest.raises(TokenRefusedError, match="this API server alone"):
        world.tokens.verify(token, ["vault"])
    secret["metadata"]["deletionTimestamp"] = "2026-01-02T03:04:05Z"
    with pytest.raises(TokenRefusedError, match="does not hold this token"):
        world.tokens.verify(token)


def test_another_clusters_token_is_refused(world: World, tmp_path: Path) -> None:
    foreign = SigningKey(key_to_pem(ec.generate_private_key(ec.SECP256R1())))
    with pytest.raises(TokenRefusedError, match="not signed by this cluster"):
        world.tokens.verify(foreign.sign({"iss": ISSUER}))


@given(place=st.integers(min_value=0), other=st.sampled_from("AQgw09_-."))
def test_a_token_with_any_character_changed_is_refused(place: int, other: str) -> None:
    key = SigningKey(PEM)
    token = key.sign({"sub": "someone"})
    place %= len(token)
    altered = token[:place] + other + token[place + 1 :]
    try:
        claims = key.verify(altered)
    except InvalidTokenError:
        return
    # The last character of a base64 text has bits that mean nothing.
    assert claims == {"sub": "someone"}
    assert [urlsafe_b64decode(part + "==") for part in altered.split(".")] == [
        urlsafe_b64decode(part + "==") for part in token.split(".")
    ]


@given(st.text())
def test_any_text_is_refused_quietly(text: str) -> None:
    with pytest.raises(InvalidTokenError):
        SigningKey(PEM).verify(text)


def test_the_algorithm_none_is_refused() -> None:
    key = SigningKey(PEM)
    _, claims, _ = key.sign({"sub": "x"}).split(".")
    for header in ({"alg": "none"}, {"alg": "none", "kid": key.key_id}):
        from headstay.local.server.auth.jwt import encode

        with pytest.raises(InvalidTokenError):
            key.verify(f"{encode(msgspec.json.encode(header))}.{claims}.")


def test_the_published_key_verifies_our_tokens(world: World) -> None:
    published = world.tokens.jwks()["keys"][0]

    def number(name: str) -> int:
        return int.from_bytes(urlsafe_b64decode(published[name] + "="))

    public = ec.EllipticCurvePublicNumbers(number("x"), number("y"), ec.SECP256R1()).public_key()
    assert public == SigningKey(PEM)._public
    assert openid_configuration("https://10.96.0.1:443")["jwks_uri"] == "https://10.96.0.1:443/openid/v1/jwks"
