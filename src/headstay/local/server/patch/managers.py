"""`metadata.managedFields`: who owns which fields, read and written in Kubernetes' order and form."""

from collections.abc import Iterable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, NamedTuple

from headstay.local.server import codec
from headstay.local.server.patch.fieldset import EMPTY, FieldSet
from headstay.model import timestamps
from headstay.model.objects import Obj

MAX_UPDATE_MANAGERS = 10
ANCIENT = "ancient-changes"
BEFORE_FIRST_APPLY = "before-first-apply"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Identity(NamedTuple):
    """What tells managers apart. An applier is the same one in every version it applies."""

    name: str
    operation: str
    api_version: str
    subresource: str


class Entry(NamedTuple):
    api_version: str
    fields: FieldSet
    time: str = ""


Managers = dict[Identity, Entry]


def identity(name: str, operation: str, api_version: str, subresource: str) -> Identity:
    return Identity(name, operation, "" if operation == "Apply" else api_version, subresource)


def decode(entries: Any) -> Managers:
    """Raises ValueError on anything that is not a list of proper entries."""
    found: Managers = {}
    for at, entry in enumerate(entries or []):
        if not isinstance(entry, dict) or entry.get("operation") not in {"Apply", "Update"}:
            raise ValueError("operation must be `Apply` or `Update`")
        if not entry.get("apiVersion"):
            raise ValueError("apiVersion must not be empty")
        if entry.get("fieldsType") != "FieldsV1":
            raise ValueError(f"missing or invalid fieldsType in managed fields entry {at}")
        who = identity(
            entry.get("manager") or "", entry["operation"], entry["apiVersion"], entry.get("subresource") or ""
        )
        fields = _fields(codec.encode(entry.get("fieldsV1") or {}))
        found[who] = Entry(entry["apiVersion"], fields, entry.get("time") or "")
    return found


@lru_cache(maxsize=512)
def _fields(document: bytes) -> FieldSet:
    """Objects made by one writer in one way have the same fields, and every write reads them again."""
    return FieldSet.from_json(codec.decode(document))


def encode(managers: Managers) -> list[Obj]:
    """Appliers first, then by time, name, version and subresource; nobody without fields."""
    return [_written(who, managers[who]) for who in sorted(managers, key=lambda who: _rank(who, managers[who]))]


def _rank(who: Identity, entry: Entry) -> tuple[Any, ...]:
    return who.operation, _seconds(entry.time), who.name, entry.api_version, who.subresource


@lru_cache(maxsize=512)
def _seconds(time: str) -> datetime:
    return timestamps.parse(time).replace(microsecond=0) if time else _EPOCH


def _written(who: Identity, entry: Entry) -> Obj:
    written: Obj = {"manager": who.name, "operation": who.operation, "apiVersion": entry.api_version}
    if entry.time:
        written["time"] = entry.time
    written |= {"fieldsType": "FieldsV1", "fieldsV1": entry.fields.to_json()}
    if who.subresource:
        written["subresource"] = who.subresource
    return written


def store(obj: Obj, managers: Managers) -> None:
    entries = encode({who: entry for who, entry in managers.items() if entry.fields})
    if entries:
        obj["metadata"]["managedFields"] = entries
    else:
        obj["metadata"].pop("managedFields", None)


def capped(managers: Managers) -> Managers:
    """At most ten updaters: the oldest of each version are put together as `ancient-changes`."""
    if len(managers) <= MAX_UPDATE_MANAGERS:
        return managers
    updaters = sorted(
        (who for who in managers if who.operation == "Update"), key=lambda who: (_seconds(managers[who].time), who)
    )
    excess = len(updaters) - MAX_UPDATE_MANAGERS
    kept = dict(managers)
    first: dict[str, Identity] = {}
    for who in updaters:
        if excess <= 0:
            break
        version = kept[who].api_version
        if version not in first:
            first[version] = who
            continue
        bucket = identity(ANCIENT, "Update", version, "")
        if bucket not in kept:
            kept[bucket] = kept.pop(first[version])
        if who != bucket:
            entry = kept.pop(who)
            kept[bucket] = Entry(version, entry.fields.union(kept[bucket].fields), entry.time)
            excess -= 1
    return kept


def all_fields(entries: Iterable[Entry]) -> FieldSet:
    total = EMPTY
    for entry in entries:
        total = total.union(entry.fields)
    return total
