"""Label syntax: https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#syntax-and-character-set"""

import re
from collections.abc import Iterator

_NAME = re.compile(r"^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$")
_PREFIX = re.compile(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")


def label_problems(labels: dict[str, str]) -> Iterator[str]:
    for key in sorted(labels):
        prefix, slash, name = key.rpartition("/")
        if not _NAME.match(name) or len(name) > 63:
            yield f'key "{key}": the name must be at most 63 letters, digits, "-", "_" or "."'
        elif slash and (not _PREFIX.match(prefix) or len(prefix) > 253):
            yield f'key "{key}": the part before "/" must be a DNS name of at most 253 characters'
        value = labels[key]
        if value and (not _NAME.match(value) or len(value) > 63):
            yield f'value "{value}" of key "{key}" must be at most 63 letters, digits, "-", "_" or "."'
