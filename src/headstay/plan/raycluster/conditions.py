"""Conditions of a status document: set without moving their time when nothing changed."""

from datetime import datetime

from headstay.model.objects import Obj
from headstay.model.timestamps import rfc3339


def set_condition(conditions: list[Obj], condition: Obj, now: datetime) -> None:
    """Updates or adds the entry of that type; `lastTransitionTime` moves only with `status`.

    An empty message is left out: some API servers refuse an empty string where the schema asks for a string.
    """
    condition = {key: value for key, value in condition.items() if value != ""}
    old = next((entry for entry in conditions if entry.get("type") == condition["type"]), None)
    if old is None:
        conditions.append(condition | {"lastTransitionTime": rfc3339(now)})
        return
    if old.get("status") != condition["status"]:
        old["lastTransitionTime"] = rfc3339(now)
    if "message" not in condition:
        old.pop("message", None)
    old |= condition


def remove_condition(conditions: list[Obj], kind: str) -> None:
    conditions[:] = [entry for entry in conditions if entry.get("type") != kind]
