"""The errors of patches, in the codes and words that kubectl users know from Kubernetes."""

import json
from typing import Any

from headstay.model.errors import StatusError

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_MERGE_PATCH = "application/strategic-merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"

CUSTOM_RESOURCE_PATCHES = (JSON_PATCH, MERGE_PATCH, APPLY_PATCH)
BUILTIN_PATCHES = (JSON_PATCH, MERGE_PATCH, STRATEGIC_MERGE_PATCH, APPLY_PATCH)


def unsupported_media_type(accepted: tuple[str, ...]) -> StatusError:
    """415: a patch type that the kind does not take (strategic merge on a custom resource)."""
    return StatusError(
        415,
        "UnsupportedMediaType",
        f"the body of the request was in an unknown format - accepted media types include: {', '.join(accepted)}",
    )


def bad_request(message: str) -> StatusError:
    return StatusError(400, "BadRequest", message)


def not_applicable() -> StatusError:
    """422: the patch is well formed but cannot be applied here. Kubernetes keeps the reason to itself."""
    return StatusError(422, "Invalid", "the server rejected our request due to an error in our request")


def broken(message: str) -> StatusError:
    """500 without a reason: what the real server makes of an error that it has no status for."""
    return StatusError(500, "", message)


def go_value(value: Any) -> str:
    """A JSON value as Go prints it with %v: `map[image:x name:y]`, `[a b]`, `<nil>`."""
    match value:
        case None:
            return "<nil>"
        case bool():
            return "true" if value else "false"
        case dict():
            return "map[" + " ".join(f"{key}:{go_value(value[key])}" for key in sorted(value)) + "]"
        case list():
            return "[" + " ".join(map(go_value, value)) + "]"
        case _:
            return str(value)


def go_kind(value: Any) -> str:
    """What Go's JSON decoder calls a value in `cannot unmarshal array into Go value`."""
    match value:
        case bool():
            return "bool"
        case list():
            return "array"
        case str():
            return "string"
        case int() | float():
            return "number"
        case dict():
            return "object"
        case _:
            return json.dumps(value)


def require_object(patch: Any, prefix: str = "") -> None:
    """A merge or strategic merge patch is a JSON object; anything else is refused as the decoder would."""
    if not isinstance(patch, dict):
        raise bad_request(
            f"{prefix}json: cannot unmarshal {go_kind(patch)} into Go value of type map[string]interface {{}}"
        )
