"""Acting as somebody else: `kubectl --as`, `--as-group`, `--as-uid`, and Impersonate-Extra-* headers.

Every part of the other identity needs the `impersonate` verb on that part. The request then runs as the other user
alone; nothing of the asker's rights is left.
"""

from collections.abc import Iterator, Mapping
from urllib.parse import unquote

from multidict import MultiMapping

from headstay.local.seams import Attributes, Authorizer, User
from headstay.local.server.auth.authn import AUTHENTICATED
from headstay.local.server.auth.rbac import forbidden
from headstay.local.server.auth.tokens import service_account_groups
from headstay.model.errors import StatusError

_EXTRA = "impersonate-extra-"
_SERVICE_ACCOUNT = "system:serviceaccount:"
_AUTHENTICATION = "authentication.k8s.io"


def effective_user(headers: MultiMapping[str], asker: User, authorizer: Authorizer) -> User:
    """Whom the request runs as. Raises 403 where the asker may not, 500 where the headers make no sense."""
    name = headers.get("Impersonate-User", "")
    groups = tuple(headers.getall("Impersonate-Group", []))
    uid = headers.get("Impersonate-Uid", "")
    extra = _extra(headers)
    if not name:
        if groups or uid or extra:
            message = "Internal error occurred: requested groups, uid or extra without impersonating a user"
            raise StatusError(500, "InternalError", message)
        return asker
    for asked in _asked(name, groups, uid, extra):
        decision = authorizer.authorize(asker, asked)
        if not decision.allowed:
            raise forbidden(asker, asked, decision.reason)
    account = _service_account(name)
    if account and not groups:
        groups = service_account_groups(account[0])
    elif AUTHENTICATED not in groups:
        groups = (*groups, AUTHENTICATED)
    return User(name, groups, uid, extra)


def _asked(name: str, groups: tuple[str, ...], uid: str, extra: Mapping[str, list[str]]) -> Iterator[Attributes]:
    if account := _service_account(name):
        namespace, short = account
        yield Attributes("impersonate", version="v1", resource="serviceaccounts", namespace=namespace, name=short)
    else:
        yield Attributes("impersonate", version="v1", resource="users", name=name)
    for group in groups:
        yield Attributes("impersonate", version="v1", resource="groups", name=group)
    if uid:
        yield Attributes("impersonate", _AUTHENTICATION, "v1", "uids", name=uid)
    for key, values in extra.items():
        for value in values:
            yield Attributes("impersonate", _AUTHENTICATION, "v1", "userextras", subresource=key, name=value)


def _service_account(name: str) -> tuple[str, str] | None:
    """The namespace and name that `system:serviceaccount:NAMESPACE:NAME` stands for."""
    if not name.startswith(_SERVICE_ACCOUNT):
        return None
    namespace, _, short = name.removeprefix(_SERVICE_ACCOUNT).partition(":")
    return (namespace, short) if namespace and short and ":" not in short else None


def _extra(headers: MultiMapping[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for header, value in headers.items():
        if header.lower().startswith(_EXTRA):
            found.setdefault(unquote(header.lower().removeprefix(_EXTRA)), []).append(value)
    return found
