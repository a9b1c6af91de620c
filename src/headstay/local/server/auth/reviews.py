"""Questions about rights and identities, asked as objects that are answered and never stored.

authorization.k8s.io/v1   SelfSubjectAccessReview, SubjectAccessReview, LocalSubjectAccessReview,
                          SelfSubjectRulesReview
authentication.k8s.io/v1  SelfSubjectReview, TokenReview
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from headstay.local.seams import Attributes, User
from headstay.local.server.auth.rbac import RbacAuthorizer
from headstay.local.server.auth.rules import Rule
from headstay.local.server.auth.tokens import AUDIENCE, ServiceAccountTokens, TokenRefusedError
from headstay.model.errors import Cause, StatusError
from headstay.model.objects import Obj


class Asked(NamedTuple):
    """One review: what was posted, by whom (after impersonation), and into which namespace."""

    obj: Obj
    user: User
    namespace: str = ""


class Reviews:
    def __init__(self, authorizer: RbacAuthorizer, tokens: ServiceAccountTokens) -> None:
        self._authorizer = authorizer
        self._tokens = tokens
        self._answers: Mapping[str, Callable[[Asked], Obj]] = {
            "SelfSubjectAccessReview": self._self_access,
            "SubjectAccessReview": self._access,
            "LocalSubjectAccessReview": self._local_access,
            "SelfSubjectRulesReview": self._self_rules,
            "SelfSubjectReview": _self,
            "TokenReview": self._token,
        }

    def review(self, kind: str, obj: Obj, user: User, *, namespace: str = "") -> Obj:
        """The posted object with its status filled in. `namespace` is that of the URL."""
        answer = self._answers.get(kind)
        if answer is None:
            raise ValueError(f"{kind} is not a review")
        status = answer(Asked(obj, user, namespace))
        metadata = {**(obj.get("metadata") or {}), **({"namespace": namespace} if namespace else {})}
        reviewed = {
            "kind": kind,
            "apiVersion": obj.get("apiVersion"),
            "metadata": metadata or {"creationTimestamp": None},
        }
        if kind != "SelfSubjectReview":
            reviewed["spec"] = obj.get("spec") or {}
        return {**reviewed, "status": status}

    def _self_access(self, asked: Asked) -> Obj:
        return self._decide(asked.obj, asked.user)

    def _access(self, asked: Asked) -> Obj:
        spec = asked.obj.get("spec") or {}
        if not spec.get("user") and not spec.get("groups"):
            problem = "at least one of user or group must be specified"
            raise _invalid(asked.obj, f'Invalid value: "": {problem}', "spec.user")
        user = User(spec.get("user") or "", tuple(spec.get("groups") or ()), spec.get("uid") or "")
        return self._decide(asked.obj, user)

    def _local_access(self, asked: Asked) -> Obj:
        spec = asked.obj.get("spec") or {}
        if spec.get("nonResourceAttributes"):
            problem = "Invalid value: disallowed on this kind of request"
            raise _invalid(asked.obj, problem, "spec.nonResourceAttributes")
        named = (spec.get("resourceAttributes") or {}).get("namespace")
        if named != asked.namespace:
            message = f"spec.resourceAttributes.namespace must match namespace: {asked.namespace}"
            raise StatusError(400, "BadRequest", message)
        return self._access(asked)

    def _self_rules(self, asked: Asked) -> Obj:
        namespace = (asked.obj.get("spec") or {}).get("namespace")
        if not namespace:
            raise StatusError(400, "BadRequest", "no namespace on request")
        rules: list[Rule] = list(dict.fromkeys(self._authorizer.rules_of(asked.user, namespace)))
        return {
            "resourceRules": [rule.to_document() for rule in rules if not rule.paths],
            "nonResourceRules": [rule.to_document() for rule in rules if rule.paths],
            "incomplete": False,
        }

    def _token(self, asked: Asked) -> Obj:
        spec = asked.obj.get("spec") or {}
        if not spec.get("token"):
            raise StatusError(400, "BadRequest", "token is required for TokenReview in authentication")
        try:
            verified = self._tokens.verify(spec["token"], spec.get("audiences") or [AUDIENCE])
        except TokenRefusedError as error:
            return {"user": {}, "error": f"[invalid bearer token, {error}]"}
        return {"authenticated": True, "user": user_info(verified.user), "audiences": list(verified.audiences)}

    def _decide(self, obj: Obj, user: User) -> Obj:
        decision = self._authorizer.authorize(user, _attributes(obj))
        return {"allowed": decision.allowed, **({"reason": decision.reason} if decision.reason else {})}


def user_info(user: User) -> Obj:
    parts = {"username": user.name, "uid": user.uid, "groups": list(user.groups), "extra": user.extra}
    return {name: value for name, value in parts.items() if value}


def _self(asked: Asked) -> Obj:
    return {"userInfo": user_info(asked.user)}


def _attributes(obj: Obj) -> Attributes:
    spec = obj.get("spec") or {}
    resource: Obj = spec.get("resourceAttributes") or {}
    path: Obj = spec.get("nonResourceAttributes") or {}
    if bool(resource) == bool(path):
        problem = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        raise _invalid(obj, f"Invalid value: {problem}", "spec.resourceAttributes")
    if path:
        return Attributes(path.get("verb") or "", path=path.get("path") or "")
    names = ("verb", "group", "version", "resource", "subresource", "namespace", "name")
    return Attributes(*(resource.get(name) or "" for name in names))


def _invalid(obj: Obj, message: str, field: str) -> StatusError:
    kind = obj.get("kind") or ""
    return StatusError(
        422,
        "Invalid",
        f'{kind}.authorization.k8s.io "" is invalid: {field}: {message}',
        causes=(Cause("FieldValueInvalid", message, field),),
        details={"group": "authorization.k8s.io", "kind": kind},
    )
