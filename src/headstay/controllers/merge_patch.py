"""JSON merge patch (RFC 7386): the smallest patch that turns one document into another."""

from headstay.model.objects import Obj


def merge_patch(old: Obj, new: Obj) -> Obj:
    """Lists are replaced whole; what is absent in `new` becomes null."""
    patch: Obj = {key: None for key in old if key not in new}
    for key, value in new.items():
        before = old.get(key)
        if isinstance(before, dict) and isinstance(value, dict):
            inner = merge_patch(before, value)
            if inner:
                patch[key] = inner
        elif before != value or key not in old:
            patch[key] = value
    return patch
