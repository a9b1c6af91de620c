"""Fields that a schema does not know: found by path, or dropped.

Follows apiextensions-apiserver's pruning: below `x-kubernetes-preserve-unknown-fields` undeclared fields stay, but
what is declared there is still looked into; `additionalProperties: true` keeps scalars only.
"""

from typing import Any, NamedTuple

from headstay.local.server.schema.fields import child
from headstay.local.server.schema.node import ANYTHING, Node
from headstay.model.objects import Obj


class _Unknown(NamedTuple):
    holder: Obj
    key: str
    path: str


def unknown_fields(node: Node, obj: Obj) -> list[str]:
    """In the order of the document for Kubernetes' own kinds, sorted for custom ones, as there."""
    paths = [found.path for found in _find(node, obj)]
    return paths if node.native else sorted(paths)


def prune(node: Node, obj: Obj) -> None:
    for found in _find(node, obj):
        del found.holder[found.key]


def _find(node: Node, obj: Obj) -> list[_Unknown]:
    found: list[_Unknown] = []
    _walk(node, obj, "", found)
    return found


def _walk(node: Node, value: Any, path: str, found: list[_Unknown]) -> None:
    if node.native and not (node.properties or node.additional or node.items):
        return  # free-form, or a scalar where something else stands: decoding says so
    if isinstance(value, dict):
        _walk_object(node, value, path, found)
    elif isinstance(value, list):
        if node.preserve_unknown_fields:
            return
        below = node.items or ANYTHING
        for index, item in enumerate(value):
            if isinstance(item, dict | list):
                _walk(below, item, f"{path}[{index}]", found)


def _walk_object(node: Node, value: Obj, path: str, found: list[_Unknown]) -> None:
    properties, additional = node.properties, node.additional
    for key, item in value.items():
        known = properties.get(key) or additional
        if known is not None:
            if isinstance(item, dict | list):
                _walk(known, item, child(path, key), found)
        elif not node.preserve_unknown_fields:
            found.append(_Unknown(value, key, child(path, key)))
