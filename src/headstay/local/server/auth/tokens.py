"""Service-account tokens: issued for TokenRequests, and good for as long as what they were issued for exists.

A token names its ServiceAccount, and the Pod or Secret it is bound to, by name *and* uid. Both are looked up on
every use, so deleting a Pod ends its tokens, and a recreated ServiceAccount of the same name does not revive them.
Only the signature's verdict is remembered.
"""

from base64 import b64decode
from collections import OrderedDict
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import uuid4

from headstay.local.config import CLUSTER_DOMAIN
from headstay.local.seams import User
from headstay.local.server.seams import Reader
from headstay.model.errors import Cause, StatusError
from headstay.model.objects import Obj, dig
from headstay.model.resource import NODES, PODS, SECRETS, SERVICE_ACCOUNTS, Resource
from headstay.model.timestamps import parse, rfc3339

if TYPE_CHECKING:
    from headstay.local.server.auth.jwt import SigningKey

ISSUER = f"https://kubernetes.default.svc.{CLUSTER_DOMAIN}"
AUDIENCE = ISSUER
"""What this API server answers to. A token for other audiences does not log in here."""

LEGACY_ISSUER = "kubernetes/serviceaccount"
"""Of tokens kept in Secrets, which have no end of their own and flat claims."""
_LEGACY = "kubernetes.io/serviceaccount/"

DEFAULT_SECONDS = 3600
SHORTEST_SECONDS = 600
LONGEST_SECONDS = 1 << 32
GRACE_OF_DELETED = timedelta(seconds=60)
"""A Pod that is being deleted may use its token while it terminates, and this long after it should be gone."""

_BINDABLE = {"Pod": PODS, "Secret": SECRETS, "Node": NODES}
_REMEMBERED = 1024


class TokenRefusedError(Exception):
    """Why a bearer token does not log in. For the log; the client is told `Unauthorized`."""


class Verified(NamedTuple):
    user: User
    audiences: tuple[str, ...]


