"""Refusals in Kubernetes' own words. Clients, kubectl first of all, match on codes, reasons and details."""

from collections.abc import Sequence

from headstay.model.errors import Cause, StatusError
from headstay.model.objects import Obj
from headstay.model.resource import Resource


def _details(resource: Resource, name: str) -> Obj:
    found: Obj = {}
    if name:
        found["name"] = name
    if resource.group:
        found["group"] = resource.group
    return found | {"kind": resource.plural}


def immutable(resource: Resource, name: str, field: str, value: str) -> StatusError:
    cause = Cause("FieldValueInvalid", f'Invalid value: "{value}": field is immutable', f"metadata.{field}")
    return invalid(resource, name, [cause])


def not_found(resource: Resource, name: str) -> StatusError:
    return StatusError(404, "NotFound", f'{resource} "{name}" not found', details=_details(resource, name))


def no_such_path() -> StatusError:
    return StatusError(404, "NotFound", "the server could not find the requested resource")


def already_exists(resource: Resource, name: str) -> StatusError:
    return StatusError(409, "AlreadyExists", f'{resource} "{name}" already exists', details=_details(resource, name))


def name_exhausted(resource: Resource, name: str) -> StatusError:
    message = f'{resource} "{name}" already exists, the server was not able to generate a unique name for the object'
    return StatusError(409, "AlreadyExists", message, details=_details(resource, name), retry_after=1)


def version_on_create() -> StatusError:
    """Code and lack of a reason are Kubernetes': its storage layer says so, and nothing above translates it."""
    return StatusError(500, "", "resourceVersion should not be set on objects to be created")


def conflict(resource: Resource, name: str, reason: str = "") -> StatusError:
    reason = reason or "the object has been modified; please apply your changes to the latest version and try again"
    message = f'Operation cannot be fulfilled on {resource} "{name}": {reason}'
    return StatusError(409, "Conflict", message, details=_details(resource, name))


def forbidden(resource: Resource, name: str, reason: str, *, causes: tuple[Cause, ...] = ()) -> StatusError:
    subject = f'{resource} "{name}"' if name else str(resource)
    message = f"{subject} is forbidden: {reason}"
    return StatusError(403, "Forbidden", message, causes=causes, details=_details(resource, name))


def invalid(resource: Resource, name: str, causes: Sequence[Cause]) -> StatusError:
    """422. Two causes with the same text are one, as in Kubernetes' aggregated errors."""
    parts = list(dict.fromkeys(f"{cause.field}: {cause.message}" for cause in causes))
    text = parts[0] if len(parts) == 1 else f"[{', '.join(parts)}]"
    kind = f"{resource.kind}.{resource.group}" if resource.group else resource.kind
    details: Obj = {"name": name} if name else {}
    if resource.group:
        details["group"] = resource.group
    details["kind"] = resource.kind
    return StatusError(422, "Invalid", f'{kind} "{name}" is invalid: {text}', causes=tuple(causes), details=details)


def precondition_failed(resource: Resource, name: str, what: str, wanted: str, found: str) -> StatusError:
    """409 for a DELETE of another object than the caller means. These details name the kind, not the resource."""
    happened = "deleted and then recreated" if what == "UID" else "modified"
    message = (
        f'Operation cannot be fulfilled on {resource.kind}{"." + resource.group if resource.group else ""} "{name}": '
        f"the {what} in the precondition ({wanted}) does not match the {what} in record ({found}). "
        f"The object might have been {happened}"
    )
    return StatusError(409, "Conflict", message, details=_details(resource._replace(plural=resource.kind), name))


def bad_request(message: str) -> StatusError:
    return StatusError(400, "BadRequest", message)


def invalid_resource_version(text: str) -> StatusError:
    problem = f'strconv.ParseUint: parsing "{text}": invalid syntax'
    return bad_request(f'resourceVersion: Invalid value: "{text}": {problem}')


def strict_decoding(errors: Sequence[str]) -> StatusError:
    return bad_request(f"strict decoding error: {', '.join(errors)}")


def invalid_options(kind: str, cause: Cause) -> StatusError:
    """422 for a query parameter or DeleteOptions; `kind` is CreateOptions, DeleteOptions, ..."""
    return invalid(Resource("meta.k8s.io", "v1", "", kind), "", (cause,))


def invalid_patch(patch: str, problem: str) -> StatusError:
    """422 for a patch that gives an object unknown fields. No kind is named, as in the real server."""
    cause = Cause("FieldValueInvalid", f'Invalid value: "{patch}": {problem}', "patch")
    return StatusError(422, "Invalid", f' "" is invalid: patch: {cause.message}', causes=(cause,))


def unsupported_value(field: str, value: str, supported: Sequence[str]) -> Cause:
    listed = ", ".join(f'"{one}"' for one in supported)
    return Cause("FieldValueNotSupported", f"Unsupported value: {value}: supported values: {listed}", field)


def method_not_allowed() -> StatusError:
    return StatusError(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")


def unsupported_media_type(accepted: Sequence[str]) -> StatusError:
    message = f"the body of the request was in an unknown format - accepted media types include: {', '.join(accepted)}"
    return StatusError(415, "UnsupportedMediaType", message)


def not_acceptable(accepted: Sequence[str]) -> StatusError:
    return StatusError(406, "NotAcceptable", f"only the following media types are accepted: {', '.join(accepted)}")


def unsupported(what: str) -> StatusError:
    """Something Kubernetes has and this server does not: refused by name, never half-done."""
    return StatusError(501, "NotImplemented", f"unsupported by this server: {what}")


def expired(message: str) -> StatusError:
    return StatusError(410, "Expired", message)


def continue_expired() -> StatusError:
    return expired(
        "The provided continue parameter is too old to display a consistent list result. "
        "You can start a new list without the continue parameter."
    )


def too_old(revision: int, floor: int) -> StatusError:
    return expired(f"too old resource version: {revision} ({floor})")


def too_new(revision: int, current: int) -> StatusError:
    cause = Cause("ResourceVersionTooLarge", "Too large resource version")
    message = f"Timeout: Too large resource version: {revision}, current: {current}"
    return StatusError(504, "Timeout", message, causes=(cause,), retry_after=1)


def too_large(limit: int) -> StatusError:
    return StatusError(413, "RequestEntityTooLarge", f"Request entity too large: limit is {limit}")
