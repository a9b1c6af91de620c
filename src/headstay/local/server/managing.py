"""Managed fields, as far as a write's own path is concerned; the tracking itself is in `patch`."""

from headstay.model.objects import Obj


def without_times(obj: Obj) -> Obj:
    """The object as two writes are compared: when a manager wrote is no difference, what it wrote is.

    A missing and an empty managedFields are the same.
    """
    meta = obj["metadata"]
    managed = meta.get("managedFields")
    plain = {key: value for key, value in meta.items() if key != "managedFields"}
    if managed:
        plain["managedFields"] = [{k: v for k, v in entry.items() if k != "time"} for entry in managed]
    return obj | {"metadata": plain}
