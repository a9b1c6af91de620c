"""JSON merge patch, RFC 7386: null removes, objects merge, everything else replaces."""

from typing import Any

from headstay.local.server import codec
from headstay.local.server.patch.wording import require_object
from headstay.model.objects import Obj


def merge_patch(live: Obj, patch: Obj) -> Obj:
    require_object(patch, "error decoding patch: ")
    merged: Obj = _merge(codec.copied(live), codec.copied(patch))
    return merged


def _merge(live: Any, patch: Any) -> Any:
    """Both are ours to use up."""
    if not isinstance(patch, dict):
        return patch
    merged = {key: value for key, value in live.items() if key not in patch} if isinstance(live, dict) else {}
    for key, value in patch.items():
        if value is not None:
            merged[key] = _merge(live.get(key) if isinstance(live, dict) else None, value)
    return merged
