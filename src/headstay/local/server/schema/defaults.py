"""Defaults of custom resources, and nulls that their schemas do not allow.

Follows apiextensions-apiserver: a default also replaces a null where the field is not nullable; such a null without
a default is dropped from objects (in lists it stays, and validation refuses it).
"""

import copy
from typing import Any

from headstay.local.server.schema.node import ANYTHING, Node
from headstay.model.objects import Obj


def default(node: Node, value: Any) -> None:
    """Fills in `value`, in place."""
    if node.native:
        return
    if isinstance(value, dict):
        _default_object(node, value)
    elif isinstance(value, list) and node.items is not None:
        _default_list(node.items, value)


def _default_object(node: Node, value: Obj) -> None:
    if node.has_defaults:
        for name, known in node.properties.items():
            if known.default is not None and (name not in value or (value[name] is None and not known.nullable)):
                value[name] = copy.deepcopy(known.default)
    dropped: list[str] = []
    for name, item in value.items():
        found = node.properties.get(name) or node.additional
        if found is None or found is ANYTHING:
            continue
        if item is None and not found.nullable and not found.native:
            if found.default is None:
                dropped.append(name)
            else:
                value[name] = copy.deepcopy(found.default)
        if isinstance(value[name], dict | list):
            default(found, value[name])
    for name in dropped:
        del value[name]


def _default_list(items: Node, value: list[Any]) -> None:
    for index, item in enumerate(value):
        if item is None and items.default is not None and not items.nullable:
            value[index] = copy.deepcopy(items.default)
        if isinstance(value[index], dict | list):
            default(items, value[index])
