"""URL paths of the API, as requests in Kubernetes' terms. Pure.

/api/v1/namespaces/NS/pods/NAME/log     /apis/GROUP/VERSION/RESOURCE/NAME/status     /healthz
"""

from typing import NamedTuple

from headstay.local.seams import Attributes

_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "GET": "get", "HEAD": "get", "DELETE": "delete"}
_NAMESPACE_PARTS = {"status", "finalize"}


class RequestInfo(NamedTuple):
    """`resource` is "" for everything that is not about objects (discovery, health, metrics)."""

    path: str
    verb: str
    group: str = ""
    version: str = ""
    resource: str = ""
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    rest: str = ""
    """What follows the subresource (the path of a proxy request)."""

    @property
    def attributes(self) -> Attributes:
        if not self.resource:
            return Attributes(self.verb, path=self.path)
        return Attributes(
            self.verb, self.group, self.version, self.resource, self.subresource, self.namespace, self.name
        )


def parse_path(method: str, path: str, *, watch: bool = False) -> RequestInfo:
    """The request behind a method and a decoded path. Unknown paths are non-resource requests."""
    verb = _VERBS.get(method, method.lower())
    parts = [part for part in path.split("/") if part]
    if parts[:1] == ["api"] and len(parts) > 2:
        group, version, parts = "", parts[1], parts[2:]
    elif parts[:1] == ["apis"] and len(parts) > 3:
        group, version, parts = parts[1], parts[2], parts[3:]
    else:
        return RequestInfo(path, verb)
    namespace = ""
    if parts[0] == "watch" and len(parts) > 1:
        # The old form of a watch, still served: /api/v1/watch/namespaces/NS/pods[/NAME]
        verb, parts = "watch", parts[1:]
    if parts[0] == "namespaces" and len(parts) > 1:
        namespace = parts[1]
        if len(parts) > 2 and not (len(parts) == 3 and parts[2] in _NAMESPACE_PARTS):
            parts = parts[2:]
    resource, name, subresource = (*parts, "", "")[:3]
    if not name:
        if verb == "get":
            verb = "watch" if watch else "list"
        elif verb == "delete":
            verb = "deletecollection"
    return RequestInfo(path, verb, group, version, resource, namespace, name, subresource, "/".join(parts[3:]))