class ServiceAccountTokens:
    def __init__(self, key: Path, reader: Reader, clock: Callable[[], datetime]) -> None:
        self._path = key
        self._reader = reader
        self._clock = clock
        self._loaded: SigningKey | None = None
        self._claims: OrderedDict[bytes, dict[str, Any]] = OrderedDict()

    @property
    def _key(self) -> "SigningKey":
        """Loaded at first use: `cryptography` takes 80 ms to import, and `headstay up` need not wait for it."""
        if self._loaded is None:
            from headstay.local.server.auth.jwt import SigningKey

            self._loaded = SigningKey(self._path.read_bytes())
        return self._loaded

    def issue(self, namespace: str, name: str, request: Obj) -> Obj:
        """POST serviceaccounts/NAME/token: the TokenRequest with its status filled in."""
        account = self._reader.get(SERVICE_ACCOUNTS, namespace, name)
        if account is None:
            raise _not_found(SERVICE_ACCOUNTS, name)
        spec = request.get("spec") or {}
        seconds = _checked_seconds(spec)
        audiences = list(spec.get("audiences") or [AUDIENCE])
        now = self._clock()
        until = now + timedelta(seconds=seconds)
        claims: dict[str, Any] = {
            "aud": audiences,
            "exp": int(until.timestamp()),
            "iat": int(now.timestamp()),
            "iss": ISSUER,
            "jti": str(uuid4()),
            "kubernetes.io": {
                "namespace": namespace,
                "serviceaccount": _reference(account),
                **self._bound(namespace, name, spec.get("boundObjectRef")),
            },
            "nbf": int(now.timestamp()),
            "sub": f"system:serviceaccount:{namespace}:{name}",
        }
        status = {"token": self._key.sign(claims), "expirationTimestamp": rfc3339(until)}
        return {
            "kind": "TokenRequest",
            "apiVersion": "authentication.k8s.io/v1",
            "metadata": {
                "name": name,
                "namespace": namespace,
                "creationTimestamp": rfc3339(now),
            },
            "spec": {
                "audiences": audiences,
                "expirationSeconds": seconds,
                "boundObjectRef": spec.get("boundObjectRef"),
            },
            "status": status,
        }

    def issue_for_secret(self, account: Obj, secret: str) -> str:
        """The token of a Secret of type kubernetes.io/service-account-token: good while both exist."""
        meta = account["metadata"]
        flat = {
            "namespace": meta["namespace"],
            "secret.name": secret,
            "service-account.name": meta["name"],
            "service-account.uid": meta["uid"],
        }
        claims = {
            "iss": LEGACY_ISSUER,
            "sub": f"system:serviceaccount:{meta['namespace']}:{meta['name']}",
            **{f"{_LEGACY}{name}": value for name, value in flat.items()},
        }
        return self._key.sign(claims)

    def verify(self, token: str, audiences: Iterable[str] = (AUDIENCE,)) -> Verified:
        """Who the token stands for, and for which of `audiences`. Raises TokenRefusedError."""
        claims = self._signed_claims(token)
        now = self._clock()
        if claims.get("iss") == LEGACY_ISSUER:
            return self._verified_by_secret(claims, token, tuple(audiences), now)
        if claims.get("iss") != ISSUER:
            raise TokenRefusedError(f"issued by {claims.get('iss')}")
        if not claims.get("nbf", 0) <= now.timestamp() < claims.get("exp", 0):
            raise TokenRefusedError("the token has expired or is not valid yet")
        good_for = tuple(audience for audience in audiences if audience in claims.get("aud", ()))
        if not good_for:
            raise TokenRefusedError(f"the token is for {claims.get('aud')}")
        return Verified(self._user(claims, now), good_for)

    def jwks(self) -> Obj:
        """GET /openid/v1/jwks."""
        return self._key.jwks()

    def _signed_claims(self, token: str) -> dict[str, Any]:
        from headstay.local.server.auth.jwt import InvalidTokenError

        digest = sha256(token.encode()).digest()
        if (known := self._claims.get(digest)) is not None:
            self._claims.move_to_end(digest)
            return known
        try:
            claims = self._key.verify(token)
        except InvalidTokenError as error:
            raise TokenRefusedError(str(error)) from error
        self._claims[digest] = claims
        if len(self._claims) > _REMEMBERED:
            self._claims.popitem(last=False)
        return claims

    def _verified_by_secret(
        self, claims: dict[str, Any], token: str, audiences: tuple[str, ...], now: datetime
    ) -> Verified:
        if AUDIENCE not in audiences:
            raise TokenRefusedError("a token of a Secret is for this API server alone")
        namespace, secret = claims[f"{_LEGACY}namespace"], claims[f"{_LEGACY}secret.name"]
        account = {"name": claims[f"{_LEGACY}service-account.name"], "uid": claims[f"{_LEGACY}service-account.uid"]}
        self._must_exist(SERVICE_ACCOUNTS, namespace, account, now)
        found = self._reader.get(SECRETS, namespace, secret)
        held = dig(found, "data", "token") or ""
        if dig(found, "metadata", "deletionTimestamp") or b64decode(held) != token.encode():
            raise TokenRefusedError(f"Secret {secret} does not hold this token")
        return Verified(User(claims["sub"], service_account_groups(namespace), account["uid"]), (AUDIENCE,))

    def _user(self, claims: dict[str, Any], now: datetime) -> User:
        about: dict[str, Any] = claims["kubernetes.io"]
        namespace: str = about["namespace"]
        account = about["serviceaccount"]
        self._must_exist(SERVICE_ACCOUNTS, namespace, account, now)
        extra = {"authentication.kubernetes.io/credential-id": [f"JTI={claims['jti']}"]}
        if pod := about.get("pod"):
            self._must_exist(PODS, namespace, pod, now)
            extra["authentication.kubernetes.io/pod-name"] = [pod["name"]]
            extra["authentication.kubernetes.io/pod-uid"] = [pod["uid"]]
        if secret := about.get("secret"):
            self._must_exist(SECRETS, namespace, secret, now)
        if node := about.get("node"):
            if not pod:
                self._must_exist(NODES, "", node, now)
            extra["authentication.kubernetes.io/node-name"] = [node["name"]]
            if uid := node.get("uid"):
                extra["authentication.kubernetes.io/node-uid"] = [uid]
        return User(claims["sub"], service_account_groups(namespace), account["uid"], extra)

    def _must_exist(self, resource: Resource, namespace: str, reference: Obj, now: datetime) -> None:
        found = self._reader.get(resource, namespace, reference["name"])
        if found is None:
            raise TokenRefusedError(f"{resource.kind} {reference['name']} is gone")
        if dig(found, "metadata", "uid") != reference["uid"]:
            raise TokenRefusedError(f"{resource.kind} {reference['name']} is another one by now")
        deleted = dig(found, "metadata", "deletionTimestamp")
        if deleted is not None and parse(deleted) + GRACE_OF_DELETED < now:
            raise TokenRefusedError(f"{resource.kind} {reference['name']} has been deleted")

    def _bound(self, namespace: str, account: str, reference: Obj | None) -> dict[str, Any]:
        """The claims for what the token is bound to, which must exist and be what the request takes it for."""
        if not reference:
            return {}
        kind, name = reference.get("kind", ""), reference.get("name", "")
        resource = _BINDABLE.get(kind)
        if resource is None or reference.get("apiVersion") != "v1":
            what = f"{reference.get('apiVersion')}, Kind={kind}"
            raise StatusError(400, "BadRequest", f"cannot bind token to object of type {what}")
        found = self._reader.get(resource, namespace if resource.namespaced else "", name)
        if found is None:
            raise _not_found(resource, name)
        if kind == "Pod" and (dig(found, "spec", "serviceAccountName") or "default") != account:
            message = (
                f'cannot bind token for serviceaccount "{account}" to pod running with different serviceaccount name.'
            )
            raise StatusError(400, "BadRequest", message)
        uid = dig(found, "metadata", "uid")
        if reference.get("uid") and reference["uid"] != uid:
            raise StatusError(
                409,
                "Conflict",
                f'Operation cannot be fulfilled on {kind} "{name}": the UID in the bound object reference '
                f"({reference['uid']}) does not match the UID in record. The object might have been deleted and "
                "then recreated",
                details={"name": name, "kind": kind},
            )
        claims = {kind.lower(): _reference(found)}
        if kind == "Pod" and (node := dig(found, "spec", "nodeName")):
            record = self._reader.get(NODES, "", node)
            claims["node"] = _reference(record) if record else {"name": node}
        return claims


