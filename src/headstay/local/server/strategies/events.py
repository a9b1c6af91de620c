"""Events, in either of their two API versions: who reports, on what, and how long a note may be."""

from headstay.local.server.seams import WriteContext
from headstay.local.server.strategies import causes, names
from headstay.local.server.strategies.base import Base
from headstay.model.errors import Cause
from headstay.model.objects import Obj

MAX_NOTE = 1024
MAX_NAME = 128


class CoreEvents(Base):
    """core/v1: the old rules, unless `eventTime` says that the writer knows the new ones."""

    def validate(self, new: Obj, old: Obj | None, context: WriteContext) -> list[Cause]:
        found = _namespace(new, "involvedObject")
        if new.get("eventTime"):
            found += _reporter(new, "reportingComponent", "message")
        return found


class Events(Base):
    """events.k8s.io/v1."""

    def validate(self, new: Obj, old: Obj | None, context: WriteContext) -> list[Cause]:
        found = _namespace(new, "regarding")
        if not new.get("eventTime"):
            found.append(causes.required("eventTime"))
        found += _reporter(new, "reportingController", "note")
        if new.get("type") not in {"Normal", "Warning"}:
            found.append(causes.invalid("type", "", f"has invalid value: {new.get('type') or ''}"))
        return found


def _namespace(event: Obj, field: str) -> list[Cause]:
    """An event lives beside its object; those of cluster-scoped objects in `default`."""
    own = event["metadata"].get("namespace") or ""
    of_object = (event.get(field) or {}).get("namespace") or ""
    if own == of_object or (not of_object and own in {"default", "kube-system"}):
        return []
    return [causes.invalid("involvedObject.namespace", of_object, "does not match event.namespace")]


def _reporter(event: Obj, controller: str, note: str) -> list[Cause]:
    found = []
    who = event.get(controller) or ""
    if not who:
        found.append(causes.required("reportingController"))
    found += [causes.invalid("reportingController", who, complaint) for complaint in names.qualified_name(who)]
    for field in ("reportingInstance", "action", "reason"):
        value = event.get(field) or ""
        if not value:
            found.append(causes.required(field))
        elif len(value) > MAX_NAME:
            found.append(causes.invalid(field, "", f"can have at most {MAX_NAME} characters"))
    if len(event.get(note) or "") > MAX_NOTE:
        found.append(causes.invalid("message", "", f"can have at most {MAX_NOTE} characters"))
    return found
