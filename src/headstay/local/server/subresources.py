"""Requests that may name a subresource: which part of the server answers them.

"" and `status` are the object itself. `scale` is a view of it. The rest are acts on it (`binding`, `eviction`,
`finalize`, `token`); those that stream (`log`, `exec`, ...) never come here.
"""

from headstay.local.server import codec, errors, scale
from headstay.local.server.acts import bind, evict, finalize_namespace, issue_token
from headstay.local.server.patching import Patch
from headstay.local.server.requests import Answer, Call, Target
from headstay.local.server.rest import Api
from headstay.model.objects import Obj


def check(target: Target) -> None:
    """Raises 404 for a subresource that the kind does not have."""
    kind, subresource = target.served.kind, target.subresource
    if (
        not subresource
        or (subresource == "status" and kind.has_status)
        or (subresource == "scale" and kind.has_scale)
        or subresource in kind.subresources
    ):
        return
    raise errors.no_such_path()


def get(api: Api, target: Target) -> bytes:
    check(target)
    if target.subresource == "scale":
        return codec.encode(scale.read(target.served, api.writer.current(target).obj))
    if target.subresource not in {"", "status"}:
        raise errors.method_not_allowed()
    return api.get(target)


def create(api: Api, target: Target, document: Obj, call: Call) -> Answer:
    check(target)
    match target.subresource:
        case "":
            return api.create(target, document, call)
        case "binding":
            return bind(api, target, document, call)
        case "eviction":
            return evict(api, target, document, call)
        case "token":
            return issue_token(api, target, document)
    raise errors.method_not_allowed()


def update(api: Api, target: Target, document: Obj, call: Call) -> Answer:
    check(target)
    if target.subresource == "scale":
        return scale.update(api, target, document, call)
    if target.subresource == "finalize":
        return finalize_namespace(api, target, document, call)
    if target.subresource not in {"", "status"}:
        raise errors.method_not_allowed()
    return api.update(target, document, call)


def patch(api: Api, target: Target, asked: Patch, call: Call) -> Answer:
    check(target)
    if target.subresource == "scale":
        return scale.patch(api, target, asked, call)
    if target.subresource not in {"", "status"}:
        raise errors.method_not_allowed()
    return api.patch(target, asked, call)
