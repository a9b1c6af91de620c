"""A document seen through its schema: which parts are single values, which are maps and lists with parts of their own.

Where the schema is silent (no schema at all, or `x-kubernetes-preserve-unknown-fields`) the shape is deduced from the
value, as Kubernetes does it: a map has parts, a list is one value.
"""

from collections.abc import Iterator
from enum import Enum
from typing import Any, Literal, TypeAlias

from headstay.local.server.patch import fieldset
from headstay.local.server.patch.fieldset import FieldSet, Path
from headstay.local.server.patch.wording import go_value
from headstay.local.server.seams import Schema
from headstay.model.objects import Obj

Shape: TypeAlias = Literal["leaf", "map", "list"]


class Missing(Enum):
    """No value at all, as against null."""

    MISSING = 0

    def __bool__(self) -> bool:
        return False


MISSING = Missing.MISSING

_NOBODY = "\0"


class TypedError(Exception):
    """A document that does not fit its schema. `path` is where, from the inside out."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem
        self.path = ""

    def __str__(self) -> str:
        return f"{self.path}: {self.problem}"


def shape(schema: Schema | None, value: Any) -> Shape:
    """How a value that is there (and not null) is taken apart."""
    if isinstance(value, dict):
        return "leaf" if schema is not None and schema.atomic_map else "map"
    if isinstance(value, list):
        return "list" if schema is not None and schema.list_type != "atomic" else "leaf"
    return "leaf"


def child_schema(schema: Schema | None, name: str) -> Schema | None:
    return schema.property(name) if schema is not None else None


def is_declared(schema: Schema | None, name: str) -> bool:
    """Whether `name` is a field of a struct, not a key of a map (no schema declares fields and keys at once)."""
    return schema is not None and schema.property(_NOBODY) is None and schema.property(name) is not None


def is_empty(value: Any) -> bool:
    return value is MISSING or value is None or value in ({}, [])


def element_of(schema: Schema, item: Any) -> str:
    """The path element of a list item. Raises TypedError where it has none (a key is missing)."""
    if schema.list_type == "map":
        if not isinstance(item, dict):
            found = "a null" if item is None else "non-map"
            raise TypedError(f"associative list with keys may not have {found} element{'' if item is None else 's'}")
        return fieldset.key({name: _key_value(schema, item, name) for name in schema.list_map_keys})
    if isinstance(item, dict):
        raise TypedError("associative list without keys has an element that's a map type")
    if isinstance(item, list):
        raise TypedError("not supported: associative list with lists as elements")
    if item is None:
        raise TypedError("associative list without keys has an element that's an explicit null")
    return fieldset.value(item)


def _key_value(schema: Schema, item: Obj, name: str) -> Any:
    if item.get(name) is not None:
        return item[name]
    default = schema.items.default_of((name,)) if schema.items is not None else None
    if default is None:
        raise TypedError(
            f'associative list with keys has an element that omits key field "{name}" (and doesn\'t have default value)'
        )
    return default


def elements(schema: Schema, items: list[Any]) -> list[str]:
    """The path elements of a stored list. What has no proper one (old, loosely checked data) is known by its whole."""
    return [_lenient_element(schema, item) for item in items]


def _lenient_element(schema: Schema, item: Any) -> str:
    try:
        return element_of(schema, item)
    except TypedError:
        return fieldset.value(item)


def fields_of(schema: Schema | None, obj: Any, *, empty_lists: bool = False) -> FieldSet:
    """The fields that a document sets, as an applier owns them.

    An empty list of parts sets nothing; `empty_lists` names it all the same, to tell that it is there.
    """
    return FieldSet.of(_fields(schema, obj, (), ([],) if empty_lists else ()))


def _fields(schema: Schema | None, value: Any, path: Path, also: tuple[Any, ...]) -> Iterator[Path]:
    match shape(schema, value):
        case "map":
            for name, item in value.items():
                inner = (*path, fieldset.field(name))
                yield from _fields(child_schema(schema, name), item, inner, also)
                if item is None or item == {} or item in also or not is_declared(schema, name):
                    yield inner
        case "list":
            assert schema is not None  # noqa: S101 (only a schema makes a list a "list")
            for element, item in zip(elements(schema, value), value, strict=True):
                inner = (*path, element)
                yield from _fields(schema.items, item, inner, also)
                yield inner
        case _:
            yield path


def with_named_parents(schema: Schema | None, fields: FieldSet) -> FieldSet:
    """`fields` and every struct field that has one of them below it: who sets a part holds the whole in place."""
    parents = {
        element
        for element in fields.children
        if element.startswith("f:") and is_declared(schema, element.removeprefix("f:"))
    }
    return FieldSet(
        fields.members | parents,
        {element: with_named_parents(_below(schema, element), child) for element, child in fields.children.items()},
    )


def _below(schema: Schema | None, element: str) -> Schema | None:
    if schema is None:
        return None
    return schema.property(element.removeprefix("f:")) if element.startswith("f:") else schema.items


def check(schema: Schema | None, value: Any) -> None:
    """Refuses (TypedError) what could not be tracked: items without keys, the same item twice, maps for lists."""
    if schema is None or value is None:
        return
    if isinstance(value, dict):
        if schema.type not in {"object", ""}:
            raise TypedError(f"expected {schema.type}, got map")
        for name, item in value.items():
            _check_field(schema, name, item)
    elif isinstance(value, list):
        if schema.type not in {"array", ""}:
            raise TypedError(f"expected {schema.type}, got list")
        _check_items(schema, value)
    elif schema.type in {"object", "array"}:
        raise TypedError(f"expected {'map' if schema.type == 'object' else 'list'}, got &{{{go_value(value)}}}")


def _check_field(schema: Schema, name: str, value: Any) -> None:
    try:
        check(schema.property(name), value)
    except TypedError as error:
        error.path = f".{name}{error.path}"
        raise


def _check_items(schema: Schema, items: list[Any]) -> None:
    seen: set[str] = set()
    for at, item in enumerate(items):
        if shape(schema, items) == "list":
            try:
                element = element_of(schema, item)
            except TypedError as error:
                raise TypedError(f"element {at}: {error.problem}") from error
            if element in seen:
                raise TypedError(f"duplicate entries for key {fieldset.printed((element,))}")
            seen.add(element)
            where = fieldset.printed((element,))
        else:
            where = f"[{at}]"
        try:
            check(schema.items, item)
        except TypedError as error:
            error.path = where + error.path
            raise
