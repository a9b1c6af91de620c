r"""The part of JSONPath that CRDs use for printer columns, selectable fields and scale paths. Pure.

.spec.replicas    .status.conditions[?(@.type=="Ready")].status    .spec.items[0].name    .metadata.labels['a\.b']
[*] and ..name are here too; scripts and functions are not, and a path that uses them does not compile.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any

Step = Callable[[Any], Iterator[Any]]

_TOKEN = re.compile(
    r"""
    \.\.(?P<deep>[\w-]+)
    | \.(?P<name>(?:[^.\[\]'"\\\s]|\\.)+)
    | \[\s*(?P<index>-?\d+)\s*\]
    | \[\s*(?P<from>-?\d*)\s*:\s*(?P<to>-?\d*)\s*\]
    | \[\s*(?P<every>\*)\s*\]
    | \[\s*(?P<quoted>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")\s*\]
    | \[\?\(\s*@(?P<left>[^=!<>)]*?)\s*(?:(?P<op>==|!=|<=|>=|<|>)\s*(?P<right>[^)]*?)\s*)?\)\]
    """,
    re.VERBOSE,
)
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "==": lambda a, b: bool(a == b),
    "!=": lambda a, b: bool(a != b),
    "<": lambda a, b: bool(a < b),
    ">": lambda a, b: bool(a > b),
    "<=": lambda a, b: bool(a <= b),
    ">=": lambda a, b: bool(a >= b),
}


class JsonPath:
    """A compiled path. Raises ValueError, naming the rest that cannot be read."""

    def __init__(self, text: str) -> None:
        self._steps = _compile(text)

    def find(self, value: Any) -> list[Any]:
        found = [value]
        for step in self._steps:
            found = [result for item in found for result in step(item)]
        return found

    def first(self, value: Any) -> Any:
        """The first match, or None."""
        return next(iter(self.find(value)), None)


def _compile(text: str) -> list[Step]:
    body = text.strip()
    if body.startswith("{") and body.endswith("}"):
        body = body[1:-1].strip()
    body = body.removeprefix("$")
    if body and body[0] not in ".[":
        body = f".{body}"
    steps: list[Step] = []
    position = 0
    while position < len(body):
        if body[position:] == ".":
            break
        match = _TOKEN.match(body, position)
        if match is None:
            raise ValueError(f"unsupported JSONPath {text!r} at {body[position:]!r}")
        steps.append(_step(match))
        position = match.end()
    return steps


def _step(match: re.Match[str]) -> Step:
    if match["deep"]:
        return _descend(match["deep"])
    if match["name"]:
        return _every if match["name"] == "*" else _child(_unescape(match["name"]))
    if match["index"]:
        return _item(int(match["index"]))
    if match["every"]:
        return _every
    if match["quoted"]:
        return _child(_unescape(match["quoted"][1:-1]))
    if match["left"] is not None:
        return _filter(match["left"], match["op"], match["right"])
    return _slice(match["from"], match["to"])


def _unescape(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text)


def _child(name: str) -> Step:
    def step(value: Any) -> Iterator[Any]:
        if isinstance(value, dict) and name in value:
            yield value[name]

    return step


def _item(index: int) -> Step:
    def step(value: Any) -> Iterator[Any]:
        if isinstance(value, list) and -len(value) <= index < len(value):
            yield value[index]

    return step


def _slice(start: str, end: str) -> Step:
    def step(value: Any) -> Iterator[Any]:
        if isinstance(value, list):
            yield from value[int(start) if start else None : int(end) if end else None]

    return step


def _every(value: Any) -> Iterator[Any]:
    if isinstance(value, list):
        yield from value
    elif isinstance(value, dict):
        yield from value.values()


def _descend(name: str) -> Step:
    def step(value: Any) -> Iterator[Any]:
        if isinstance(value, dict) and name in value:
            yield value[name]
        for item in _every(value):
            yield from step(item)

    return step


def _filter(left: str, operator: str | None, right: str | None) -> Step:
    path = JsonPath(left) if left.strip() else None
    wanted = _literal(right) if right is not None else None

    def holds(item: Any) -> bool:
        found = path.find(item) if path else [item]
        if not found:
            return False
        if operator is None:
            return True
        try:
            return _COMPARE[operator](found[0], wanted)
        except TypeError:
            return False

    def step(value: Any) -> Iterator[Any]:
        if isinstance(value, list):
            yield from (item for item in value if holds(item))

    return step


def _literal(text: str) -> Any:
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
        return _unescape(text[1:-1])
    if text in {"true", "false"}:
        return text == "true"
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError as error:
        raise ValueError(f"unsupported JSONPath literal {text!r}") from error
