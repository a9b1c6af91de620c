"""Whether the embedded Kubernetes documents have the shape that we are about to read and edit.

The CRD keeps them unchecked, so that nothing in them is pruned. What we touch must be what we take it for; all the
rest is the API server's to judge when the Pod is made.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from headstay.model.objects import Obj


class _Map(NamedTuple):
    """Fields we read, by name; others are free. None stands for text."""

    fields: dict[str, Any]


class _Texts(NamedTuple):
    """A mapping of texts."""


class _Quantities(NamedTuple):
    """A mapping of texts or numbers."""


class _Each(NamedTuple):
    """A list whose items have one shape."""

    item: Any


class _Number(NamedTuple):
    pass


_TEXT = None
_ENV = _Each(_Map({"name": _TEXT, "value": _TEXT}))
_CONTAINER = _Map(
    {
        "name": _TEXT,
        "image": _TEXT,
        "command": _Each(_TEXT),
        "args": _Each(_TEXT),
        "env": _ENV,
        "ports": _Each(_Map({"name": _TEXT, "containerPort": _Number()})),
        "resources": _Map({"limits": _Quantities(), "requests": _Quantities()}),
        "volumeMounts": _Each(_Map({"name": _TEXT, "mountPath": _TEXT})),
    }
)
_TEMPLATE = _Map(
    {
        "metadata": _Map({"name": _TEXT, "labels": _Texts(), "annotations": _Texts()}),
        "spec": _Map(
            {
                "containers": _Each(_CONTAINER),
                "initContainers": _Each(_CONTAINER),
                "volumes": _Each(_Map({"name": _TEXT})),
                "restartPolicy": _TEXT,
            }
        ),
    }
)
_SERVICE = _Map(
    {
        "metadata": _Map({"name": _TEXT, "labels": _Texts(), "annotations": _Texts()}),
        "spec": _Map({"type": _TEXT, "ports": _Each(_Map({"name": _TEXT, "port": _Number()}))}),
    }
)
_REQUIRED = {"ports": ("containerPort", "port"), "env": ("name",)}


def group_problems(group: Obj, path: str) -> Iterator[str]:
    """What in a group's template (and head Service) is not what it should be."""
    yield from _problems(group.get("template"), _TEMPLATE, f"{path}.template")
    yield from _problems(group.get("headService"), _SERVICE, f"{path}.headService")


def container_problems(container: Any, path: str) -> Iterator[str]:
    yield from _problems(container, _CONTAINER, path)


def env_problems(entries: Any, path: str) -> Iterator[str]:
    yield from _problems(entries, _ENV, path)


def _problems(value: Any, shape: Any, path: str) -> Iterator[str]:
    if value is None:
        return
    match shape:
        case None:
            if not isinstance(value, str):
                yield f"{path} must be a text"
        case _Number():
            if not isinstance(value, int) or isinstance(value, bool):
                yield f"{path} must be a number"
        case _Texts() | _Quantities():
            yield from _mapping_problems(value, shape, path)
        case _Each(item):
            if not isinstance(value, list):
                yield f"{path} must be a list"
                return
            for index, element in enumerate(value):
                if element is None:
                    yield f"{path}[{index}] is empty"
                else:
                    yield from _problems(element, item, f"{path}[{index}]")
        case _Map(fields):
            if not isinstance(value, dict):
                yield f"{path} must be a mapping"
                return
            yield from _missing(value, path)
            for name, inner in fields.items():
                yield from _problems(value.get(name), inner, f"{path}.{name}")


def _missing(value: Obj, path: str) -> Iterator[str]:
    """Entries of `env` and `ports` without the one field they are about."""
    collection = path.rpartition(".")[2].partition("[")[0]
    wanted = _REQUIRED.get(collection) if path.endswith("]") else None
    if wanted and not any(value.get(name) is not None for name in wanted):
        yield f"{path}.{wanted[0]} is missing"


def _mapping_problems(value: Any, shape: _Texts | _Quantities, path: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{path} must be a mapping"
        return
    numbers = isinstance(shape, _Quantities)
    for name, found in value.items():
        if isinstance(found, str) or (numbers and isinstance(found, int | float) and not isinstance(found, bool)):
            continue
        yield f"{path}.{name} must be a text" + (" or a number" if numbers else "")
