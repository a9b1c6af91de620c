"""Events exist once and are served twice: as core/v1 and as events.k8s.io/v1, which names most fields anew.

The conversion loses nothing in either direction. Its signature is that of `Kind.convert`.
"""

from headstay.model.objects import Obj

CORE = "v1"
EVENTS = "events.k8s.io/v1"

_NEW_NAMES = {
    "involvedObject": "regarding",
    "message": "note",
    "source": "deprecatedSource",
    "firstTimestamp": "deprecatedFirstTimestamp",
    "lastTimestamp": "deprecatedLastTimestamp",
    "count": "deprecatedCount",
    "reportingComponent": "reportingController",
}
_OLD_NAMES = {new: old for old, new in _NEW_NAMES.items()}


def convert_event(event: Obj, api_version: str) -> Obj:
    """A new document; parts are shared with the old one. Raises ValueError for a version that Events do not have."""
    if event.get("apiVersion") == api_version:
        return event
    if api_version == EVENTS:
        names = _NEW_NAMES
    elif api_version == CORE:
        names = _OLD_NAMES
    else:
        raise ValueError(f"Events have no version {api_version!r}")
    return {names.get(name, name): value for name, value in event.items()} | {"apiVersion": api_version}
