"""JSON patch, RFC 6902, by the jsonpatch library; its errors become the API's."""

from typing import Any

from jsonpatch import InvalidJsonPatch, JsonPatch, JsonPatchException
from jsonpointer import JsonPointerException

from headstay.local.server import codec
from headstay.local.server.patch.wording import bad_request, go_kind, not_applicable
from headstay.model.errors import StatusError
from headstay.model.objects import Obj

MAX_OPERATIONS = 10_000


def json_patch(live: Obj, operations: list[Any]) -> Obj:
    if not isinstance(operations, list):
        raise bad_request(f"json: cannot unmarshal {go_kind(operations)} into Go value of type jsonpatch.Patch")
    for operation in operations:
        if not isinstance(operation, dict):
            raise bad_request(f"json: cannot unmarshal {go_kind(operation)} into Go value of type jsonpatch.Operation")
    if len(operations) > MAX_OPERATIONS:
        raise StatusError(
            413,
            "RequestEntityTooLarge",
            f"Request entity too large: The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, "
            f"got {len(operations)}",
        )
    try:
        patched = JsonPatch(operations).apply(codec.copied(live), in_place=True)
    except (InvalidJsonPatch, JsonPatchException, JsonPointerException, TypeError) as error:
        # TypeError: the library indexes into whatever it finds at a path, a number included.
        raise not_applicable() from error
    if not isinstance(patched, dict):
        raise not_applicable()
    return patched
