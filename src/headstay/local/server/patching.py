"""From a PATCH request to the object it asks for; the patch algorithms themselves are in `patch`."""

from typing import Any, Literal, NamedTuple

from headstay.local.server import codec, errors
from headstay.local.server.decoding import metadata_of
from headstay.local.server.kinds import Served
from headstay.local.server.patch.apply import not_declared
from headstay.local.server.patch.json import json_patch
from headstay.local.server.patch.merge import merge_patch
from headstay.local.server.patch.strategic import strategic_merge_patch
from headstay.local.server.patch.wording import BUILTIN_PATCHES, CUSTOM_RESOURCE_PATCHES, go_value
from headstay.local.server.requests import Patched, Target
from headstay.local.server.seams import Schema, Schemas
from headstay.model.objects import Obj

PatchKind = Literal["json", "merge", "strategic", "apply"]

CONTENT_TYPES: dict[str, PatchKind] = {
    "application/json-patch+json": "json",
    "application/merge-patch+json": "merge",
    "application/strategic-merge-patch+json": "strategic",
    "application/apply-patch+yaml": "apply",
}


class Patch(NamedTuple):
    """`body` is decoded: a list of operations for JSON patch, an object for the others."""

    type: PatchKind
    body: Any


def accepted_types(served: Served) -> tuple[str, ...]:
    return CUSTOM_RESOURCE_PATCHES if served.custom else BUILTIN_PATCHES


def check_patch_type(served: Served, patch: Patch) -> None:
    """Custom kinds have no merge keys: strategic merge is 415 for them."""
    if patch.type == "strategic" and served.custom:
        raise errors.unsupported_media_type(accepted_types(served))


def patched(schema: Schema | None, live: Obj, patch: Patch) -> Obj:
    """`live` with a JSON, merge or strategic merge patch applied."""
    if patch.type == "json":
        return json_patch(live, patch.body)
    if patch.type == "merge":
        return merge_patch(live, patch.body)
    if schema is None:
        raise errors.unsupported("strategic merge patch on a kind without a schema")
    return strategic_merge_patch(schema, live, patch.body)


def facts_of(patch: Patch, new: Obj) -> Patched:
    """Of `new`, which the patch has made. A merge patch leaves alone what it does not name; of others we do not say."""
    untouched = frozenset(new.keys() - patch.body.keys()) if patch.type == "merge" else frozenset()
    return Patched(lambda: _text(patch, new), untouched)


def _text(patch: Patch, new: Obj) -> str:
    """As the real server quotes it: a strategic one as Go prints it, else the object it made."""
    if patch.type == "strategic":
        return go_value(patch.body)
    return codec.encode(new).decode()


def applied_document(schemas: Schemas, target: Target, body: Any) -> Obj:
    """What a server-side apply asks for: as much of the body as this request can write.

    Unlike other writes an apply refuses fields that the kind does not have, whatever the field validation.
    """
    if not isinstance(body, dict):
        raise errors.bad_request("error decoding YAML: the apply patch must be an object")
    wanted = codec.copied(body)
    resource = target.resource
    schema = schemas.of(resource.group, resource.version, resource.kind)
    wanted.setdefault("apiVersion", "")
    meta = metadata_of(wanted)
    given = meta.get("name")
    if given and given != target.name:
        raise errors.bad_request(f"the name of the object ({given}) does not match the name on the URL ({target.name})")
    meta.setdefault("name", target.name)
    if resource.namespaced:
        meta.setdefault("namespace", target.namespace)
    if schema is not None and (unknown := schemas.unknown_fields(schema, wanted)):
        raise not_declared(wanted, unknown[0])
    if target.subresource == "status":
        kept = ("apiVersion", "kind", "status")
        plain = {name: meta[name] for name in ("name", "namespace", "uid", "resourceVersion") if name in meta}
        return {name: wanted[name] for name in kept if name in wanted} | {"metadata": plain}
    if target.served.kind.has_status:
        wanted.pop("status", None)
    return wanted
