"""LimitRanges: their own defaults, and what they do to the containers of a new Pod."""

from collections.abc import Iterator
from decimal import Decimal

from headstay.local.server import errors
from headstay.local.server.seams import WriteContext
from headstay.local.server.strategies.base import Base
from headstay.local.server.strategies.podspec import containers
from headstay.local.server.strategies.podstatus import pod_requests
from headstay.local.server.strategies.quantities import format_quantity, is_binary
from headstay.model.objects import Obj, dig
from headstay.model.quantity import parse_quantity
from headstay.model.resource import PODS, Resource

ANNOTATION = "kubernetes.io/limit-ranger"
LIMIT_RANGES = Resource("", "v1", "limitranges", "LimitRange")


class LimitRanges(Base):
    def default(self, new: Obj) -> None:
        for item in dig(new, "spec", "limits") or []:
            if item.get("type") == "Container":
                limits = (item.get("max") or {}) | (item.get("default") or {})
                requests = (item.get("min") or {}) | limits | (item.get("defaultRequest") or {})
                if limits:
                    item["default"] = limits
                if requests:
                    item["defaultRequest"] = requests


def admit_limits(pod: Obj, context: WriteContext) -> None:
    """Gives containers the namespace's defaults, then refuses (403) what is beyond its bounds."""
    ranges = list(context.reader.list(LIMIT_RANGES, pod["metadata"].get("namespace") or ""))
    items = [item for found in ranges for item in dig(found, "spec", "limits") or []]
    if not items:
        return
    filled = [
        note
        for name, kind in (("initContainers", "init container"), ("containers", "container"))
        for container in containers(pod["spec"], name)
        for note in _fill_in(container, kind, [item for item in items if item.get("type") == "Container"])
    ]
    if filled:
        notes = f"LimitRanger plugin set: {'; '.join(filled)}"
        pod["metadata"]["annotations"] = (pod["metadata"].get("annotations") or {}) | {ANNOTATION: notes}
    problems = [problem for item in items for problem in _problems(pod["spec"], item)]
    if problems:
        text = problems[0] if len(problems) == 1 else f"[{', '.join(problems)}]"
        raise errors.forbidden(PODS, pod["metadata"].get("name") or "", text)


def _fill_in(container: Obj, kind: str, items: list[Obj]) -> Iterator[str]:
    """Sets what the container leaves open, and says what that was."""
    resources = container.setdefault("resources", {})
    for field, source in (("requests", "defaultRequest"), ("limits", "default")):
        given = resources.get(field) or {}
        defaults = {name: amount for item in items for name, amount in (item.get(source) or {}).items()}
        missing = sorted(defaults.keys() - given.keys())
        if missing:
            resources[field] = given | {name: defaults[name] for name in missing}
            yield f"{', '.join(missing)} {field.removesuffix('s')} for {kind} {container.get('name')}"


def _problems(spec: Obj, item: Obj) -> Iterator[str]:
    kind = item.get("type") or ""
    if kind == "Container":
        for container in containers(spec, "initContainers", "containers"):
            resources = container.get("resources") or {}
            yield from _bounds(item, kind, _parsed(resources.get("requests")), _parsed(resources.get("limits")))
    elif kind == "Pod":
        yield from _bounds(item, kind, pod_requests(spec), pod_requests(spec, "limits"))


def _parsed(amounts: Obj | None) -> dict[str, Decimal]:
    return {name: parse_quantity(amount) for name, amount in (amounts or {}).items()}


def _like(amount: Decimal, bound: object) -> str:
    return format_quantity(amount, binary=is_binary(bound))


def _bounds(item: Obj, kind: str, requests: dict[str, Decimal], limits: dict[str, Decimal]) -> Iterator[str]:
    for name, least in (item.get("min") or {}).items():
        if name not in requests:
            yield f"minimum {name} usage per {kind} is {least}.  No request is specified"
        elif requests[name] < parse_quantity(least):
            yield f"minimum {name} usage per {kind} is {least}, but request is {_like(requests[name], least)}"
    for name, most in (item.get("max") or {}).items():
        if name not in limits:
            yield f"maximum {name} usage per {kind} is {most}.  No limit is specified"
        elif limits[name] > parse_quantity(most):
            yield f"maximum {name} usage per {kind} is {most}, but limit is {_like(limits[name], most)}"
    for name, ratio in (item.get("maxLimitRequestRatio") or {}).items():
        if requests.get(name) and limits.get(name) and limits[name] / requests[name] > parse_quantity(ratio):
            found = limits[name] / requests[name]
            yield f"{name} max limit to request ratio per {kind} is {ratio}, but provided ratio is {found:f}"
