"""`serveConfigV2`, a YAML text, as the document that the dashboard takes."""

import hashlib
import json
from typing import Any

import yaml

from headstay.model.objects import Obj

_MOST_NODES = 200_000
"""YAML aliases let a short text stand for a document that no memory holds."""


class ServeConfigError(ValueError):
    """The message says what is wrong with the text."""


def serve_config(text: str) -> Obj:
    """Raises ServeConfigError. An empty text is a configuration without applications."""
    try:
        found = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ServeConfigError(f"is not YAML: {' '.join(str(error).split())}") from error
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise ServeConfigError(f"is a {type(found).__name__}; it must be a mapping with `applications`")
    _limit(found)
    try:
        # As it will be read back: YAML has keys that are numbers, which sort otherwise than the texts that JSON has.
        document: Obj = json.loads(json.dumps(found))
    except (TypeError, ValueError, RecursionError) as error:
        raise ServeConfigError(f"has a value that JSON has no word for: {error}; put it in quotes") from error
    return document


def serve_config_text(config: Obj) -> str:
    """One text for equal configurations."""
    return json.dumps(config, sort_keys=True)


def serve_config_hash(config: Obj) -> str:
    return hashlib.sha256(serve_config_text(config).encode()).hexdigest()[:32]


def _limit(document: Any) -> None:
    seen, waiting = 0, [document]
    while waiting:
        node = waiting.pop()
        seen += 1
        if seen > _MOST_NODES:
            raise ServeConfigError(f"has more than {_MOST_NODES} values once its aliases are written out")
        if isinstance(node, dict):
            waiting += node.values()
        elif isinstance(node, list):
            waiting += node
