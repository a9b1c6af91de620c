"""A document that a client sent: is it what the URL says, and which of its fields do we know?"""

from typing import Any

from headstay.local.server import errors
from headstay.local.server.kinds import Served
from headstay.local.server.requests import Call, Patched
from headstay.local.server.seams import Schemas
from headstay.model.errors import StatusError
from headstay.model.objects import Obj
from headstay.model.resource import Resource


def metadata_of(obj: Obj) -> Obj:
    """The object's metadata, made if it is missing or null. Raises 400 where it is something else."""
    if obj.get("metadata") is None:
        obj["metadata"] = {}
    meta = obj["metadata"]
    if not isinstance(meta, dict):
        raise errors.bad_request("metadata must be an object")
    found: Obj = meta
    return found


def check(schemas: Schemas, served: Served, obj: Any, call: Call, *, patched: Patched | None = None) -> tuple[str, ...]:
    """Checks apiVersion and kind, prunes and defaults `obj` in place; says what to warn of.

    Unknown fields are refused, warned of or dropped in silence, as `call.field_validation` says. `patched` tells of
    the patch that `obj` came out of, if it did.
    """
    resource = served.kind.resource
    if not isinstance(obj, dict):
        raise errors.bad_request("the object provided is unrecognized (must be of type object)")
    _check_type(resource, obj)
    schema = schemas.of(resource.group, resource.version, resource.kind)
    if schema is None:
        return ()
    warnings: tuple[str, ...] = ()
    if call.field_validation != "Ignore" and (unknown := schemas.unknown_fields(schema, obj)):
        problems = [f'unknown field "{path}"' for path in unknown]
        if call.field_validation == "Strict":
            problem = f"strict decoding error: {', '.join(problems)}"
            raise errors.invalid_patch(patched.text(), problem) if patched else _cannot_be_handled(resource, problem)
        warnings = tuple(problems)
    schemas.prune(schema, obj, patched.untouched if patched else ())
    schemas.default(schema, obj)
    return warnings


def _check_type(resource: Resource, obj: Obj) -> None:
    api_version, kind = obj.get("apiVersion"), obj.get("kind")
    if not api_version and not kind:
        obj["apiVersion"], obj["kind"] = resource.api_version, resource.kind
        return
    if not kind:
        raise errors.bad_request("Object 'Kind' is missing")
    if api_version != resource.api_version:
        raise errors.bad_request(
            f"the API version in the data ({api_version}) does not match the expected API version "
            f"({resource.api_version})"
        )
    if kind != resource.kind:
        raise errors.bad_request(f'{kind} in version "{resource.version}" cannot be handled as a {resource.kind}')


def _cannot_be_handled(resource: Resource, why: str) -> StatusError:
    return errors.bad_request(
        f'{resource.kind} in version "{resource.version}" cannot be handled as a {resource.kind}: {why}'
    )
