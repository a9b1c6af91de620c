"""Small pieces of text that several kinds' columns share. Pure."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from headstay.local.server.printing.ages import NONE, age
from headstay.local.server.printing.table import Column
from headstay.local.server.selectortext import selector_text
from headstay.model.objects import Obj, dig

CONTAINERS = Column("Containers", description="Names of each container in the template.", priority=1)
IMAGES = Column("Images", description="Images referenced by each container in the template.", priority=1)
SELECTOR = Column("Selector", description="Label selector for the pods.", priority=1)


def name(obj: Obj) -> str:
    found: str = obj["metadata"]["name"]
    return found


def created(obj: Obj, now: datetime) -> str:
    return age(obj["metadata"].get("creationTimestamp"), now)


def number(obj: Obj, *path: str) -> int:
    value = dig(obj, *path)
    return value if isinstance(value, int) else 0


def string(obj: Obj, *path: str) -> str:
    value = dig(obj, *path)
    return "" if value is None else str(value)


def or_none(text: str) -> str:
    return text or NONE


def joined(values: Iterable[Any]) -> str:
    return ",".join(map(str, values))


def label_text(labels: Mapping[str, str] | None) -> str:
    return or_none(joined(f"{key}={value}" for key, value in sorted((labels or {}).items())))


def selector(obj: Obj) -> str:
    return or_none(selector_text(dig(obj, "spec", "selector") or {}))


def containers_and_images(pod_spec: Obj | None) -> list[str]:
    containers = (pod_spec or {}).get("containers") or []
    return [joined(c.get("name", "") for c in containers), joined(c.get("image", "") for c in containers)]


def at_most(items: list[str], limit: int, separator: str = ",") -> str:
    """The first `limit`, and how many more there are."""
    text = separator.join(items[:limit])
    return f"{text} + {len(items) - limit} more..." if len(items) > limit else text
