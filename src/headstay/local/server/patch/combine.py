"""Putting an applied document into the live one, and taking fields out again: the two halves of an apply."""

from typing import Any

from headstay.local.server.patch import fieldset
from headstay.local.server.patch.fieldset import FieldSet
from headstay.local.server.patch.typed import MISSING, Shape, child_schema, elements, is_empty, shape
from headstay.local.server.seams import Schema


def merge(schema: Schema | None, live: Any, applied: Any) -> Any:
    """`live` with `applied` put in: single values replace, maps and keyed lists merge part by part.

    MISSING, where there is nothing. Shares parts with its arguments; copy them first if that matters.
    """
    if applied is MISSING:
        return live
    how = _shape_of(schema, live, applied)
    if applied is None and how == "leaf" and schema is not None and not schema.nullable:
        # `creationTimestamp: null` in a template, and whatever else Go writes for a field that is not set.
        return MISSING
    if how == "leaf" or (is_empty(live) and is_empty(applied)):
        return applied
    if how == "map":
        return _merge_map(schema, live or {}, applied or {})
    if schema is None:
        return applied
    return _merge_list(schema, live or [], applied or [])


def _shape_of(schema: Schema | None, live: Any, applied: Any) -> Shape:
    """The applied document decides; its null says nothing about a live map or list, and leaves it in place."""
    if applied is not None:
        how = shape(schema, applied)
        return how if is_empty(live) or shape(schema, live) == how else "leaf"
    return "leaf" if is_empty(live) else shape(schema, live)


def _merge_map(schema: Schema | None, live: dict[str, Any], applied: dict[str, Any]) -> dict[str, Any]:
    named = (
        (name, merge(child_schema(schema, name), live.get(name, MISSING), applied.get(name, MISSING)))
        for name in (*live, *(name for name in applied if name not in live))
    )
    return {name: item for name, item in named if item is not MISSING}


def _merge_list(schema: Schema, live: list[Any], applied: list[Any]) -> list[Any]:
    """Items of both lists, the applied ones in their own order, the others where they stood among these."""
    left, right = elements(schema, live), elements(schema, applied)
    theirs = dict(zip(reversed(left), reversed(live), strict=True))
    ours = dict(zip(right, applied, strict=True))
    shared = iter([element for element in right if element in theirs])
    awaited = next(shared, None)
    merged: list[Any] = []
    done: set[str] = set()
    at_left = at_right = 0
    while at_left < len(left) or at_right < len(right):
        if at_left < len(left):
            element = left[at_left]
            if element not in ours:
                merged.append(live[at_left])
                at_left += 1
                continue
            if element in done or (at_right < len(right) and element not in {right[at_right], awaited}):
                # Its turn comes, or came, with the applied list.
                at_left += 1
                continue
        element = right[at_right]
        merged.append(merge(schema.items, theirs.get(element, MISSING), ours[element]))
        done.add(element)
        at_right += 1
        if element == awaited:
            awaited = next(shared, None)
    return merged


def remove(schema: Schema | None, value: Any, fields: FieldSet) -> Any:
    """`value` without these fields. A map or list that loses its last part stays, empty, unless it is one of them."""
    how = shape(schema, value)
    if not fields or how == "leaf":
        # Parts of an atomic value have no owners of their own; it is kept or removed as a whole, by its parent.
        return value
    if how == "map":
        return _remove_from_map(schema, value, fields)
    return value if schema is None else _remove_from_list(schema, value, fields)


def _remove_from_map(schema: Schema | None, value: dict[str, Any], fields: FieldSet) -> dict[str, Any]:
    named = ((name, fieldset.field(name), item) for name, item in value.items())
    return {
        name: remove(child_schema(schema, name), item, fields.child(element))
        for name, element, item in named
        if element not in fields.members
    }


def _remove_from_list(schema: Schema, value: list[Any], fields: FieldSet) -> list[Any]:
    return [
        remove(schema.items, item, fields.child(element))
        for element, item in zip(elements(schema, value), value, strict=True)
        if element not in fields.members
    ]
