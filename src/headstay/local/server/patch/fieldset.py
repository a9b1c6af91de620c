"""Sets of fields, as `metadata.managedFields` writes them (FieldsV1).

A path is a sequence of elements, each in its written form: `f:name` (a field), `k:{"name":"x"}` (the list item with
that key), `v:1` (that member of a set), `i:0` (by position). A set is a tree: a node's `members` are in the set,
its `children` hold longer paths; an element may be both. Sets are values: operations make new ones.
"""

import json
from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

Path: TypeAlias = tuple[str, ...]

_RANKS = {"f": 0, "k": 1, "v": 2, "i": 3}


def field(name: str) -> str:
    return f"f:{name}"


def key(fields: dict[str, Any]) -> str:
    return "k:" + _compact(fields)


def value(item: Any) -> str:
    return "v:" + _compact(item)


_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode


def _compact(item: Any) -> str:
    return _encode(item)


class FieldSet:
    __slots__ = ("_written", "children", "members")

    def __init__(self, members: Iterable[str] = (), children: dict[str, "FieldSet"] | None = None) -> None:
        self.members = frozenset(members)
        self.children = {element: child for element, child in (children or {}).items() if child}
        self._written: dict[str, Any] | None = None

    @classmethod
    def of(cls, paths: Iterable[Path]) -> "FieldSet":
        """The set of exactly these paths; the empty path, an object as a whole, belongs to nobody."""
        members: set[str] = set()
        below: dict[str, list[Path]] = {}
        for path in paths:
            if len(path) == 1:
                members.add(path[0])
            elif path:
                below.setdefault(path[0], []).append(path[1:])
        return cls(members, {element: cls.of(rest) for element, rest in below.items()})

    def __bool__(self) -> bool:
        return bool(self.members or self.children)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FieldSet) and self.members == other.members and self.children == other.children

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"FieldSet({', '.join(map(printed, self.paths()))})"

    def __contains__(self, path: Path) -> bool:
        node: FieldSet | None = self
        for element in path[:-1]:
            node = node.children.get(element) if node else None
        return bool(path) and node is not None and path[-1] in node.members

    def child(self, element: str) -> "FieldSet":
        return self.children.get(element) or EMPTY

    def paths(self) -> Iterator[Path]:
        """Every member, in a stable order."""
        for element in _ordered(self.members | self.children.keys()):
            if element in self.members:
                yield (element,)
            for rest in self.child(element).paths():
                yield (element, *rest)

    def union(self, other: "FieldSet") -> "FieldSet":
        if not other:
            return self
        if not self:
            return other
        elements = self.children.keys() | other.children.keys()
        return FieldSet(
            self.members | other.members,
            {element: self.child(element).union(other.child(element)) for element in elements},
        )

    def intersection(self, other: "FieldSet") -> "FieldSet":
        elements = self.children.keys() & other.children.keys()
        return FieldSet(
            self.members & other.members,
            {element: self.children[element].intersection(other.children[element]) for element in elements},
        )

    def difference(self, other: "FieldSet") -> "FieldSet":
        """Path by path: a parent in `other` does not take its children away. `self` where nothing is taken."""
        if not other:
            return self
        members = self.members - other.members
        children = {element: child.difference(other.child(element)) for element, child in self.children.items()}
        if len(members) == len(self.members) and all(children[at] is child for at, child in self.children.items()):
            return self
        return FieldSet(members, children)

    def without(self, other: "FieldSet") -> "FieldSet":
        """Recursive difference: a path in `other` takes everything below it away, too."""
        if not other:
            return self
        return FieldSet(
            self.members - other.members,
            {
                element: child.without(other.child(element))
                for element, child in self.children.items()
                if element not in other.members
            },
        )

    def to_json(self) -> dict[str, Any]:
        """The `fieldsV1` document. Made once and shared: to be encoded, not to be changed."""
        if self._written is None:
            self._written = self._to_json()
        return self._written

    def _to_json(self) -> dict[str, Any]:
        written: dict[str, Any] = {}
        for element in _ordered(self.members | self.children.keys()):
            child = self.children.get(element)
            inner = child.to_json() if child is not None else {}
            written[element] = {".": {}} | inner if inner and element in self.members else inner
        return written

    @classmethod
    def from_json(cls, document: Any) -> "FieldSet":
        """Raises ValueError naming what cannot be read."""
        if not isinstance(document, dict):
            raise ValueError(f"fieldsV1 must be an object, not {document!r}")  # noqa: TRY004
        members: set[str] = set()
        children: dict[str, FieldSet] = {}
        for written, inner in document.items():
            if written == ".":
                continue
            element, below = _normal(written), cls.from_json(inner)
            if not inner or "." in inner:
                members.add(element)
            if below:
                children[element] = below
        return cls(members, children)


EMPTY = FieldSet()


def _normal(element: str) -> str:
    """The one way we write an element; others may sort or space its JSON differently."""
    kind, colon, rest = element.partition(":")
    if not colon or kind not in _RANKS:
        raise ValueError(f"unknown path element {element!r}")
    if kind == "f":
        return element
    try:
        parsed = json.loads(rest)
    except ValueError as error:
        raise ValueError(f"path element {element!r} is not JSON") from error
    if kind == "k" and not isinstance(parsed, dict):
        raise ValueError(f"path element {element!r} is not an object")
    return f"{kind}:{_compact(parsed)}"


def _ordered(elements: Iterable[str]) -> list[str]:
    """By kind, then by what is written; elements of one place are nearly always of one kind."""
    found = sorted(elements)
    if found and found[0][0] != found[-1][0]:
        found.sort(key=lambda element: _RANKS[element[0]])
    return found


def printed(path: Path) -> str:
    """As conflicts name a field: `.spec.template.spec.containers[name="c"].image`."""
    return "".join(map(_printed_element, path))


def _printed_element(element: str) -> str:
    kind, _, rest = element.partition(":")
    match kind:
        case "f":
            return f".{rest}"
        case "k":
            return "[" + ",".join(f"{name}={_compact(item)}" for name, item in json.loads(rest).items()) + "]"
        case "v":
            return f"[={rest}]"
        case _:
            return f"[{rest}]"