def service_account_groups(namespace: str) -> tuple[str, ...]:
    return ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated")


def openid_configuration(server: str) -> Obj:
    """GET /.well-known/openid-configuration; `server` is this API's own URL, as a Pod reaches it."""
    return {
        "issuer": ISSUER,
        "jwks_uri": f"{server}/openid/v1/jwks",
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],
    }


def _checked_seconds(spec: Obj) -> int:
    seconds = spec.get("expirationSeconds")
    if seconds is None:
        return DEFAULT_SECONDS
    if not isinstance(seconds, int) or seconds < SHORTEST_SECONDS:
        problem = "may not specify a duration less than 10 minutes"
    elif seconds > LONGEST_SECONDS:
        problem = "may not specify a duration larger than 2^32 seconds"
    else:
        return seconds
    message = f"Invalid value: {seconds}: {problem}"
    raise StatusError(
        422,
        "Invalid",
        f'TokenRequest.authentication.k8s.io "" is invalid: spec.expirationSeconds: {message}',
        causes=(Cause("FieldValueInvalid", message, "spec.expirationSeconds"),),
        details={"group": "authentication.k8s.io", "kind": "TokenRequest"},
    )


def _not_found(resource: Resource, name: str) -> StatusError:
    details = {"name": name, "kind": resource.plural}
    return StatusError(404, "NotFound", f'{resource.plural} "{name}" not found', details=details)


def _reference(obj: Obj) -> dict[str, str]:
    return {"name": obj["metadata"]["name"], "uid": obj["metadata"]["uid"]}
