"""The operations of each kind, as far as clients look at them: which verbs, which parameters, which bodies.

kubectl finds out here whether a PATCH of a kind takes `fieldValidation` and `dryRun`, and `kubectl explain` finds a
kind by its path.
"""

from typing import NamedTuple

from headstay.local.server.schema.openapi_schemas import Dialect, group_version_kind, reference
from headstay.local.server.seams import Kind
from headstay.model.objects import Obj

STATUS = "io.k8s.apimachinery.pkg.apis.meta.v1.Status"
PATCH = "io.k8s.apimachinery.pkg.apis.meta.v1.Patch"
DELETE_OPTIONS = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions"
SCALE = "io.k8s.api.autoscaling.v1.Scale"
SHARED = (STATUS, PATCH, DELETE_OPTIONS)
EVENTS_GROUP = "events.k8s.io"
_PATCH_TYPES = (
    "application/apply-patch+yaml",
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
)
_PRETTY = ("pretty", "string", "If 'true', then the output is pretty printed.")
_DRY_RUN = (
    "dryRun",
    "string",
    "When present, indicates that modifications should not be persisted. Valid values are: All",
)
_FIELD_MANAGER = ("fieldManager", "string", "The name of the actor or entity that is making these changes.")
_FIELD_VALIDATION = (
    "fieldValidation",
    "string",
    "What the server does with unknown or duplicate fields. Valid values are: Ignore, Warn, Strict",
)
_FORCE = ("force", "boolean", 'Force is going to "force" Apply requests.')
_LIST = (
    ("continue", "string", "Where the next page of a list begins, as the last one said."),
    ("fieldSelector", "string", "A selector to restrict the list of returned objects by their fields."),
    ("labelSelector", "string", "A selector to restrict the list of returned objects by their labels."),
    ("limit", "integer", "The maximum number of responses to return for a list call."),
    ("resourceVersion", "string", "A constraint on what resource versions a request may be served from."),
    ("resourceVersionMatch", "string", "How resourceVersion is applied to list calls."),
    ("sendInitialEvents", "boolean", "Whether a watch begins with the objects that exist."),
    ("timeoutSeconds", "integer", "Timeout for the list/watch call."),
    ("watch", "boolean", "Watch for changes and return them as a stream of notifications."),
    ("allowWatchBookmarks", "boolean", "Whether the watch may have bookmarks."),
)
_DELETE = (
    _DRY_RUN,
    ("gracePeriodSeconds", "integer", "The duration in seconds before the object should be deleted."),
    ("propagationPolicy", "string", "Whether and how garbage collection will be performed."),
)
_PARAMETERS = {
    "list": _LIST,
    "get": (),
    "post": (_DRY_RUN, _FIELD_MANAGER, _FIELD_VALIDATION),
    "put": (_DRY_RUN, _FIELD_MANAGER, _FIELD_VALIDATION),
    "patch": (_DRY_RUN, _FIELD_MANAGER, _FIELD_VALIDATION, _FORCE),
    "delete": _DELETE,
    "deletecollection": (*_DELETE, *_LIST),
}
_METHODS = {"list": "get", "deletecollection": "delete"}


class Subject(NamedTuple):
    """A kind and the names of the definitions of its objects and lists."""

    kind: Kind
    name: str
    list_name: str


def paths_of(subject: Subject, dialect: Dialect) -> Obj:
    """All paths of one kind."""
    resource, verbs = subject.kind.resource, subject.kind.verbs
    collection = resource.path("{namespace}" if resource.namespaced else "")
    found: Obj = {collection: {}}
    offered = {"list": "list", "create": "post", "deletecollection": "deletecollection"}
    _add(found[collection], [offered[verb] for verb in offered if verb in verbs], subject, dialect)
    if resource.namespaced and "list" in verbs:
        found[resource.path()] = {}
        _add(found[resource.path()], ["list"], subject, dialect)
    one = f"{collection}/{{name}}"
    offered = {"get": "get", "update": "put", "patch": "patch", "delete": "delete"}
    if actions := [offered[verb] for verb in offered if verb in verbs]:
        found[one] = {}
        _add(found[one], actions, subject, dialect)
    if subject.kind.has_status:
        found[f"{one}/status"] = {}
        _add(found[f"{one}/status"], ["get", "put", "patch"], subject, dialect)
    if subject.kind.has_scale:
        found[f"{one}/scale"] = {}
        _add(found[f"{one}/scale"], ["get", "put", "patch"], subject._replace(name=SCALE), dialect)
    for path, item in found.items():
        item["parameters"] = [
            _parameter((name, "string", f"{name} of the object"), "path", dialect)
            for name in ("name", "namespace")
            if f"{{{name}}}" in path
        ]
    return dict(sorted(found.items()))


def _add(item: Obj, actions: list[str], subject: Subject, dialect: Dialect) -> None:
    for action in actions:
        item[_METHODS.get(action, action)] = _operation(action, subject, dialect)


def _operation(action: str, subject: Subject, dialect: Dialect) -> Obj:
    resource = subject.kind.resource
    body = {"post": subject.name, "put": subject.name, "patch": PATCH, "delete": DELETE_OPTIONS}.get(action)
    answer = {"list": subject.list_name, "delete": STATUS, "deletecollection": STATUS}.get(action, subject.name)
    scale = subject.name == SCALE
    described = {"group": "autoscaling", "kind": "Scale", "version": "v1"} if scale else None
    found: Obj = {
        "description": f"{action} {resource.kind}",
        "parameters": [_parameter(one, "query", dialect) for one in (*_PARAMETERS[action], _PRETTY)],
        "responses": {"200": _response(answer, dialect), "401": {"description": "Unauthorized"}},
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": described or group_version_kind(resource, resource.kind),
    }
    if body and dialect == "v3":
        types = _patch_types(subject.kind) if action == "patch" else ("*/*",)
        content = {media: {"schema": reference(body, dialect)} for media in types}
        found["requestBody"] = {"content": content} | ({} if action == "delete" else {"required": True})
    elif body:
        required = {} if action == "delete" else {"required": True}
        found["parameters"].insert(0, {"in": "body", "name": "body", "schema": reference(body, dialect)} | required)
        found["consumes"] = list(_patch_types(subject.kind)) if action == "patch" else ["*/*"]
    if dialect == "v2":
        found["produces"] = ["application/json", "application/yaml"]
    return found


def _patch_types(kind: Kind) -> tuple[str, ...]:
    """What kubectl reads to know whether it may send a strategic merge patch; custom kinds take none."""
    is_custom = kind.storage is not None and kind.resource.group != EVENTS_GROUP
    return _PATCH_TYPES[:-1] if is_custom else _PATCH_TYPES


def _parameter(parameter: tuple[str, str, str], place: str, dialect: Dialect) -> Obj:
    name, kind, description = parameter
    found: Obj = {"name": name, "in": place, "description": description}
    if place == "path":
        found["required"] = True
    typed = {"type": kind, "uniqueItems": True}
    return found | ({"schema": typed} if dialect == "v3" else typed)


def _response(name: str, dialect: Dialect) -> Obj:
    schema = {"schema": reference(name, dialect)}
    if dialect == "v2":
        return {"description": "OK"} | schema
    return {"description": "OK", "content": {"application/json": schema, "application/yaml": schema}}
